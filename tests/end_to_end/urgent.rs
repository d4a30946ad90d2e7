//! What a link costs when there is nothing to say, and how soon an SOS is through when there is much.

use std::time::{Duration, Instant};

use barid_core::model::{Fields, Value, alert};
use barid_core::store::Query;
use harness::phone::{PATIENCE, Phone, event_fields};
use harness::relay::Relay;
use harness::wait::until;

#[test]
fn a_reconnect_with_20_000_records_and_nothing_new_costs_at_most_500_bytes_of_frames() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::new(folder.path());
    let mut phone = Phone::enrol(&relay, folder.path(), "phone");
    for chunk in 0..40 {
        let space = phone.space;
        phone
            .device
            .store()
            .write(|group| {
                for number in 0..500 {
                    group.put(space, "event", None, event_fields(chunk * 500 + number))?;
                }
                Ok(())
            })
            .unwrap();
    }
    phone.sync_once();
    // A second link takes home what the first could not know: the cursor past its own batches.
    phone.sync_once();
    let before = phone.link.bytes();
    phone.connect();
    phone.wait_synced();
    let frames = phone.status().link_len;
    let after = phone.link.bytes();
    phone.disconnect();
    let carrier = after.0 - before.0 + after.1 - before.1;
    println!(
        "no-op with 20,000 records: {} bytes of frames, {carrier} bytes with the carrier",
        frames.up + frames.down
    );
    assert!(frames.up > 0 && frames.down > 0, "{frames:?}");
    assert!(frames.up + frames.down <= 500, "{frames:?}");
}

#[test]
fn an_sos_behind_2_000_sealed_records_on_a_slow_link_is_acknowledged_within_3_seconds() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::new(folder.path());
    let mut phone = Phone::enrol(&relay, folder.path(), "phone");
    for number in 0..2000 {
        phone.put_event(event_fields(number));
    }
    phone.link.set_bits_per_second(64_000);
    // The first link seals the records, and is cut long before they are through.
    phone.connect();
    until("the upload has begun", PATIENCE, || (phone.link.bytes().0 > 6_000).then_some(()));
    phone.disconnect();
    assert!(phone.device.store().counts().unwrap().unsent_records > 1000);

    let sos = raise_sos(&phone);
    let begun = Instant::now();
    phone.connect();
    until("the SOS is acknowledged", PATIENCE, || delivered(&phone, sos).then_some(()));
    let took = begun.elapsed();
    println!("an SOS behind 2,000 sealed records at 64 kbit/s: acknowledged after {took:.1?}");
    assert!(took <= Duration::from_secs(3), "{took:?}");

    // One more, while the records are on their way.
    until("the upload goes on", PATIENCE, || (phone.link.bytes().0 > 20_000).then_some(()));
    let sos = raise_sos(&phone);
    let begun = Instant::now();
    until("the second SOS is acknowledged", PATIENCE, || delivered(&phone, sos).then_some(()));
    let took = begun.elapsed();
    println!("an SOS in the middle of that upload: acknowledged after {took:.1?}");
    assert!(phone.device.store().counts().unwrap().unsent_records > 500, "the upload is still going on");
    assert!(took <= Duration::from_secs(20), "{took:?}");
}

fn raise_sos(phone: &Phone) -> barid_core::id::RecordId {
    let fields = Fields::from([
        ("time".to_owned(), Value::Int(1_790_000_000_000)),
        ("lat".to_owned(), Value::Float(24.2)),
        ("lon".to_owned(), Value::Float(22.0)),
        ("alert_type".to_owned(), "sos".into()),
        ("state".to_owned(), "raised".into()),
    ]);
    let space = phone.space;
    phone.device.store().write(|group| group.put(space, alert::NAME, None, fields)).unwrap()
}

fn delivered(phone: &Phone, sos: barid_core::id::RecordId) -> bool {
    let query = Query { kind: Some(alert::NAME.to_owned()), ..Query::default() };
    let alerts = phone.device.store().query(&query).unwrap().records;
    alerts.iter().any(|alert| alert.id == sos && alert.delivered)
}
