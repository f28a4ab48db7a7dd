//! Disks that are lost as a whole: the member goes on with an empty one, or with one that it had before.

use agora_broadcast::{DiskId, ListChange, MemberId, Slot};

use super::World;
use super::disk::Disk;
use super::marketplace::Replica;

impl World {
    /// A member loses its disk, and with it all that it ever stored. It starts again with an empty one.
    pub fn lose_disk(&mut self, id: MemberId) {
        self.disks += 1;
        self.change_disk(id, Disk::empty(DiskId(self.disks)), Replica::default());
        self.trace.note(self.now, || format!("{id} loses its disk, and starts with an empty one"));
        self.start(id);
    }

    /// The disk that a member lost last turns up again, and it starts from that; the one that it had meanwhile is gone.
    pub fn return_disk(&mut self, id: MemberId) {
        let node = self.node_mut(id);
        if let (Some(disk), Some(replica)) = (node.lost.pop(), node.lost_replicas.pop()) {
            self.change_disk(id, disk, replica);
            self.trace.note(self.now, || format!("{id} has the disk again that it had before"));
            self.restart(id);
        }
    }

    fn change_disk(&mut self, id: MemberId, disk: Disk, replica: Replica) {
        let applied = self.node(id).disk.applied;
        if self.is_up(id) {
            self.crash_keeping(id, 0, applied);
        }
        let node = self.node_mut(id);
        let lost = std::mem::replace(&mut node.disk, disk);
        node.lost.push(lost);
        let lost = std::mem::replace(&mut node.replica, replica);
        node.lost_replicas.push(lost);
    }

    /// Whether a member's disk has a seat, as far as the delivered slots say.
    pub fn has_seat(&self, id: MemberId) -> bool {
        self.checker.names(id, self.node(id).disk.durable.disk)
    }

    /// Whether some log takes a member's disk out of its seat by a slot that is not delivered yet, and so may or may not last.
    fn loses_seat(&self, id: MemberId) -> bool {
        let (disk, delivered) = (self.node(id).disk.durable.disk, self.checker.last_delivered());
        let removal = ListChange::Remove { member: id, disk };
        self.nodes.iter().any(|node| match &node.member {
            Some(member) => {
                let members = member.status().members;
                members.changed > delivered && !members.names(id, disk)
            }
            None => node
                .disk
                .durable
                .entries
                .iter()
                .any(|entry| entry.sequence.slot > delivered && entry.sequence.change == Some(removal)),
        })
    }

    /// A majority of disks is never lost at once; and while nothing is delivered, only a minority ever loses any.
    pub fn may_lose_disk(&self, who: MemberId) -> bool {
        self.leaves_majority(&[who])
    }

    /// Whether the others can go on while these members are down: not before all have founded a group.
    pub fn may_be_absent(&self, absent: &[MemberId]) -> bool {
        self.checker.last_delivered() > Slot(0) && self.leaves_majority(absent)
    }

    fn leaves_majority(&self, without: &[MemberId]) -> bool {
        let members = self.nodes.len();
        let is_without = |id: &MemberId| match self.checker.last_delivered() {
            Slot(0) => !self.node(*id).lost.is_empty(),
            _ => !self.has_seat(*id) || self.loses_seat(*id),
        };
        let lost = self.members().filter(|id| without.contains(id) || is_without(id)).count();
        members - lost > members / 2
    }

    /// A disk turns up again only in the group that it was lost from.
    pub fn may_return_disk(&self, who: MemberId) -> bool {
        let group = self.checker.members.as_ref().map(|members| members.group);
        let last = self.node(who).lost.last();
        let is_of_group = last.is_some_and(|disk| Some(disk.durable.base.members.group) == group);
        let may_go = !self.has_seat(who) || self.may_lose_disk(who);
        self.checker.last_delivered() > Slot(0) && is_of_group && may_go
    }
}
