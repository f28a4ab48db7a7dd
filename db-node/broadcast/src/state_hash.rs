//! When two members are in the same state, for a model checker: all that decides what they do next is the same.

use std::hash::{Hash, Hasher};

use crate::member::Member;

impl Hash for Member {
    /// Without the configuration, which never changes, and without what is only counted or told.
    fn hash<H: Hasher>(&self, state: &mut H) {
        // By name and to the last, so that a new field is not forgotten here.
        let Member {
            config: _,
            counters: _,
            prepared: _,
            why: _,
            me,
            disk_id,
            incarnation,
            is_raising,
            now,
            out,
            random,
            promised,
            accepted,
            roster,
            log,
            disk,
            own,
            pending,
            sequencing,
            acks,
            gaps,
            holds,
            reads,
            peers,
            change,
            founding,
            heartbeat_due,
        } = self;
        (me, disk_id, incarnation, is_raising, now, out, random, promised, accepted, roster).hash(state);
        (log, disk, own, pending, sequencing, acks).hash(state);
        (gaps, holds, reads, peers, change, founding, heartbeat_due).hash(state);
    }
}
