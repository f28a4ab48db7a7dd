//! Who the members are, and how they introduce themselves when they open a link.
//!
//! A link from another cluster, or from a member that takes this node for another one, is refused: a wrong address in a cluster
//! file must not let two groups mix.

use std::net::SocketAddr;

use agora_broadcast::MemberId;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Request, Status};

const CLUSTER: &str = "agora-cluster-bin";
const FROM: &str = "agora-from-bin";
const TO: &str = "agora-to-bin";

/// A member.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) id: MemberId,
    pub(super) name: String,
    pub(super) address: SocketAddr,
}

/// All members of a group, and which of them this one is.
#[derive(Clone, Debug)]
pub(super) struct Peers {
    pub(super) cluster: String,
    pub(super) me: usize,
    pub(super) all: Vec<Peer>,
}

impl Peers {
    /// What this member says of itself when it opens a link to a peer.
    pub(super) fn introduction(&self, to: &Peer) -> Request<()> {
        let mut request = Request::new(());
        let metadata = request.metadata_mut();
        let from = self.all.get(self.me).map_or("", |me| &me.name);
        for (key, value) in [(CLUSTER, self.cluster.as_str()), (FROM, from), (TO, &to.name)] {
            metadata.insert_bin(key, MetadataValue::from_bytes(value.as_bytes()));
        }
        request
    }

    /// Who has introduced itself.
    #[allow(clippy::result_large_err, reason = "tonic's own error type")]
    pub(super) fn recognize(&self, metadata: &MetadataMap) -> Result<&Peer, Status> {
        let said = |key| {
            let value = metadata.get_bin(key).and_then(|value| value.to_bytes().ok());
            String::from_utf8(value.unwrap_or_default().to_vec()).unwrap_or_default()
        };
        let (cluster, from, to) = (said(CLUSTER), said(FROM), said(TO));
        let me = self.all.get(self.me).map_or("", |me| &me.name);
        if cluster != self.cluster {
            let mine = &self.cluster;
            return Err(Status::failed_precondition(format!(
                "this node belongs to cluster {mine:?}, not to {cluster:?}"
            )));
        }
        if to != me {
            return Err(Status::failed_precondition(format!("this is node {me:?}, not {to:?}")));
        }
        let peer = self.all.iter().find(|peer| peer.name == from && peer.name != me);
        peer.ok_or_else(|| Status::failed_precondition(format!("{from:?} is no other member of this group")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peers(cluster: &str, me: usize) -> Peers {
        let peer = |n: u16| Peer {
            id: MemberId(n),
            name: format!("customer-{}", n + 1),
            address: SocketAddr::from(([127, 0, 0, 1], n)),
        };
        Peers { cluster: cluster.into(), me, all: (0..3).map(peer).collect() }
    }

    #[test]
    fn members_of_one_group_recognize_each_other() {
        let (one, two) = (peers("agora ἀγορά", 0), peers("agora ἀγορά", 1));
        let introduction = one.introduction(&one.all[1]);
        assert_eq!(two.recognize(introduction.metadata()).unwrap().id, MemberId(0));
    }

    #[test]
    fn others_are_refused_with_the_reason() {
        let me = peers("agora", 1);
        let refused = |introduction: Request<()>| {
            me.recognize(introduction.metadata()).unwrap_err().message().to_owned()
        };
        let other = peers("other", 0);
        assert!(refused(other.introduction(&other.all[1])).contains("cluster \"agora\", not to \"other\""));
        let misled = peers("agora", 0);
        assert!(refused(misled.introduction(&misled.all[2])).contains("this is node \"customer-2\""));
        let myself = peers("agora", 1);
        assert!(refused(myself.introduction(&myself.all[1])).contains("no other member"));
        assert!(refused(Request::new(())).contains("not to \"\""));
    }
}
