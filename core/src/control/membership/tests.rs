//! Claims about who may say what, and about the order in which it comes.

use proptest::prelude::*;

use super::super::{
    ControlChain, Cut, DeviceState, Discarded, Pin, QuarantineReason, SpaceKind, SpaceOrganisation,
    admit_device, adopt, discard, erase, found_organisation, found_space, revoke_device,
};
use super::*;
use crate::batch::{Lane, SealSpec, seal};
use crate::clock::Timestamp;
use crate::id::{Incarnation, RecordId};
use crate::identity::Identity;

/// One organisation with its space, as a relay founds them.
struct Founded {
    root: Identity,
    space: SpaceId,
    organisation: OrganisationId,
    genesis: Vec<u8>,
    about_organisation: Vec<u8>,
}

fn found() -> Founded {
    let root = Identity::from_seed([1; 32]);
    let (organisation, about_organisation) =
        found_organisation("border_guard", "حرس الحدود", "Border guard", root.device(), [2; 16]).unwrap();
    let named = [SpaceOrganisation { id: organisation, key: root.device() }];
    let (space, genesis) =
        found_space(SpaceKind::Organisation, "حرس الحدود", "Border guard", &[root.device()], &named, [3; 16])
            .unwrap();
    Founded { root, space, organisation, genesis, about_organisation }
}

fn device(byte: u8) -> Identity {
    Identity::from_seed([byte; 32])
}

fn admit(organisation: OrganisationId, byte: u8, version: u64, label: &str) -> Vec<u8> {
    admit_device(device(byte).device(), version, organisation, label, "patrol").unwrap()
}

fn batch_id(byte: u8) -> BatchId {
    BatchId::from_bytes([byte; 32])
}

fn entries_batch(key: &Identity, space: SpaceId) -> SealedBatch {
    let spec = SealSpec {
        key,
        incarnation: Incarnation::from_bytes([2; 8]),
        space,
        lane: Lane::Normal,
        seq: 1,
        prev: batch_id(0),
        control_head: batch_id(0),
        kind: BatchKind::Entries,
        claimed_time: Timestamp::from_millis(0),
        seed: [5; 16],
    };
    let change = crate::batch::ChangeEntry {
        record: RecordId::from_bytes([1; 16]),
        kind: "event".to_owned(),
        continues: false,
        change: vec![1],
    };
    seal(spec, &[Entry::Change(change)]).unwrap()
}

fn control_batch(key: &Identity, space: SpaceId, statements: &[Vec<u8>]) -> (SealedBatch, Body) {
    let mut chain = ControlChain::new(key, Incarnation::from_bytes([9; 8]), space);
    let batch = chain.seal(statements, Timestamp::from_millis(0), [6; 16]).unwrap();
    let body = batch.open().unwrap();
    (batch, body)
}

#[test]
fn a_founding_batch_makes_its_signer_known_and_admits_devices() {
    let founded = found();
    let mut membership = Membership::new(founded.space);
    let work = entries_batch(&device(7), founded.space);
    assert_eq!(membership.verdict(work.header(), work.id()), Verdict::RetryLater(RetryReason::UnknownSpace));

    let admission = admit(founded.organisation, 7, 1, "phone");
    let statements = [founded.genesis.clone(), founded.about_organisation.clone(), admission];
    let (batch, body) = control_batch(&founded.root, founded.space, &statements);
    assert_eq!(membership.apply_batch(&batch, &body), Verdict::Accepted);
    assert_eq!(membership.apply_batch(&batch, &body), Verdict::Accepted);

    assert_eq!(membership.verdict(work.header(), work.id()), Verdict::Accepted);
    assert_eq!(membership.organisation(founded.organisation).unwrap().name_ar, "حرس الحدود");
    assert_eq!(membership.devices().count(), 1);
    assert_eq!(membership.control_head(), Some(batch.id()));
    let stranger = entries_batch(&device(8), founded.space);
    assert_eq!(
        membership.verdict(stranger.header(), stranger.id()),
        Verdict::RetryLater(RetryReason::UnknownDevice)
    );
    let elsewhere = entries_batch(&device(7), SpaceId::from_bytes([0; 32]));
    assert_eq!(
        membership.verdict(elsewhere.header(), elsewhere.id()),
        Verdict::Refused(RefuseReason::Misplaced)
    );
}

