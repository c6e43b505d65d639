//! The check after a restart: what is served against what is expected.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use headwater_broker::batch::{Batch, CommittedFilter, Marker, MarkerKind, batches};

use crate::client::{Client, Step, wrong};
use crate::model::{At, COMPACTED, Log, Model, Outcome, Sent, content, identity};

/// Questions until decided transactions have to be complete.
const QUESTIONS: usize = 100_000;

/// What has become of transactions, as the logs say.
type Outcomes = BTreeMap<u64, BTreeSet<Outcome>>;

/// What a partition serves.
struct Served {
    start: i64,
    end: i64,
    stable: i64,
    /// Batches, markers included, and whether a reader of what is committed gets them.
    batches: Vec<(Bytes, bool)>,
}

/// Compares all, and makes certain in the model what was not.
pub fn check(client: &mut Client, model: &mut Model) -> Step<()> {
    if !(0..QUESTIONS).any(|_| matches!(client.ending(), Ok(0))) {
        return wrong("a transaction that was decided does not end");
    }
    topics(client, model)?;
    let mut outcomes: Outcomes = BTreeMap::new();
    let mut thinned = Vec::new();
    let all: Vec<At> = model.logs.keys().cloned().collect();
    for at in all {
        if model.topics.get(&at.0).is_some_and(|(exists, _)| !exists) {
            continue;
        }
        let served = read(client, &at)?;
        start(model, &at, &served)?;
        if at.0 == COMPACTED {
            open(model, &at, &served, &mut outcomes)?;
            thinned.push((at, served));
        } else {
            log(model, &at, &served, &mut outcomes)?;
        }
    }
    transactions(model, &outcomes)?;
    for (at, served) in thinned {
        compacted(model, &at, &served)?;
    }
    offsets(client, model)
}

/// Reads a partition twice: everything, and what is committed.
fn read(client: &mut Client, at: &At) -> Step<Served> {
    let start = client.offset(at, -2)?;
    let first = client.fetch(at, start, false)?;
    let mut served =
        Served { start, end: first.high_watermark, stable: first.last_stable_offset, batches: Vec::new() };
    if at.0 == COMPACTED {
        // What was read once may be gone at the next read.
        served.batches = range(client, at, (start, served.stable), true)?;
        served.batches.extend(
            range(client, at, (served.stable, served.end), false)?
                .into_iter()
                .map(|(batch, _)| (batch, false)),
        );
        return Ok(served);
    }
    for (batch, _) in range(client, at, (start, served.end), false)? {
        served.batches.push((batch, false));
    }
    let committed: BTreeSet<i64> = range(client, at, (start, served.stable), true)?
        .into_iter()
        .filter_map(|(batch, admitted)| admitted.then(|| Batch::parse(&batch).unwrap().header().base_offset))
        .collect();
    for (bytes, visible) in &mut served.batches {
        *visible = committed.contains(&Batch::parse(bytes).unwrap().header().base_offset);
    }
    Ok(served)
}

/// The batches from one offset to another, each whole, and whether a reader hands them on.
fn range(client: &mut Client, at: &At, (from, to): (i64, i64), committed: bool) -> Step<Vec<(Bytes, bool)>> {
    let mut found = Vec::new();
    let mut next = from;
    while next < to {
        let fetched = client.fetch(at, next, committed)?;
        let aborted = fetched.aborted_transactions.unwrap_or_default();
        let aborted = aborted.iter().map(|aborted| (aborted.producer_id.0, aborted.first_offset));
        let mut filter = CommittedFilter::new(aborted);
        let records = fetched.records.unwrap_or_default();
        let before = next;
        for batch in batches(&records) {
            let Ok(batch) = batch else { return wrong(format!("{at:?} at {next}: {batch:?}")) };
            let header = batch.header();
            if let Err(error) = batch.verify() {
                return wrong(format!("{at:?} at {}: {error}", header.base_offset));
            }
            if header.last_offset() < next {
                return wrong(format!("{at:?}: {} is served after {next}", header.base_offset));
            }
            next = header.next_offset();
            found.push((records.slice_ref(batch.bytes()), filter.admits(&batch)));
        }
        if next == before {
            return wrong(format!("{at:?} serves nothing from {next} on, and ends at {to}"));
        }
    }
    Ok(found)
}

