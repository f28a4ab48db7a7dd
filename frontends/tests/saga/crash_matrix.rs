//! Every victim, killed while purchases stand at every step, with one cluster for all of it; then the books are checked.
//!
//! For each victim a purchase is brought to each step and held there; then the victim is killed, all go on, and the victim
//! is started again. The victims: the frontend whose client goes away, and later the frontends that finish what it left; the
//! frontend whose client repeats its request elsewhere; the financial service; the leader of the product database; a node of
//! the customer database. All the time each unit is on sale, reserved or sold, and whatever has ended holds none. The last three
//! also die while finishers stand at each step of what they do for purchases that others left.

use std::sync::Arc;
use std::time::{Duration, Instant};

use agora_proto::product::{self, ReleaseReservation};
use bytes::Bytes;
use serde_json::json;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::api::{Answer, User, card, category, lamp, unique};
use crate::books::{self, History};
use crate::cluster::{Cluster, Shape};
use crate::points::{ANY, Held, Points};

/// How a purchase goes if nobody dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    Bought,
    Declined,
    /// The stock is gone when it is to be reserved.
    SoldOut,
    /// The payment is approved, but the hold on the stock ran out meanwhile.
    RanOut,
}

/// All steps, on the course on which a purchase comes to them. Those of the financial service are called as it sees them.
const STEPS: [(Course, &str); 17] = [
    (Course::Bought, "begun"),
    (Course::Bought, "reserved"),
    (Course::Bought, "asked"),
    (Course::Bought, "decided"),
    (Course::Bought, "authorized"),
    (Course::Bought, "committed"),
    (Course::Bought, "completed"),
    (Course::Declined, "decided"),
    (Course::Declined, "released"),
    (Course::Declined, "aborted"),
    (Course::SoldOut, "released"),
    (Course::SoldOut, "aborted"),
    (Course::RanOut, "released"),
    (Course::RanOut, "aborted"),
    (Course::RanOut, "made-void"),
    (Course::RanOut, "voided"),
    (Course::RanOut, "settled"),
];

/// Where the first finisher dies that sees to a purchase whose frontend died at this step of the course that buys.
const FINISHER_DIES: [(&str, &str); 6] = [
    ("begun", "claimed"),
    ("reserved", "released"),
    ("asked", "aborted"),
    ("decided", "voided"),
    ("authorized", "settled"),
    ("committed", "completed"),
];

/// Where finishers stand when another process dies, and at which step of the course that buys the purchase was left.
const FINISHER_STANDS: [(&str, &str); 7] = [
    ("begun", "claimed"),
    ("reserved", "released"),
    ("asked", "aborted"),
    ("decided", "made-void"),
    ("decided", "voided"),
    ("authorized", "settled"),
    ("committed", "completed"),
];

/// How long all of it may take.
const AT_MOST: Duration = Duration::from_secs(3 * 60);

/// Units of an item.
const LISTED: u32 = 5;
/// How many of them a purchase buys.
const WANTED: u32 = 2;

struct Market {
    cluster: Arc<Cluster>,
    points: Points,
    seller: User,
    /// All of one buyer.
    sessions: Vec<User>,
}

/// A purchase that stands at a step.
struct Standing {
    course: Course,
    step: &'static str,
    session: usize,
    item: String,
    key: String,
    id: String,
    answer: JoinHandle<Option<Answer>>,
    held: Option<Held>,
}

impl Market {
    async fn open(nodes: usize, sessions: usize) -> Self {
        let points = Points::listen().await;
        let shape = Shape { nodes, crash_points: Some(points.address), ..Shape::SMALL };
        let cluster = Arc::new(Cluster::start(shape));
        let (seller, buyer) = (User::seller(&cluster).await, User::buyer(&cluster).await);
        let logins = (0..sessions).map(|_| buyer.log_in());
        let sessions = futures::future::join_all(logins).await;
        Market { cluster, points, seller, sessions }
    }

    /// Brings a purchase through this frontend to each step, and holds it there. `first` is the first session to use.
    async fn stand_at_every_step(&self, frontend: &str, first: usize) -> Vec<Standing> {
        let mut standing = Vec::new();
        for (n, (course, step)) in STEPS.into_iter().enumerate() {
            standing.push(self.stand(frontend, first + n, course, step).await);
        }
        standing
    }

