//! HTTP as thin as it can be: whoever measures a machine from that same machine must take as little of it as possible. One
//! connection, one request at a time, given as the bytes to send; of the answer only the status is looked at.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest answer that is taken: many times what the calls made here are answered with.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// An answer that does not come for so long is none.
const PATIENCE: Duration = Duration::from_secs(15);

/// A connection that is kept.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    read: BytesMut,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, read: BytesMut::with_capacity(4096) })
    }

    /// Sends a request and waits for the end of its answer; gives its status. After an error the connection is of no use.
    pub async fn ask(&mut self, request: &[u8]) -> anyhow::Result<u16> {
        tokio::time::timeout(PATIENCE, self.exchange(request)).await.context("no answer in time")?
    }

    async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<u16> {
        self.stream.write_all(request).await?;
        loop {
            if let Some(answer) = Answer::read(&self.read)?
                && self.read.len() >= answer.bytes
            {
                self.read.advance(answer.bytes);
                return Ok(answer.status);
            }
            if self.read.len() > ANSWER_BYTES_MAX {
                bail!("an answer without end");
            }
            if self.stream.read_buf(&mut self.read).await? == 0 {
                bail!("the connection was closed");
            }
        }
    }
}

/// What the head of an answer says.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    /// Of head and body together.
    bytes: usize,
}

impl Answer {
    /// None: the head has not arrived yet.
    fn read(bytes: &[u8]) -> anyhow::Result<Option<Self>> {
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
        let head = std::str::from_utf8(&bytes[..end]).context("the answer's head is no text")?;
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok());
        let status = status.context("this is no HTTP")?;
        let length = lines.find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>())
        });
        let length = length.transpose().context("the length is no number")?.unwrap_or(0);
        Ok(Some(Answer { status, bytes: end + 4 + length }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_as_long_as_its_head_says() {
        let text =
            b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\nretry-after: 1\r\n\r\n{}HTTP/1.1 200";
        assert_eq!(Answer::read(text).unwrap(), Some(Answer { status: 503, bytes: text.len() - 12 }));
        assert_eq!(Answer::read(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap().unwrap().bytes, 27);
        assert_eq!(Answer::read(&text[..40]).unwrap(), None);
        assert!(Answer::read(b"SSH-2.0\r\n\r\n").is_err());
        assert!(Answer::read(b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n").is_err());
    }
}
