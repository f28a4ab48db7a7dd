//! What real customer nodes survive: kill -9 of any two, of the next owner, of a coordinator at its work, of all; a pause; a full disk;
//! a data directory that is deleted under a node at work.
//! Each time nothing acknowledged is lost, writes go on, and in the end all replicas hold the same.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

mod nodes;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use agora_process::Role;
use nodes::accounts::Writers;
use nodes::{Nodes, deadline, limits, seed};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

const WRITERS: usize = 8;
/// Acknowledged calls after which writes count as going on.
const SOME: usize = 40;

/// Five customer nodes at work.
async fn five(change: impl FnOnce(&mut agora_process::ClusterFile)) -> (Nodes, Writers) {
    let mut nodes = Nodes::with(5, 1, change);
    for name in nodes.customers() {
        nodes.start(Role::Customer, &name);
    }
    let writers = Writers::start(&nodes.customer(), WRITERS);
    writers.go_on(SOME).await;
    (nodes, writers)
}

async fn back(nodes: &mut Nodes, names: &[&str]) {
    for name in names {
        nodes.start(Role::Customer, name);
    }
    nodes.until_all_take_turns(&nodes.customers()).await;
}

/// All that was promised holds.
async fn check(nodes: &Nodes, writers: Writers) {
    writers.go_on(SOME).await;
    let acknowledged = writers.end_and_check().await;
    assert!(acknowledged >= 2 * SOME);
    nodes.agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_two_nodes_may_be_killed_at_once_and_then_all_five() {
    let mut random = StdRng::seed_from_u64(seed());
    let (mut nodes, writers) = five(|_| {}).await;
    let names = nodes.customers();
    let mut pairs: Vec<(usize, usize)> =
        (0..5).flat_map(|one| (one + 1..5).map(move |other| (one, other))).collect();
    pairs.shuffle(&mut random);
    for (one, other) in pairs.into_iter().take(3) {
        let pair = [names[one].as_str(), names[other].as_str()];
        println!("killing {pair:?}");
        nodes.kill_all(&pair);
        writers.go_on(SOME).await;
        back(&mut nodes, &pair).await;
    }
    println!("killing all");
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    nodes.kill_all(&all);
    back(&mut nodes, &all).await;
    check(&nodes, writers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_owner_of_the_next_slot_is_noticed_by_its_connections_and_not_only_by_its_silence() {
    // After so much silence a member is put out without any other sign.
    const SILENCE: Duration = Duration::from_millis(600);
    let (mut nodes, writers) = five(|_| {}).await;
    let mut gaps = Vec::new();
    for _ in 0..4 {
        let owner = nodes.group(&nodes.customers()[0]).await.unwrap().next_owner;
        nodes.kill(&owner);
        gaps.push(writers.since(Instant::now(), SOME).await);
        let is_told = |log: String| {
            log.lines().any(|line| {
                line.contains("began an epoch") && line.contains(&format!("\"{owner} is silent\""))
            })
        };
        assert!(
            nodes.customers().iter().any(|name| is_told(nodes.log(name))),
            "no log tells why {owner} was put out"
        );
        back(&mut nodes, &[&owner]).await;
        let is_told_by_others = |log: String| {
            log.lines().any(|line| {
                line.contains("joined an epoch") && line.contains(&format!("reason=\"{owner} is silent\""))
            })
        };
        assert!(
            nodes.customers().iter().any(|name| is_told_by_others(nodes.log(name))),
            "who joined the epoch without {owner} does not tell why"
        );
    }
    println!("until the next success: {gaps:?}");
    gaps.sort();
    // The quickest, since the machine may be busy; and for the same reason no more than so much of the others.
    assert!(gaps[0] < SILENCE && gaps[gaps.len() / 2] < 3 * SILENCE, "{gaps:?}");
    check(&nodes, writers).await;
}

/// The epoch that a node said last that it prepares.
fn prepares(log: &str) -> Option<&str> {
    let line = log.lines().rev().find(|line| line.contains("preparing an epoch"))?;
    line.split("epoch=").nth(1)?.split(' ').next()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_that_is_killed_in_the_middle_of_an_epoch_change_is_replaced() {
    // Slow links, so that there is a middle.
    let (mut nodes, writers) = five(|file| file.links.delay_ms_max = 40).await;
    let mut hits = 0;
    for round in 0..4 {
        let names = nodes.customers();
        let before: Vec<usize> = names.iter().map(|name| nodes.log(name).len()).collect();
        let first = names[round % 5].clone();
        nodes.kill(&first);
        let until = deadline();
        let (coordinator, epoch) = loop {
            let news =
                names.iter().zip(&before).filter(|(name, _)| **name != first).find_map(|(name, seen)| {
                    let log = nodes.log(name);
                    Some((name.clone(), prepares(log.get(*seen..)?)?.to_owned()))
                });
            if let Some(found) = news {
                break found;
            }
            assert!(Instant::now() < until, "nobody prepares an epoch without {first}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        nodes.kill(&coordinator);
        writers.go_on(SOME).await;
        let is_in_it = |line: &str| {
            let entered = line.contains("joined an epoch") || line.contains("began an epoch");
            entered && line.contains(&format!("epoch={epoch} "))
        };
        let hit = !names.iter().any(|name| nodes.log(name).lines().any(is_in_it));
        println!(
            "killed {first}, then {coordinator} at epoch {epoch}: {}",
            if hit { "in the middle" } else { "too late" }
        );
        hits += usize::from(hit);
        back(&mut nodes, &[&first, &coordinator]).await;
        if hits == 2 {
            break;
        }
    }
    assert!(hits > 0, "the middle was always missed");
    check(&nodes, writers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stands_still_is_put_out_and_taken_in_again_when_it_goes_on() {
    let mut random = StdRng::seed_from_u64(seed());
    let (nodes, writers) = five(|_| {}).await;
    let names = nodes.customers();
    let paused = &names[random.random_range(0..5)];
    let other = names.iter().find(|name| *name != paused).unwrap();
    nodes.signal(paused, "-STOP");
    let until = deadline();
    while nodes.group(other).await.is_none_or(|group| group.roster.contains(paused)) {
        assert!(Instant::now() < until, "{paused} is not put out");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    writers.go_on(SOME).await;
    nodes.signal(paused, "-CONT");
    nodes.until_all_take_turns(&names).await;
    check(&nodes, writers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_data_directory_is_deleted_at_work_is_taken_in_again_and_then_counts() {
    let mut random = StdRng::seed_from_u64(seed());
    let (mut nodes, writers) = five(|_| {}).await;
    let mut names = nodes.customers();
    names.shuffle(&mut random);
    // At last two disks are new ones, and needed for a majority.
    for name in &names[..2] {
        println!("deleting the data of {name}");
        std::fs::remove_dir_all(nodes.file.data_of(name)).unwrap();
        nodes.kill(name);
        writers.go_on(SOME).await;
        back(&mut nodes, &[name]).await;
    }
    let others = [names[2].as_str(), names[3].as_str()];
    nodes.kill_all(&others);
    writers.go_on(SOME).await;
    back(&mut nodes, &others).await;
    check(&nodes, writers).await;
}

/// A node without space on its disk has ended and says which directory it is; the group goes on; with space again it catches up.
async fn runs_out_of_space(nodes: &mut Nodes, writers: Writers, name: &str, give_space: impl FnOnce()) {
    let data = nodes.file.data_of(name).display().to_string();
    let status = nodes.ended(name);
    assert_eq!(status.code(), Some(1), "{status:?}: {}", nodes.log(name));
    let log = nodes.log(name);
    let last = log.lines().rfind(|line| line.starts_with("error: ")).unwrap_or_default();
    assert!(last.contains(&data), "the error names no directory: {log}");
    writers.go_on(SOME).await;
    give_space();
    back(nodes, &[name]).await;
    check(nodes, writers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_may_not_write_more_ends_with_its_directory_named_and_catches_up_later() {
    let (mut nodes, writers) = five(|_| {}).await;
    let name = nodes.customers()[2].clone();
    nodes.signal(&name, "-TERM");
    nodes.ended(&name);
    let limited = limits::without_room(&nodes, Role::Customer, &name);
    nodes.start_by(limited, &name);
    runs_out_of_space(&mut nodes, writers, &name, || {}).await;
}

/// A file system of its own. Unmounted when the test ends.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    /// None: this user may not mount.
    fn mount(at: &'a Path) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=32m", "tmpfs"]).arg(at).stderr(Stdio::null());
        mount.status().is_ok_and(|status| status.success()).then_some(SmallDisk(at))
    }

    /// Leaves no more than this free.
    fn fill(&self, leave: usize) {
        let ballast = self.ballast();
        let mut size = 32 << 20;
        // A file of the size that still fits.
        while std::fs::write(&ballast, vec![1; size]).is_err() {
            size -= 64 << 10;
        }
        // Shortened in place: the node writes meanwhile, and may take all that is given back.
        let ballast = std::fs::File::options().write(true).open(&ballast).unwrap();
        ballast.set_len(u64::try_from(size.saturating_sub(leave)).unwrap()).unwrap();
    }

    fn ballast(&self) -> std::path::PathBuf {
        self.0.join("log").join("ballast")
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_disk_is_full_ends_with_its_directory_named_and_catches_up_later() {
    let mut nodes = Nodes::new(5, 1);
    let name = nodes.customers()[3].clone();
    let data = nodes.file.data_of(&name);
    let Some(disk) = SmallDisk::mount(&data) else {
        println!(
            "SKIPPED: this user may not mount a small file system; the test with a limited file size ran instead"
        );
        return;
    };
    for name in nodes.customers() {
        nodes.start(Role::Customer, &name);
    }
    let writers = Writers::start(&nodes.customer(), WRITERS);
    writers.go_on(SOME).await;
    disk.fill(100 << 10);
    let ballast = disk.ballast();
    runs_out_of_space(&mut nodes, writers, &name, || std::fs::remove_file(ballast).unwrap()).await;
    nodes.kill(&name);
}
