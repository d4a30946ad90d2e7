//! Claims about who may say what, and about the order in which it comes.

use proptest::prelude::*;

use super::super::{
    ControlChain, DeviceState, SpaceKind, SpaceOrganisation, admit_device, found_organisation, found_space,
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
    assert_eq!(membership.verdict(work.header()), Verdict::RetryLater(RetryReason::UnknownSpace));

    let admission = admit(founded.organisation, 7, 1, "phone");
    let statements = [founded.genesis.clone(), founded.about_organisation.clone(), admission];
    let (batch, body) = control_batch(&founded.root, founded.space, &statements);
    assert_eq!(membership.apply_batch(&batch, &body), Verdict::Accepted);
    assert_eq!(membership.apply_batch(&batch, &body), Verdict::Accepted);

    assert_eq!(membership.verdict(work.header()), Verdict::Accepted);
    assert_eq!(membership.organisation(founded.organisation).unwrap().name_ar, "حرس الحدود");
    assert_eq!(membership.devices().count(), 1);
    assert_eq!(membership.control_head(), Some(batch.id()));
    let stranger = entries_batch(&device(8), founded.space);
    assert_eq!(membership.verdict(stranger.header()), Verdict::RetryLater(RetryReason::UnknownDevice));
    let elsewhere = entries_batch(&device(7), SpaceId::from_bytes([0; 32]));
    assert_eq!(membership.verdict(elsewhere.header()), Verdict::Refused(RefuseReason::Misplaced));
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
    assert_eq!(membership.verdict(work.header()), Verdict::RetryLater(RetryReason::UnknownDevice));
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
        assert_eq!(membership.verdict(work.header()), expected);
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
    let revoke = Statement::Revoke(RevokeStatement {
        device: device(7).device(),
        version: 1,
        cut: Vec::new(),
        reason: "lost".to_owned(),
    });
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
        (device(41).device(), batch_id(8), revoke.to_bytes().unwrap()),
        (device(66).device(), batch_id(9), renamed(device(66).device(), 9, "usurped")),
        (device(66).device(), batch_id(9), admit(founded.organisation, 67, 1, "spy")),
    ]
}

type Picture = (Option<SpaceStatement>, Vec<DeviceStatement>, Vec<OrganisationStatement>, usize, usize);

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
        shuffled in Just(statements()).prop_shuffle(), again in 0usize..11
    ) {
        let mut membership = Membership::new(found().space);
        for (signer, batch, statement) in shuffled.iter().chain(&shuffled[again..]) {
            membership.apply(*signer, *batch, statement).unwrap();
        }
        let (space, devices, organisations, revokes, waiting) = picture(&membership);
        prop_assert_eq!(space.unwrap().name_en, "three");
        prop_assert_eq!(devices.len(), 1);
        prop_assert_eq!(&devices[0].label, "new");
        prop_assert_eq!((organisations.len(), revokes, waiting), (1, 1, 2));
    }
}
