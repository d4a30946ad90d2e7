//! What is read ahead becomes what it would have become without.

use super::*;

/// A log of several devices with everything in it that an ingest can meet, in batches of many entries.
fn eventful() -> World {
    let mut world = World::new();
    let (one, two) = (world.device(1, 0), world.device(2, 1));
    let ids: Vec<_> = (0..60).map(|n| put(&one, world.space, &format!("note {n}"))).collect();
    one.write(|w| w.add_track(world.space, chunk(3, 4, 0, 10))).unwrap();
    world.upload(&one);
    world.download(&two);
    for (n, id) in ids.iter().enumerate() {
        one.write(|w| w.patch(world.space, "event", *id, sets("note", "one"))).unwrap();
        two.write(|w| w.patch(world.space, "event", *id, sets("note", format!("two {n}")))).unwrap();
    }
    for n in 0..60 {
        put(&two, world.space, &format!("another {n}"));
    }
    world.upload(&two);
    world.upload(&one);
    let mut forger = Forger::new(&mut world);
    let actor = forger.actor();
    for n in 0..4 {
        let mut entries = vec![
            entry(1, "event", b"no change at all".to_vec()),
            entry(2, "event", forger.created(ActorId::from_bytes([9; 16]), "not mine")),
            entry(3, TRACK, forger.created(actor, "kind")),
            entry(4, "event", forger.created(actor, "one of many firsts")),
        ];
        entries.extend((0..40).map(|k| entry(10 + 40 * n + k, "unheard of", forger.created(actor, "x"))));
        let batch = forger.seal(&entries);
        world.append(batch);
    }
    let mut bytes = forger.seal(&[entry(1, "event", forger.created(actor, "a"))]).as_bytes().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    world.append(SealedBatch::parse(bytes).unwrap());
    world
}

/// Everything in the tables that follows from what was taken in, row by row.
fn tables(store: &Store) -> Vec<Vec<rusqlite::types::Value>> {
    let read = |connection: &rusqlite::Connection| {
        let mut all = Vec::new();
        for table in ["chain", "batch", "record", "record_entry", "record_place", "track_chunk", "held_entry"]
        {
            let columns = match table {
                // When it came, and in which of how many transactions, is nobody else's business.
                "batch" => "id, batch, chain, seq, log_offset, state, control, entries, bytes, prev",
                "record" => {
                    "id, kind, record, fields, time, lat, lon, state, created_by, created_at,
                    updated_by, updated_at, withdrawn, conflicts, doc"
                }
                _ => "*",
            };
            let mut statement =
                connection.prepare(&format!("SELECT {columns} FROM {table} ORDER BY 1, 2"))?;
            let count = statement.column_count();
            let rows = statement.query_map([], |row| (0..count).map(|at| row.get(at)).collect())?;
            all.extend(rows.collect::<Result<Vec<Vec<_>>, _>>()?);
        }
        Ok::<_, StoreError>(all)
    };
    store.inner.read(read).unwrap()
}

#[test]
fn batches_that_are_read_ahead_become_the_same_rows_as_one_by_one() {
    let world = eventful();
    assert!(world.log.iter().map(|(_, batch)| usize::from(batch.header().count)).sum::<usize>() > 400);
    let (together, one_by_one) = (world.replica(), world.replica());
    let cursor = Some(world.cursor_at(world.log.len() as u64));
    let mut all = together.ingest(world.space, &world.log, cursor).unwrap();
    let mut sum = IngestReport::default();
    for batch in &world.log {
        sum.add(one_by_one.ingest(world.space, std::slice::from_ref(batch), None).unwrap());
    }
    all.cursor = None;
    assert_eq!(all, sum);
    assert_eq!(tables(&together), tables(&one_by_one));
    assert_eq!(together.digest(world.space).unwrap(), one_by_one.digest(world.space).unwrap());
    for text in ["note", "another", "firsts"] {
        let found = |store: &Store| {
            let query = Query { text: Some(text.to_owned()), limit: 500, ..Query::default() };
            store.query(&query).unwrap().records.iter().map(|record| record.id).collect::<Vec<_>>()
        };
        assert_eq!(found(&together), found(&one_by_one));
    }
    let carried = world.replica();
    let batches: Vec<_> = world.log.iter().map(|(_, batch)| batch.clone()).collect();
    carried.ingest_carried(world.space, &batches).unwrap();
    assert_eq!(carried.digest(world.space).unwrap(), together.digest(world.space).unwrap());
}

#[test]
fn an_ingest_that_stops_leaves_what_was_read_ahead_alone() {
    let mut world = World::new();
    let mut forger = Forger::new(&mut world);
    let many = |forger: &Forger, n: u8| -> Vec<Entry> {
        (0..30).map(|k| entry(30 * n + k, "event", forger.created(forger.actor(), "x"))).collect()
    };
    for n in 0..8 {
        let entries = many(&forger, n);
        let batch = forger.seal(&entries);
        if n != 3 {
            world.append(batch);
        }
    }
    let replica = world.device(5, 0);
    let stopped = world.try_download(&replica).unwrap_err();
    assert!(matches!(stopped, IngestError::Stopped { source: StoppedBy::Gap { held: 3, found: 5 }, .. }));
    assert_eq!(replica.counts().unwrap().records, 90);
}
