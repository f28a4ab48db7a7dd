//! Commands and queries that wait for the driver: it takes all that wait at once, within bounds.

use bytes::Bytes;
use tokio::sync::mpsc;

use super::waiting::Answers;
use crate::handle::{Command, Query};

/// Commands that become one request: their number, and roughly their bytes.
const COMMANDS: usize = 1024;
const COMMAND_BYTES: usize = 512 << 10;
/// Queries that share one read.
const QUERIES: usize = 4096;

/// The queue of commands in front of the protocol.
pub(super) struct Commands {
    queue: mpsc::Receiver<Command>,
    /// The next one, already out of the queue.
    next: Option<Command>,
}

impl Commands {
    pub(super) fn new(queue: mpsc::Receiver<Command>) -> Self {
        Commands { queue, next: None }
    }

    /// Returns when one waits; never, when no more can come. Loses nothing when it is dropped.
    pub(super) async fn wait(&mut self) {
        if self.next.is_none() {
            self.next = self.queue.recv().await;
        }
        if self.next.is_none() {
            std::future::pending::<()>().await;
        }
    }

    /// All that wait, up to the bounds, with the ways back to their clients. Those whose clients gave up are left out.
    pub(super) fn take(&mut self) -> (Vec<Bytes>, Answers) {
        let (mut commands, mut answers, mut bytes) = (Vec::new(), Vec::new(), 0);
        while commands.len() < COMMANDS
            && let Some(Command { command, answer }) = self.next.take().or_else(|| self.queue.try_recv().ok())
        {
            if answer.is_closed() {
                continue;
            }
            if bytes + command.len() > COMMAND_BYTES && bytes > 0 {
                self.next = Some(Command { command, answer });
                break;
            }
            bytes += command.len();
            commands.push(command);
            answers.push(answer);
        }
        (commands, answers)
    }

    /// All that wait, without a bound, and no more after that.
    pub(super) fn close(&mut self) -> Answers {
        self.queue.close();
        let mut left: Answers = self.next.take().map(|command| command.answer).into_iter().collect();
        while let Ok(command) = self.queue.try_recv() {
            left.push(command.answer);
        }
        left
    }
}

/// The queue of queries in front of the protocol.
pub(super) struct Queries {
    queue: mpsc::Receiver<Query>,
    next: Option<Query>,
}

impl Queries {
    pub(super) fn new(queue: mpsc::Receiver<Query>) -> Self {
        Queries { queue, next: None }
    }

    /// As [`Commands::wait`].
    pub(super) async fn wait(&mut self) {
        if self.next.is_none() {
            self.next = self.queue.recv().await;
        }
        if self.next.is_none() {
            std::future::pending::<()>().await;
        }
    }

    /// As [`Commands::take`].
    pub(super) fn take(&mut self) -> Vec<Query> {
        let mut queries = Vec::new();
        while queries.len() < QUERIES
            && let Some(query) = self.next.take().or_else(|| self.queue.try_recv().ok())
        {
            if !query.answer.is_closed() {
                queries.push(query);
            }
        }
        queries
    }

    /// As [`Commands::close`].
    pub(super) fn close(&mut self) -> Answers {
        self.queue.close();
        let mut left: Answers = self.next.take().map(|query| query.answer).into_iter().collect();
        while let Ok(query) = self.queue.try_recv() {
            left.push(query.answer);
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    type Answered = oneshot::Receiver<Result<Bytes, crate::Failure>>;

    fn command(bytes: usize) -> (Command, Answered) {
        let (answer, answered) = oneshot::channel();
        (Command { command: vec![7; bytes].into(), answer }, answered)
    }

    #[tokio::test]
    async fn all_that_wait_are_taken_up_to_the_bounds_and_none_is_lost() {
        let (sender, queue) = mpsc::channel(10);
        let mut commands = Commands::new(queue);
        let mut answered = Vec::new();
        for bytes in [10, COMMAND_BYTES - 10, 1, COMMAND_BYTES + 1] {
            let (command, answer) = command(bytes);
            sender.try_send(command).unwrap();
            answered.push(answer);
        }
        commands.wait().await;
        commands.wait().await;
        assert_eq!([commands.take().0.len(), commands.take().0.len(), commands.take().0.len()], [2, 1, 1]);
        assert!(commands.take().0.is_empty());
    }

    #[tokio::test]
    async fn commands_whose_clients_gave_up_are_left_out() {
        let (sender, queue) = mpsc::channel(10);
        let mut commands = Commands::new(queue);
        let ((kept, _answered), (given_up, gone)) = (command(1), command(1));
        drop(gone);
        sender.try_send(given_up).unwrap();
        sender.try_send(kept).unwrap();
        assert_eq!(commands.take().0.len(), 1);
    }
}
