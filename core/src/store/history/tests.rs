#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::document::WITHDRAWN_KEY;
use crate::store::fixture::{World, event, sets};

#[test]
fn a_history_says_who_did_what_and_when_in_the_order_in_which_it_was_built() {
    let mut world = World::new();
    let (one, two) = (world.device(1, 0), world.device(2, 1));
    let space = world.space;
    let id = one.write(|w| w.put(space, "event", None, event("a", 1.0, 2.0))).unwrap();
    world.upload(&one);
    world.download(&two);
    two.write(|w| w.patch(space, "event", id, sets("note", "b"))).unwrap();
    let removes = std::collections::BTreeMap::from([("note".to_owned(), None)]);
    two.write(|w| w.patch(space, "event", id, removes)).unwrap();
    world.upload(&two);
    world.download(&one);
    one.write(|w| w.withdraw(space, "event", id)).unwrap();

    let history = one.history(space, "event", id).unwrap();
    let devices = [one.device().unwrap(), two.device().unwrap()];
    let who: Vec<_> = history.iter().map(|entry| entry.device).collect();
    assert_eq!(who, [devices[0], devices[1], devices[1], devices[0]]);
    let delivery: Vec<_> = history.iter().map(|entry| entry.delivery).collect();
    use Delivery::{Delivered, Pending};
    assert_eq!(delivery, [Delivered, Delivered, Delivered, Pending]);
    assert!(history.windows(2).all(|pair| pair[0].time < pair[1].time));
    assert_eq!(history[1].offset, Some(world.log.len() as u64));
    assert_eq!(history[1].organisation, Some(world.organisations[1]));
    assert_eq!((history[3].offset, history[3].received_at), (None, None));

    let mut created = history[0].sets.clone();
    created.sort_by(|a, b| a.0.cmp(&b.0));
    let expected: Vec<_> =
        event("a", 1.0, 2.0).into_iter().map(|(name, value)| (name, Some(value))).collect();
    assert_eq!(created, expected, "the capture is given field by field");
    assert_eq!(history[1].sets, [("note".to_owned(), Some("b".into()))]);
    assert_eq!(history[2].sets, [("note".to_owned(), None)]);
    assert_eq!(history[3].sets, [(WITHDRAWN_KEY.to_owned(), Some(true.into()))]);
    assert_eq!(one.history(space, "alert", id).unwrap(), []);
    assert_eq!(one.conflicts(space, "event", id).unwrap(), []);
}

#[test]
fn a_record_is_set_back_to_what_its_history_shows_and_the_history_stays() {
    let mut world = World::new();
    let one = world.device(1, 0);
    let space = world.space;
    let id = one.write(|w| w.put(space, "event", None, event("a", 1.0, 2.0))).unwrap();
    one.write(|w| w.patch(space, "event", id, sets("note", "b"))).unwrap();
    one.write(|w| w.patch(space, "event", id, sets("title", "c"))).unwrap();
    one.write(|w| w.patch(space, "event", id, sets("lat", "d"))).unwrap();
    one.write(|w| w.withdraw(space, "event", id)).unwrap();
    let history = one.history(space, "event", id).unwrap();
    let first = one.write(|w| w.restore_to(space, "event", id, history[0].hash)).unwrap();
    assert!(first);
    let record = one.get(space, "event", id).unwrap().unwrap();
    assert_eq!((record.fields, record.withdrawn), (event("a", 1.0, 2.0), false));
    one.write(|w| w.restore_to(space, "event", id, history[1].hash)).unwrap();
    let record = one.get(space, "event", id).unwrap().unwrap();
    assert_eq!(record.fields.get("note"), Some(&"b".into()));
    assert_eq!(record.fields.get("title"), event("a", 1.0, 2.0).get("title"));
    one.write(|w| w.restore_to(space, "event", id, history[4].hash)).unwrap();
    assert!(one.get(space, "event", id).unwrap().unwrap().withdrawn);
    assert_eq!(one.history(space, "event", id).unwrap().len(), 8);
    let unknown = crate::id::ChangeHash::from_bytes([9; 32]);
    assert!(!one.write(|w| w.restore_to(space, "event", id, unknown)).unwrap());
    let nobody = crate::id::RecordId::from_bytes([9; 16]);
    let lost = one.write(|w| w.restore_to(space, "event", nobody, history[0].hash));
    assert!(matches!(lost, Err(crate::store::WriteError::NotFound(_))));
}
