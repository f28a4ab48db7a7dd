//! A state machine in memory, with its records in the state store behind it.
//!
//! Commands are applied in memory, and what they changed is written to the store a little later, by a thread of its own,
//! many commands at a time: a record that changed often is then encoded and written once. The store lags behind memory by
//! a bounded number of commands, always at a position between two of them; whoever replicates keeps its log until
//! [`Replica::sync`] has said that the store has come far enough.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::thread::JoinHandle;
use std::time::Duration;

use agora_machine::{CorruptRecord, Malformed, Record, StateMachine, Timestamp};
use agora_storage::{StateStore, StorageError};
use bytes::Bytes;
use parking_lot::{Mutex, RwLock, RwLockReadGuard};

use crate::compactor::Compactor;
use crate::state_disk::StateDisk;

/// Why a replica can't go on.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReplicaError {
    /// The state store failed, now or earlier.
    #[error(transparent)]
    Storage(Arc<StorageError>),
    /// A record is not one that this state machine wrote.
    #[error(transparent)]
    Corrupt(#[from] CorruptRecord),
    /// The state machine panicked while it applied commands: what it left is not saved.
    #[error("the state machine has panicked while it applied commands")]
    Torn,
    /// The records to install could not be read.
    #[error("the records to install can't be read: {0}")]
    Unreadable(String),
}

impl From<StorageError> for ReplicaError {
    fn from(error: StorageError) -> Self {
        ReplicaError::Storage(Arc::new(error))
    }
}

/// How long changes gather before they are written: a record that changes all the time is written five times a second.
const GATHER: Duration = Duration::from_millis(200);
/// How many commands the store may lag behind memory; whoever applies more helps to write.
const LAG_COMMANDS_MAX: usize = 16_384;
/// How many records are handed over at a time from the thread that reads the store to the one that loads the machine.
const LOAD_RECORDS: usize = 1024;

/// A replica of a state machine. Cheap to clone; all clones are the same replica. All methods block for a moment.
#[derive(Clone, Debug)]
pub struct Replica<M: StateMachine> {
    core: Arc<Core<M>>,
    saver: Arc<Saver>,
    _compactor: Arc<Compactor>,
}

#[derive(Debug)]
struct Core<M> {
    state: RwLock<State<M>>,
    /// Held while changes are on their way from memory to the store, so that they arrive in order.
    store: Mutex<Store>,
}

#[derive(Debug)]
struct State<M> {
    machine: M,
    position: Option<Vec<u8>>,
    unsaved_commands: usize,
    unsaved: bool,
    /// Commands are being applied; still so when the lock is free: the state machine panicked, and the state is neither the one
    /// before nor the one after.
    torn: bool,
}

impl<M> State<M> {
    fn new(machine: M, position: Option<Vec<u8>>) -> Self {
        State { machine, position, unsaved_commands: 0, unsaved: false, torn: false }
    }
}

#[derive(Debug)]
struct Store {
    store: Arc<dyn StateDisk>,
    failed: Option<Arc<StorageError>>,
}

/// The thread that saves. It ends, and lets the store go, when the last clone of the replica is dropped.
#[derive(Debug)]
struct Saver {
    wake: Option<SyncSender<()>>,
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Saver {
    fn spawn<M: StateMachine>(core: Arc<Core<M>>) -> Saver {
        let (wake, woken) = mpsc::sync_channel(1);
        let (stop, stopped) = mpsc::sync_channel(1);
        let run = move || save_when_woken(&core, &woken, &stopped);
        #[cfg(test)]
        if crate::simulation::executor::is_running() {
            return Saver { wake: None, stop: None, thread: None };
        }
        // If the system has no thread to give, changes are written by whoever makes them.
        let thread = std::thread::Builder::new().name("state-saver".into()).spawn(run).ok();
        Saver { wake: Some(wake), stop: Some(stop), thread }
    }

    /// Whether there is a thread that will save.
    fn wake(&self) -> bool {
        // A full channel means that it has been woken already.
        self.wake.as_ref().is_some_and(|wake| wake.try_send(()) != Err(TrySendError::Disconnected(())))
    }
}

impl Drop for Saver {
    fn drop(&mut self) {
        (self.wake, self.stop) = (None, None);
        if let Some(thread) = self.thread.take() {
            // A panic in there has been reported by the panic hook already.
            let _ = thread.join();
        }
    }
}

impl<M: StateMachine> Replica<M> {
    /// The replica whose records are in this store.
    ///
    /// # Errors
    /// The store fails, or its records are not those of this state machine.
    pub fn open(store: StateStore) -> Result<Self, ReplicaError> {
        Self::over(Arc::new(store))
    }

