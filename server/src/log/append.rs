//! Appending: the decision on a batch, and the rows, inside one transaction.
//!
//! Almost every batch is the next of a chain without a fork and without a bound: it is judged by its
//! header and appended. Everything else goes by what stands of its chain, so that the order in which
//! batches, revokes and adopts arrive makes no difference.

use std::collections::BTreeSet;
use std::sync::Arc;

use barid_core::batch::{BatchKind, Lane, SealedBatch};
use barid_core::clock::Timestamp;
use barid_core::control::branch::{self, Link};
use barid_core::control::{Membership, QuarantineReason, RefuseReason, RetryReason, Verdict, seal_control};
use barid_core::id::{BatchId, ChainId, DeviceId, Incarnation, LogDigest, SpaceId};
use barid_core::identity::Identity;
use barid_core::position::OwnChain;
use rusqlite::{Transaction, params};

use super::chain::{Branches, ChainRow, Move, NOTHING};
use super::quarantine::{self, QuarantineLimits};
use super::reader::{checksum, to_sql};
use super::trail::Decision;
use super::writer::{Known, KnownSpace, up_to_date};
use super::{LogError, Outcome, VerifiedBatch, damage, erasure, trail, verify};

/// A statement to be signed and appended by this relay itself.
#[derive(Debug, Clone)]
pub struct OwnStatements {
    /// Where.
    pub space: SpaceId,
    /// Who signs.
    pub signer: Arc<Identity>,
    /// The statements, which stand or fall together.
    pub statements: Vec<Vec<u8>>,
}

/// A transaction on the log, while it runs.
#[derive(Debug)]
pub struct Append<'a> {
    transaction: &'a Transaction<'a>,
    known: &'a mut Known,
    now: i64,
    incarnation: Incarnation,
    limits: QuarantineLimits,
    has_erased: bool,
}

impl<'a> Append<'a> {
    pub(super) fn new(
        transaction: &'a Transaction<'a>,
        known: &'a mut Known,
        now: i64,
        incarnation: Incarnation,
        limits: QuarantineLimits,
    ) -> Self {
        Self { transaction, known, now, incarnation, limits, has_erased: false }
    }

    /// Whether bytes that were on the disk are to be there no more.
    pub(super) fn has_erased(&self) -> bool {
        self.has_erased
    }

    /// Begins a space, so that batches are taken for it. Its control batches come next.
    pub fn found(&mut self, space: SpaceId) -> Result<(), LogError> {
        self.transaction
            .prepare_cached("INSERT INTO space (id, head, len, digest, watermark) VALUES (?1, 0, 0, ?2, 0)")?
            .execute([&space.as_bytes()[..], LogDigest::EMPTY.as_bytes()])?;
        Ok(())
    }

    /// Says which space the organisations share.
    pub fn set_joint_space(&mut self, space: SpaceId) -> Result<(), LogError> {
        self.transaction.execute(
            "INSERT INTO meta (key, value) VALUES ('joint_space', ?1)
             ON CONFLICT DO UPDATE SET value = excluded.value",
            [space.as_bytes()],
        )?;
        Ok(())
    }

    /// Notes that a finished backup has a space up to an offset. It never goes back: an older backup
    /// that ends later has less.
    pub fn set_watermark(&mut self, space: SpaceId, offset: u64) -> Result<(), LogError> {
        self.transaction
            .prepare_cached("UPDATE space SET watermark = max(watermark, min(head, ?2)) WHERE id = ?1")?
            .execute(params![space.as_bytes(), to_sql(offset)])?;
        up_to_date(self.transaction, self.known, space)?;
        Ok(())
    }

    /// What the space's control records say now, this transaction's own included.
    pub fn membership(&mut self, space: SpaceId) -> Result<Option<Arc<Membership>>, LogError> {
        let known = up_to_date(self.transaction, self.known, space)?;
        Ok(known.map(|known| Arc::clone(&known.state.membership)))
    }

