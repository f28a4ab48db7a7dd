//! The queue of frames in front of one link: bounded in number and bytes, and open only while the link is up.
//!
//! The protocol survives loss, so a full queue drops what comes next and counts it. Nothing is kept for a peer that is not
//! connected: when it is back it asks for what it lacks.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::Stream;
use tokio::sync::{Mutex, OwnedMutexGuard, mpsc};

/// Frames that wait for one peer.
const FRAMES: usize = 4096;
/// Their bytes.
const BYTES: usize = 32 << 20;

/// The end into which frames are put. Cheap to clone.
#[derive(Clone)]
pub(super) struct Outgoing {
    frames: mpsc::Sender<Bytes>,
    shared: Arc<Shared>,
}

struct Shared {
    /// Held by the stream of the connection that is up.
    waiting: Arc<Mutex<mpsc::Receiver<Bytes>>>,
    up: AtomicBool,
    bytes: AtomicUsize,
    dropped: AtomicU64,
}

impl Outgoing {
    pub(super) fn new() -> Self {
        let (frames, waiting) = mpsc::channel(FRAMES);
        let shared = Shared {
            waiting: Arc::new(Mutex::new(waiting)),
            up: AtomicBool::new(false),
            bytes: AtomicUsize::new(0),
            dropped: AtomicU64::new(0),
        };
        Outgoing { frames, shared: Arc::new(shared) }
    }

    /// Queues a frame, or drops it when the link is down or its queue is full.
    pub(super) fn offer(&self, frame: Bytes) {
        let shared = &self.shared;
        if !shared.up.load(Ordering::Acquire) {
            return;
        }
        let bytes = frame.len();
        if shared.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > BYTES
            || self.frames.try_send(frame).is_err()
        {
            shared.bytes.fetch_sub(bytes, Ordering::Relaxed);
            shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Frames that were dropped at a bound since the start.
    pub(super) fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// Opens the queue for a new connection. The queue closes when the stream is dropped.
    pub(super) async fn open(&self) -> Frames {
        let mut waiting = Arc::clone(&self.shared.waiting).lock_owned().await;
        while let Ok(left) = waiting.try_recv() {
            self.shared.bytes.fetch_sub(left.len(), Ordering::Relaxed);
        }
        self.shared.up.store(true, Ordering::Release);
        Frames { waiting, shared: Arc::clone(&self.shared) }
    }
}

/// The frames for one connection.
pub(super) struct Frames {
    waiting: OwnedMutexGuard<mpsc::Receiver<Bytes>>,
    shared: Arc<Shared>,
}

impl Stream for Frames {
    type Item = Bytes;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let this = self.get_mut();
        let frame = this.waiting.poll_recv(cx);
        if let Poll::Ready(Some(frame)) = &frame {
            this.shared.bytes.fetch_sub(frame.len(), Ordering::Relaxed);
        }
        frame
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        self.shared.up.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, StreamExt};

    use super::*;

    #[tokio::test]
    async fn frames_flow_only_while_the_link_is_up() {
        let outgoing = Outgoing::new();
        outgoing.offer(Bytes::from_static(b"nobody is there"));
        let mut frames = outgoing.open().await;
        assert!(frames.next().now_or_never().is_none());
        outgoing.offer(Bytes::from_static(b"a"));
        outgoing.offer(Bytes::from_static(b"b"));
        assert_eq!(frames.next().await.unwrap(), "a");
        drop(frames);
        let mut frames = outgoing.open().await;
        assert!(frames.next().now_or_never().is_none(), "what was left over is not sent late");
        assert_eq!(outgoing.shared.bytes.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn a_full_queue_drops_and_counts() {
        let outgoing = Outgoing::new();
        let frames = outgoing.open().await;
        for _ in 0..FRAMES + 3 {
            outgoing.offer(Bytes::from_static(b"x"));
        }
        assert_eq!(outgoing.dropped(), 3);
        drop(frames);
        let _frames = outgoing.open().await;
        for _ in 0..5 {
            outgoing.offer(Bytes::from(vec![0; BYTES / 4]));
        }
        assert_eq!(outgoing.dropped(), 4, "four quarters fit");
    }
}
