//! Claims about reading and writing statements.

use super::*;
use crate::batch::Lane;
use crate::id::{BatchId, Incarnation, RecordId};
use crate::limits::{REASON_LEN_MAX, STATEMENT_CHAINS_MAX};

fn device(label: &str) -> Statement {
    Statement::Device(DeviceStatement {
        device: DeviceId::from_bytes([1; 32]),
        version: 3,
        organisation: OrganisationId::from_bytes([2; 32]),
        label: label.to_owned(),
        role: "patrol".to_owned(),
        state: DeviceState::Active,
    })
}

fn space(version: u64, nonce: Option<[u8; 16]>) -> Statement {
    let key = DeviceId::from_bytes([5; 32]);
    Statement::Space(SpaceStatement {
        id: SpaceId::from_bytes([9; 32]),
        version,
        kind: SpaceKind::Joint,
        name_ar: "المركز المشترك".to_owned(),
        name_en: "Joint centre".to_owned(),
        administrators: vec![key],
        organisations: vec![SpaceOrganisation { id: OrganisationId::from_bytes([6; 32]), key }],
        nonce,
    })
}

fn cut(incarnation: u8, lane: Lane, seq: u64) -> Cut {
    let incarnation = Incarnation::from_bytes([incarnation; 8]);
    Cut { incarnation, lane, seq, batch: BatchId::from_bytes([4; 32]) }
}

fn revoke() -> Statement {
    Statement::Revoke(RevokeStatement {
        device: DeviceId::from_bytes([1; 32]),
        version: 1,
        cut: vec![cut(3, Lane::Urgent, 1), cut(3, Lane::Bulk, 12)],
        reason: "lost near the wadi".to_owned(),
        wipe: false,
    })
}

fn adopt(chains: Vec<Cut>) -> Statement {
    Statement::Adopt(AdoptStatement { device: DeviceId::from_bytes([1; 32]), version: 1, chains })
}

fn discard() -> Statement {
    let chains = [cut(2, Lane::Bulk, 7), cut(3, Lane::Normal, 1)];
    Statement::Discard(DiscardStatement {
        device: DeviceId::from_bytes([1; 32]),
        version: 1,
        chains: chains
            .map(|cut| Discarded { incarnation: cut.incarnation, lane: cut.lane, seq: cut.seq })
            .to_vec(),
    })
}

fn erase(kind: &str) -> Statement {
    Statement::Erase(EraseStatement {
        kind: kind.to_owned(),
        version: 1,
        record: RecordId::from_bytes([8; 16]),
    })
}

/// One of each type.
fn all() -> [Statement; 7] {
    let adopt = adopt(vec![cut(2, Lane::Bulk, 7)]);
    [device("a"), space(1, Some([7; 16])), space(2, None), revoke(), adopt, discard(), erase("event")]
}

#[test]
fn a_statement_reads_back_from_its_own_bytes() {
    let later = all()
        .into_iter()
        .filter(|statement| !matches!(statement, Statement::Space(space) if space.nonce.is_some()));
    for statement in later.chain([device("جهاز 3")]) {
        assert_eq!(Statement::from_bytes(&statement.to_bytes().unwrap()), Ok(statement));
    }
}

#[test]
fn the_id_of_a_space_is_the_hash_of_its_first_statement() {
    let bytes = space(1, Some([7; 16])).to_bytes().unwrap();
    let other = space(1, Some([8; 16])).to_bytes().unwrap();
    let id = |bytes: &[u8]| match Statement::from_bytes(bytes) {
        Ok(Statement::Space(space)) => space.id,
        other => panic!("{other:?}"),
    };
    assert_eq!(id(&bytes).as_bytes(), &blake3::derive_key("barid 2026 space", &bytes));
    assert_ne!(id(&bytes), id(&other));
}

#[test]
fn a_first_statement_has_a_nonce_and_a_later_one_an_id() {
    assert_eq!(space(1, None).to_bytes(), Err(StatementError::Key("id")));
    assert!(space(2, Some([7; 16])).to_bytes().is_ok(), "the nonce is not repeated");
    assert_eq!(space(0, Some([7; 16])).to_bytes(), Err(StatementError::Key("version")));
}

#[test]
fn what_its_readers_would_refuse_is_not_written() {
    let long = "x".repeat(NAME_LEN_MAX + 1);
    assert_eq!(device(&long).to_bytes(), Err(StatementError::Key("label")));
}