    /// How far a device's chains stand in a space, of every incarnation.
    pub fn heights(&mut self, space: SpaceId, device: DeviceId) -> Result<Vec<OwnChain>, LogError> {
        let Some(known) = up_to_date(self.transaction, self.known, space)? else { return Ok(Vec::new()) };
        let chains = ChainRow::of_device(self.transaction, known.number, device)?;
        let standing = chains.into_iter().filter(|chain| chain.seq > 0).map(|chain| OwnChain {
            incarnation: chain.incarnation,
            lane: chain.lane,
            seq: chain.seq,
            batch: chain.head,
        });
        Ok(standing.collect())
    }

    /// How far a device's chains reach along the branch that this log had first: what a revoke is to cut
    /// at. Whoever has seized a phone can fork its chains with batches of small ids before it is revoked;
    /// what had arrived by then stands again with the revoke.
    pub fn first_heights(&mut self, space: SpaceId, device: DeviceId) -> Result<Vec<OwnChain>, LogError> {
        let Some(known) = up_to_date(self.transaction, self.known, space)? else { return Ok(Vec::new()) };
        let mut heights = Vec::new();
        for chain in ChainRow::of_device(self.transaction, known.number, device)? {
            let (seq, batch) = chain.first_branch(self.transaction)?;
            if seq > 0 {
                let ChainRow { incarnation, lane, .. } = chain;
                heights.push(OwnChain { incarnation, lane, seq, batch });
            }
        }
        Ok(heights)
    }

    /// Notes in the audit trail what is done in this transaction.
    pub fn note(&mut self, decision: &Decision) -> Result<(), LogError> {
        trail::note(self.transaction, self.now, decision)
    }

    /// Judges a batch, and appends it or puts it into quarantine if that is what becomes of it.
    pub fn batch(&mut self, batch: &VerifiedBatch) -> Result<Outcome, LogError> {
        let header = batch.header();
        let Some(known) = up_to_date(self.transaction, self.known, header.space)? else {
            return Ok(Outcome::RetryLater(RetryReason::UnknownSpace));
        };
        let membership = Arc::clone(&known.state.membership);
        let chain = ChainRow::find(self.transaction, header.chain())?;
        if let Some(chain) = &chain
            && let Some(outcome) = self.held(chain, batch.sealed())?
        {
            return Ok(outcome);
        }
        if header.kind == BatchKind::Entries {
            match membership.verdict(header, batch.sealed().id()) {
                Verdict::Accepted | Verdict::Quarantined(_) => {}
                Verdict::RetryLater(reason) => return Ok(Outcome::RetryLater(reason)),
                Verdict::Refused(reason) => return Ok(Outcome::Refused(reason)),
            }
        }
        if !self.has_predecessor(chain.as_ref(), batch.sealed())? {
            return Ok(Outcome::RetryLater(RetryReason::MissingPredecessor));
        }
        if batch.is_rewritten() && !membership.has_erasures() {
            // Whoever sends it holds the statement, and control batches go first.
            return Ok(Outcome::RetryLater(RetryReason::UnknownErasure));
        }
        match &batch.control {
            Some(_) => self.control(batch, chain, &membership),
            None => self.entries(batch.sealed(), chain, &membership),
        }
    }

    /// A batch that came before, unless its bytes are wanted again.
    fn held(&mut self, chain: &ChainRow, batch: &SealedBatch) -> Result<Option<Outcome>, LogError> {
        let (seq, id) = (batch.header().seq, batch.id());
        if let Some(offset) = chain.offset_of(self.transaction, seq, id)? {
            if chain.damaged_from == Some(seq) {
                return Ok(Some(Outcome::Appended { offset: self.mend(chain, batch)? }));
            }
            return Ok(Some(Outcome::AlreadyHeld { offset }));
        }
        Ok(quarantine::reason(self.transaction, id)?.map(Outcome::Quarantined))
    }

