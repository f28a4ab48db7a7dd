//! Whatever a member says arrives as it was said; whatever else arrives is refused or well-formed, and harms nobody.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message as _;

use super::*;

fn any_epoch() -> impl Strategy<Value = Epoch> {
    (0..MOST, any::<u16>()).prop_map(|(counter, member)| Epoch { counter, coordinator: MemberId(member) })
}

fn any_id() -> impl Strategy<Value = RequestId> {
    (any::<u16>(), 0..MOST, 0..MOST).prop_map(|(sender, incarnation, local_seq)| RequestId {
        sender: MemberId(sender),
        incarnation: Incarnation(incarnation),
        local_seq,
    })
}

fn any_request() -> impl Strategy<Value = Arc<Request>> {
    let commands = vec(vec(any::<u8>(), 0..8).prop_map(Bytes::from), 0..4);
    (any_id(), commands).prop_map(|(id, commands)| Arc::new(Request { id, commands }))
}

fn any_disk() -> impl Strategy<Value = DiskId> {
    any::<u128>().prop_map(DiskId)
}

fn any_change() -> impl Strategy<Value = ListChange> {
    (any::<u16>(), any_disk(), any::<bool>()).prop_map(|(member, disk, adds)| {
        match (MemberId(member), adds) {
            (member, true) => ListChange::Add { member, disk },
            (member, false) => ListChange::Remove { member, disk },
        }
    })
}

fn any_members() -> impl Strategy<Value = Arc<MemberList>> {
    let seat = (proptest::option::of(any_disk()), any::<u32>());
    let seat = seat.prop_map(|(disk, generation)| Seat { disk, generation });
    (any_disk(), vec(seat, 0..6), 0..MOST)
        .prop_map(|(group, seats, changed)| Arc::new(MemberList { group, seats, changed: Slot(changed) }))
}

/// Ids in runs and out of them.
fn any_sequence() -> impl Strategy<Value = Sequence> {
    let run = (any_id(), 1..5u64).prop_map(|(first, count)| {
        (0..count)
            .map(move |offset| RequestId { local_seq: (first.local_seq + offset) % MOST, ..first })
            .collect::<Vec<_>>()
    });
    let change = proptest::option::of(any_change());
    (any_epoch(), 0..MOST, vec(run, 0..5), 0..MOST, change).prop_map(
        |(epoch, slot, runs, time_ms, change)| Sequence {
            change,
            epoch,
            slot: Slot(slot),
            requests: runs.concat(),
            time_ms,
        },
    )
}

fn any_entry() -> impl Strategy<Value = Entry> {
    (any_sequence(), vec(any_request(), 0..4)).prop_map(|(sequence, bodies)| {
        let requests = bodies.iter().map(|body| body.id).collect();
        Entry { sequence: Sequence { requests, ..sequence }, bodies }
    })
}

fn any_history() -> impl Strategy<Value = History> {
    let steps = vec((1..1000u64, any::<u16>(), 1..1000u64), 0..5);
    (any_epoch(), 0..MOST / 2, steps).prop_map(|(base, base_slot, steps)| {
        let (mut counter, mut slot) = (base.counter / 2, base_slot);
        let base = (Epoch { counter, ..base }, Slot(base_slot));
        let runs = steps.into_iter().map(|(epochs, coordinator, slots)| {
            (counter, slot) = (counter + epochs, slot + slots);
            (Epoch { counter, coordinator: MemberId(coordinator) }, Slot(slot))
        });
        History::new(base, runs.collect()).unwrap()
    })
}

fn any_health() -> impl Strategy<Value = Health> {
    prop_oneof![Just(Health::Healthy), Just(Health::SlowDisk), Just(Health::SkewedClock)]
}

fn any_reason() -> impl Strategy<Value = Reason> {
    let member = || any::<u16>().prop_map(MemberId);
    prop_oneof![
        (member(), 0..MOST)
            .prop_map(|(member, it)| Reason::IncarnationGone { member, incarnation: Incarnation(it) }),
        member().prop_map(|member| Reason::DiskLost { member }),
        member().prop_map(|member| Reason::Silent { member }),
        (member(), 0..MOST).prop_map(|(member, slot)| Reason::HoldsUpSlot { member, slot: Slot(slot) }),
        member().prop_map(|member| Reason::Unhealthy { member }),
        any_epoch().prop_map(|promised| Reason::NeverBegan { promised }),
        Just(Reason::WantsIn),
    ]
}

fn any_roster() -> impl Strategy<Value = Vec<RosterEntry>> {
    let seat = (any::<u16>(), 0..MOST).prop_map(|(member, incarnation)| RosterEntry {
        member: MemberId(member),
        incarnation: Incarnation(incarnation),
    });
    vec(seat, 0..6)
}

