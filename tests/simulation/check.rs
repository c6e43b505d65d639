//! Check: what must hold after every run, whatever has happened in it. `ARCHITECTURE.md` lists the invariants I1 to I8.
//!
//! 1. No transaction is left open: every topic can be read to its end (I6).
//! 2. What instances believe to have committed is what the group's offsets say: disjoint, and without gaps but for
//!    commits whose answer was lost (I7).
//! 3. Each commit's counters add up, and tell the late records of its interval and no others (I8).
//! 4. Byte stores held at every crash what their changelogs say, and nothing that was not committed (I3).
//! 5. Output and stores are those of the sequential model (I1, I2, I4).

use std::collections::BTreeMap;

use headwater::telemetry::DropReason;
use headwater::{TaskId, TopicPartition};
use headwater_broker::broker::OwnedRecord;

use crate::case::{View, Wrong};
use crate::world::{Acknowledged, World};

/// All checks.
pub(crate) fn check(world: &mut World) -> Result<(), Wrong> {
    stable(world)?;
    let view = view(world)?;
    if world.scenario.exactly_once {
        let lost = intervals(world)?;
        world.tally.event("commits without answer", lost);
    }
    for acknowledged in &world.commits {
        counters(world, acknowledged, &view).map_err(|wrong| {
            format!("{}'s commit {}: {wrong}", acknowledged.worker, acknowledged.commit.number)
        })?;
    }
    snapshots(world)?;
    tell(world);
    if world.scenario.exactly_once { world.case.judge(&view) } else { world.case.judge_at_least_once(&view) }
}

/// What is worth knowing of a run that is right.
fn tell(world: &mut World) {
    let mut owners: BTreeMap<TaskId, &str> = BTreeMap::new();
    let (mut moves, mut late) = (0, 0);
    for acknowledged in &world.commits {
        for (task, counters) in &acknowledged.commit.tasks {
            late += counters.dropped(DropReason::Late);
            let before = owners.insert(*task, &acknowledged.worker);
            moves += u64::from(before.is_some_and(|before| before != acknowledged.worker));
        }
    }
    world.tally.event("tasks moved", moves);
    world.tally.event("late records dropped", late);
}

fn stable(world: &World) -> Result<(), Wrong> {
    let broker = world.mould.cluster.broker();
    for topic in broker.topics() {
        for partition in 0..broker.partition_count(&topic).unwrap_or(0) {
            let Some(view) = broker.partition(&topic, partition) else { continue };
            let (stable, end) = (view.last_stable_offset, view.high_watermark);
            if stable != end {
                return Err(format!("{topic}-{partition} is stable up to {stable} of {end} only"));
            }
        }
    }
    Ok(())
}

/// The committed records of all topics.
pub(crate) fn view(world: &World) -> Result<View, Wrong> {
    let broker = world.mould.cluster.broker();
    let mut view = View::default();
    for topic in broker.topics() {
        let count = broker.partition_count(&topic).unwrap_or(0);
        let partitions: Result<Vec<_>, _> =
            (0..count).map(|partition| broker.committed_records(&topic, partition)).collect();
        view.topics.insert(topic, partitions.map_err(|code| code.to_string())?);
    }
    Ok(view)
}

/// Returns how many commits happened without an acknowledgement.
pub(crate) fn intervals(world: &World) -> Result<u64, Wrong> {
    let mut by_partition: BTreeMap<&TopicPartition, Vec<(i64, i64, &str)>> = BTreeMap::new();
    for acknowledged in &world.commits {
        for one in acknowledged.commit.intervals.iter().filter(|one| one.from != one.to) {
            let place = by_partition.entry(&one.partition).or_default();
            place.push((one.from, one.to, acknowledged.worker.as_str()));
        }
    }
    let mut lost = 0;
    for (partition, mut intervals) in by_partition {
        intervals.sort_unstable();
        for pair in intervals.windows(2) {
            let [(_, to, one), (from, _, other)] = pair else { continue };
            if from < to {
                return Err(format!("{partition}: {from}..{to} was committed by {one} and again by {other}"));
            }
        }
        let mut steps = vec![0];
        steps.extend(world.offsets.get(partition).into_iter().flatten());
        for step in steps.windows(2) {
            lost += step_is_told(partition, (step[0], step[1]), &intervals)?;
        }
        let end = steps.last().copied().unwrap_or(0);
        if let Some((from, to, who)) = intervals.last().filter(|(_, to, _)| *to > end) {
            return Err(format!(
                "{partition}: {who} believes in its commit of {from}..{to}, the group is at {end}"
            ));
        }
    }
    Ok(lost)
}

/// One step of the committed offset: told by an instance, or (1) by nobody.
fn step_is_told(
    partition: &TopicPartition,
    (from, to): (i64, i64),
    intervals: &[(i64, i64, &str)],
) -> Result<u64, Wrong> {
    if to <= from {
        return Err(format!("{partition}: the committed offset went from {from} to {to}"));
    }
    let mut at = from;
    let inside = |one: &&(i64, i64, &str)| one.0 < to && one.1 > from;
    for (start, end, who) in intervals.iter().filter(inside) {
        if *start != at || *end > to {
            return Err(format!("{partition}: {who} committed {start}..{end}, the group {from}..{to}"));
        }
        at = *end;
    }
    match at {
        at if at == to => Ok(0),
        at if at == from => Ok(1),
        at => {
            Err(format!("{partition}: the group went from {from} to {to}, but {at}..{to} was told by nobody"))
        }
    }
}

fn counters(world: &World, acknowledged: &Acknowledged, view: &View) -> Result<(), Wrong> {
    for (task, counters) in &acknowledged.commit.tasks {
        if counters.balance() != 0 {
            return Err(format!("task {task}: {counters} does not add up"));
        }
        let plan = &world.mould.plan.subtopologies[task.subtopology as usize];
        let own = acknowledged.commit.intervals.iter().filter(|one| {
            one.partition.partition == task.partition
                && plan.sources.iter().any(|source| source.topic == one.partition.topic)
        });
        let own: Vec<_> = own.collect();
        let width: i64 = own.iter().map(|one| one.to - one.from).sum();
        let consumed = i64::try_from(counters.consumed).unwrap_or(i64::MAX);
        // Between the records of a repartition topic lie markers and what was aborted.
        let internal = plan.sources.iter().any(|source| source.internal);
        if consumed > width || (consumed < width && !internal) {
            return Err(format!("task {task}: {counters}, but its interval holds {width} records"));
        }
        let Ok(number) = usize::try_from(task.partition) else { continue };
        let input = view.partitions(world.case.inputs()[0]).get(number).map_or(&[][..], Vec::as_slice);
        if let Some(late) = world.case.late(input) {
            let within = |offset: &&i64| own.iter().any(|one| (one.from..one.to).contains(*offset));
            let expected = late.iter().filter(within).count() as u64;
            let counted = counters.dropped(DropReason::Late);
            if counted != expected {
                return Err(format!("task {task}: {counted} late records, the model says {expected}"));
            }
        }
    }
    Ok(())
}

fn snapshots(world: &World) -> Result<(), Wrong> {
    let broker = world.mould.cluster.broker();
    let mut logs: BTreeMap<(String, i32), Vec<OwnedRecord>> = BTreeMap::new();
    let mut log = |topic: &str, partition: i32| {
        let records = logs.entry((topic.to_owned(), partition));
        records.or_insert_with(|| broker.records(topic, partition).unwrap_or_default()).clone()
    };
    let compacted = world.scenario.compaction_ms.is_some();
    world.snapshots.iter().try_for_each(|snapshot| snapshot.check(world.case, compacted, &mut log))
}
