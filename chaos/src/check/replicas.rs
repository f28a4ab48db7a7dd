//! Replicas hold the same: their checksums are equal at the same position.

use super::Check;
use crate::readings::{Readings, ReplicaState};

pub(super) fn check(readings: &Readings) -> Check {
    let mut check = Check::new("replicas", "all replicas of a database hold the same");
    for reading in &readings.replicas {
        let (database, nodes) = (&reading.database, reading.nodes);
        match &reading.state {
            ReplicaState::Equal { told, applied } => {
                let what =
                    || format!("only {told} of {nodes} {database} nodes told their checksum at {applied}");
                check.require(*told == nodes, what, []);
            }
            ReplicaState::Differ { detail } => {
                check.require(false, || format!("{database} nodes differ: {detail}"), [])
            }
            ReplicaState::Restless { detail } => {
                let what = || format!("the {database} nodes did not come to rest at one position: {detail}");
                check.require(false, what, []);
            }
        }
    }
    check
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readings::ReplicaReading;

    fn held(state: ReplicaState) -> bool {
        let replicas = vec![ReplicaReading { database: "product".into(), nodes: 5, state }];
        check(&Readings { replicas, ..Readings::default() }).held()
    }

    #[test]
    fn only_all_of_them_being_equal_is_right() {
        assert!(held(ReplicaState::Equal { told: 5, applied: 7 }));
        assert!(!held(ReplicaState::Equal { told: 4, applied: 7 }));
        assert!(!held(ReplicaState::Differ { detail: "at 7".into() }));
        assert!(!held(ReplicaState::Restless { detail: "at 7 and 8".into() }));
    }
}
