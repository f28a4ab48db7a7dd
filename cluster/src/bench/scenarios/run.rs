//! One run: a fresh cluster, so many sellers and as many buyers, and in the middle of it what the scenario says.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use agora_clients::Error;
use agora_process::Shutdown;
use anyhow::Context;
use parking_lot::Mutex;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Setting;
use super::buyer::{Buyer, Shop};
use super::function::Function;
use super::report::RunReport;
use super::script::{BUYER, SELLER, script};
use super::seller::Seller;
use crate::bench::site::Site;
use crate::cluster::Cluster;

/// One call, as it went.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub function: Function,
    pub took: Duration,
    pub ended: Instant,
    /// Why it failed, if it did.
    pub error: Option<String>,
}

/// How far a run is, for all to see.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    done: AtomicUsize,
    half: AtomicUsize,
    half_done: Notify,
}

impl Counter {
    pub fn done(&self) -> usize {
        self.done.load(Ordering::Relaxed)
    }

    fn one_more(&self) {
        if self.done.fetch_add(1, Ordering::Relaxed) + 1 == self.half.load(Ordering::Relaxed) {
            self.half_done.notify_one();
        }
    }
}

/// A seller or a buyer.
#[derive(Debug)]
enum Client {
    Seller(Seller),
    Buyer(Buyer),
}

impl Client {
    fn instead(&self, wanted: Function) -> Function {
        match self {
            Client::Seller(seller) => seller.instead(wanted),
            Client::Buyer(buyer) => buyer.instead(wanted),
        }
    }

    async fn call(&mut self, function: Function, random: &mut StdRng) -> Result<(), Error> {
        match self {
            Client::Seller(seller) => seller.call(function, random).await,
            Client::Buyer(buyer) => buyer.call(function, random).await,
        }
    }
}

/// Runs it, with a cluster of this build or of another one's `cluster` program. Told to stop, it ends early; the
/// report then tells of what was done until then.
pub(crate) async fn run(
    setting: Setting,
    program: Option<&Path>,
    counter: &Arc<Counter>,
    shutdown: &Shutdown,
) -> anyhow::Result<RunReport> {
    let site = Site::start_changed(shutdown, |options| {
        options.program = program.map(Path::to_owned);
        setting.scenario.prepare(&mut options.file);
    });
    let site = site.await?;
    let ran = match site.cluster() {
        Some(cluster) => on(cluster, setting, counter, &shutdown.stop).await,
        None => Err(anyhow::anyhow!("the run has no cluster of its own")),
    };
    site.stop().await;
    ran
}

async fn on(
    cluster: &Cluster,
    setting: Setting,
    counter: &Arc<Counter>,
    stop: &CancellationToken,
) -> anyhow::Result<RunReport> {
    let clients = tokio::select! {
        clients = clients(cluster, setting) => clients?,
        () = stop.cancelled() => anyhow::bail!("interrupted"),
    };
    let calls: usize = clients.iter().map(|(_, script, _)| script.len()).sum();
    counter.half.store((calls / 2).max(1), Ordering::Relaxed);
    let samples = Arc::new(Mutex::new(Vec::with_capacity(calls)));
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for (client, script, random) in clients {
        let (counter, samples, stop) = (Arc::clone(counter), Arc::clone(&samples), stop.clone());
        tasks.spawn(play(client, script, random, counter, samples, stop));
    }
    let strike = async {
        counter.half_done.notified().await;
        let at = began.elapsed();
        setting.scenario.strike(cluster).await.map(|died| (died, at))
    };
    let everyone = async {
        while let Some(ended) = tasks.join_next().await {
            ended?;
        }
        anyhow::Ok(())
    };
    // Interrupted before the middle, nothing dies any more.
    let struck = async {
        tokio::select! {
            struck = strike => struck.context("the scenario's failure could not be made").map(Some),
            () = stop.cancelled() => Ok(None),
        }
    };
    let ((), struck) = tokio::try_join!(everyone, struck)?;
    let took = began.elapsed();
    let samples = std::mem::take(&mut *samples.lock());
    RunReport::new(setting, struck.unwrap_or_default(), began, took, &samples)
}

/// The clients, each with its script and its dice.
async fn clients(
    cluster: &Cluster,
    setting: Setting,
) -> anyhow::Result<Vec<(Client, Vec<Function>, StdRng)>> {
    let endpoints = cluster.endpoints();
    let shop = Shop::open(endpoints.seller.clone()).await.context("the shop can't be opened")?;
    let mut clients = Vec::with_capacity(2 * setting.clients);
    for index in 0..setting.clients {
        let seller = Seller::new(endpoints.seller.clone(), index)?;
        let buyer = Buyer::new(endpoints.buyer.clone(), index, shop.clone())?;
        for (client, habits) in [(Client::Seller(seller), &SELLER), (Client::Buyer(buyer), &BUYER)] {
            let mut random = StdRng::seed_from_u64(setting.seed.wrapping_add(clients.len() as u64));
            let script = script(habits, setting.calls, &mut random);
            clients.push((client, script, random));
        }
    }
    Ok(clients)
}

/// What is wanted too early changes places with the next call of what is done instead, so that it is done after all.
fn exchange(wanted: Function, instead: Function, rest: &mut [Function]) {
    if let Some(later) = rest.iter_mut().find(|later| **later == instead) {
        *later = wanted;
    }
}

async fn play(
    mut client: Client,
    script: Vec<Function>,
    mut random: StdRng,
    counter: Arc<Counter>,
    samples: Arc<Mutex<Vec<Sample>>>,
    stop: CancellationToken,
) {
    let mut script = script.into_iter();
    while let Some(wanted) = script.next() {
        let function = client.instead(wanted);
        exchange(wanted, function, script.as_mut_slice());
        let began = Instant::now();
        let outcome = tokio::select! {
            outcome = client.call(function, &mut random) => outcome,
            () = stop.cancelled() => return,
        };
        let (ended, error) = (Instant::now(), outcome.err().map(|error| error.to_string()));
        samples.lock().push(Sample { function, took: ended - began, ended, error });
        counter.one_more();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_makes_no_sense_yet_is_made_later() {
        use Function::{AddToCart, DisplayCart, RemoveCart, SearchItems};
        let mut rest = [DisplayCart, AddToCart, AddToCart];
        exchange(RemoveCart, AddToCart, &mut rest);
        assert_eq!(rest, [DisplayCart, RemoveCart, AddToCart]);
        exchange(DisplayCart, DisplayCart, &mut rest);
        exchange(RemoveCart, SearchItems, &mut rest);
        assert_eq!(rest, [DisplayCart, RemoveCart, AddToCart], "what is done as wanted moves nothing");
    }
}
