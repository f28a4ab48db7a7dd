//! What the protocol itself costs: five members in one thread, without sockets and disks, at full load.
//!
//! `cargo run --release -p agora-broadcast --example cost_of_steps`

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use agora_broadcast::{Config, DiskId, Durable, Input, Member, MemberId, Now, Output, ProposalId, Slot};
use bytes::Bytes;

const MEMBERS: u16 = 5;
const REQUESTS: u64 = 200_000;
/// Commands that travel in one request.
const COMMANDS: u64 = 10;
/// Requests under way at once.
const WINDOW: u64 = 40;

fn main() {
    let start = Instant::now();
    let now = || Now { monotonic: start.elapsed(), wall_ms: 1 };
    let mut inputs: VecDeque<(MemberId, Input)> = VecDeque::new();
    let disks: Vec<DiskId> = (1..=u128::from(MEMBERS)).map(DiskId).collect();
    let mut members: Vec<Member> = (0..MEMBERS)
        .map(|id| {
            Member::new(Config::new(MemberId(id), MEMBERS), Durable::founded(MemberId(id), &disks), now())
        })
        .collect();
    let command = Bytes::from(vec![b'x'; 100]);
    let (mut proposed, mut delivered, mut steps) = (0, 0, 0u64);
    let mut outputs = Vec::new();
    while delivered < REQUESTS {
        while proposed < REQUESTS && proposed < delivered + WINDOW {
            proposed += 1;
            let commands = (0..COMMANDS).map(|_| command.clone()).collect();
            let to = MemberId(u16::try_from(proposed % u64::from(MEMBERS)).unwrap_or(0));
            inputs.push_back((to, Input::Propose { proposal: ProposalId(proposed), commands }));
        }
        let Some((to, input)) = inputs.pop_front() else {
            for id in 0..MEMBERS {
                inputs.push_back((MemberId(id), Input::Tick));
            }
            continue;
        };
        steps += 1;
        members[usize::from(to.0)].step(now(), input, &mut outputs);
        for output in outputs.drain(..) {
            match output {
                Output::Send { to: peer, message } => {
                    inputs.push_back((peer, Input::Receive { from: to, message }))
                }
                Output::SendAll { message } => {
                    for peer in (0..MEMBERS).map(MemberId).filter(|peer| *peer != to) {
                        inputs.push_back((peer, Input::Receive { from: to, message: message.clone() }));
                    }
                }
                Output::Persist { id, .. } => inputs.push_back((to, Input::Persisted { upto: id })),
                Output::Deliver(delivery) => {
                    if delivery.slot.0 % 1000 == 0 {
                        inputs.push_back((to, Input::StateDurable { slot: Slot(delivery.slot.0) }));
                    }
                    if to == MemberId(0) {
                        delivered += delivery.requests.len() as u64;
                    }
                }
                _ => {}
            }
        }
    }
    let took = start.elapsed();
    let commands = REQUESTS * COMMANDS;
    println!(
        "{REQUESTS} requests, {commands} commands, {} slots, {steps} steps in {took:?}",
        members[0].status().last
    );
    println!("{:?} per step", took / u32::try_from(steps).unwrap_or(u32::MAX));
    println!("{:.0} commands per second of one core, all five members together", rate(commands, took));
}

fn rate(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}
