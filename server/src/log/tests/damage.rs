//! A batch that the disk has spoiled keeps nobody else's from their readers.

use super::*;

fn spoil(world: &World, offset: u64) {
    let connection = rusqlite::Connection::open(world.path()).unwrap();
    let sql = "SELECT number, bytes FROM batch WHERE batch_offset = ?1";
    let (number, mut bytes): (i64, Vec<u8>) =
        connection.query_row(sql, [offset as i64], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    connection.execute("UPDATE batch SET bytes = ?2 WHERE number = ?1", (number, bytes)).unwrap();
}

fn faults(world: &World) -> Vec<audit::Fault> {
    let mut faults = Vec::new();
    audit::audit(&rusqlite::Connection::open(world.path()).unwrap(), &mut faults).unwrap();
    faults
}

#[tokio::test]
async fn a_spoiled_batch_is_left_out_with_what_follows_it_and_comes_back_when_it_is_sent_again() {
    let mut world = World::new();
    let (mut one, mut two) = (Device::new(1, world.space), Device::new(2, world.space));
    world.admit(&one);
    world.admit(&two);
    let ours: Vec<_> = (0..3).map(|content| one.seal(content)).collect();
    let theirs: Vec<_> = (0..3).map(|content| two.seal(content)).collect();
    ours.iter().zip(&theirs).for_each(|(our, their)| {
        assert!(matches!(world.append(our), Outcome::Appended { .. }));
        assert!(matches!(world.append(their), Outcome::Appended { .. }));
    });
    let before = LogReader::open(&world.path()).unwrap().digest_at(world.space, 9).unwrap();
    // The second of ours.
    spoil(&world, 6);
    let log = world.open();
    let offsets = async |after| {
        let page = log.read_after(world.space, after, usize::MAX, None).await.unwrap();
        (page.batches.iter().map(|logged| logged.offset).collect::<Vec<_>>(), page.reached.unwrap())
    };
    let (first, reached) = offsets(3).await;
    assert_eq!((first, reached), (vec![4, 5, 7, 9], (9, before.unwrap())), "the cursor passes it");
    // By now the writer knows, and nobody who begins behind it gets what follows.
    log.transact(|_| Ok(())).await.unwrap();
    assert_eq!(offsets(6).await.0, [7, 9]);
    let height = async || log.own_chains(world.space, one.key.device()).await.unwrap()[0].seq;
    assert_eq!(height().await, 1, "its author hears that it is not there");
    let found = faults(&world);
    assert!(
        matches!(found[..], [audit::Fault::Batch { offset: 6, .. }, audit::Fault::Spoiled { seq: 2, .. }]),
        "{found:?}"
    );

    for batch in &ours[1..] {
        let ticket = log.append(verify(batch.clone()).unwrap()).await.unwrap();
        assert!(matches!(
            ticket.outcome().await.unwrap(),
            Outcome::Appended { .. } | Outcome::AlreadyHeld { .. }
        ));
    }
    assert_eq!(height().await, 3);
    assert_eq!(offsets(3).await.0, [4, 5, 7, 9, 10, 11], "for those who had passed it, too");
    assert!(faults(&world).is_empty());
}
