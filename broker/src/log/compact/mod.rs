//! Compaction: of each key only the last record stays.
//!
//! 1. Only what lies wholly below the last stable offset (and is older than `min.compaction.lag.ms`, and is
//!    not appended to any more) is touched.
//! 2. A record goes when a later committed record has its key. Records of aborted transactions always go.
//! 3. A tombstone that is the last record of its key stays for `delete.retention.ms`. The first pass that
//!    sees it writes the time when it may go into its batch, the *delete horizon* (KIP-534).
//! 4. A marker stays while its transaction has records in the log, and then until a delete horizon of its
//!    own.
//! 5. Offsets never change, and batches keep theirs. A batch stays without records when it is the last one
//!    that was touched (so that readers get past the gap, and the log's end is known after a crash), or when
//!    it is the last that says what a producer has written.
//! 6. Batches that are compressed with a codec that this build lacks cannot be looked into: they stay as they
//!    are (unless aborted as a whole). Others are packed again as they were.
//!
//! It is done in steps of bounded work and memory, while appends go on: first the keys of what was appended
//! since the last time are *learned*, then all batches from the start are *thinned out*, a group of units at
//! a time; each group is replaced by what is left of it at once. From the front to the back: what hides older
//! records goes after them.

mod fate;
mod keys;

use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;

use bytes::Bytes;

use super::{PartitionLog, storage_code};
use crate::batch::{Batch, BatchHeader, CommittedFilter};
use crate::error::ErrorCode;
use crate::storage::{Storage, StoredBatch, Unit};
use fate::{Fate, Judge};

/// What the topic's settings say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CompactionRules {
    pub(crate) delete_retention_ms: i64,
    pub(crate) min_lag_ms: i64,
    pub(crate) max_lag_ms: i64,
    /// What part of the log has to be new before it is worth it.
    pub(crate) min_dirty_ratio: f64,
    /// Units are put together up to this size.
    pub(crate) segment_bytes: u64,
    /// Whether it was asked for: then all that can be compacted is, whether it is worth it or not.
    pub(crate) by_hand: bool,
    pub(crate) now: i64,
}

/// What one compaction of one partition did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct CompactionReport {
    /// Records that were read, markers included.
    pub records_before: usize,
    /// Records that are left of them.
    pub records_after: usize,
    /// Bytes that were read.
    pub bytes_before: usize,
    /// Bytes that are left of them.
    pub bytes_after: usize,
}

/// How far a compaction has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    More,
    Done(CompactionReport),
}

/// A compaction under way.
#[derive(Debug)]
pub(super) struct Job {
    judge: Judge,
    /// Keys are learned up to here.
    dirty_end: i64,
    /// Up to where keys were learned.
    learned: i64,
    /// Whether there is no room for more keys: the rest is for the next time.
    full: bool,
    learning: CommittedFilter,
    /// Units that are replaced together, the next first.
    groups: VecDeque<Range<i64>>,
    /// Where the group under way goes on.
    group: Option<Group>,
    thinning: CommittedFilter,
    report: CompactionReport,
}

#[derive(Debug)]
struct Group {
    offsets: Range<i64>,
    next: i64,
    /// Offsets of the markers that stay.
    markers: BTreeSet<i64>,
    /// What is left of the last batch that was read, if no record of it stays.
    emptied: Option<StoredBatch>,
}

impl PartitionLog {
    /// Whether a compaction is under way.
    pub(crate) fn is_compacting(&self) -> bool {
        self.compaction.is_some()
    }

    /// Begins a compaction, if there is something to do.
    pub(crate) fn begin_compaction(
        &mut self,
        storage: &mut dyn Storage,
        rules: CompactionRules,
    ) -> Result<(), ErrorCode> {
        self.abort_compaction(storage);
        if rules.by_hand {
            storage.close_unit(self.id).map_err(|error| storage_code(&error))?;
        }
        let stable = self.last_stable_offset();
        let cleaned = if self.cleaned > self.end { 0 } else { self.cleaned };
        let mut plan = Plan::default();
        let mut visit = |unit: &Unit| {
            let old_enough =
                rules.min_lag_ms == 0 || unit.newest_ms.saturating_add(rules.min_lag_ms) <= rules.now;
            let fits = unit.end_offset <= stable && old_enough && !unit.open;
            if fits {
                plan.add(unit, cleaned, rules.segment_bytes);
            }
            fits
        };
        storage.units(self.id, &mut visit).map_err(|error| storage_code(&error))?;
        let Some(last) = plan.groups.back().filter(|_| rules.by_hand || plan.is_worth_it(&rules)) else {
            return Ok(());
        };
        let (dirty_end, aborted) = (last.end, self.transactions.aborted_between(i64::MIN, last.end));
        self.compaction = Some(Job {
            judge: Judge::new(rules.delete_retention_ms, rules.now),
            dirty_end,
            learned: cleaned,
            full: false,
            learning: CommittedFilter::new(self.transactions.aborted_between(cleaned, dirty_end)),
            groups: plan.groups,
            group: None,
            thinning: CommittedFilter::new(aborted),
            report: CompactionReport::default(),
        });
        Ok(())
    }