#[test]
fn a_statement_of_an_unknown_type_survives_and_unknown_keys_are_passed_over() {
    let mut fields = head("delegate", 1);
    put(&mut fields, "critical", false);
    put(&mut fields, "of", bytes_value(&[1]));
    let bytes = fields_to_cbor(&fields);
    let statement = Statement::from_bytes(&bytes).unwrap();
    assert_eq!(statement.to_bytes().as_ref(), Ok(&bytes));
    assert_eq!(statement, Statement::Unknown { kind: "delegate".to_owned(), critical: false, bytes });

    let Statement::Device(known) = device("a") else { unreachable!() };
    let mut fields = known.fields();
    put(&mut fields, "colour", "blue");
    assert_eq!(Statement::from_bytes(&fields_to_cbor(&fields)), Ok(device("a")));
}

#[test]
fn a_statement_without_one_of_its_keys_or_cut_short_is_refused() {
    for statement in all() {
        let bytes = statement.to_bytes().unwrap();
        for len in 0..bytes.len() {
            assert!(Statement::from_bytes(&bytes[..len]).is_err());
        }
        let fields = fields_from_cbor(&bytes).unwrap();
        for name in fields.keys() {
            let mut without = fields.clone();
            without.remove(name);
            assert!(Statement::from_bytes(&fields_to_cbor(&without)).is_err(), "without {name}");
            without.insert(name.clone(), Value::Null);
            assert!(Statement::from_bytes(&fields_to_cbor(&without)).is_err(), "{name} is null");
        }
    }
}

#[test]
fn chains_are_named_in_ascending_order_and_once() {
    for chains in [
        vec![],
        vec![cut(3, Lane::Normal, 1), cut(2, Lane::Normal, 1)],
        vec![cut(2, Lane::Normal, 1), cut(2, Lane::Urgent, 1)],
        vec![cut(2, Lane::Normal, 1), cut(2, Lane::Normal, 2)],
    ] {
        assert_eq!(adopt(chains).to_bytes(), Err(StatementError::Key("chains")));
    }
    assert_eq!(adopt(vec![cut(2, Lane::Normal, 0)]).to_bytes(), Err(StatementError::Key("seq")));
}

#[test]
fn as_many_chains_as_may_be_named_fit_a_statement_with_the_longest_reason() {
    let chain = |number: usize| {
        let incarnation = Incarnation::from_bytes((number as u64).to_be_bytes());
        Cut { incarnation, seq: i64::MAX as u64, ..cut(0, Lane::Bulk, 1) }
    };
    let revoke = |count| {
        Statement::Revoke(RevokeStatement {
            device: DeviceId::from_bytes([255; 32]),
            version: i64::MAX as u64,
            cut: (0..count).map(chain).collect(),
            reason: "x".repeat(REASON_LEN_MAX),
            wipe: true,
        })
        .to_bytes()
    };
    revoke(STATEMENT_CHAINS_MAX).unwrap();
    assert_eq!(revoke(STATEMENT_CHAINS_MAX + 1), Err(StatementError::Key("cut")));
}

#[test]
fn a_revoke_may_ask_for_a_wipe_and_says_nothing_of_it_otherwise() {
    let Statement::Revoke(plain) = revoke() else { panic!("a revoke") };
    let asking = Statement::Revoke(RevokeStatement { wipe: true, ..plain.clone() });
    let bytes = asking.to_bytes().unwrap();
    assert_eq!(Statement::from_bytes(&bytes), Ok(asking));
    let mut fields = fields_from_cbor(&bytes).unwrap();
    fields.insert("wipe".to_owned(), Value::Int(1));
    assert_eq!(Statement::from_bytes(&fields_to_cbor(&fields)), Err(StatementError::Key("wipe")));
    fields.remove("wipe");
    assert_eq!(fields_to_cbor(&fields), Statement::Revoke(plain).to_bytes().unwrap());
}

#[test]
fn a_kind_of_no_or_too_many_letters_is_not_erased() {
    for kind in ["", &"x".repeat(crate::limits::KIND_LEN_MAX + 1)] {
        assert_eq!(erase(kind).to_bytes(), Err(StatementError::Key("kind")));
    }
}

#[test]
fn debug_output_shows_no_name() {
    let text = format!("{:?} {:?}", device("Hamid"), all());
    assert!(!text.contains("Hamid") && !text.contains("Joint") && !text.contains("wadi"), "{text}");
}