#[test]
fn a_genesis_that_its_administrator_did_not_sign_founds_nothing() {
    let founded = found();
    let mut membership = Membership::new(founded.space);
    let statements = [founded.genesis.clone(), admit(founded.organisation, 7, 1, "phone")];
    let (batch, body) = control_batch(&device(66), founded.space, &statements);
    assert_eq!(membership.apply_batch(&batch, &body), Verdict::RetryLater(RetryReason::UnknownSpace));
    assert!(membership.space().is_none() && membership.waiting.is_empty());
}

#[test]
fn a_member_that_is_no_administrator_may_not_write_control_batches() {
    let founded = found();
    let mut membership = Membership::new(founded.space);
    let statements = [founded.genesis.clone(), admit(founded.organisation, 7, 1, "phone")];
    let (batch, body) = control_batch(&founded.root, founded.space, &statements);
    membership.apply_batch(&batch, &body);
    let (batch, body) =
        control_batch(&device(7), founded.space, &[admit(founded.organisation, 8, 1, "friend")]);
    assert_eq!(membership.apply_batch(&batch, &body), Verdict::RetryLater(RetryReason::UnknownDevice));
    // Even where its statement is kept aside, it admits nobody.
    membership.apply(device(7).device(), batch_id(5), &admit(founded.organisation, 8, 1, "friend")).unwrap();
    assert!(membership.device(device(8).device()).is_none());
}

#[test]
fn one_organisation_does_not_speak_for_another() {
    let (root_a, root_b) = (device(1), device(2));
    let (a, about_a) = found_organisation("police", "أ", "A", root_a.device(), [1; 16]).unwrap();
    let (b, about_b) = found_organisation("health", "ب", "B", root_b.device(), [1; 16]).unwrap();
    let named = [
        SpaceOrganisation { id: a, key: root_a.device() },
        SpaceOrganisation { id: b, key: root_b.device() },
    ];
    let administrator = device(3);
    let (space, genesis) =
        found_space(SpaceKind::Joint, "م", "J", &[administrator.device()], &named, [1; 16]).unwrap();
    let mut membership = Membership::new(space);
    for (signer, batch, statement) in [
        (&administrator, 1, &genesis),
        (&root_a, 2, &about_a),
        (&root_a, 3, &about_b),            // not its own
        (&root_a, 4, &admit(a, 7, 1, "")), // its own device
        (&root_a, 5, &admit(b, 8, 1, "")), // a device of the other
        (&administrator, 6, &admit(b, 9, 1, "")),
    ] {
        membership.apply(signer.device(), batch_id(batch), statement).unwrap();
    }
    assert!(membership.organisation(a).is_some() && membership.organisation(b).is_none());
    let admitted: Vec<_> = membership.devices().map(|statement| statement.device).collect();
    assert_eq!(admitted, [device(7).device()]);
}

#[test]
fn a_device_in_a_state_from_tomorrow_takes_no_part() {
    let founded = found();
    let mut membership = Membership::new(founded.space);
    membership.apply(founded.root.device(), batch_id(1), &founded.genesis).unwrap();
    let statement = Statement::Device(DeviceStatement {
        device: device(7).device(),
        version: 1,
        organisation: founded.organisation,
        label: "phone".to_owned(),
        role: "patrol".to_owned(),
        state: DeviceState::Other("suspended".to_owned()),
    });
    membership.apply(founded.root.device(), batch_id(2), &statement.to_bytes().unwrap()).unwrap();
    let work = entries_batch(&device(7), founded.space);
    assert_eq!(membership.verdict(work.header(), work.id()), Verdict::RetryLater(RetryReason::UnknownDevice));
}