fn start(model: &mut Model, at: &At, served: &Served) -> Step<()> {
    let (least, most) = model.log(at).start;
    if served.start < least || served.start > most {
        return wrong(format!("{at:?} starts at {}, not from {least} to {most}", served.start));
    }
    model.log(at).start = (served.start, served.start);
    Ok(())
}

/// A log that keeps everything: each batch once, where it was answered to be, with its bytes.
fn log(model: &mut Model, at: &At, served: &Served, outcomes: &mut Outcomes) -> Step<()> {
    let mut next = served.start;
    let mut seen = BTreeSet::new();
    let mut open: BTreeMap<i64, Vec<(usize, i64, bool)>> = BTreeMap::new();
    let log = model.log(at);
    let mut settle = |batches: Vec<(usize, i64, bool)>, outcome: Outcome, sent: &[Sent]| {
        for (number, offset, visible) in batches {
            let txn = sent[number].txn.unwrap();
            outcomes.entry(txn).or_default().insert(outcome);
            if visible != (outcome == Outcome::Committed && offset < served.stable) {
                return wrong(format!("{at:?}: batch {number} at {offset}, {outcome:?}, visible: {visible}"));
            }
        }
        Ok(())
    };
    for (bytes, visible) in &served.batches {
        let batch = Batch::parse(bytes).unwrap();
        let header = *batch.header();
        let base = header.base_offset;
        if base != next && !(base < next && next == served.start) {
            return wrong(format!("{at:?} has {base} where {next} follows"));
        }
        next = header.next_offset();
        if let Some(marker) = Marker::decode(&batch) {
            let outcome = Outcome::of(marker.kind == MarkerKind::Commit);
            settle(open.remove(&header.producer_id).unwrap_or_default(), outcome, &log.sent)?;
            continue;
        }
        let Some(&number) = log.by_content.get(&content(bytes)) else {
            return wrong(format!("{at:?} has a batch at {base} that nobody has sent: {header:?}"));
        };
        if !seen.insert(number) {
            return wrong(format!("{at:?} has batch {number} twice, now at {base}"));
        }
        let sent = &mut log.sent[number];
        if *sent.at.get_or_insert(base) != base {
            return wrong(format!("{at:?} has batch {number} at {base}, not at {:?}", sent.at));
        }
        if sent.txn.is_some() {
            open.entry(header.producer_id).or_default().push((number, base, *visible));
        } else if *visible != (base < served.stable) {
            return wrong(format!("{at:?}: batch {number} at {base} of no transaction, visible: {visible}"));
        }
    }
    let first = open.values().flatten().map(|(_, offset, _)| *offset).min();
    if served.stable != first.unwrap_or(served.end) || next != served.end {
        let Served { end, stable, .. } = served;
        return wrong(format!(
            "{at:?}: first open {first:?}, stable up to {stable}; last {next}, ends at {end}"
        ));
    }
    for batches in open.into_values() {
        settle(batches, Outcome::Open, &log.sent)?;
    }
    complete(model, at, served.start, &seen)
}

/// What was answered has to be there.
fn complete(model: &mut Model, at: &At, start: i64, seen: &BTreeSet<usize>) -> Step<()> {
    for (number, sent) in model.log(at).sent.iter().enumerate() {
        let Some(offset) = sent.at else { continue };
        let last = offset + Batch::parse(&sent.bytes).unwrap().header().last_offset();
        if last >= start && !seen.contains(&number) {
            return wrong(format!("{at:?} has lost batch {number} at {offset} to {last}"));
        }
    }
    Ok(())
}

/// Which of the batches that were sent this is, and the offset of its first record as it was sent; `None` for one that
/// compaction has emptied.
fn sent_as(log: &Log, at: &At, batch: &Batch<'_>) -> Step<Option<(usize, i64)>> {
    let Some(record) = batch.records().next().map(Result::unwrap) else { return Ok(None) };
    match log.by_identity.get(&identity(&record)) {
        Some(&(number, delta)) => Ok(Some((number, record.offset - delta))),
        None => wrong(format!("{at:?} has a record that nobody has sent: {record:?}")),
    }
}