    async fn stand(&self, frontend: &str, session: usize, course: Course, step: &'static str) -> Standing {
        let mut offer = lamp(category());
        offer["quantity"] = json!(LISTED);
        let item = self.seller.offers(offer).await;
        let base = &self.cluster.buyers[self.number_of(frontend)];
        let api = self.sessions[session].api.at(base);
        let wanted = json!({"item_id": item, "quantity": WANTED});
        api.post("/cart/items", wanted).await.ok(200);
        let key = unique("saga");
        self.points.arm("begun", ANY);
        let request = api.call("POST", "/purchases").key(&key).json(card());
        let answer = tokio::spawn(request.attempt());
        let begun = self.points.held("begun", ANY).await;
        self.points.disarm("begun", ANY);
        let id = begun.purchase.clone();
        let held = match course {
            _ if step == "begun" => begun,
            Course::Bought => self.go_on(begun, step, &id).await,
            Course::Declined => {
                let reserved = self.go_on(begun, "reserved", &id).await;
                self.points.disarm("reserved", &id);
                books::decline(&self.financial(), &id).await;
                self.go_on(reserved, step, &id).await
            }
            Course::SoldOut => {
                self.sell_elsewhere(&item).await;
                self.go_on(begun, step, &id).await
            }
            Course::RanOut => {
                let authorized = self.go_on(begun, "authorized", &id).await;
                self.points.disarm("authorized", &id);
                self.run_out(&id).await;
                self.go_on(authorized, step, &id).await
            }
        };
        Standing { course, step, session, item, key, id, answer, held: Some(held) }
    }

    async fn go_on(&self, held: Held, step: &str, purchase: &str) -> Held {
        self.points.arm(step, purchase);
        drop(held);
        self.points.held(step, purchase).await
    }

    fn number_of(&self, frontend: &str) -> usize {
        self.cluster.file.buyer.iter().position(|endpoint| endpoint.name == frontend).unwrap()
    }

    async fn sell_elsewhere(&self, item: &str) {
        let units = json!({"delta": -i64::from(LISTED)});
        self.seller.api.post(&format!("/items/{item}/units"), units).await.ok(200);
    }

    /// What the product database does when a hold runs out.
    async fn run_out(&self, purchase: &str) {
        let purchase_id = Bytes::copy_from_slice(Uuid::parse_str(purchase).unwrap().as_bytes());
        let release = product::command::Body::ReleaseReservation(ReleaseReservation { purchase_id });
        let command = product::Command { idempotency: None, body: Some(release) };
        let deadline = Instant::now() + Duration::from_secs(10);
        self.cluster.products().execute(&command, deadline).await.unwrap();
    }

    /// Lets them go on.
    fn release(&self, standing: &mut [Standing]) {
        for purchase in standing {
            purchase.held = None;
            self.points.disarm(purchase.step, &purchase.id);
        }
    }

    /// Kills a process while purchases stand at every step, lets them go on, and starts it again.
    async fn kill(&self, victim: &str, standing: &mut [Standing]) {
        println!("killing {victim} with {} purchases under way", standing.len());
        self.cluster.kill(victim);
        self.release(standing);
        self.start(victim).await;
    }

    /// Kills a process that is no frontend while purchases stand at every step, collects their answers, and checks them.
    async fn kill_and_answer(&self, victim: &str, first: usize) -> Vec<(&'static str, String, Answer)> {
        let mut standing = self.stand_at_every_step("buyer-2", first).await;
        self.kill(victim, &mut standing).await;
        let mut answers = Vec::new();
        for purchase in &mut standing {
            let answer = (&mut purchase.answer).await.unwrap();
            let mut answer = answer.unwrap_or_else(|| panic!("{}: no answer", purchase.step));
            let began = Instant::now();
            // Nobody knows what became of it: a client asks until somebody does.
            while answer.status == 504 {
                assert!(began.elapsed() < books::PROMISE, "{}: {answer:?}", purchase.step);
                println!("{victim} died at {:?} {}: 504, repeating", purchase.course, purchase.step);
                answer = self.repeat(purchase, "buyer-2").await;
            }
            answers.push((purchase.step, purchase.item.clone(), answer));
        }
        let codes: Vec<u16> = answers.iter().map(|(.., answer)| answer.status).collect();
        println!("{victim}: {codes:?}");
        let history = History::of(&self.sessions[0]).await;
        for (step, item, answer) in &answers {
            agrees(step, item, answer, &history);
        }
        for purchase in standing {
            self.is_over(&purchase, &history).await;
            // The session is used again, with another item.
            self.sessions[purchase.session].api.delete("/cart").await.ok(204);
        }
        answers
    }

