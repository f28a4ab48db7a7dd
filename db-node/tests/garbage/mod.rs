//! Calls that no client makes, written to a port by hand.
#![allow(dead_code, clippy::unwrap_used, reason = "each test uses a part of it, and may fail")]

use std::net::SocketAddr;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, RngCore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub const PIPELINE: &str = "/agora.v1.database.Database/Pipeline";

/// What is wrong with a call.
#[derive(Clone, Copy, Debug)]
pub enum Garbage {
    /// Noise instead of a call.
    Noise,
    /// Noise after the call's beginning.
    NoiseInside,
    /// A message that ends too early.
    CutOff,
    /// A message that claims to be huge.
    Huge,
    /// A message that is no protobuf.
    NoProtobuf,
}

impl Garbage {
    pub const ALL: [Garbage; 5] =
        [Garbage::Noise, Garbage::NoiseInside, Garbage::CutOff, Garbage::Huge, Garbage::NoProtobuf];

    fn bytes(self, random: &mut StdRng) -> Vec<u8> {
        match self {
            Garbage::Noise | Garbage::NoiseInside => {
                let mut bytes = vec![0; random.random_range(1..4000)];
                random.fill_bytes(&mut bytes);
                bytes
            }
            Garbage::CutOff => frame(DATA, END_STREAM, 1, &message(100, b"short")),
            Garbage::Huge => frame(DATA, 0, 1, &message(u32::MAX, b"long")),
            Garbage::NoProtobuf => frame(DATA, END_STREAM, 1, &message(4, &[0xff; 4])),
        }
    }

    /// Whether it is part of a call, and so gets the answer to one.
    fn reaches_the_service(self) -> bool {
        matches!(self, Garbage::CutOff | Garbage::Huge | Garbage::NoProtobuf)
    }
}

/// Which call goes wrong.
#[derive(Clone, Debug)]
pub struct Call {
    pub path: &'static str,
    /// Who makes it, if it matters.
    pub metadata: Vec<(&'static str, String)>,
    /// The message before the one that is wrong.
    pub first: Option<Vec<u8>>,
}

impl Call {
    pub fn of(path: &'static str) -> Call {
        Call { path, metadata: Vec::new(), first: None }
    }

    /// Makes it on a connection of its own, and waits for the end of that.
    pub async fn go_wrong(&self, garbage: Garbage, to: SocketAddr, random: &mut StdRng) {
        let beginning = if matches!(garbage, Garbage::Noise) { Vec::new() } else { self.beginning() };
        let bytes = [beginning, garbage.bytes(random)].concat();
        let mut connection = TcpStream::connect(to).await.unwrap();
        let mut answer = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(10), async {
            // The node may close the connection while we still write or read.
            let _ = connection.write_all(&bytes).await;
            while garbage.reaches_the_service() && !was_answered(&answer) {
                let read = connection.read_buf(&mut answer).await.unwrap_or_default();
                assert!(read > 0, "{garbage:?} was to reach {}", self.path);
            }
            let _ = connection.shutdown().await;
            let _ = connection.read_to_end(&mut answer).await;
        });
        assert!(ended.await.is_ok(), "{garbage:?} at {} is left hanging: {answer:?}", self.path);
    }

    /// The beginning, as HTTP/2 wants it.
    fn beginning(&self) -> Vec<u8> {
        let mut headers = Vec::new();
        let mut literal = |name: &str, value: &str| {
            let length = |text: &str| u8::try_from(text.len()).ok().filter(|length| *length < 127).unwrap();
            headers.extend([0, length(name)]);
            headers.extend(name.bytes());
            headers.push(length(value));
            headers.extend(value.bytes());
        };
        literal(":method", "POST");
        literal(":scheme", "http");
        literal(":path", self.path);
        literal(":authority", "test");
        literal("content-type", "application/grpc");
        literal("te", "trailers");
        self.metadata.iter().for_each(|(name, value)| literal(name, value));
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        let first = self.first.iter().map(|first| message(first.len() as u32, first));
        let first = first.map(|message| frame(DATA, 0, 1, &message));
        let opening = [preface, frame(SETTINGS, 0, 0, &[]), frame(HEADERS, END_HEADERS, 1, &headers)];
        opening.into_iter().chain(first).flatten().collect()
    }
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// An HTTP/2 frame.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = &(payload.len() as u32).to_be_bytes()[1..];
    [length, &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A gRPC message that says that it has this length.
fn message(length: u32, bytes: &[u8]) -> Vec<u8> {
    [&[0], &length.to_be_bytes()[..], bytes].concat()
}

/// Whether these bytes hold response headers for the call.
fn was_answered(mut bytes: &[u8]) -> bool {
    while let Some((header, rest)) = bytes.split_at_checked(9) {
        if header[3] == HEADERS && header[8] == 1 {
            return true;
        }
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
        bytes = rest.get(length..).unwrap_or_default();
    }
    false
}