/// Which transactions are open in a compacted log. What has become of others its markers may not say any more.
fn open(model: &mut Model, at: &At, served: &Served, outcomes: &mut Outcomes) -> Step<()> {
    let log = model.log(at);
    let mut open: BTreeMap<i64, Vec<(u64, i64)>> = BTreeMap::new();
    for (bytes, _) in &served.batches {
        let batch = Batch::parse(bytes).unwrap();
        let producer = batch.header().producer_id;
        if batch.header().is_control() {
            open.remove(&producer);
        } else if let Some((number, base)) = sent_as(log, at, &batch)?
            && let Some(txn) = log.sent[number].txn
        {
            open.entry(producer).or_default().push((txn, base));
        }
    }
    let unstable = open.into_values().flatten().filter(|(_, base)| *base >= served.stable);
    let unstable: Vec<(u64, i64)> = unstable.collect();
    let first = unstable.iter().map(|(_, base)| *base).min().unwrap_or(served.end);
    if first != served.stable {
        return wrong(format!("{at:?}: first open {first}, stable up to {}", served.stable));
    }
    for (txn, _) in unstable {
        outcomes.entry(txn).or_default().insert(Outcome::Open);
    }
    Ok(())
}

/// A compacted log: of each key the last value that was answered, or a later one, or nothing if that is its end.
fn compacted(model: &mut Model, at: &At, served: &Served) -> Step<()> {
    let txns = model.txns.clone();
    let counts = |sent: &Sent| sent.txn.is_none_or(|txn| txns[&txn] == BTreeSet::from([Outcome::Committed]));
    let may_count = |sent: &Sent| sent.txn.is_none_or(|txn| txns[&txn].contains(&Outcome::Committed));
    let log = model.log(at);
    let mut last: BTreeMap<Vec<u8>, (usize, i64)> = BTreeMap::new();
    for (bytes, visible) in &served.batches {
        let batch = Batch::parse(bytes).unwrap();
        if batch.header().is_control() {
            continue;
        }
        let Some((number, base)) = sent_as(log, at, &batch)? else { continue };
        let sent = &mut log.sent[number];
        if *sent.at.get_or_insert(base) != base {
            return wrong(format!("{at:?} has batch {number} at {base}, not at {:?}", sent.at));
        }
        let stable = batch.header().base_offset < served.stable;
        if *visible && !(stable && may_count(sent)) || !*visible && stable && counts(sent) {
            return wrong(format!("{at:?}: batch {number} at {base} of {:?}, visible: {visible}", sent.txn));
        }
        let original = Batch::parse(&sent.bytes).unwrap();
        let originals: Vec<_> = original.records().map(Result::unwrap).collect();
        for record in batch.records().map(Result::unwrap) {
            let delta = record.offset - base;
            let same = usize::try_from(delta).ok().and_then(|place| originals.get(place));
            if same.is_none_or(|same| identity(same) != identity(&record) || same.key != record.key) {
                return wrong(format!(
                    "{at:?}: {same:?} of batch {number} at {base} is served as {record:?}"
                ));
            }
            if !counts(sent) {
                continue;
            }
            let before = last.insert(record.key.unwrap().to_vec(), (number, delta));
            if before.is_some_and(|before| before >= (number, delta)) {
                return wrong(format!("{at:?}: {record:?} comes after a later value"));
            }
        }
    }
    kept(log, at, &last, (&counts, &may_count))
}

/// Which batches count.
type Counts<'a> = &'a dyn Fn(&Sent) -> bool;

