//! The group's time follows the clocks that agree, and not one that was set wrong.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
// The simulated world is shared by several tests, and this one does not use all of it.
#![allow(dead_code)]

mod world;

use std::time::Duration;

use agora_broadcast::MemberId;
use bytes::Bytes;
use world::World;

const TEN_MINUTES_MS: i64 = 10 * 60 * 1000;

#[test]
fn a_clock_that_was_set_wrong_takes_the_groups_time_nowhere() {
    for (wrong, ahead_ms) in [(0, TEN_MINUTES_MS), (2, TEN_MINUTES_MS), (4, -TEN_MINUTES_MS)] {
        let mut world = World::new(5, 7, |_| {});
        world.run_for(Duration::from_millis(500));
        let (wrong, right) = (MemberId(wrong), MemberId(1));
        world.node_mut(wrong).clock_offset_ms = ahead_ms;
        // The wrong one has turns until the others have noticed.
        for n in 0..500_u64 {
            for id in world.members() {
                world.propose(id, vec![Bytes::copy_from_slice(&n.to_be_bytes())]);
            }
            world.run_for(Duration::from_millis(1));
            if world.checker.last_delivered().0 == 0 {
                continue;
            }
            let off = world.checker.last_time_ms().abs_diff(world.clock(right).wall_ms);
            assert!(
                off <= 1_500,
                "{wrong}'s clock is {ahead_ms} ms ahead, and the group's {off} ms off, {n} ms later"
            );
        }
        assert!(world.checker.last_delivered().0 > 100, "it says little if nothing was written");
    }
}
