//! The calls of buyers, as bytes that only have to be sent.

use std::sync::atomic::{AtomicU64, Ordering};

use agora_clients::ItemId;
use anyhow::{Context, bail};
use rand::Rng;
use uuid::Uuid;

use crate::bench::load::{Next, Op, RestClient};

/// Sessions, and what they ask for.
#[derive(Debug)]
pub(crate) struct Requests {
    sessions: Vec<(String, ItemId)>,
    op: Op,
    /// Keys must not come twice.
    run: Uuid,
    count: AtomicU64,
}

impl Requests {
    /// # Errors
    /// Nobody is logged in, or one call of this kind depends on the answer to another.
    pub fn new(clients: &[RestClient], op: Op) -> anyhow::Result<Self> {
        if matches!(op, Op::Browse | Op::Checkout | Op::Listing) {
            bail!("--op {} has calls that wait for others; choose write, read, mixed or search", op.as_str());
        }
        let session = |client: &RestClient| Some((client.token()?, client.item()));
        let sessions: Option<Vec<_>> = clients.iter().map(session).collect();
        let sessions = sessions.filter(|sessions| !sessions.is_empty()).context("nobody is logged in")?;
        Ok(Requests { sessions, op, run: Uuid::new_v4(), count: AtomicU64::new(0) })
    }

    /// One more.
    pub fn next(&self) -> Vec<u8> {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let (token, item) = &self.sessions[rand::rng().random_range(0..self.sessions.len())];
        let head = format!("Host: agora\r\nAuthorization: Bearer {token}\r\n");
        match self.op.next() {
            Next::Read => format!("GET /v1/items/{item} HTTP/1.1\r\n{head}\r\n"),
            Next::Search => format!("GET /v1/items?category={} HTTP/1.1\r\n{head}\r\n", item.category),
            // The rest belongs to kinds that were refused.
            Next::Write | Next::Cart | Next::Rating | Next::Checkout | Next::List | Next::Own => {
                let body = format!("{{\"item_id\":\"{item}\",\"quantity\":1}}");
                format!(
                    "POST /v1/cart/items HTTP/1.1\r\n{head}Idempotency-Key: {}-{count}\r\nContent-Type: application/json\r\n\
                     Content-Length: {}\r\n\r\n{body}",
                    self.run,
                    body.len(),
                )
            }
        }
        .into_bytes()
    }
}