    /// The replica whose records are on this disk.
    pub(crate) fn over(store: Arc<dyn StateDisk>) -> Result<Self, ReplicaError> {
        let machine = load(&*store)?;
        let position = store.position()?;
        let state = State::new(machine, position);
        let compactor = Arc::new(Compactor::spawn(Arc::clone(&store)));
        let core =
            Arc::new(Core { state: RwLock::new(state), store: Mutex::new(Store { store, failed: None }) });
        let saver = Arc::new(Saver::spawn(Arc::clone(&core)));
        Ok(Replica { core, saver, _compactor: compactor })
    }

    /// The position of the last applied batch, or of the installed state.
    pub fn position(&self) -> Option<Vec<u8>> {
        self.core.whole().position.clone()
    }

    /// Applies commands in their order; afterwards the replica is at `position`. Not to be called by two at a time. If the state
    /// machine panics, so does this; the replica is of no use then.
    ///
    /// # Errors
    /// The state store has failed, or the state machine has panicked earlier.
    pub fn apply(&self, batch: &[(Timestamp, Bytes)], position: Vec<u8>) -> Result<Vec<Bytes>, ReplicaError> {
        let mut state = self.core.state.write();
        if state.torn {
            return Err(ReplicaError::Torn);
        }
        state.torn = true;
        let responses = batch.iter().map(|(now, command)| state.machine.apply(*now, command)).collect();
        state.torn = false;
        state.position = Some(position);
        state.unsaved = true;
        state.unsaved_commands += batch.len();
        let lag = state.unsaved_commands;
        drop(state);
        let saver_awake = self.saver.wake();
        if lag > LAG_COMMANDS_MAX || !saver_awake {
            self.core.save()?;
        }
        Ok(responses)
    }

    /// Answers a query from the state as it is. It is this time on this node.
    ///
    /// # Errors
    /// The bytes are no query.
    pub fn query(&self, local_now: Timestamp, query: &[u8]) -> Result<Bytes, Malformed> {
        self.core.whole().machine.query(local_now, query)
    }

    /// Reads from the state as it is; several reads in one call see the same state.
    pub fn read<T>(&self, read: impl FnOnce(&M) -> T) -> T {
        read(&self.core.whole().machine)
    }

    /// The maintenance command that is worth replicating now, if one is.
    pub fn maintenance(&self, local_now: Timestamp) -> Option<Bytes> {
        self.core.whole().machine.maintenance(local_now)
    }

    /// Makes all that was applied before this call durable, and returns the position that is durable then.
    ///
    /// # Errors
    /// The state store has failed.
    pub fn sync(&self) -> Result<Option<Vec<u8>>, ReplicaError> {
        self.core.save()?;
        let store = Arc::clone(&self.core.store.lock().store);
        let position = store.position()?;
        store.sync()?;
        Ok(position)
    }

    /// A consistent copy of the state with its position, taken in constant time.
    pub fn snapshot(&self) -> (Option<Vec<u8>>, M) {
        let state = self.core.whole();
        (state.position.clone(), state.machine.clone())
    }

    /// Replaces the state, in memory and in the store, durably and as a whole.
    ///
    /// # Errors
    /// The records are not those of this state machine, or the store fails; the old state stays.
    pub fn install(
        &self,
        records: impl Iterator<Item = Record>,
        position: Vec<u8>,
    ) -> Result<(), ReplicaError> {
        self.try_install(records.map(Ok::<_, String>), position)
    }