/// `last` is what a compacted log serves of each key.
fn kept(
    log: &Log,
    at: &At,
    last: &BTreeMap<Vec<u8>, (usize, i64)>,
    (counts, may_count): (Counts<'_>, Counts<'_>),
) -> Step<()> {
    // The last end of each key that was sent: it may have come, and gone.
    let mut ends: BTreeMap<Vec<u8>, (usize, i64)> = BTreeMap::new();
    for (number, sent) in log.sent.iter().enumerate().filter(|(_, sent)| may_count(sent)) {
        for (record, delta) in Batch::parse(&sent.bytes).unwrap().records().map(Result::unwrap).zip(0..) {
            if record.value.is_none() {
                ends.insert(record.key.unwrap().to_vec(), (number, delta));
            }
        }
    }
    let answered = log.sent.iter().enumerate().filter(|(_, sent)| sent.at.is_some() && counts(sent));
    for (number, sent) in answered {
        for (record, delta) in Batch::parse(&sent.bytes).unwrap().records().map(Result::unwrap).zip(0..) {
            let key = record.key.unwrap();
            let found = last.get(key).or_else(|| ends.get(key));
            if found.is_none_or(|found| *found < (number, delta)) {
                return wrong(format!("{at:?} has lost {record:?} of batch {number}; last: {found:?}"));
            }
        }
    }
    Ok(())
}

/// Each transaction has come to one thing everywhere, and to one that was asked for.
fn transactions(model: &mut Model, outcomes: &Outcomes) -> Step<()> {
    for (txn, found) in outcomes {
        let allowed = model.txns.get_mut(txn).unwrap();
        if found.len() != 1 || !found.is_subset(allowed) {
            return wrong(format!("transaction {txn} is {found:?}; expected was one of {allowed:?}"));
        }
        if allowed.len() > 1 {
            model.tally.undecided += 1;
            match found.first() {
                Some(Outcome::Committed) => model.tally.committed += 1,
                Some(Outcome::Aborted) => model.tally.aborted += 1,
                _ => {}
            }
        }
        allowed.clone_from(found);
    }
    Ok(())
}

fn offsets(client: &mut Client, model: &mut Model) -> Step<()> {
    for (group, (least, most)) in &mut model.groups {
        let found = client.committed(group, &("mixed".to_owned(), 0), true)?;
        let Some(offset) = found.filter(|offset| (*least..=*most).contains(offset)) else {
            return wrong(format!("{group} is at {found:?}, not from {least} to {most}"));
        };
        (*least, *most) = (offset, offset);
    }
    for (group, known) in &model.txn_groups {
        let committed = model.txns[&known.txn] == BTreeSet::from([Outcome::Committed]);
        let open = model.txns[&known.txn].contains(&Outcome::Open);
        let mut stable = BTreeMap::new();
        for number in 0..3 {
            let at = ("mixed".to_owned(), number);
            stable
                .insert(number, (client.committed(group, &at, true)?, client.committed(group, &at, false)?));
        }
        let now = match known.offset {
            Some((offset, _)) if committed => offset,
            _ => known.base,
        };
        // A transaction writes the offset of the first of its partitions, so the newest of them counts.
        let newest = stable.values().filter_map(|(_, offset)| *offset).max();
        let held_back = stable.values().any(|(offset, _)| offset.is_none());
        let must_hold = open && known.offset.is_some_and(|(_, answered)| answered);
        let may_hold = open && known.offset.is_some();
        if newest != Some(now) || (must_hold && !held_back) || (held_back && !may_hold) {
            return wrong(format!(
                "{group} has {stable:?}; expected: {now}, open: {open} {:?}",
                known.offset
            ));
        }
    }
    Ok(())
}

fn topics(client: &mut Client, model: &mut Model) -> Step<()> {
    let found = client.topics()?;
    for (name, state) in &mut model.topics {
        let exists = found.contains(name);
        let (may_exist, may_lack) = *state;
        if (exists && !may_exist) || (!exists && !may_lack) {
            return wrong(format!("topic {name}: {exists}; may exist: {may_exist}, may lack: {may_lack}"));
        }
        *state = (exists, !exists);
    }
    match found.iter().find(|name| name.starts_with("passing") && !model.topics.contains_key(*name)) {
        Some(name) => wrong(format!("topic {name} was never made")),
        None => Ok(()),
    }
}