    /// Goes on with the compaction under way, for about so many bytes. An error ends it.
    pub(crate) fn step_compaction(
        &mut self,
        storage: &mut dyn Storage,
        bytes: usize,
    ) -> Result<Progress, ErrorCode> {
        let Some(mut job) = self.compaction.take() else {
            return Ok(Progress::Done(CompactionReport::default()));
        };
        let mut left = bytes;
        loop {
            let learning = !job.full && job.learned < job.dirty_end;
            let used = match learning {
                true => job.learn(self, storage, left),
                false => job.thin_out(self, storage, left),
            };
            match used {
                Err(error) => {
                    storage.abort_rewrite(self.id);
                    return Err(error);
                }
                Ok(None) => {
                    self.cleaned = job.learned;
                    // It is a hint: without it more is read the next time.
                    let _ = storage.save_cleaned(self.id, self.cleaned);
                    return Ok(Progress::Done(job.report));
                }
                Ok(Some(used)) if used >= left => {
                    self.compaction = Some(job);
                    return Ok(Progress::More);
                }
                Ok(Some(used)) => left -= used,
            }
        }
    }

    /// Gives up the compaction under way; nothing has changed but the groups that were replaced.
    pub(crate) fn abort_compaction(&mut self, storage: &mut dyn Storage) {
        if self.compaction.take().is_some() {
            storage.abort_rewrite(self.id);
        }
    }
}

/// What there is to compact.
#[derive(Default)]
struct Plan {
    groups: VecDeque<Range<i64>>,
    group_bytes: u64,
    clean_bytes: u64,
    dirty_bytes: u64,
    oldest_dirty_ms: Option<i64>,
    /// Units without batches, in case that more follow.
    blank: Option<i64>,
}

impl Plan {
    fn add(&mut self, unit: &Unit, cleaned: i64, segment_bytes: u64) {
        if unit.bytes == 0 {
            self.blank.get_or_insert(unit.first_offset);
            return;
        }
        let first = self.blank.take().unwrap_or(unit.first_offset);
        if unit.end_offset > cleaned {
            self.dirty_bytes += unit.bytes;
            self.oldest_dirty_ms.get_or_insert(unit.oldest_ms);
        } else {
            self.clean_bytes += unit.bytes;
        }
        match self.groups.back_mut() {
            Some(group) if self.group_bytes + unit.bytes <= segment_bytes => {
                group.end = unit.end_offset;
                self.group_bytes += unit.bytes;
            }
            _ => {
                self.groups.push_back(first..unit.end_offset);
                self.group_bytes = unit.bytes;
            }
        }
    }

    fn is_worth_it(&self, rules: &CompactionRules) -> bool {
        let (clean, dirty) = (self.clean_bytes as f64, self.dirty_bytes as f64);
        let late = |oldest: i64| oldest.saturating_add(rules.max_lag_ms) <= rules.now;
        self.dirty_bytes > 0
            && (dirty / (clean + dirty) > rules.min_dirty_ratio || self.oldest_dirty_ms.is_some_and(late))
    }
}

impl Job {
    /// Learns the keys of some batches; says how many bytes they have.
    fn learn(
        &mut self,
        log: &PartitionLog,
        storage: &dyn Storage,
        bytes: usize,
    ) -> Result<Option<usize>, ErrorCode> {
        let batches = read(log, storage, self.learned..self.dirty_end, bytes)?;
        if batches.is_empty() {
            self.learned = self.dirty_end;
        }
        for bytes in &batches {
            let batch = Batch::parse(bytes).map_err(|_| ErrorCode::CorruptMessage)?;
            if self.learning.admits(&batch) {
                self.judge.learn(&batch)?;
            }
            self.learned = batch.header().next_offset();
            if self.judge.is_full() {
                self.full = true;
                break;
            }
        }
        Ok(Some(batches.iter().map(Bytes::len).sum()))
    }