/// `{"type": "lockdown", "version": 1, "critical": …}`
fn unknown_statement(critical: bool) -> Vec<u8> {
    let fields = [
        ("type", crate::model::Value::from("lockdown")),
        ("version", crate::model::Value::from(1)),
        ("critical", crate::model::Value::from(critical)),
    ];
    crate::model::value::fields_to_cbor(&fields.map(|(name, value)| (name.to_owned(), value)).into())
}

#[test]
fn an_unknown_critical_statement_of_an_administrator_closes_the_space() {
    let founded = found();
    let work = entries_batch(&device(7), founded.space);
    for (signer, critical, expected) in [
        (&founded.root, true, Verdict::RetryLater(RetryReason::UnknownControl)),
        (&founded.root, false, Verdict::Accepted),
        (&device(66), true, Verdict::Accepted),
    ] {
        let mut membership = Membership::new(founded.space);
        for statement in [&founded.genesis, &admit(founded.organisation, 7, 1, "phone")] {
            membership.apply(founded.root.device(), batch_id(1), statement).unwrap();
        }
        membership.apply(signer.device(), batch_id(2), &unknown_statement(critical)).unwrap();
        assert_eq!(membership.verdict(work.header(), work.id()), expected);
    }
}

#[test]
fn what_waits_is_bounded() {
    let founded = found();
    let mut membership = Membership::new(founded.space);
    for version in 1..=CONTROL_WAITING_MAX as u64 {
        let statement = admit(founded.organisation, 7, version, "");
        membership.apply(founded.root.device(), batch_id(1), &statement).unwrap();
    }
    let one_more = admit(founded.organisation, 8, 1, "");
    assert_eq!(
        membership.apply(founded.root.device(), batch_id(1), &one_more),
        Err(ControlError::TooManyWaiting)
    );
    // The genesis is never kept waiting, so the space still opens, and then there is room again.
    membership.apply(founded.root.device(), batch_id(1), &founded.genesis).unwrap();
    membership.apply(founded.root.device(), batch_id(1), &one_more).unwrap();
    assert_eq!(membership.devices().count(), 2);
}

fn cut(lane: Lane, seq: u64, batch: u8) -> Cut {
    Cut { incarnation: Incarnation::from_bytes([2; 8]), lane, seq, batch: batch_id(batch) }
}

fn pin(seq: u64, batch: u8) -> Pin {
    Pin { seq, batch: batch_id(batch) }
}

/// A space whose organisation has admitted the device 7.
fn founded_with_a_phone() -> (Founded, Membership, DeviceId) {
    let founded = found();
    let mut membership = Membership::new(founded.space);
    for statement in [&founded.genesis, &admit(founded.organisation, 7, 1, "phone")] {
        membership.apply(founded.root.device(), batch_id(1), statement).unwrap();
    }
    (founded, membership, device(7).device())
}

