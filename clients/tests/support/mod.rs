//! A real HTTP server on the loopback that does what a test scripts, request by request, and remembers what it was asked.

// Each test binary uses its own part of this.
#![allow(dead_code)]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// What to do with a request.
#[derive(Clone, Debug)]
pub enum Step {
    /// Answer it.
    Answer { status: u16, headers: Vec<(&'static str, String)>, body: String },
    /// Do it when the test says so.
    When(Arc<Notify>, Box<Step>),
    /// Read it and never answer.
    Hang,
    /// Begin an answer, and close the connection in the middle of it.
    CloseMidAnswer,
    /// Read it and close the connection without a word.
    Close,
}

impl Step {
    pub fn ok(body: &str) -> Step {
        Step::status(200, body)
    }

    pub fn status(status: u16, body: &str) -> Step {
        Step::Answer { status, headers: Vec::new(), body: body.into() }
    }

    pub fn problem(status: u16, code: &str, detail: &str) -> Step {
        let body = format!(
            r#"{{"type":"about:blank","title":"No","status":{status},"detail":"{detail}","code":"{code}"}}"#
        );
        Step::status(status, &body)
    }

    pub fn retry_after(self, seconds: u32) -> Step {
        match self {
            Step::Answer { status, mut headers, body } => {
                headers.push(("Retry-After", seconds.to_string()));
                Step::Answer { status, headers, body }
            }
            other => other,
        }
    }
}

/// What a request said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub key: Option<String>,
    pub authorization: Option<String>,
    pub body: String,
}

pub struct Server {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    /// Plays the steps in order, one a request, and then the last one for ever.
    pub async fn playing(steps: impl IntoIterator<Item = Step>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let script = Arc::new(Mutex::new(steps.into_iter().collect::<VecDeque<Step>>()));
        let log = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&script), Arc::clone(&log)));
            }
        });
        Server { address, seen }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

/// An address that refuses connections: it was free a moment ago, and nobody listens there.
pub async fn refusing() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

async fn serve(mut stream: TcpStream, script: Arc<Mutex<VecDeque<Step>>>, log: Arc<Mutex<Vec<Seen>>>) {
    let mut buffer = Vec::new();
    while let Some(seen) = read_request(&mut stream, &mut buffer).await {
        log.lock().unwrap().push(seen);
        let step = {
            let mut script = script.lock().unwrap();
            if script.len() > 1 { script.pop_front() } else { script.front().cloned() }
        };
        let mut step = step.expect("a script has at least one step");
        while let Step::When(said, then) = step {
            said.notified().await;
            step = *then;
        }
        match step {
            Step::Answer { status, headers, body } => {
                let mut text = format!("HTTP/1.1 {status} Scripted\r\nContent-Length: {}\r\n", body.len());
                for (name, value) in headers {
                    text.push_str(&format!("{name}: {value}\r\n"));
                }
                if stream.write_all(format!("{text}\r\n{body}").as_bytes()).await.is_err() {
                    return;
                }
            }
            Step::When(..) | Step::Hang => std::future::pending().await,
            Step::Close => return,
            Step::CloseMidAnswer => {
                drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"item_id\":").await);
                return;
            }
        }
    }
}

async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Seen> {
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(buffer[..end].to_vec()).ok()?;
    let mut lines = head.lines();
    let mut first = lines.next()?.split(' ');
    let mut seen = Seen { method: first.next()?.into(), path: first.next()?.into(), ..Seen::default() };
    let mut length = 0;
    for line in lines {
        let Some((name, value)) = line.split_once(": ") else { continue };
        match name.to_ascii_lowercase().as_str() {
            "idempotency-key" => seen.key = Some(value.into()),
            "authorization" => seen.authorization = Some(value.into()),
            "content-length" => length = value.parse().ok()?,
            _ => {}
        }
    }
    while buffer.len() < end + length {
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
    seen.body = String::from_utf8(buffer[end..end + length].to_vec()).ok()?;
    buffer.drain(..end + length);
    Some(seen)
}