    /// A purchase that has ended holds nothing any more, and its cart has what was not bought.
    async fn is_over(&self, purchase: &Standing, history: &History) {
        let Standing { course, step, item, session, .. } = purchase;
        let bought = history.of_item(item).is_some();
        let user = &self.sessions[*session];
        let shown = user.api.get(&format!("/items/{item}")).await;
        // What is sold out may not be shown.
        let on_sale = shown.body["quantity"].as_u64().filter(|_| shown.status == 200).unwrap_or(0);
        let left = match (course, bought) {
            (Course::SoldOut, _) => 0,
            (_, true) => LISTED - WANTED,
            (_, false) => LISTED,
        };
        assert_eq!(on_sale, u64::from(left), "{course:?} {step}: units of it are still reserved");
        let cart = user.api.get("/cart").await.ok(200);
        let there = cart["lines"].as_array().unwrap().iter().any(|line| line["item_id"] == *item);
        assert_ne!(there, bought, "{course:?} {step}: item {item} is in the cart, or was bought: {cart}");
    }

    async fn start(&self, name: &str) {
        self.cluster.run(name);
        let file = &self.cluster.file;
        let frontends = file.buyer.iter().chain(&file.seller);
        if let Some(frontend) = frontends.into_iter().find(|endpoint| endpoint.name == name) {
            self.cluster.wait_for(&format!("http://{}/readyz", frontend.address));
        } else if name == file.financial.name {
            self.cluster.wait_for(&format!("{}/healthz", self.financial()));
        } else {
            self.cluster.wait_for_node(name).await;
        }
    }

    fn financial(&self) -> String {
        format!("http://{}", self.cluster.file.financial.address)
    }