#[test]
fn a_revoke_ends_trust_at_its_cut_and_an_adopt_extends_it() {
    let (founded, mut membership, phone) = founded_with_a_phone();
    let work = entries_batch(&device(7), founded.space);
    let chain =
        |membership: &Membership, lane| membership.bound(phone, Incarnation::from_bytes([2; 8]), lane);
    let verdict = |membership: &Membership| membership.verdict(work.header(), work.id());
    assert!(!membership.is_revoked(phone) && chain(&membership, Lane::Normal).is_unbounded());

    let at_work = Cut { batch: work.id(), ..cut(Lane::Normal, 1, 0) };
    let say = |membership: &mut Membership, batch, statements: Vec<Vec<u8>>| {
        for statement in statements {
            membership.apply(founded.root.device(), batch_id(batch), &statement).unwrap();
        }
    };
    say(&mut membership, 2, revoke_device(phone, "seized", vec![at_work]).unwrap());
    assert!(membership.is_revoked(phone) && !membership.is_revoked(device(8).device()));
    assert_eq!(verdict(&membership), Verdict::Accepted);
    assert_eq!(chain(&membership, Lane::Normal), Bound::new(Pin { seq: 1, batch: work.id() }, []));
    // A chain that is not named, of whatever database file, has nothing that stands.
    assert_eq!(chain(&membership, Lane::Urgent).seq(), 0);

    // A lower cut wins, and where another batch is at the cut, it does not stand.
    say(&mut membership, 3, revoke_device(phone, "seized earlier", Vec::new()).unwrap());
    assert_eq!(verdict(&membership), Verdict::Quarantined(QuarantineReason::Revoked));
    let mut other = founded_with_a_phone().1;
    say(&mut other, 2, revoke_device(phone, "seized", vec![cut(Lane::Normal, 1, 9)]).unwrap());
    assert_eq!(verdict(&other), Verdict::Quarantined(QuarantineReason::Fork));

    say(
        &mut membership,
        4,
        discard(
            phone,
            vec![Discarded { incarnation: Incarnation::from_bytes([2; 8]), lane: Lane::Normal, seq: 3 }],
        )
        .unwrap(),
    );
    assert_eq!(membership.discarded(phone, Incarnation::from_bytes([2; 8]), Lane::Normal), 3);
    say(&mut membership, 5, adopt(phone, vec![at_work]).unwrap());
    assert_eq!(verdict(&membership), Verdict::Accepted);
}

#[test]
fn only_administrators_and_whoever_admitted_a_device_decide_on_it() {
    let (root_a, root_b, administrator) = (device(1), device(2), device(3));
    let (a, _) = found_organisation("police", "أ", "A", root_a.device(), [1; 16]).unwrap();
    let (b, _) = found_organisation("health", "ب", "B", root_b.device(), [1; 16]).unwrap();
    let named = [
        SpaceOrganisation { id: a, key: root_a.device() },
        SpaceOrganisation { id: b, key: root_b.device() },
    ];
    let (space, genesis) =
        found_space(SpaceKind::Joint, "م", "J", &[administrator.device()], &named, [1; 16]).unwrap();
    let phone = device(7).device();
    let decided = |signer: &Identity| {
        let mut membership = Membership::new(space);
        membership.apply(administrator.device(), batch_id(1), &genesis).unwrap();
        membership.apply(root_a.device(), batch_id(2), &admit(a, 7, 1, "phone")).unwrap();
        let record = RecordId::from_bytes([4; 16]);
        let chain = Discarded { incarnation: Incarnation::from_bytes([2; 8]), lane: Lane::Normal, seq: 5 };
        for statement in [
            revoke_device(phone, "lost", vec![cut(Lane::Normal, 2, 2)]).unwrap().remove(0),
            adopt(phone, vec![cut(Lane::Normal, 4, 4)]).unwrap().remove(0),
            discard(phone, vec![chain]).unwrap().remove(0),
            erase("event", record).unwrap(),
        ] {
            membership.apply(signer.device(), batch_id(3), &statement).unwrap();
        }
        (
            membership.is_revoked(phone),
            membership.bound(phone, chain.incarnation, chain.lane).seq(),
            membership.discarded(phone, chain.incarnation, chain.lane),
            membership.is_erased("event", record),
            membership.has_erasures(),
        )
    };
    assert_eq!(decided(&administrator), (true, 4, 5, true, true));
    assert_eq!(decided(&root_a), (true, 4, 5, true, true));
    assert_eq!(decided(&root_b), (false, u64::MAX, 0, true, true));
    for stranger in [7, 66] {
        assert_eq!(decided(&device(stranger)), (false, u64::MAX, 0, false, false));
    }
}

