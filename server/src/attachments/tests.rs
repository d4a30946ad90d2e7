use std::time::Instant;

use barid_core::clock::Timestamp;

use super::*;
use crate::blob::memory::{Disk, MemoryBlobs};

const MIB: u64 = 1024 * 1024;
const LIMITS: Limits = Limits { len_max: MIB, space_len_max: 3000, device_len_max: 2000, spare_len_min: 0 };

fn clock() -> Clock {
    Arc::new(|| Timestamp::from_millis(5))
}

fn made(limits: Limits) -> (Attachments, Arc<MemoryBlobs>) {
    let blobs = Arc::new(MemoryBlobs::default());
    let index = Index::in_memory().unwrap();
    (Attachments::with(blobs.clone(), index, limits, None, clock()).unwrap(), blobs)
}

fn photo(seed: u8, len: usize) -> Vec<u8> {
    (0..len).map(|place| (place as u8) ^ seed).collect()
}

fn part(bytes: &[u8], space: u8, device: u8) -> PartId {
    let hash = AttachmentHash::from_bytes(*blake3::hash(bytes).as_bytes());
    let blob = BlobId { space: SpaceId::from_bytes([space; 32]), hash };
    PartId { blob, device: DeviceId::from_bytes([device; 32]) }
}

async fn send(attachments: &Attachments, part: PartId, bytes: &[u8]) -> Result<Held, AttachmentRefusal> {
    let len = bytes.len() as u64;
    let held = attachments.offered(part, len).await?;
    if held.is_whole {
        return Ok(held);
    }
    attachments.piece(part, len, held.len, bytes[held.len as usize..].to_vec()).await
}

#[tokio::test]
async fn what_was_begun_goes_on_where_it_was_and_is_sent_once() {
    let (attachments, _) = made(LIMITS);
    let bytes = photo(1, 1000);
    let (one, two) = (part(&bytes, 1, 1), part(&bytes, 1, 2));
    let held = |len, is_whole| Ok(Held { len, is_whole });
    assert_eq!(attachments.offered(one, 1000).await, held(0, false));
    assert_eq!(attachments.piece(one, 1000, 0, bytes[..300].to_vec()).await, held(300, false));
    assert_eq!(attachments.offered(one, 1000).await, held(300, false));
    assert_eq!(attachments.offered(two, 1000).await, held(0, false), "it is another's");
    assert_eq!(send(&attachments, one, &bytes).await, held(1000, true));
    assert_eq!(attachments.offered(two, 1000).await, held(1000, true));
    assert_eq!(attachments.piece(two, 1000, 0, bytes.clone()).await, held(1000, true));
    assert_eq!(attachments.read(one.blob, 10, 5).await.unwrap().unwrap().bytes, bytes[10..15]);
    assert_eq!(attachments.read(part(&bytes, 2, 1).blob, 10, 5).await.unwrap(), None);
}

#[tokio::test]
async fn what_does_not_fit_is_refused_and_what_fits_is_taken() {
    let (attachments, _) = made(LIMITS);
    let first = photo(1, 1000);
    assert_eq!(attachments.offered(part(&first, 1, 1), 0).await, Err(AttachmentRefusal::TooLarge));
    assert_eq!(attachments.offered(part(&first, 1, 1), MIB + 1).await, Err(AttachmentRefusal::TooLarge));
    send(&attachments, part(&first, 1, 1), &first).await.unwrap();
    // The device's room is over all spaces, and what is arriving counts.
    let second = photo(2, 1500);
    assert_eq!(attachments.offered(part(&second, 2, 1), 1500).await, Err(AttachmentRefusal::Full));
    let long = attachments.piece(part(&second, 2, 1), 1500, 0, second[..1200].to_vec()).await;
    assert_eq!(long, Err(AttachmentRefusal::Full), "who does not offer first is refused too");
    let half = attachments.piece(part(&second, 2, 1), 1500, 0, second[..700].to_vec()).await;
    assert_eq!(half, Ok(Held { len: 700, is_whole: false }));
    assert_eq!(attachments.offered(part(&photo(3, 400), 1, 1), 400).await, Err(AttachmentRefusal::Full));
    // The space's is over all devices.
    let third = photo(4, 1900);
    assert!(send(&attachments, part(&third, 1, 2), &third).await.unwrap().is_whole);
    let fourth = photo(5, 200);
    assert_eq!(send(&attachments, part(&fourth, 1, 3), &fourth).await, Err(AttachmentRefusal::Full));
    assert!(send(&attachments, part(&fourth, 2, 3), &fourth).await.unwrap().is_whole);
    // What is there is no new burden.
    assert!(attachments.offered(part(&first, 1, 3), 1000).await.unwrap().is_whole);
}