    async fn product_leader(&self) -> String {
        let products = self.cluster.products();
        books::totals(&products).await;
        loop {
            if let Some(leader) = products.leader() {
                return self.cluster.file.product[leader].name.clone();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// What a client is answered that repeats its purchase through this frontend.
    async fn repeat(&self, purchase: &Standing, frontend: &str) -> Answer {
        let base = &self.cluster.buyers[self.number_of(frontend)];
        let api = self.sessions[purchase.session].api.at(base);
        api.call("POST", "/purchases").key(&purchase.key).json(card()).send().await
    }

    /// Kills the frontends that have begun to finish what others left, each at another step of its work.
    async fn kill_finishers(&self, orphans: &[Standing]) {
        let mut held = Vec::new();
        for (died_at, step) in FINISHER_DIES {
            let orphan = orphans.iter().find(|orphan| orphan.step == died_at).unwrap();
            held.push(self.points.held(step, &orphan.id).await);
        }
        let mut finishers: Vec<_> = held.iter().filter_map(|held| self.cluster.name_of(held.pid)).collect();
        finishers.sort();
        finishers.dedup();
        assert!(!finishers.is_empty());
        println!("killing the finishers {finishers:?}");
        for finisher in &finishers {
            self.cluster.kill(finisher);
        }
        for (died_at, step) in FINISHER_DIES {
            let orphan = orphans.iter().find(|orphan| orphan.step == died_at).unwrap();
            self.points.disarm(step, &orphan.id);
        }
        drop(held);
        for finisher in &finishers {
            self.start(finisher).await;
        }
    }

    /// The books balance, and these purchases are over.
    async fn balance(&self, ended: impl Iterator<Item = &Standing>) -> History {
        let history = History::of(&self.sessions[0]).await;
        books::balance(&self.cluster, &self.financial(), &[&self.sessions[0]]).await;
        for purchase in ended {
            self.is_over(purchase, &history).await;
        }
        history
    }

    /// Looks again and again, while all of it goes on, whether each unit is on sale, reserved or sold.
    fn watch_units(&self) -> JoinHandle<()> {
        let products = self.cluster.products();
        tokio::spawn(async move {
            loop {
                let totals = books::totals(&products).await;
                let there = totals.units_on_sale + totals.units_reserved + totals.units_sold;
                assert_eq!(there, totals.units_listed, "{totals:?}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
    }
}

/// What was answered agrees with the history.
fn agrees(step: &str, item: &str, answer: &Answer, history: &History) {
    match answer.status {
        201 => {
            let bought =
                history.of_item(item).unwrap_or_else(|| panic!("{step}: {answer:?} is not in the history"));
            assert_eq!(answer.body["purchase_id"], bought["purchase_id"], "{step}");
            assert_eq!((&answer.body["total"], &answer.body["lines"]), (&bought["total"], &bought["lines"]));
        }
        409 => assert_eq!(
            (answer.body["code"].as_str(), history.of_item(item)),
            (Some("insufficient_stock"), None)
        ),
        402 => {
            assert_eq!(
                (answer.body["code"].as_str(), history.of_item(item)),
                (Some("payment_declined"), None)
            )
        }
        503 => assert_eq!(history.of_item(item), None, "{step}: {answer:?}"),
        // Of a client that repeated it once, while the first run was still under way: the repeats at the end tell.
        504 => {}
        _ => panic!("{step}: {answer:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_dies_at_whatever_step_the_books_balance() {
    let began = Instant::now();
    let market = Market::open(3, 2 * STEPS.len()).await;
    let second = STEPS.len();
    let watch = market.watch_units();

    // The frontend dies, and its clients go away.
    let mut orphans = market.stand_at_every_step("buyer-1", 0).await;
    for (died_at, step) in FINISHER_DIES {
        let orphan = orphans.iter().find(|orphan| orphan.step == died_at).unwrap();
        market.points.arm(step, &orphan.id);
    }
    market.kill("buyer-1", &mut orphans).await;
    let mut answered = Vec::new();
    for orphan in &mut orphans {
        if let Some(answer) = (&mut orphan.answer).await.unwrap() {
            // The buyer does not wait for the void.
            let void_is_under_way = matches!(orphan.step, "made-void" | "voided" | "settled");
            assert!(void_is_under_way, "{}: an answer from the dead: {answer:?}", orphan.step);
            answered.push((orphan.step, orphan.item.clone(), answer));
        }
    }

    // Others die, and the clients wait for their answers.
    answered.extend(market.kill_and_answer("financial", second).await);
    let leader = market.product_leader().await;
    answered.extend(market.kill_and_answer(&leader, second).await);
    market.kill_finishers(&orphans).await;
    answered.extend(market.kill_and_answer("customer-1", second).await);

    // The frontend dies, and its clients repeat their requests elsewhere at once.
    let mut repeated = market.stand_at_every_step("buyer-2", second).await;
    market.kill("buyer-2", &mut repeated).await;
    let last_death = Instant::now();
    let mut declined = vec![];
    for purchase in &repeated {
        let answer = market.repeat(purchase, "buyer-1").await;
        if answer.status == 402 {
            declined.push(&purchase.id);
        }
        answered.push((purchase.step, purchase.item.clone(), answer));
    }

    books::all_finished(&market.cluster, last_death).await;
    println!("all was finished {:?} after the last death", last_death.elapsed());
    let history = market.balance(orphans.iter().chain(&repeated)).await;
    for (step, item, answer) in &answered {
        agrees(step, item, answer, &history);
    }
    for orphan in &orphans {
        if orphan.course == Course::Declined && orphan.step == "aborted" {
            declined.push(&orphan.id);
        }
        let sold = matches!(orphan.step, "committed" | "completed");
        assert_eq!(history.of_item(&orphan.item).is_some(), sold, "{:?} {}", orphan.course, orphan.step);
    }

    // Whoever comes back, even so late, is told what became of the purchase; what came to nothing is bought now.
    for purchase in orphans.iter().chain(&repeated) {
        let answer = market.repeat(purchase, "buyer-2").await;
        let expected = match purchase.course {
            Course::SoldOut => 409,
            // If that is not on record, nobody was told so.
            Course::Declined if declined.contains(&&purchase.id) => 402,
            _ => 201,
        };
        assert_eq!(answer.status, expected, "{:?} {}: {answer:?}", purchase.course, purchase.step);
        if let Some(before) = history.of_item(&purchase.item) {
            assert_eq!(answer.body["purchase_id"], before["purchase_id"], "{}", purchase.step);
        }
        let again = market.repeat(purchase, "buyer-1").await;
        assert_eq!((again.status, &again.body["purchase_id"]), (expected, &answer.body["purchase_id"]));
    }
    market.balance(orphans.iter().chain(&repeated)).await;
    assert!(!watch.is_finished(), "{:?}", watch.await);
    watch.abort();
    in_time(began);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_dies_while_a_finisher_works_the_books_balance() {
    let began = Instant::now();
    let count = FINISHER_STANDS.len();
    let market = Market::open(3, 3 * count).await;
    let watch = market.watch_units();

    // For each of the three who will die later, purchases whose frontend dies, and whose clients go away.
    let mut orphans = Vec::new();
    for (n, (died_at, step)) in FINISHER_STANDS.into_iter().cycle().take(3 * count).enumerate() {
        let orphan = market.stand("buyer-1", n, Course::Bought, died_at).await;
        market.points.arm(step, &orphan.id);
        orphans.push(orphan);
    }
    market.kill("buyer-1", &mut orphans).await;
    let mut finishers = Vec::new();
    for (orphan, (_, step)) in orphans.iter_mut().zip(FINISHER_STANDS.into_iter().cycle()) {
        assert!((&mut orphan.answer).await.unwrap().is_none(), "{}: an answer from the dead", orphan.step);
        finishers.push(market.points.held(step, &orphan.id).await);
    }

    for (n, left) in orphans.chunks(count).enumerate() {
        let victim = ["financial", &market.product_leader().await, "customer-1"][n].to_owned();
        println!("killing {victim} with finishers at {count} steps");
        market.cluster.kill(&victim);
        for (orphan, (_, step)) in left.iter().zip(FINISHER_STANDS) {
            market.points.disarm(step, &orphan.id);
        }
        drop(finishers.drain(..count));
        market.start(&victim).await;
    }
    let last_death = Instant::now();

    books::all_finished(&market.cluster, last_death).await;
    println!("all was finished {:?} after the last death", last_death.elapsed());
    let history = market.balance(orphans.iter()).await;
    for orphan in &orphans {
        assert_eq!(history.of_item(&orphan.item).is_some(), orphan.step == "committed", "{}", orphan.step);
        market.repeat(orphan, "buyer-2").await.ok(201);
    }
    market.balance(orphans.iter()).await;
    assert!(!watch.is_finished(), "{:?}", watch.await);
    watch.abort();
    in_time(began);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_frontend_left_is_finished_within_a_minute_of_its_death_though_nobody_comes_back() {
    const LEFT_AT: [&str; 3] = ["reserved", "authorized", "committed"];
    let market = Market::open(1, LEFT_AT.len()).await;
    let mut orphans = Vec::new();
    for (n, step) in LEFT_AT.into_iter().enumerate() {
        orphans.push(market.stand("buyer-1", n, Course::Bought, step).await);
    }
    market.cluster.kill("buyer-1");
    let died = Instant::now();
    market.release(&mut orphans);
    books::all_finished(&market.cluster, died).await;
    println!("all was finished {:?} after the death", died.elapsed());
    // What of the sessions is asked at the frontend that lives.
    let living = market.cluster.buyers[1].clone();
    let sessions = market.sessions.into_iter().map(|user| User { api: user.api.at(&living), ..user });
    let market = Market { sessions: sessions.collect(), ..market };
    let history = market.balance(orphans.iter()).await;
    for orphan in &orphans {
        assert_eq!(history.of_item(&orphan.item).is_some(), orphan.step == "committed", "{}", orphan.step);
    }
    let ledger = books::ledger(&market.financial()).await;
    assert_eq!((&ledger["voided"]["count"], &ledger["charged"]["count"]), (&json!(1), &json!(1)), "{ledger}");
}

/// Checks that it did not take too long, unless others keep the machine so busy that it means nothing.
fn in_time(began: Instant) {
    let took = began.elapsed();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: f64 = load.split(' ').next().and_then(|minute| minute.parse().ok()).unwrap_or(0.0);
    let cores = std::thread::available_parallelism().map_or(1.0, |cores| cores.get() as f64);
    println!("{took:?} in all, with {load} processes running or waiting on {cores} cores");
    assert!(took <= AT_MOST || load > 4.0 * cores, "it took {took:?}");
}
