//! What is seen of a link from outside: every frame as it leaves its end.

use barid_core::batch::SealedBatch;
use barid_core::limits::{FRAME_LEN_MAX, UNTAKEN_LEN_MAX};

use super::{Violation, World, checks, coverage};

const PUSH: u8 = 0x10;
const ACCEPTED: u8 = 0x11;
const HOLDS: u8 = 0x41;
const BATCH: u8 = 0x18;
const REACHED: u8 = 0x19;

impl World {
    /// A frame leaves a device.
    pub(super) fn watch_up(&mut self, link: u64, frame: &[u8]) -> Result<(), Violation> {
        self.coverage.count(coverage::frame(frame));
        let on_the_way = self.links.get(&link).map_or(0, |link| link.up.len_on_the_way());
        self.observe(|world| checks::memory_is_bounded(world, on_the_way, UNTAKEN_LEN_MAX + FRAME_LEN_MAX))?;
        match frame.first() {
            Some(&PUSH) => self.watch_push(frame),
            _ => Ok(()),
        }
    }

    fn watch_push(&mut self, frame: &[u8]) -> Result<(), Violation> {
        let Some(Ok(batch)) = frame.get(2..).map(|bytes| SealedBatch::parse(bytes.to_vec())) else {
            return Err(Violation::new("a device sends sound batches", "a batch that does not parse"));
        };
        checks::one_writer(self, &batch)
    }

    /// A frame leaves the relay.
    pub(super) fn watch_down(&mut self, link: u64, frame: &[u8]) -> Result<(), Violation> {
        self.coverage.count(coverage::frame(frame));
        let on_the_way = self.links.get(&link).map_or(0, |link| link.down.len_on_the_way());
        self.observe(|world| checks::memory_is_bounded(world, on_the_way, UNTAKEN_LEN_MAX + FRAME_LEN_MAX))?;
        match frame.first() {
            Some(&BATCH) => {
                let Some((offset, bytes)) = frame.get(2..).and_then(offset_and_batch) else {
                    return Err(Violation::new(
                        "the relay sends sound batches",
                        "a frame that does not parse",
                    ));
                };
                let Ok(batch) = SealedBatch::parse(bytes.to_vec()) else {
                    return Err(Violation::new(
                        "the relay sends sound batches",
                        "a batch that does not parse",
                    ));
                };
                self.observe(|world| checks::offset_is_durable(world, offset, &batch))?;
                self.check(checks::STANDS, |world| checks::stands(world, &batch))?;
                self.check(checks::ERASED, |world| checks::nothing_erased_is_sent(world, &batch))
            }
            Some(&HOLDS) => self.check(checks::PHOTO_WHOLE, |world| world.watch_held(link, frame)),
            Some(&(ACCEPTED | REACHED)) => self.observe(checks::commit_is_durable),
            _ => Ok(()),
        }
    }
}

/// What follows the number of the space: an offset, the log's digest there, and the batch.
fn offset_and_batch(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let len = bytes.iter().position(|byte| byte & 0x80 == 0)? + 1;
    let digits = bytes[..len].iter().rev();
    let offset = digits.fold(0_u64, |offset, byte| offset << 7 | u64::from(byte & 0x7f));
    Some((offset, bytes.get(len + 16..)?))
}
