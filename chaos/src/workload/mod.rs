//! Real buyers and sellers, through the client library, as fast as a pause between their calls lets them.
//!
//! Most things have one writer, as they mostly have: an item's price its seller, a cart its buyer. Rivals change the same things
//! at the same time. Stock is what many change by buying.

mod account;
mod driver;
mod idler;
mod market;
mod names;
mod rivals;
mod saver;
mod seller;
mod shopper;

use std::sync::Arc;
use std::time::Duration;

use agora_clients::ClientOptions;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::history::Recorder;
use driver::Driver;
use idler::{Idler, Idles};
use market::Market;

pub use names::PASSWORD;

/// How large the workload is.
#[derive(Clone, Debug)]
pub struct Size {
    /// Sellers.
    pub sellers: u32,
    /// Buyers who buy.
    pub shoppers: u32,
    /// Buyers who fill and save their carts, and never buy.
    pub savers: u32,
    /// Clients who share a seller's and a buyer's account and change the same things at the same time.
    pub rivals: u32,
    /// Whether there is time for some who do nothing for minutes.
    pub idlers: Idlers,
    /// The longest pause between two calls of a client.
    pub pause_max: Duration,
}

/// Whether sessions are left idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idlers {
    /// All are in use all the time.
    None,
    /// A few are left for minutes.
    Some,
}

/// Where the workload happens.
#[derive(Clone, Debug)]
pub struct Place {
    /// The buyer frontends.
    pub buyer_servers: Vec<String>,
    /// The seller frontends.
    pub seller_servers: Vec<String>,
    /// What clients' choices are drawn from.
    pub seed: u64,
    /// Tells the names of this run from those of others on the same marketplace: a few letters.
    pub run: String,
}

/// Who took part: their ids and usernames.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct People {
    /// Sellers.
    pub sellers: Vec<Person>,
    /// Buyers of both kinds.
    pub buyers: Vec<Person>,
}

/// One who took part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Its number in the history.
    pub client: u32,
    /// Its id at the marketplace.
    pub user_id: u64,
    /// Its name there.
    pub username: String,
}

/// How clients are set up: patient, because a call without an answer is an operation about which nothing can be said.
pub(crate) fn client_options() -> ClientOptions {
    ClientOptions { deadline: Duration::from_secs(30), ..ClientOptions::default() }
}

/// A workload that was set up: accounts and first items are there.
#[derive(Debug)]
pub struct Workload {
    sellers: Vec<seller::Seller>,
    shoppers: Vec<shopper::Shopper>,
    savers: Vec<saver::Saver>,
    rivals: rivals::Rivals,
    idlers: Vec<Idler>,
    give_up: CancellationToken,
}

impl Workload {
    /// Creates accounts and puts the first items on sale.
    ///
    /// # Errors
    /// The marketplace refuses, or can't be reached, although nothing was broken yet.
    pub async fn set_up(place: &Place, size: &Size, recorder: &Arc<Recorder>) -> anyhow::Result<Self> {
        let market = Arc::new(Market::default());
        let mut numbers = 0..;
        let give_up = CancellationToken::new();
        let mut driver = || {
            let number = numbers.next().unwrap_or(u32::MAX);
            Driver::new(number, place.seed, Arc::clone(recorder), size.pause_max, give_up.clone())
        };
        let mut workload = Workload {
            sellers: Vec::new(),
            shoppers: Vec::new(),
            savers: Vec::new(),
            rivals: rivals::Rivals::default(),
            idlers: Vec::new(),
            give_up: give_up.clone(),
        };
        for _ in 0..size.sellers {
            workload.sellers.push(seller::Seller::set_up(driver(), place, Arc::clone(&market)).await?);
        }
        for _ in 0..size.shoppers {
            workload.shoppers.push(shopper::Shopper::set_up(driver(), place, Arc::clone(&market)).await?);
        }
        for _ in 0..size.savers {
            workload.savers.push(saver::Saver::set_up(driver(), place, Arc::clone(&market)).await?);
        }
        workload.rivals = rivals::Rivals::set_up(size.rivals, &mut driver, place, &market).await?;
        if size.idlers == Idlers::Some {
            for idles in [Idles::Briefly, Idles::Long] {
                workload.idlers.push(Idler::buyer(driver(), place, idles).await?);
                workload.idlers.push(Idler::seller(driver(), place, idles).await?);
            }
        }
        Ok(workload)
    }

    /// Cancelled, it lets nobody wait for an answer any more: what is under way then has an unknown outcome.
    #[must_use]
    pub fn give_up(&self) -> CancellationToken {
        self.give_up.clone()
    }

    /// Who takes part.
    #[must_use]
    pub fn people(&self) -> People {
        let shared = self.rivals.people();
        let sellers =
            self.sellers.iter().map(|seller| &seller.person).chain(shared.map(|(seller, _)| seller));
        let shoppers = self.shoppers.iter().map(|shopper| &shopper.person);
        let savers = self.savers.iter().map(|saver| &saver.person);
        let (selling, buying): (Vec<&Idler>, Vec<&Idler>) =
            self.idlers.iter().partition(|idler| idler.is_seller());
        let person = |idler: &'_ Idler| idler.person.clone();
        let buyers = shoppers.chain(savers).chain(shared.map(|(_, buyer)| buyer));
        People {
            sellers: sellers.cloned().chain(selling.into_iter().map(person)).collect(),
            buyers: buyers.cloned().chain(buying.into_iter().map(person)).collect(),
        }
    }

    /// Lets everybody do what they do until told to stop, each finishing the call that is under way.
    pub async fn run(self, stop: &CancellationToken) -> Self {
        let mut sellers = JoinSet::new();
        let mut shoppers = JoinSet::new();
        let mut savers = JoinSet::new();
        for mut seller in self.sellers {
            let stop = stop.clone();
            sellers.spawn(async move {
                seller.run(&stop).await;
                seller
            });
        }
        for mut shopper in self.shoppers {
            let stop = stop.clone();
            shoppers.spawn(async move {
                shopper.run(&stop).await;
                shopper
            });
        }
        for mut saver in self.savers {
            let stop = stop.clone();
            savers.spawn(async move {
                saver.run(&stop).await;
                saver
            });
        }
        let mut rivals = JoinSet::new();
        for mut rival in self.rivals.all {
            let stop = stop.clone();
            rivals.spawn(async move {
                rival.run(&stop).await;
                rival
            });
        }
        let mut idlers = JoinSet::new();
        for mut idler in self.idlers {
            let stop = stop.clone();
            idlers.spawn(async move {
                idler.run(&stop).await;
                idler
            });
        }
        Workload {
            give_up: self.give_up,
            idlers: idlers.join_all().await,
            rivals: rivals::Rivals { all: rivals.join_all().await },
            sellers: sellers.join_all().await,
            shoppers: shoppers.join_all().await,
            savers: savers.join_all().await,
        }
    }

    /// Looks once more at what only the clients themselves can see: the carts of their sessions, and their saved carts.
    pub async fn look_back(&mut self) {
        for saver in &mut self.savers {
            saver.look_back().await;
        }
        for rival in &mut self.rivals.all {
            rival.look_back().await;
        }
    }
}
