#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::model::{Fields, Value};
use crate::store::fixture::{World, event, sets};

fn titles(page: &Page) -> Vec<&str> {
    page.records.iter().map(|r| r.fields["title"].as_text().unwrap()).collect()
}

fn at(title: &str, time: i64, lat: f64, lon: f64) -> Fields {
    let mut fields = event(title, lat, lon);
    fields.insert("time".to_owned(), time.into());
    fields
}

/// Records at 1 to 9 seconds, of two kinds.
fn filled(world: &World) -> Store {
    let store = world.stranger(1);
    for n in 1..=9i64 {
        let kind = if n % 3 == 0 { "alert" } else { "event" };
        let fields = at(&n.to_string(), n * 1000, 20.0 + n as f64, 10.0 + n as f64);
        store.write(|w| w.put(world.space, kind, None, fields)).unwrap();
    }
    store
}

#[test]
fn records_come_newest_first_and_by_kind_and_time() {
    let world = World::new();
    let store = filled(&world);
    let found = |query: &Query| titles(&store.query(query).unwrap()).join("");
    assert_eq!(found(&Query::default()), "987654321");
    assert_eq!(found(&Query { kind: Some("alert".to_owned()), ..Query::default() }), "963");
    assert_eq!(found(&Query { kind: Some("patrol".to_owned()), ..Query::default() }), "");
    assert_eq!(found(&Query { space: Some(world.space), ..Query::default() }), "987654321");
    assert_eq!(found(&Query { space: Some(SpaceId::from_bytes([0; 32])), ..Query::default() }), "");
    let second = |s: i64| Some(Timestamp::from_millis(s * 1000));
    assert_eq!(found(&Query { from: second(3), to: second(7), ..Query::default() }), "6543");
}

#[test]
fn a_box_finds_what_is_in_it_and_nothing_beside() {
    let world = World::new();
    let store = filled(&world);
    let found =
        |bbox| titles(&store.query(&Query { bbox: Some(bbox), ..Query::default() }).unwrap()).join("");
    assert_eq!(found([22.0, 12.0, 25.0, 15.0]), "5432");
    assert_eq!(found([22.0, 12.0, 25.0, 14.999_999_999]), "432");
    assert_eq!(found([-90.0, -180.0, 90.0, 180.0]), "987654321");
    assert_eq!(found([-90.0, 18.5, 90.0, 11.5]), "91", "over the date line");
    for (title, lat, lon) in [("pole", 91.0, 0.0), ("dateline", 0.0, 180.5)] {
        store.write(|w| w.put(world.space, "event", None, at(title, 1, lat, lon))).unwrap();
    }
    assert_eq!(found([-90.0, -180.0, 90.0, 180.0]), "987654321", "impossible places are none");
}

#[test]
fn whichever_way_a_query_takes_it_finds_the_same() {
    let world = World::new();
    let store = world.stranger(1);
    // Every twentieth is in the south, every second speaks of tracks.
    let is_south = |n: i64| n % 20 == 0;
    let has_tracks = |n: i64| n % 2 == 0;
    let (mut ids, mut revisions) = (Vec::new(), Vec::new());
    for group in 0..8 {
        let put = |n: i64| {
            let title = if has_tracks(n) { format!("tracks {n}") } else { format!("nothing {n}") };
            at(&title, n, if is_south(n) { 21.0 } else { 29.0 }, 12.0 + n as f64 / 1_000.0)
        };
        store
            .write(|w| {
                (0..80).try_for_each(|n| {
                    let n = group * 80 + n;
                    w.put(world.space, "event", None, put(n)).map(|id| ids.push(id))
                })
            })
            .unwrap();
        revisions.push(store.revision().unwrap());
    }
    let numbers = |query: Query| {
        let page = store.query(&query).unwrap();
        let count = store.count(&query).unwrap();
        let number = |title: &&str| title.rsplit(' ').next().unwrap().parse().unwrap();
        let numbers: Vec<i64> = titles(&page).iter().map(number).collect();
        assert_eq!(count, numbers.len() as u64);
        numbers
    };
    let expected = |wanted: &dyn Fn(i64) -> bool| (0..640).rev().filter(|n| wanted(*n)).collect::<Vec<i64>>();
    let south = Some([20.0, 11.0, 22.0, 13.0]);
    let north = Some([28.0, 11.0, 30.0, 13.0]);
    let tracks = Some("tracks".to_owned());
    let all = Query { limit: 640, ..Query::default() };
    let (of_late, last) = (Some(revisions[3]), Some(revisions[7]));
    let from = Some(Timestamp::from_millis(300));
    assert_eq!(numbers(Query { bbox: south, ..all.clone() }), expected(&is_south));
    assert_eq!(numbers(Query { bbox: north, ..all.clone() }), expected(&|n| !is_south(n)));
    assert_eq!(numbers(Query { text: tracks.clone(), ..all.clone() }), expected(&has_tracks));
    assert_eq!(
        numbers(Query { bbox: north, text: tracks.clone(), from, ..all.clone() }),
        expected(&|n| !is_south(n) && has_tracks(n) && n >= 300)
    );
    assert_eq!(
        numbers(Query { bbox: south, text: tracks, from, ..all.clone() }),
        expected(&|n| is_south(n) && has_tracks(n) && n >= 300)
    );
    assert_eq!(numbers(Query { changed_since: of_late, ..all.clone() }), expected(&|n| n >= 320));
    for n in [5, 500, 100] {
        store.write(|w| w.patch(world.space, "event", ids[n], sets("note", "seen"))).unwrap();
    }
    let changed = |n: i64| n >= 320 || [5, 100].contains(&n);
    assert_eq!(numbers(Query { changed_since: of_late, ..all.clone() }), expected(&changed));
    assert_eq!(numbers(Query { changed_since: last, ..all.clone() }), [500, 100, 5]);
    assert_eq!(numbers(Query { changed_since: last, bbox: south, ..all.clone() }), [500, 100]);
    assert_eq!(numbers(Query { changed_since: last, bbox: north, from, ..all }), []);
}