    /// As [`Replica::install`], from records that may turn out to be unreadable on the way.
    ///
    /// # Errors
    /// As for `install`, or a record is an error; the old state stays.
    pub fn try_install<E: ToString>(
        &self,
        mut records: impl Iterator<Item = Result<Record, E>>,
        position: Vec<u8>,
    ) -> Result<(), ReplicaError> {
        let mut store = self.core.store.lock();
        let mut staged = store.store.stage()?;
        let mut failure = None;
        let readable = std::iter::from_fn(|| match records.next()? {
            Err(error) => {
                failure = Some(ReplicaError::Unreadable(error.to_string()));
                None
            }
            Ok(record) => match staged.put(&record.key, &record.value) {
                Ok(()) => Some(record),
                Err(error) => {
                    failure = Some(error.into());
                    None
                }
            },
        });
        let machine = M::load(readable)?;
        if let Some(failure) = failure {
            return Err(failure);
        }
        staged.install(&position)?;
        store.failed = None;
        *self.core.state.write() = State::new(machine, Some(position));
        Ok(())
    }

    /// A checksum of the whole state: equal on all nodes at equal positions.
    pub fn checksum(&self) -> u32 {
        checksum(&self.snapshot().1)
    }
}

/// The checksum of a state's records in their order.
pub fn checksum<M: StateMachine>(machine: &M) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for record in machine.records() {
        for part in [&record.key, &record.value] {
            hasher.update(&(part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
    }
    hasher.finalize()
}

impl<M: StateMachine> Core<M> {
    /// The state, between two batches of commands.
    ///
    /// # Panics
    /// The state machine has panicked before: nobody may see, store or give away what it left, as with a poisoned lock.
    fn whole(&self) -> RwLockReadGuard<'_, State<M>> {
        let state = self.state.read();
        assert!(!state.torn, "the state machine has panicked while it applied commands");
        state
    }

    /// Writes what has changed to the store.
    fn save(&self) -> Result<(), ReplicaError> {
        let mut store = self.store.lock();
        if let Some(failed) = &store.failed {
            return Err(ReplicaError::Storage(Arc::clone(failed)));
        }
        let mut state = self.state.write();
        if state.torn {
            return Err(ReplicaError::Torn);
        }
        if !state.unsaved {
            return Ok(());
        }
        let changes = state.machine.take_changes();
        let position = state.position.clone().unwrap_or_default();
        state.unsaved = false;
        state.unsaved_commands = 0;
        drop(state);
        if let Err(error) = store.store.commit(changes, &position) {
            // The changes are gone from memory's notes: nothing may be written after them.
            let error = Arc::new(error);
            store.failed = Some(Arc::clone(&error));
            return Err(ReplicaError::Storage(error));
        }
        Ok(())
    }
}

/// Saves for as long as there is something to save and someone who holds the replica.
fn save_when_woken<M: StateMachine>(core: &Core<M>, woken: &Receiver<()>, stopped: &Receiver<()>) {
    while woken.recv().is_ok() {
        if stopped.recv_timeout(GATHER) == Err(RecvTimeoutError::Disconnected) {
            return;
        }
        // What is applied from here on wakes again.
        let _ = woken.try_recv();
        if let Err(error) = core.save() {
            // Whoever applies or syncs next is told.
            tracing::error!(%error, "can't save the state");
            return;
        }
    }
}

/// Loads all records: one thread reads the store while this one builds the machine.
fn load<M: StateMachine>(store: &dyn StateDisk) -> Result<M, ReplicaError> {
    let records = store.records();
    let (full, filled) = mpsc::sync_channel::<Result<Vec<Record>, StorageError>>(8);
    std::thread::scope(|scope| {
        scope.spawn(move || read_all(records, &full));
        let mut failure = None;
        let loaded = M::load(
            filled.iter().map_while(|chunk| chunk.map_err(|error| failure = Some(error)).ok()).flatten(),
        );
        match failure {
            Some(failure) => Err(failure.into()),
            None => Ok(loaded?),
        }
    })
}

fn read_all(
    records: impl Iterator<Item = Result<(Vec<u8>, Vec<u8>), StorageError>>,
    full: &SyncSender<Result<Vec<Record>, StorageError>>,
) {
    let mut chunk = Vec::with_capacity(LOAD_RECORDS);
    for record in records {
        match record {
            Ok((key, value)) => chunk.push(Record { key: key.into(), value: value.into() }),
            Err(error) => {
                // If nobody takes it, loading has failed for another reason.
                let _ = full.send(Err(error));
                return;
            }
        }
        if chunk.len() == LOAD_RECORDS
            && full.send(Ok(std::mem::replace(&mut chunk, Vec::with_capacity(LOAD_RECORDS)))).is_err()
        {
            return;
        }
    }
    let _ = full.send(Ok(chunk));
}