#[test]
fn a_record_is_erased_under_its_kind_alone() {
    let (founded, mut membership, _) = founded_with_a_phone();
    let record = RecordId::from_bytes([4; 16]);
    for kind in ["event", "track"] {
        let statement = erase(kind, record).unwrap();
        membership.apply(founded.root.device(), batch_id(2), &statement).unwrap();
    }
    assert!(membership.is_erased("event", record) && !membership.is_erased("patrol", record));
    assert!(!membership.is_erased("event", RecordId::from_bytes([5; 16])));
    assert_eq!(membership.erasures().collect::<Vec<_>>(), [("event", record), ("track", record)]);
}

#[test]
fn no_revoke_reaches_a_key_that_signs_statements() {
    let (founded, mut membership, _) = founded_with_a_phone();
    let root = founded.root.device();
    membership.apply(root, batch_id(2), &revoke_device(root, "", Vec::new()).unwrap()[0]).unwrap();
    assert!(!membership.is_revoked(root));
    let (batch, body) =
        control_batch(&founded.root, founded.space, &[admit(founded.organisation, 8, 1, "another")]);
    assert_eq!(membership.apply_batch(&batch, &body), Verdict::Accepted);
}

#[test]
fn a_revoke_of_more_chains_than_a_statement_names_is_one_in_one_batch() {
    let (founded, mut membership, phone) = founded_with_a_phone();
    let incarnation = |number: usize| Incarnation::from_bytes((number as u64).to_be_bytes());
    let cuts: Vec<_> = (0..crate::limits::REVOKE_CHAINS_MAX)
        .map(|number| Cut { incarnation: incarnation(number), ..cut(Lane::Normal, 3, 3) })
        .collect();
    let one_more = [cuts.clone(), vec![cut(Lane::Bulk, 1, 1)]].concat();
    assert_eq!(revoke_device(phone, "", one_more), Err(StatementError::Key("cut")));
    let reason = "x".repeat(crate::limits::REASON_LEN_MAX);
    let statements = revoke_device(phone, &reason, cuts.clone()).unwrap();
    assert_eq!(statements.len(), 15);
    let (batch, body) = control_batch(&founded.root, founded.space, &statements);
    assert_eq!(membership.apply_batch(&batch, &body), Verdict::Accepted);
    for cut in &cuts {
        assert_eq!(membership.bound(phone, cut.incarnation, cut.lane).seq(), 3);
    }
    assert_eq!(membership.bound(phone, incarnation(cuts.len()), Lane::Normal).seq(), 0);
}