#[tokio::test]
async fn a_full_disk_is_said_to_be_full_and_a_broken_one_not_to_store_now() {
    let (attachments, blobs) = made(LIMITS);
    let bytes = photo(1, 1000);
    let one = part(&bytes, 1, 1);
    attachments.piece(one, 1000, 0, bytes[..300].to_vec()).await.unwrap();
    blobs.set_disk(Disk::Full);
    assert_eq!(
        attachments.piece(one, 1000, 300, bytes[300..600].to_vec()).await,
        Err(AttachmentRefusal::Full)
    );
    blobs.set_disk(Disk::Broken);
    assert_eq!(attachments.offered(one, 1000).await, Err(AttachmentRefusal::NotNow));
    assert_eq!(
        attachments.piece(one, 1000, 300, bytes[300..].to_vec()).await,
        Err(AttachmentRefusal::NotNow)
    );
    blobs.set_disk(Disk::Sound);
    assert_eq!(attachments.offered(one, 1000).await, Ok(Held { len: 300, is_whole: false }));
    assert!(send(&attachments, one, &bytes).await.unwrap().is_whole);
}

#[tokio::test]
async fn a_slow_disk_keeps_no_reader_waiting_and_bounds_what_waits() {
    let (attachments, blobs) = made(Limits { space_len_max: MIB, device_len_max: MIB, ..LIMITS });
    let held = photo(0, 10);
    send(&attachments, part(&held, 1, 1), &held).await.unwrap();
    blobs.set_disk(Disk::Slow(Duration::from_millis(600)));
    let begun = Instant::now();
    let writes: Vec<_> = (1..=16u8)
        .map(|seed| {
            let attachments = attachments.clone();
            tokio::spawn(async move {
                let bytes = photo(seed, 10);
                attachments.piece(part(&bytes, 1, seed), 10, 0, bytes).await
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(50)).await;
    // Threads that others need are not taken: no more than a few wait for the disk.
    let others: Vec<_> = (0..100).map(|_| tokio::task::spawn_blocking(|| ())).collect();
    for other in others {
        other.await.unwrap();
    }
    assert_eq!(attachments.read(part(&held, 1, 1).blob, 0, 10).await.unwrap().unwrap().bytes, held);
    assert!(begun.elapsed() < Duration::from_millis(590), "{:?}", begun.elapsed());
    for write in writes {
        assert!(write.await.unwrap().unwrap().is_whole);
    }
    assert!(begun.elapsed() >= Duration::from_millis(2400), "four at a time");
    let link = Arc::new(AtomicUsize::new(0));
    let waiting = attachments.wait(&link, LINK_WAITING_LEN_MAX - 10).unwrap();
    assert!(attachments.wait(&link, 11).is_none());
    let other = Arc::new(AtomicUsize::new(0));
    assert!(attachments.wait(&other, 11).is_some());
    drop(waiting);
    assert!(attachments.wait(&link, 11).is_some());
    let all: Vec<_> = (0..1000)
        .map_while(|_| attachments.wait(&Arc::new(AtomicUsize::new(0)), LINK_WAITING_LEN_MAX))
        .collect();
    assert_eq!(all.len(), WAITING_LEN_MAX / LINK_WAITING_LEN_MAX);
    assert!(attachments.wait(&other, LINK_WAITING_LEN_MAX).is_none());
}

#[tokio::test]
async fn a_device_that_begins_much_and_finishes_nothing_gives_up_its_own_oldest() {
    let (attachments, blobs) = made(Limits { space_len_max: MIB, device_len_max: MIB, ..LIMITS });
    let other = part(&photo(0, 20), 1, 2);
    attachments.piece(other, 20, 0, vec![0]).await.unwrap();
    for seed in 0..100u8 {
        let bytes = photo(seed, 1000);
        attachments.piece(part(&bytes, 1, 1), 1000, 0, bytes[..10].to_vec()).await.unwrap();
    }
    let left = blobs.sweep(Duration::from_secs(60)).unwrap();
    assert_eq!(left.len(), PARTS_MAX + 1);
    assert!(left.iter().any(|(part, _)| *part == other));
    assert_eq!(attachments.offered(part(&photo(99, 1000), 1, 1), 1000).await.unwrap().len, 10);
    assert_eq!(attachments.offered(part(&photo(0, 1000), 1, 1), 1000).await.unwrap().len, 0);
}

#[tokio::test]
async fn what_only_erased_records_named_is_not_taken_again() {
    let (attachments, _) = made(LIMITS);
    let bytes = photo(1, 100);
    let one = part(&bytes, 1, 1);
    let name = index::RecordName {
        space: one.blob.space,
        kind: "event",
        record: barid_core::id::RecordId::from_bytes([1; 16]),
    };
    attachments.0.index.note_mentions(&[(name, vec![one.blob.hash])]).unwrap();
    assert_eq!(attachments.lacking(one.blob.space, 64).await, [one.blob.hash]);
    send(&attachments, one, &bytes).await.unwrap();
    assert_eq!(attachments.lacking(one.blob.space, 64).await, []);
    for gone in attachments.0.index.erase(name).unwrap() {
        attachments.0.remove(gone).unwrap();
    }
    attachments.0.recount();
    assert_eq!(attachments.read(one.blob, 0, 5).await.unwrap(), None);
    assert_eq!(attachments.offered(one, 100).await, Err(AttachmentRefusal::NotPermitted));
    assert_eq!(
        attachments.0.used().devices.get(&one.device).copied().unwrap_or(0),
        0,
        "its room is free again"
    );
}

#[tokio::test]
async fn a_relay_started_again_counts_what_lies_there() {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::new(dir.path());
    let limits = Limits { spare_len_min: 0, ..LIMITS };
    let open = || Attachments::open(&data, limits, clock()).unwrap();
    let (kept, lost, begun) = (photo(1, 1000), photo(2, 500), photo(3, 400));
    {
        let attachments = open();
        send(&attachments, part(&kept, 1, 1), &kept).await.unwrap();
        send(&attachments, part(&lost, 1, 1), &lost).await.unwrap();
        attachments.piece(part(&begun, 1, 1), 400, 0, begun[..100].to_vec()).await.unwrap();
    }
    let file = |bytes: &[u8]| FileBlobs::new(data.attachments()).path(part(bytes, 1, 1).blob);
    std::fs::remove_file(file(&lost)).unwrap();
    let attachments = open();
    assert_eq!(attachments.0.used().devices[&part(&kept, 1, 1).device], 1100);
    assert!(!attachments.offered(part(&lost, 1, 1), 500).await.unwrap().is_whole);
    drop(attachments);
    std::fs::remove_file(data.attachments_db()).unwrap();
    let attachments = open();
    assert_eq!(attachments.0.used().spaces[&part(&kept, 1, 1).blob.space], 1100);
    assert!(attachments.offered(part(&kept, 1, 2), 1000).await.unwrap().is_whole);
}

#[tokio::test]
async fn attachments_end_before_the_disk_does() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { spare_len_min: u64::MAX / 2, ..LIMITS };
    let attachments = Attachments::open(&DataDir::new(dir.path()), limits, clock()).unwrap();
    let bytes = photo(1, 1000);
    assert_eq!(send(&attachments, part(&bytes, 1, 1), &bytes).await, Err(AttachmentRefusal::Full));
}
