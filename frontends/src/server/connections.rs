//! Connections: bounded in number, and closed when nothing comes on them for long, or a request that never ends.
//!
//! Clients keep connections open between requests, which is welcome; but each takes a file handle, and those are few. When all
//! places are taken new connections wait in the operating system's queue.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

use super::bare_errors;

/// A listener that bounds what it accepts.
pub struct Connections {
    listener: TcpListener,
    places: Arc<Semaphore>,
    patience: Patience,
}

/// How long a connection is kept open.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// While no request comes.
    pub idle: Duration,
    /// From the first byte of a request to the first one of its answer.
    pub request: Duration,
}

impl Connections {
    /// At most so many at a time, each with this patience.
    pub fn new(listener: TcpListener, most: usize, patience: Patience) -> Self {
        Connections { listener, places: Arc::new(Semaphore::new(most)), patience }
    }
}

impl Listener for Connections {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let place = Arc::clone(&self.places).acquire_owned().await.ok();
        let (stream, address) = Listener::accept(&mut self.listener).await;
        // Answers are small and written at once: waiting for more to send would only delay them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "can't set TCP_NODELAY");
        }
        let patience = self.patience;
        let ends = Box::pin(sleep(patience.idle));
        (Connection { stream, patience, ends, in_request: false, instead: None, _place: place }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

impl Connected<IncomingStream<'_, Connections>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Connections>) -> Self {
        Peer(*stream.remote_addr())
    }
}

/// A connection with a place of its own.
pub struct Connection {
    stream: TcpStream,
    patience: Patience,
    /// When patience ends.
    ends: Pin<Box<Sleep>>,
    /// A request has begun, and was not answered yet.
    in_request: bool,
    /// What is being sent instead of what was to be sent.
    instead: Option<Bytes>,
    _place: Option<OwnedSemaphorePermit>,
}

impl Connection {
    /// Notes that a request has begun, or is being answered.
    fn turn(&mut self, in_request: bool) {
        if self.in_request != in_request {
            self.in_request = in_request;
            let patience = if in_request { self.patience.request } else { self.patience.idle };
            self.ends.as_mut().reset(Instant::now() + patience);
        }
    }

    /// Sends what is to be sent instead of this, and then says that this was sent. None: this itself is to be sent.
    fn poll_instead(&mut self, cx: &mut Context<'_>, written: &[u8]) -> Option<Poll<io::Result<usize>>> {
        if self.instead.is_none() {
            self.instead = Some(bare_errors::instead_of(written)?);
        }
        while let Some(left) = self.instead.as_mut().filter(|left| !left.is_empty()) {
            match Pin::new(&mut self.stream).poll_write(cx, left) {
                Poll::Ready(Ok(count)) => left.advance(count),
                Poll::Ready(Err(error)) => return Some(Poll::Ready(Err(error))),
                Poll::Pending => return Some(Poll::Pending),
            }
        }
        self.instead = None;
        Some(Poll::Ready(Ok(written.len())))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ends.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if read.is_ready() {
            self.turn(true);
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.turn(false);
        if let Some(done) = self.poll_instead(cx, bytes) {
            return done;
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.turn(false);
        // A bare answer has no body, and so no second part.
        if let [head] = parts
            && let Some(done) = self.poll_instead(cx, head)
        {
            return done;
        }
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    async fn listen(most: usize, idle: Duration, request: Duration) -> (Connections, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (Connections::new(listener, most, Patience { idle, request }), address)
    }

    #[tokio::test]
    async fn a_connection_on_which_nothing_comes_is_ended() {
        let (mut connections, address) = listen(1, 20 * MS, 20_000 * MS).await;
        let mut client = TcpStream::connect(address).await.unwrap();
        let (mut connection, _) = connections.accept().await;
        client.write_all(b"x").await.unwrap();
        assert_eq!(connection.read_u8().await.unwrap(), b'x');
        connection.write_all(b"y").await.unwrap();
        assert_eq!(connection.read_u8().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_request_that_goes_on_for_ever_is_ended() {
        let (mut connections, address) = listen(1, 20_000 * MS, 20 * MS).await;
        let mut client = TcpStream::connect(address).await.unwrap();
        let (mut connection, _) = connections.accept().await;
        let drips = async {
            loop {
                tokio::time::sleep(MS).await;
                client.write_all(b"x").await.unwrap();
            }
        };
        let read = async {
            loop {
                if let Err(error) = connection.read_u8().await {
                    return error;
                }
            }
        };
        tokio::select! {
            () = drips => {},
            error = read => assert_eq!(error.kind(), io::ErrorKind::TimedOut),
        }
    }

    #[tokio::test]
    async fn the_next_one_waits_until_a_place_is_free() {
        let (mut connections, address) = listen(1, 60_000 * MS, 60_000 * MS).await;
        let _clients =
            (TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap());
        let (first, _) = connections.accept().await;
        let mut second = Box::pin(connections.accept());
        let at_once = futures::future::poll_immediate(&mut second).await;
        assert!(at_once.is_none());
        drop(first);
        second.await;
    }
}