/// A space with a second administrator by its second version, who renames and admits.
fn statements() -> Vec<(DeviceId, BatchId, Vec<u8>)> {
    let founded = found();
    let second = device(40);
    let renamed = |administrator: DeviceId, version, name: &str| {
        Statement::Space(SpaceStatement {
            id: founded.space,
            version,
            kind: SpaceKind::Joint,
            name_ar: name.to_owned(),
            name_en: name.to_owned(),
            administrators: vec![administrator],
            organisations: vec![SpaceOrganisation { id: founded.organisation, key: device(41).device() }],
            nonce: None,
        })
        .to_bytes()
        .unwrap()
    };
    let phone = device(7).device();
    let revoke = |cuts: &[Cut]| revoke_device(phone, "lost", cuts.to_vec()).unwrap().remove(0);
    let adopted = |seq| adopt(phone, vec![cut(Lane::Normal, seq, 0xad)]).unwrap().remove(0);
    let discarded = |seq| {
        let chain = Discarded { incarnation: Incarnation::from_bytes([2; 8]), lane: Lane::Bulk, seq };
        discard(phone, vec![chain]).unwrap().remove(0)
    };
    let erased = |byte| erase("event", RecordId::from_bytes([byte; 16])).unwrap();
    let root = founded.root.device();
    vec![
        (root, batch_id(1), founded.genesis.clone()),
        (root, batch_id(1), founded.about_organisation.clone()),
        (root, batch_id(2), renamed(second.device(), 2, "two")),
        (second.device(), batch_id(3), renamed(root, 3, "three")),
        (second.device(), batch_id(4), renamed(root, 3, "three again")),
        (root, batch_id(5), admit(founded.organisation, 7, 1, "old")),
        (device(41).device(), batch_id(6), admit(founded.organisation, 7, 2, "new")),
        (root, batch_id(7), admit(founded.organisation, 7, 2, "newer by a larger batch id")),
        (device(41).device(), batch_id(8), revoke(&[cut(Lane::Normal, 5, 0x55), cut(Lane::Bulk, 9, 0x99)])),
        (second.device(), batch_id(10), revoke(&[cut(Lane::Normal, 3, 0x33)])),
        (second.device(), batch_id(10), revoke(&[cut(Lane::Bulk, 4, 0x44), cut(Lane::Normal, 8, 0x88)])),
        (root, batch_id(11), adopted(6)),
        (device(41).device(), batch_id(12), adopted(4)),
        (root, batch_id(13), discarded(7)),
        (second.device(), batch_id(14), discarded(2)),
        (device(41).device(), batch_id(15), erased(1)),
        (second.device(), batch_id(15), erased(2)),
        (device(66).device(), batch_id(16), revoke(&[])),
        (device(66).device(), batch_id(16), adopted(99)),
        (device(66).device(), batch_id(16), discarded(99)),
        (device(66).device(), batch_id(16), erased(3)),
        (device(66).device(), batch_id(9), renamed(device(66).device(), 9, "usurped")),
        (device(66).device(), batch_id(9), admit(founded.organisation, 67, 1, "spy")),
    ]
}

type Picture = (Option<SpaceStatement>, Vec<DeviceStatement>, Vec<OrganisationStatement>, usize, usize);
type Decided = (Vec<Bound>, u64, Vec<RecordId>);

fn decided(membership: &Membership) -> Decided {
    let (phone, incarnation) = (device(7).device(), Incarnation::from_bytes([2; 8]));
    (
        Lane::ALL.map(|lane| membership.bound(phone, incarnation, lane)).to_vec(),
        membership.discarded(phone, incarnation, Lane::Bulk),
        membership.erasures().map(|(_, record)| record).collect(),
    )
}

fn picture(membership: &Membership) -> Picture {
    (
        membership.space().cloned(),
        membership.devices().cloned().collect(),
        membership.organisations().cloned().collect(),
        membership.revokes().count(),
        membership.waiting.len(),
    )
}

proptest! {
    #[test]
    fn the_order_of_statements_and_their_repetition_do_not_matter(
        shuffled in Just(statements()).prop_shuffle(), again in 0usize..23
    ) {
        let mut membership = Membership::new(found().space);
        for (signer, batch, statement) in shuffled.iter().chain(&shuffled[again..]) {
            membership.apply(*signer, *batch, statement).unwrap();
        }
        let (space, devices, organisations, revokes, waiting) = picture(&membership);
        prop_assert_eq!(space.unwrap().name_en, "three");
        prop_assert_eq!(devices.len(), 1);
        prop_assert_eq!(&devices[0].label, "new");
        prop_assert_eq!((organisations.len(), revokes, waiting), (1, 3, 6));
        let (bounds, discarded, erased) = decided(&membership);
        prop_assert_eq!(&bounds[0], &Bound::new(pin(0, 0), []));
        prop_assert_eq!(&bounds[1], &Bound::new(pin(3, 0x33), [pin(4, 0xad), pin(6, 0xad)]));
        prop_assert_eq!(&bounds[2], &Bound::new(pin(4, 0x44), []));
        prop_assert_eq!(discarded, 7);
        prop_assert_eq!(erased, [RecordId::from_bytes([1; 16]), RecordId::from_bytes([2; 16])]);
    }
}
