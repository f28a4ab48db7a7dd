//! Which requests a log has sequenced: since each sender's are taken in order, one number per sender says it.

use std::collections::BTreeMap;

use crate::ids::{Incarnation, MemberId, RequestId};
use crate::rules::{Kept, Rule};

/// Per member, the last incarnation of which a request was sequenced, and the last local_seq of it. Once a request of a
/// later incarnation is sequenced, none of an earlier one may be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Sequenced {
    last: Vec<Option<(Incarnation, u64)>>,
    kept: Kept,
}

impl Sequenced {
    pub(crate) fn new(members: u16, kept: Kept, base: &BTreeMap<(MemberId, Incarnation), u64>) -> Self {
        let mut sequenced = Sequenced { last: vec![None; usize::from(members)], kept };
        // Ascending, so that the latest incarnation stays.
        for (&(member, incarnation), &local_seq) in base {
            if let Some(last) = sequenced.last.get_mut(usize::from(member.0)) {
                *last = Some((incarnation, local_seq));
            }
        }
        sequenced
    }

    /// The local_seq that this incarnation of the member must have next; none if it is superseded.
    pub(crate) fn next(&self, member: MemberId, incarnation: Incarnation) -> Option<u64> {
        match self.last.get(usize::from(member.0))? {
            Some((last, local_seq)) if *last == incarnation => Some(local_seq + 1),
            Some((last, _)) if *last > incarnation && self.kept.keeps(Rule::SupersededNeverSequenced) => None,
            _ => Some(1),
        }
    }

    /// Takes the request as sequenced if it is the next of its sender; false if it is not.
    #[must_use]
    pub(crate) fn take(&mut self, id: RequestId) -> bool {
        let Some(next) = self.next(id.sender, id.incarnation) else { return false };
        let leaves_gap = id.local_seq > next && self.kept.keeps(Rule::InTheSendersOrder);
        if id.local_seq < next || leaves_gap {
            return false;
        }
        self.last[usize::from(id.sender.0)] = Some((id.incarnation, id.local_seq));
        true
    }

    /// The last incarnation of which a request was sequenced.
    pub(crate) fn incarnation(&self, member: MemberId) -> Option<Incarnation> {
        self.last.get(usize::from(member.0)).copied().flatten().map(|last| last.0)
    }

    pub(crate) fn to_map(&self) -> BTreeMap<(MemberId, Incarnation), u64> {
        let members = (0u16..).map(MemberId).zip(&self.last);
        members
            .filter_map(|(member, last)| last.map(|(incarnation, seq)| ((member, incarnation), seq)))
            .collect()
    }
}
