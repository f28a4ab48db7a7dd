//! So many clients, each of which makes its next call as soon as the last one was answered (a closed loop), or when it is due
//! (an open one).

mod customer;
mod kill;
mod listing;
mod product;
mod report;
mod resources;
mod rest;
mod runner;

use std::time::Duration;

use agora_db_client::CallError;
use clap::ValueEnum;
use rand::Rng;
use uuid::Uuid;

pub(crate) use kill::{Kill, Killed};
pub(crate) use report::{Conditions, Measured, Report};
pub(crate) use resources::{Snapshot, Use, own_processor_time};
pub(crate) use rest::{RestClient, prepare as prepare_rest};
pub(crate) use runner::{Outcome, Pace, Successes, Timing, run};

use crate::bench::site::Site;

/// What is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Target {
    /// The customer database: its nodes, without a frontend between.
    Customer,
    /// The product database: its nodes, without a frontend between.
    Product,
    /// The frontends, over REST.
    Rest,
}

/// Which calls are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Op {
    /// Changes: a cart's (customer, rest) or a price's (product); each durable at a majority before it is answered.
    Write,
    /// Linearizable reads: of a cart (customer), of an item (product, rest).
    Read,
    /// Four reads for each write.
    Mixed,
    /// Searches by keyword (product, rest).
    Search,
    /// What people do who look around: searches, items, sellers' ratings, the cart (rest).
    Browse,
    /// What people do who buy: put a unit into the cart, look at it, pay (rest).
    Checkout,
    /// What sellers do: put items on sale, change prices, look at what they have (rest; product, without the looking).
    Listing,
}

impl Target {
    pub fn as_str(self) -> &'static str {
        match self {
            Target::Customer => "customer",
            Target::Product => "product",
            Target::Rest => "rest",
        }
    }

    /// Whether there are such calls.
    pub fn offers(self, op: Op) -> bool {
        match op {
            Op::Write | Op::Read | Op::Mixed => true,
            Op::Search | Op::Listing => self != Target::Customer,
            Op::Browse | Op::Checkout => self == Target::Rest,
        }
    }
}

impl Op {
    pub fn as_str(self) -> &'static str {
        match self {
            Op::Write => "write",
            Op::Read => "read",
            Op::Mixed => "mixed",
            Op::Search => "search",
            Op::Browse => "browse",
            Op::Checkout => "checkout",
            Op::Listing => "listing",
        }
    }

    /// What the next call is.
    pub fn next(self) -> Next {
        match self {
            Op::Write => Next::Write,
            Op::Read => Next::Read,
            Op::Search => Next::Search,
            Op::Mixed if rand::rng().random_range(0..5) == 0 => Next::Write,
            Op::Mixed => Next::Read,
            Op::Browse => match rand::rng().random_range(0..10) {
                0..5 => Next::Search,
                5..8 => Next::Read,
                8 => Next::Rating,
                _ => Next::Cart,
            },
            Op::Checkout => Next::Checkout,
            Op::Listing => match rand::rng().random_range(0..10) {
                0..4 => Next::List,
                4..8 => Next::Write,
                _ => Next::Own,
            },
        }
    }
}

/// One call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Write,
    Read,
    Search,
    /// Look at the cart.
    Cart,
    /// Look at a seller's rating.
    Rating,
    /// The next step of a purchase: into the cart, look at it, buy it.
    Checkout,
    /// Put an item on sale.
    List,
    /// Look at one's own items.
    Own,
}

impl Next {
    fn not_offered(self) -> Miss {
        Miss::new(format!("{self:?} is no call of this target"))
    }
}

/// What is to be called for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wares {
    /// Bytes of the name of each item that is put on sale.
    pub name_bytes: usize,
}

impl Wares {
    /// Names may be of so many bytes.
    pub const NAME_BYTES_MAX: usize = 32;

    fn name(self) -> String {
        Uuid::new_v4()
            .simple()
            .to_string()
            .chars()
            .take(self.name_bytes.clamp(1, Self::NAME_BYTES_MAX))
            .collect()
    }
}

impl Default for Wares {
    fn default() -> Self {
        Wares { name_bytes: Self::NAME_BYTES_MAX }
    }
}

/// How calls reach the databases.
#[derive(Clone, Debug)]
pub(crate) struct Ways {
    /// So many connections to each node, which the clients share.
    pub connections: usize,
    /// All calls go to this node, by its position; else they are spread over the nodes.
    pub only_node: Option<usize>,
}

/// A call that was not answered as it should have been.
#[derive(Clone, Debug)]
pub(crate) struct Miss {
    /// A few words, the same for all of a kind.
    pub why: String,
    /// When to come back.
    pub pause: Duration,
}

/// After an error a client waits a little, so that it does not count the same failure a million times.
const PAUSE: Duration = Duration::from_millis(5);

impl Miss {
    fn new(why: impl Into<String>) -> Self {
        Miss { why: why.into(), pause: PAUSE }
    }
}

impl From<CallError> for Miss {
    fn from(error: CallError) -> Self {
        let (why, pause) = match error {
            CallError::Malformed(_) => ("malformed", PAUSE),
            CallError::Overloaded { retry_after } => ("overloaded", retry_after),
            CallError::Unavailable(_) => ("unavailable", PAUSE),
            CallError::OutcomeUnknown(_) => ("outcome unknown", PAUSE),
        };
        Miss { why: why.into(), pause }
    }
}

impl From<agora_clients::Error> for Miss {
    fn from(error: agora_clients::Error) -> Self {
        use agora_clients::Error;
        Miss::new(match error {
            Error::Refused { code, .. } => code,
            Error::Unavailable(_) => "unavailable".into(),
            Error::OutcomeUnknown(_) => "outcome unknown".into(),
            Error::BadAnswer(_) => "bad answer".into(),
            Error::Configuration(why) => why,
        })
    }
}

/// A client of whatever target, prepared to call.
#[derive(Debug)]
pub(crate) enum Client {
    Customer(customer::CustomerClient),
    Product(product::ProductClient),
    Rest(rest::RestClient),
    Listing(listing::ListingClient),
}

impl Client {
    /// Makes one call.
    pub async fn call(&mut self, next: Next) -> Result<(), Miss> {
        match self {
            Client::Customer(client) => client.call(next).await,
            Client::Product(client) => client.call(next).await,
            Client::Rest(client) => client.call(next).await,
            Client::Listing(client) => client.call(next).await,
        }
    }
}

/// Makes so many clients, with all that they need: sessions, items, accounts.
pub(crate) async fn prepare(
    site: &Site,
    (target, op): (Target, Op),
    clients: usize,
    wares: Wares,
    ways: &Ways,
) -> anyhow::Result<Vec<Client>> {
    Ok(match target {
        Target::Customer => {
            customer::prepare(&site.file, clients, ways).await?.into_iter().map(Client::Customer).collect()
        }
        Target::Product => product::prepare(&site.file, clients, wares, ways)
            .await?
            .into_iter()
            .map(Client::Product)
            .collect(),
        Target::Rest if op == Op::Listing => {
            let clients = listing::prepare(&site.endpoints(), clients, wares).await?;
            clients.into_iter().map(Client::Listing).collect()
        }
        Target::Rest => {
            rest::prepare(&site.endpoints(), clients).await?.into_iter().map(Client::Rest).collect()
        }
    })
}