    fn has_predecessor(&self, chain: Option<&ChainRow>, batch: &SealedBatch) -> Result<bool, LogError> {
        let header = batch.header();
        match (header.seq, chain) {
            (1, _) => Ok(true),
            (_, None) => Ok(false),
            (seq, Some(chain)) if chain.seq + 1 == seq && chain.head == header.prev => Ok(true),
            (seq, Some(chain)) => chain.has_seen(self.transaction, seq - 1, header.prev),
        }
    }

    fn entries(
        &mut self,
        batch: &SealedBatch,
        chain: Option<ChainRow>,
        membership: &Membership,
    ) -> Result<Outcome, LogError> {
        let header = batch.header();
        let is_next = match &chain {
            Some(chain) => chain.seq + 1 == header.seq && chain.head == header.prev,
            None => header.seq == 1,
        };
        let is_simple = is_next
            && !membership.is_revoked(header.device)
            && match &chain {
                Some(chain) => !quarantine::has_any(self.transaction, chain.number)?,
                None => true,
            };
        let chain = self.chain_for(batch, chain)?;
        if is_simple {
            let offset = self.append(&chain, batch, true)?;
            chain.set_height(self.transaction, header.seq, batch.id())?;
            return Ok(Outcome::Appended { offset });
        }
        let bound = membership.bound(header.device, header.incarnation, header.lane);
        let link = Link { id: batch.id(), seq: header.seq, prev: header.prev };
        let branches = Branches::of(self.transaction, &chain, bound.clone())?;
        let reason = branch::reason(header.seq, &bound);
        let discarded = membership.discarded(header.device, header.incarnation, header.lane);
        let is_discarded = reason == QuarantineReason::Revoked && header.seq <= discarded;
        let len = if is_discarded { 0 } else { batch.as_bytes().len() };
        if !branches.would_stand(link)
            && !quarantine::has_room(self.transaction, header.device, len, self.limits)?
        {
            return Ok(Outcome::Refused(RefuseReason::QuarantineFull));
        }
        let stripped = self.stripped(batch, membership)?;
        let kept = stripped.as_ref().unwrap_or(batch);
        quarantine::put(self.transaction, &chain, kept, reason, self.now, is_discarded)?;
        self.settle(header.space, &chain, membership)?;
        match chain.offset_of(self.transaction, header.seq, batch.id())? {
            Some(offset) => Ok(Outcome::Appended { offset }),
            None => Ok(Outcome::Quarantined(reason)),
        }
    }

    /// A control batch is appended on whatever branch it is: a revoke holds wherever it arrives, and
    /// everybody has to know of it.
    fn control(
        &mut self,
        batch: &VerifiedBatch,
        chain: Option<ChainRow>,
        before: &Arc<Membership>,
    ) -> Result<Outcome, LogError> {
        let header = batch.header();
        let Some(body) = &batch.control else { return Err(LogError::Contradiction { offset: 0 }) };
        let known = self.known_mut(header.space)?;
        match Arc::make_mut(&mut known.state.membership).apply_batch(batch.sealed(), body) {
            Verdict::Accepted => {}
            Verdict::RetryLater(reason) => return Ok(Outcome::RetryLater(reason)),
            Verdict::Quarantined(reason) => return Ok(Outcome::Quarantined(reason)),
            Verdict::Refused(reason) => return Ok(Outcome::Refused(reason)),
        }
        let after = Arc::clone(&known.state.membership);
        let chain = self.chain_for(batch.sealed(), chain)?;
        let offset = self.append(&chain, batch.sealed(), false)?;
        self.settle(header.space, &chain, &after)?;
        self.carry_out(header.space, before, &after)?;
        Ok(Outcome::Appended { offset })
    }

    /// Does what new decisions ask for: chains end elsewhere, and what is erased goes.
    fn carry_out(&mut self, space: SpaceId, before: &Membership, after: &Membership) -> Result<(), LogError> {
        let number = self.known(space)?.number;
        let revoked: BTreeSet<DeviceId> = after.revokes().map(|revoke| revoke.device).collect();
        for device in revoked {
            for chain in ChainRow::of_device(self.transaction, number, device)? {
                let of = |membership: &Membership| {
                    let bound = membership.bound(device, chain.incarnation, chain.lane);
                    (bound, membership.discarded(device, chain.incarnation, chain.lane))
                };
                if of(before) != of(after) {
                    self.settle(space, &chain, after)?;
                }
            }
        }
        if after.erasures().count() != before.erasures().count() {
            let rewritten = erasure::rewrite(self.transaction, number, after)?;
            self.has_erased |= rewritten > 0;
            tracing::info!(%space, batches = rewritten, "erased");
        }
        Ok(())
    }