    /// Thins out some batches; `None` when all is done.
    fn thin_out(
        &mut self,
        log: &mut PartitionLog,
        storage: &mut dyn Storage,
        bytes: usize,
    ) -> Result<Option<usize>, ErrorCode> {
        let mut group = match self.group.take() {
            Some(group) => group,
            // What begins beyond the keys that are known is left for the next time.
            None => match self.groups.pop_front().filter(|group| group.start < self.learned) {
                Some(offsets) => {
                    storage.begin_rewrite(log.id, offsets.clone()).map_err(|error| storage_code(&error))?;
                    let next = offsets.start;
                    Group { offsets, next, markers: BTreeSet::new(), emptied: None }
                }
                None => return Ok(None),
            },
        };
        let batches = read(log, storage, group.next..group.offsets.end, bytes)?;
        let mut kept = Vec::with_capacity(batches.len());
        for bytes in &batches {
            let batch = Batch::parse(bytes).map_err(|_| ErrorCode::CorruptMessage)?;
            group.next = batch.header().next_offset();
            self.thin_out_batch(log, &batch, bytes, (&mut group, &mut kept))?;
        }
        let ended = batches.is_empty();
        let is_last = self.groups.front().is_none_or(|next| next.start >= self.learned);
        if ended && is_last {
            kept.extend(group.emptied.take());
        }
        self.report.count_after(&kept);
        storage.rewrite(log.id, kept).map_err(|error| storage_code(&error))?;
        if ended {
            // Whatever comes between this and the next snapshot: what the batches do not say any more is kept.
            let producers = log.producers_snapshot();
            storage.commit_rewrite(log.id, (log.end, &producers)).map_err(|error| storage_code(&error))?;
            let (offsets, markers) = (group.offsets, group.markers);
            log.transactions.forget_aborted(|marker| offsets.contains(&marker) && !markers.contains(&marker));
            // Without it a restart has more to read, and that is all.
            let _ = storage.save_snapshot(log.id, log.end, &log.snapshot());
        } else {
            self.group = Some(group);
        }
        Ok(Some(batches.iter().map(Bytes::len).sum()))
    }

    fn thin_out_batch(
        &mut self,
        log: &PartitionLog,
        batch: &Batch<'_>,
        bytes: &Bytes,
        (group, kept): (&mut Group, &mut Vec<StoredBatch>),
    ) -> Result<(), ErrorCode> {
        let header = batch.header();
        self.report.count_before(header);
        let committed = self.thinning.admits(batch);
        group.emptied = None;
        match self.judge.decide(batch, committed)? {
            Fate::Keep => kept.push(StoredBatch { header: *header, bytes: bytes.clone() }),
            Fate::Rewrite(rewritten) => kept.push(stored(rewritten)),
            Fate::Empty if log.producers.depends_on(header) => kept.push(stored(fate::emptied(header))),
            Fate::Empty => group.emptied = Some(stored(fate::emptied(header))),
        }
        if header.is_control() && kept.last().is_some_and(|last| is_whole_marker(&last.header, header)) {
            group.markers.insert(header.base_offset);
        }
        Ok(())
    }
}

fn is_whole_marker(kept: &BatchHeader, marker: &BatchHeader) -> bool {
    kept.base_offset == marker.base_offset && kept.records_count > 0
}

fn read(
    log: &PartitionLog,
    storage: &dyn Storage,
    offsets: Range<i64>,
    bytes: usize,
) -> Result<Vec<Bytes>, ErrorCode> {
    if offsets.is_empty() {
        return Ok(Vec::new());
    }
    storage.read(log.id, offsets, bytes).map_err(|error| storage_code(&error))
}

fn stored(bytes: Vec<u8>) -> StoredBatch {
    let bytes = Bytes::from(bytes);
    StoredBatch { header: BatchHeader::parse(&bytes).expect("batches that were built here parse"), bytes }
}

impl CompactionReport {
    fn count_before(&mut self, header: &BatchHeader) {
        self.records_before += usize::try_from(header.records_count).unwrap_or(0);
        self.bytes_before += header.size();
    }

    fn count_after(&mut self, kept: &[StoredBatch]) {
        for StoredBatch { header, bytes } in kept {
            self.records_after += usize::try_from(header.records_count).unwrap_or(0);
            self.bytes_after += bytes.len();
        }
    }
}