#[test]
fn pages_together_are_everything_once_even_where_times_are_equal() {
    let world = World::new();
    let store = world.stranger(1);
    let other = SpaceId::from_bytes([4; 32]);
    store.join_space(other).unwrap();
    for n in 0..40u8 {
        let id = Some(RecordId::from_bytes([n % 7; 16]));
        let (space, kind) =
            ([world.space, other][usize::from(n / 20)], ["event", "alert", "x"][usize::from(n % 3)]);
        let mut fields = at("t", i64::from(n % 2), 1.0, 2.0);
        fields.insert("n".to_owned(), Value::Int(n.into()));
        store.write(|w| w.put(space, kind, id, fields)).unwrap();
    }
    let whole = store.query(&Query { limit: 1000, ..Query::default() }).unwrap();
    assert!(whole.next.is_none());
    assert_eq!(whole.records.len() as u64, store.counts().unwrap().records);
    for limit in [1, 2, 3, 7, 100] {
        let (mut records, mut after) = (Vec::new(), None);
        loop {
            let page = store.query(&Query { limit, after, ..Query::default() }).unwrap();
            assert!(page.records.len() <= limit);
            records.extend(page.records);
            let Some(next) = page.next else { break };
            assert_eq!(next.to_string().parse::<PageToken>().as_ref(), Ok(&next));
            after = Some(next);
        }
        assert_eq!(records, whole.records, "pages of {limit}");
    }
    for text in ["", "1", "1.2.3.4", "x.y.z.00", "é"] {
        assert_eq!(text.parse::<PageToken>(), Err(PageTokenError));
    }
}

#[test]
fn an_arabic_word_is_found_however_it_was_typed() {
    let world = World::new();
    let store = world.stranger(1);
    let words = [
        "إسعاف المريض قرب البئر",
        "قافلة سيارات",
        "طفل مفقود",
        "مركبة متوقفة في الطريق",
        "Water truck at Ghāt",
        "٤٢ شخصاً",
    ];
    for word in words {
        store.write(|w| w.put(world.space, "event", None, event(word, 1.0, 2.0))).unwrap();
    }
    for (typed, expected) in [
        ("مريض", 0),
        ("المريض", 0),
        ("اسعاف", 0),
        ("بئر", 0),
        ("بير", 0),
        ("والبئر", 0),
        ("القافله", 1),
        ("سيارة", 1),
        ("السيارات", 1),
        ("سيّارات", 1),
        ("الطفل", 2),
        ("مركبه", 3),
        ("المركبات", 3),
        ("طريق", 3),
        ("مري", 0),
        ("ghat", 4),
        ("WATER tru", 4),
        ("42", 5),
        ("شخص", 5),
    ] {
        let query = Query { text: Some(typed.to_owned()), ..Query::default() };
        assert_eq!(titles(&store.query(&query).unwrap()), [words[expected]], "{typed}");
    }
    let query = Query { text: Some("people distress".to_owned()), ..Query::default() };
    assert_eq!(store.query(&query).unwrap().records.len(), words.len(), "the type is searched too");
    let query = Query { text: Some("مريض قافلة".to_owned()), ..Query::default() };
    assert_eq!(store.query(&query).unwrap().records.len(), 0, "all words must be there");
}

#[test]
fn state_organisation_and_revision_narrow_a_query() {
    let mut world = World::new();
    let (one, two) = (world.device(1, 0), world.device(2, 1));
    for (store, title) in [(&one, "one"), (&two, "two")] {
        store.write(|w| w.put(world.space, "event", None, event(title, 1.0, 2.0))).unwrap();
        world.upload(store);
    }
    let replica = world.replica();
    world.download(&replica);
    let revision = replica.query(&Query::default()).unwrap().records.iter().map(|r| r.revision).max();
    let id = one.query(&Query::default()).unwrap().records[0].id;
    one.write(|w| w.patch(world.space, "event", id, sets("operational_state", "active"))).unwrap();
    world.upload(&one);
    world.download(&replica);
    let found = |query: Query| {
        let page = replica.query(&query).unwrap();
        assert_eq!(replica.count(&query).unwrap(), page.records.len() as u64);
        titles(&page).join(" ")
    };
    let state = |state: &str| Query { state: Some(state.to_owned()), ..Query::default() };
    assert_eq!((found(state("active")), found(state("new"))), ("one".to_owned(), "two".to_owned()));
    for (organisation, title) in world.organisations.into_iter().zip(["one", "two"]) {
        assert_eq!(found(Query { organisation: Some(organisation), ..Query::default() }), title);
    }
    assert_eq!(found(Query { changed_since: revision, ..Query::default() }), "one");
    assert_eq!(
        found(Query { kind: Some("event".to_owned()), space: Some(world.space), ..Query::default() }),
        "two one"
    );
}