    /// Brings the log in line with what stands of a chain.
    fn settle(&mut self, space: SpaceId, chain: &ChainRow, membership: &Membership) -> Result<(), LogError> {
        let bound = membership.bound(chain.device, chain.incarnation, chain.lane);
        let (moves, (seq, head)) = loop {
            let (moves, end) = Branches::of(self.transaction, chain, bound.clone())?.settle();
            let rising = moves.iter().filter_map(|one| match one {
                Move::Rise(id) => Some(*id),
                _ => None,
            });
            // What the disk has spoiled is as good as not held: its sender will be asked for it again.
            if !quarantine::drop_spoiled(self.transaction, rising)? {
                break (moves, end);
            }
        };
        // A new control batch begins to count in its chain's height: nothing moves by that.
        let has_moved = moves.iter().any(|one| !matches!(one, Move::Remember(_)));
        for one in moves {
            self.carry(chain, one, &bound)?;
        }
        chain.set_height(self.transaction, seq, head)?;
        let discarded = membership.discarded(chain.device, chain.incarnation, chain.lane);
        quarantine::settle(self.transaction, chain.number, &bound, discarded)?;
        if has_moved {
            let number = self.known(space)?.number;
            let displaced = quarantine::displaced(self.transaction, number)?;
            self.known_mut(space)?.state.displaced = Arc::new(displaced);
            tracing::info!(%space, device = %chain.device, lane = ?chain.lane, seq, "what stands of a chain has changed");
        }
        Ok(())
    }

    fn carry(
        &mut self,
        chain: &ChainRow,
        one: Move,
        bound: &barid_core::control::Bound,
    ) -> Result<(), LogError> {
        let set = "UPDATE batch SET stands = ?2 WHERE number = ?1";
        match one {
            Move::Fall(row) => quarantine::take_from_log(self.transaction, row, bound)?,
            Move::Forget(row) => {
                self.transaction.prepare_cached(set)?.execute((row, false))?;
            }
            Move::Remember(row) => {
                self.transaction.prepare_cached(set)?.execute((row, true))?;
            }
            Move::Rise(id) => {
                let batch = quarantine::take_out(self.transaction, id)?;
                self.append(chain, &batch, true)?;
            }
        }
        Ok(())
    }

    /// Looks at a batch of which a reader said that the disk has spoiled it: neither it nor what
    /// follows in its chain is served from now on, and its author hears that it is not here.
    pub(super) fn note_damage(&mut self, space: SpaceId, offset: u64) -> Result<(), LogError> {
        let Some(known) = up_to_date(self.transaction, self.known, space)? else { return Ok(()) };
        let Some((chain, seq)) = damage::at(self.transaction, known.number, offset)? else { return Ok(()) };
        tracing::error!(
            %space, offset,
            "the disk has spoiled a batch: it is left out with what follows it in its chain, until it is sent again"
        );
        damage::set_from(self.transaction, chain, Some(seq))
    }

    /// Takes the place of spoiled bytes: the batch and what follows it in its chain are appended again,
    /// for readers have passed their old offsets. Gives the new one.
    fn mend(&mut self, chain: &ChainRow, batch: &SealedBatch) -> Result<u64, LogError> {
        let (seq, mut offset) = (batch.header().seq, None);
        let mut damaged_from = None;
        for row in damage::rows_from(self.transaction, chain.number, seq)? {
            let kept = if row.seq == seq { Some(batch.clone()) } else { row.sound() };
            let Some(kept) = kept else {
                damaged_from = Some(row.seq);
                break;
            };
            damage::empty(self.transaction, row.number)?;
            let place = self.append(chain, &kept, true)?;
            offset = offset.or(Some(place));
        }
        damage::set_from(self.transaction, chain.number, damaged_from)?;
        tracing::info!(device = %chain.device, seq, "a batch that the disk had spoiled is here again");
        offset.ok_or(LogError::Contradiction { offset: 0 })
    }

