//! What can be done to a cluster, and to whom.

use std::fmt;

use agora_process::Role;
use serde::Serialize;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// kill -9, and a restart later.
    Kill,
    /// SIGTERM, and a restart later.
    Terminate,
    /// It stands still (SIGSTOP), and goes on later.
    Pause,
    /// Nothing reaches it and nothing comes from it, though connections stay.
    Isolate,
    /// All its connections break, and no new ones come about.
    Disconnect,
    /// Nothing reaches it.
    Deafen,
    /// Nothing comes from it.
    Mute,
    /// What reaches it, and comes from it, is late.
    Slow,
    /// The link between two processes is cut, and all others are not.
    CutLink,
    /// What one process sends to another does not arrive, and everything else does.
    CutOneWay,
    /// kill -9, its data directory is deleted, and a restart later.
    Wipe,
    /// kill -9 of all nodes of a database at once, and a restart of all.
    KillAll,
    /// kill -9 of all processes at once, as when the power fails, and a restart of all.
    KillEverything,
    /// Its clock is an hour ahead.
    ClockAhead,
    /// Its clock is an hour behind.
    ClockBehind,
    /// Its disk takes its time.
    SlowDisk,
    /// Its disk takes longer than a node calls well.
    StuckDisk,
    /// Its disk is full: it ends by itself, and is started again when there is room.
    FullDisk,
    /// Of what customer nodes send each other, much is lost, doubled or late, and overtakes each other.
    BadLinks,
    /// All processes of a kind are told to stop and started again, one after the other.
    Roll,
}

impl Fault {
    /// Whether it is done to a process alone, and neither to its links nor to its machine.
    pub(super) fn is_of_process(self) -> bool {
        use Fault::{Kill, KillAll, KillEverything, Pause, Roll, Terminate, Wipe};
        matches!(self, Kill | Terminate | Pause | Wipe | KillAll | KillEverything | Roll)
    }

    /// What is to be wrong with the machine of the process, as sabotaged processes read it; `None` for faults that need no
    /// sabotage.
    pub(super) fn sabotage(self) -> Option<&'static str> {
        match self {
            Fault::ClockAhead => Some("clock_ms=3600000"),
            Fault::ClockBehind => Some("clock_ms=-3600000"),
            Fault::SlowDisk => Some("sync_ms=40"),
            // A customer node leaves the roster when a sync takes more than a second.
            Fault::StuckDisk => Some("sync_ms=1500"),
            Fault::BadLinks => Some("loss_percent=20\nduplication_percent=20\ndelay_ms=40"),
            Fault::FullDisk => Some("full=yes"),
            _ => None,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::Kill => "killed",
            Fault::Terminate => "told to stop",
            Fault::Pause => "paused",
            Fault::Isolate => "isolated",
            Fault::Disconnect => "disconnected",
            Fault::Deafen => "made deaf",
            Fault::Mute => "made mute",
            Fault::Slow => "slowed down",
            Fault::CutLink => "cut off from a peer",
            Fault::CutOneWay => "cut off from a peer, one way",
            Fault::Wipe => "killed, its data deleted",
            Fault::KillAll => "killed with all of its group",
            Fault::KillEverything => "killed with everything",
            Fault::ClockAhead => "an hour ahead",
            Fault::ClockBehind => "an hour behind",
            Fault::SlowDisk => "on a slow disk",
            Fault::StuckDisk => "on a disk that hardly answers",
            Fault::BadLinks => "on bad links",
            Fault::FullDisk => "on a full disk",
            Fault::Roll => "restarted in its turn",
        })
    }
}

/// To whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// Some buyer frontend.
    BuyerFrontend,
    /// Some seller frontend.
    SellerFrontend,
    /// The leader of the product group.
    ProductLeader,
    /// Some product node that does not lead.
    ProductFollower,
    /// Some customer node.
    CustomerNode,
    /// The customer node whose turn it is.
    CustomerSequencer,
    /// All product nodes.
    ProductGroup,
    /// All customer nodes.
    CustomerGroup,
    /// All buyer frontends.
    BuyerFrontends,
    /// All seller frontends.
    SellerFrontends,
    /// Some product node and another one: the link between them.
    ProductLink,
    /// Some customer node and another one: the link between them.
    CustomerLink,
    /// As many product nodes as may be out at a time: two of five.
    ProductMinority,
    /// As many customer nodes as may be out at a time.
    CustomerMinority,
    /// The financial service.
    Financial,
    /// All processes of the cluster.
    Everything,
}

/// How many of a target are hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Count {
    One,
    /// The two ends of a link.
    Two,
    /// As many as may be out.
    Minority,
    All,
}

impl Target {
    pub(super) fn count(self) -> Count {
        use Target::{BuyerFrontends, CustomerGroup, Everything, ProductGroup, SellerFrontends};
        match self {
            ProductGroup | CustomerGroup | BuyerFrontends | SellerFrontends | Everything => Count::All,
            Target::ProductMinority | Target::CustomerMinority => Count::Minority,
            Target::ProductLink | Target::CustomerLink => Count::Two,
            _ => Count::One,
        }
    }

    /// What it is; `None` for processes of all kinds.
    #[must_use]
    pub fn role(self) -> Option<Role> {
        Some(match self {
            Target::BuyerFrontend | Target::BuyerFrontends => Role::Buyer,
            Target::SellerFrontend | Target::SellerFrontends => Role::Seller,
            Target::ProductLeader
            | Target::ProductFollower
            | Target::ProductGroup
            | Target::ProductLink
            | Target::ProductMinority => Role::Product,
            Target::CustomerNode
            | Target::CustomerSequencer
            | Target::CustomerGroup
            | Target::CustomerLink
            | Target::CustomerMinority => Role::Customer,
            Target::Financial => Role::Financial,
            Target::Everything => return None,
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Target::BuyerFrontend => "a buyer frontend",
            Target::SellerFrontend => "a seller frontend",
            Target::ProductLeader => "the product leader",
            Target::ProductFollower => "a product follower",
            Target::CustomerNode => "a customer node",
            Target::CustomerSequencer => "the customer sequencer",
            Target::ProductGroup => "all product nodes",
            Target::CustomerGroup => "all customer nodes",
            Target::ProductMinority => "a minority of the product nodes",
            Target::CustomerMinority => "a minority of the customer nodes",
            Target::Financial => "the financial service",
            Target::BuyerFrontends => "all buyer frontends",
            Target::SellerFrontends => "all seller frontends",
            Target::ProductLink => "a link between product nodes",
            Target::CustomerLink => "a link between customer nodes",
            Target::Everything => "everything",
        })
    }
}