fn any_body() -> impl Strategy<Value = Body> {
    let slot = || (0..MOST).prop_map(Slot);
    let incarnation = || (0..MOST).prop_map(Incarnation);
    let data =
        prop_oneof![
            Just(Body::Ack),
            (0..MOST, any_health()).prop_map(|(wall_ms, health)| Body::Heartbeat { wall_ms, health }),
            vec(any_request(), 0..4).prop_map(Body::Requests),
            (any_sequence(), vec(any_request(), 0..4))
                .prop_map(|(sequence, requests)| Body::Sequence { sequence: Arc::new(sequence), requests }),
            (incarnation(), 0..MOST, 0..MOST).prop_map(|(incarnation, from, upto)| Body::AskRequests {
                incarnation,
                from,
                upto
            }),
            (any_epoch(), slot(), slot()).prop_map(|(history, from, upto)| Body::AskEntries {
                history,
                from,
                upto
            }),
            (any_epoch(), slot(), vec(any_entry(), 0..3))
                .prop_map(|(history, base, entries)| Body::Entries { history, base, entries }),
            (0..MOST).prop_map(|round| Body::ReadQuery { round }),
            (incarnation(), 0..MOST, slot()).prop_map(|(reader, round, slot)| Body::ReadAnswer {
                reader,
                round,
                slot
            }),
        ];
    let opinion = prop_oneof![Just(Opinion::Agree), Just(Opinion::Disagree)];
    let change = prop_oneof![
        (0..MOST, any_reason(), slot()).prop_map(|(question, reason, last)| Body::AskChange {
            question,
            reason,
            last
        }),
        (incarnation(), 0..MOST, opinion).prop_map(|(asker, question, opinion)| Body::AnswerChange {
            asker,
            question,
            opinion
        }),
        any_epoch().prop_map(|epoch| Body::Prepare { epoch }),
        (any_epoch(), any_epoch(), any_history(), any_members(), any_health()).prop_map(
            |(epoch, accepted, history, members, health)| Body::Promise {
                epoch,
                accepted,
                history,
                members,
                health
            }
        ),
        (any_epoch(), any_roster(), any_history(), any_members(), prop::option::of(any_reason())).prop_map(
            |(epoch, roster, history, members, why)| Body::StartEpoch {
                epoch,
                roster,
                history,
                members,
                why
            }
        ),
        Just(Body::AskEmpty),
        any_disk().prop_map(|founder| Body::Empty { founder }),
        Just(Body::AskEpoch),
    ];
    prop_oneof![data, change]
}

fn any_message() -> impl Strategy<Value = Message> {
    let envelope = (0..MOST, any_epoch(), any_epoch(), 0..MOST, 0..MOST);
    let disks = (any_disk(), any_disk());
    (disks, envelope, any_body()).prop_map(
        |((group, disk), (incarnation, epoch, promised, acknowledged, sent), body)| Message {
            envelope: Envelope {
                group,
                disk,
                incarnation: Incarnation(incarnation),
                epoch,
                promised,
                acknowledged: Slot(acknowledged),
                sent,
            },
            body,
        },
    )
}

/// Members of earlier versions give no reason, and those of later ones may have reasons that this one does not know.
#[test]
fn an_epoch_begins_also_if_its_reason_is_not_given_or_not_known() {
    let epoch = Epoch { counter: 3, coordinator: MemberId(1) };
    let start = |why| Message {
        envelope: Envelope {
            group: DiskId(1),
            disk: DiskId(2),
            incarnation: Incarnation(1),
            epoch,
            promised: epoch,
            acknowledged: Slot(0),
            sent: 0,
        },
        body: Body::StartEpoch {
            epoch,
            roster: Vec::new(),
            history: History::empty(epoch, Slot(0)),
            members: Arc::new(MemberList::founded(DiskId(1), &[DiskId(1), DiskId(2)])),
            why,
        },
    };
    for unknown in [None, Some(pb::AskChange::default())] {
        let mut frame = encode(&start(Some(Reason::WantsIn)));
        let Some(pb::frame::Body::StartEpoch(said)) = &mut frame.body else { panic!("{frame:?}") };
        assert!(said.why.is_some());
        said.why = unknown;
        assert_eq!(decode(frame), Ok(start(None)));
    }
}

proptest! {
    #[test]
    fn what_is_said_arrives(message in any_message()) {
        let bytes = encode(&message).encode_to_vec();
        let frame = pb::Frame::decode(Bytes::from(bytes)).unwrap();
        prop_assert_eq!(decode(frame), Ok(message));
    }

    #[test]
    fn arbitrary_bytes_are_refused_or_well_formed(bytes in vec(any::<u8>(), 0..200)) {
        if let Ok(frame) = pb::Frame::decode(Bytes::from(bytes))
            && let Ok(message) = decode(frame)
        {
            prop_assert_eq!(decode(encode(&message)), Ok(message));
        }
    }

    #[test]
    fn a_frame_with_a_flipped_or_missing_byte_is_refused_or_well_formed(
        message in any_message(), at in any::<prop::sample::Index>(), flip in any::<u8>(), cut in any::<bool>(),
    ) {
        let mut bytes = encode(&message).encode_to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if cut {
            bytes.truncate(at);
        }
        if let Ok(frame) = pb::Frame::decode(Bytes::from(bytes))
            && let Ok(message) = decode(frame)
        {
            prop_assert_eq!(decode(encode(&message)), Ok(message));
        }
    }
}

#[test]
fn a_sequence_that_claims_to_list_billions_of_requests_is_refused() {
    let run = pb::RequestRun { sender: 1, incarnation: 1, first_local_seq: 1, count: u32::MAX };
    let epoch = Some(pb::Epoch { counter: 1, coordinator: 0 });
    let sequence = pb::Sequence { epoch, slot: 1, requests: vec![run; 3], time_ms: 0, change: None };
    assert_eq!(super::sequence(sequence), Err(Malformed::OutOfRange("a sequence's length")));
}