    fn chain_for(&self, batch: &SealedBatch, chain: Option<ChainRow>) -> Result<ChainRow, LogError> {
        match chain {
            Some(chain) => Ok(chain),
            None => {
                let number = self.known(batch.header().space)?.number;
                ChainRow::begin(self.transaction, number, batch.header())
            }
        }
    }

    fn known(&self, space: SpaceId) -> Result<&KnownSpace, LogError> {
        self.known.get(&space).ok_or(LogError::Contradiction { offset: 0 })
    }

    fn known_mut(&mut self, space: SpaceId) -> Result<&mut KnownSpace, LogError> {
        self.known.get_mut(&space).ok_or(LogError::Contradiction { offset: 0 })
    }

    fn stripped(
        &self,
        batch: &SealedBatch,
        membership: &Membership,
    ) -> Result<Option<SealedBatch>, LogError> {
        erasure::strip(batch, membership).map_err(|source| LogError::Damaged { offset: 0, source })
    }

    /// Adds a row at the end of the space's log.
    fn append(&mut self, chain: &ChainRow, batch: &SealedBatch, stands: bool) -> Result<u64, LogError> {
        let header = batch.header();
        let membership = Arc::clone(&self.known(header.space)?.state.membership);
        let stripped = self.stripped(batch, &membership)?;
        let bytes = stripped.as_ref().unwrap_or(batch).as_bytes();
        let Some(known) = self.known.get_mut(&header.space) else {
            return Err(LogError::Contradiction { offset: 0 });
        };
        let id = batch.id();
        let (offset, len) = (known.state.head + 1, known.state.len + bytes.len() as u64);
        let digest = known.digest.then(id);
        self.transaction
            .prepare_cached(
                "INSERT INTO batch (space, batch_offset, id, digest, chain, seq, prev, kind, received_at, len,
                                    cumulative_len, stands, checksum, bytes)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
            )?
            .execute(params![
                known.number,
                to_sql(offset),
                id.as_bytes(),
                digest.as_bytes(),
                chain.number,
                to_sql(header.seq),
                header.prev.as_bytes(),
                header.kind as u8,
                self.now,
                bytes.len() as i64,
                to_sql(len),
                stands,
                checksum(bytes),
                bytes
            ])?;
        self.transaction
            .prepare_cached("UPDATE space SET head = ?2, len = ?3, digest = ?4 WHERE number = ?1")?
            .execute(params![known.number, to_sql(offset), to_sql(len), digest.as_bytes()])?;
        (known.state.head, known.state.len, known.digest) = (offset, len, digest);
        Ok(offset)
    }

    /// Signs statements and appends them as the next batch of the signer's own chain.
    pub fn statements(&mut self, own: &OwnStatements) -> Result<BatchId, LogError> {
        let device = own.signer.device();
        let chain = ChainId::derive(device, self.incarnation, own.space, Lane::Urgent);
        let head = ChainRow::find(self.transaction, chain)?;
        let control_head = self.membership(own.space)?.and_then(|membership| membership.control_head());
        let sealed = seal_control(
            &own.signer,
            self.incarnation,
            own.space,
            head.as_ref().map_or(1, |chain| chain.seq + 1),
            head.as_ref().map_or(NOTHING, |chain| chain.head),
            control_head.unwrap_or(NOTHING),
            &own.statements,
            Timestamp::from_millis(self.now),
            crate::secret::random(),
        )?;
        let id = sealed.id();
        let verified = verify(sealed).map_err(LogError::OwnBatch)?;
        match self.batch(&verified)? {
            Outcome::Appended { .. } => Ok(id),
            other => Err(LogError::Statement(other)),
        }
    }
}
