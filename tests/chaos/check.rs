//! The check: what was written against what an undisturbed run writes, and the commits against each other.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use headwater::TopicPartition;
use headwater::kafka::Isolation;
use serde_json::json;

use crate::Fallible;
use crate::cluster::Kafka;
use crate::diary::Diary;
use crate::topology::{
    BOARDS, CHANGELOGS, COUNTS, ECHO, INPUT, PLACES, REPARTITIONED, TOTALS, board_of, named,
};

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) records: usize,
    /// Keys of which the last value was compared.
    pub(crate) last: usize,
    pub(crate) commits: usize,
    /// Intervals that nobody lived to tell.
    pub(crate) untold: usize,
    pub(crate) problems: Vec<String>,
}

impl Found {
    fn problem(&mut self, text: String) {
        // The first ones tell what is wrong.
        if self.problems.len() < 20 {
            self.problems.push(text);
        }
    }
}

type Shown = (i64, Vec<u8>, Vec<u8>);

fn whole(kafka: &Kafka, partition: &TopicPartition) -> Fallible<Vec<Shown>> {
    let batches = kafka.read(partition)?;
    let records = batches.iter().flat_map(|batch| batch.iter());
    let show = |record: headwater::record::RawRecord<'_>| {
        let bytes = |bytes: Option<&[u8]>| bytes.unwrap_or(b"null").to_vec();
        (record.timestamp, bytes(record.key), bytes(record.value))
    };
    Ok(records.map(show).collect())
}

/// I1: each partition of echo and counts is that of an undisturbed run, record by record; each board and each total ends as
/// there. `sent` is how many records the feed has had acknowledged.
pub(crate) fn outputs(kafka: &Kafka, application: &str, sent: u64, found: &mut Found) -> Fallible<()> {
    let read = |topic, number| whole(kafka, &TopicPartition::new(named(application, topic), number));
    let mut counts = BTreeMap::new();
    let (mut boards, mut totals) = (Last::default(), Last::default());
    let mut records = 0;
    for number in 0..kafka.partitions {
        let input = read(INPUT, number)?;
        records += input.len();
        let (echo, told) = (read(ECHO, number)?, read(COUNTS, number)?);
        compare(&format!("{ECHO}-{number}"), &input, &echo, found);
        compare(&format!("{COUNTS}-{number}"), &counted(&input, &mut counts), &told, found);
        found.records += echo.len() + told.len();
        boards.read(BOARDS, number, read(BOARDS, number)?, found);
        totals.read(TOTALS, number, read(TOTALS, number)?, found);
    }
    if u64::try_from(records)? != sent {
        found.problem(format!("{records} records of the input can be read, and {sent} were sent"));
    }
    let expected = ranked(&counts).into_iter().map(|(key, board)| (key, board.into_bytes()));
    boards.compare(BOARDS, expected.collect(), found);
    let mut sums: BTreeMap<String, i64> = BTreeMap::new();
    for (key, count) in &counts {
        *sums.entry(board_of(key)).or_default() += count;
    }
    let expected = sums.into_iter().map(|(key, sum)| (key, sum.to_be_bytes().to_vec()));
    totals.compare(TOTALS, expected.collect(), found);
    Ok(())
}

/// The last value of each key of a topic, and the partition that has it.
#[derive(Default)]
struct Last(BTreeMap<String, (i32, Vec<u8>)>);

impl Last {
    fn read(&mut self, topic: &str, number: i32, records: Vec<Shown>, found: &mut Found) {
        found.records += records.len();
        for (_, key, value) in records {
            let key = text(key);
            if let Some((other, _)) = self.0.insert(key.clone(), (number, value))
                && other != number
            {
                found.problem(format!("{topic}: {key} is in partitions {other} and {number}"));
            }
        }
    }

    fn compare(&self, topic: &str, expected: BTreeMap<String, Vec<u8>>, found: &mut Found) {
        found.last += expected.len();
        for (key, value) in &expected {
            let last = self.0.get(key).map(|(_, last)| last);
            if last != Some(value) {
                found.problem(format!("{topic}: the last {key} is {last:?}, expected {value:?}"));
            }
        }
        if self.0.len() != expected.len() {
            found.problem(format!("{topic}: {} keys, expected {}", self.0.len(), expected.len()));
        }
    }
}

/// The counts of a partition of the input; adds to the totals of all partitions.
fn counted(input: &[Shown], totals: &mut BTreeMap<String, i64>) -> Vec<Shown> {
    let mut newest: HashMap<&[u8], i64> = HashMap::new();
    let mut counts = Vec::with_capacity(input.len());
    for (time, key, _) in input {
        let total = totals.entry(text(key.clone())).or_default();
        *total += 1;
        let newest = newest.entry(key).or_default();
        *newest = (*newest).max(*time);
        counts.push((*newest, key.clone(), total.to_be_bytes().to_vec()));
    }
    counts
}

/// The boards of these counts: the highest first, equal ones by key.
fn ranked(totals: &BTreeMap<String, i64>) -> BTreeMap<String, String> {
    let mut rows: BTreeMap<String, Vec<(i64, &str)>> = BTreeMap::new();
    for (key, total) in totals {
        rows.entry(board_of(key)).or_default().push((-total, key));
    }
    let board = |mut rows: Vec<(i64, &str)>| {
        rows.sort_unstable();
        let rows: Vec<_> =
            rows.iter().take(PLACES).map(|(total, key)| json!({ "key": key, "value": -total })).collect();
        json!({ "rows": rows }).to_string()
    };
    rows.into_iter().map(|(key, rows)| (key, board(rows))).collect()
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

fn compare(name: &str, expected: &[Shown], actual: &[Shown], found: &mut Found) {
    let differs = expected.iter().zip(actual).position(|(one, other)| one != other);
    if let Some(at) = differs {
        let (one, other) = (&expected[at], &actual[at]);
        found.problem(format!("{name}: record {at} is {other:?}, expected {one:?}"));
    }
    if expected.len() != actual.len() {
        found.problem(format!("{name}: {} records, expected {}", actual.len(), expected.len()));
    }
}

/// A stretch: number of the instance, number of the stretch.
type Teller = (usize, usize);

/// An interval of a partition, and who has told it; nobody has told where the partition begins and where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Told {
    from: i64,
    to: i64,
    by: Option<Teller>,
}

/// I7: the intervals of a partition, over all instances, are disjoint and gapless from its beginning to what is committed in
/// the end. What is missing has to be the one commit that an instance did not live to tell: the last one of a stretch that
/// was broken off, of the instance that stood before the gap or of the one that stands behind it.
pub(crate) fn intervals(diaries: &[Diary], committed: &BTreeMap<String, i64>, found: &mut Found) {
    let mut all: BTreeMap<&str, Vec<Told>> = BTreeMap::new();
    for (partition, end) in committed {
        let edge = |at| Told { from: at, to: at, by: None };
        all.insert(partition, vec![edge(0), edge(*end)]);
    }
    for (instance, diary) in diaries.iter().enumerate() {
        for (number, stretch) in diary.stretches.iter().enumerate() {
            found.commits += stretch.commits;
            for (partition, intervals) in &stretch.intervals {
                let by = Some((instance, number));
                for (from, to) in intervals {
                    // What says again where it stands (nothing consumed, something written) takes nothing.
                    match from.cmp(to) {
                        Ordering::Less => {
                            all.entry(partition).or_default().push(Told { from: *from, to: *to, by });
                        }
                        Ordering::Equal => {}
                        Ordering::Greater => found.problem(format!("{partition}: {from}..{to} goes back")),
                    }
                }
            }
        }
    }
    for (partition, mut told) in all {
        told.sort_unstable_by_key(|one| (one.from, one.to));
        let mut spent = BTreeSet::new();
        for pair in told.windows(2) {
            let (before, behind) = (pair[0], pair[1]);
            let (end, begin) = (before.to, behind.from);
            if begin < end {
                found.problem(format!("{partition}: {begin} is committed twice, by {pair:?}"));
            } else if begin > end {
                found.untold += 1;
                let silent = untold(diaries, partition, before, behind);
                match silent.into_iter().find(|one| !spent.contains(one)) {
                    Some(one) => _ = spent.insert(one),
                    None => found.problem(format!(
                        "{partition}: {end}..{begin} is committed by nobody, and nobody died over it: {pair:?}"
                    )),
                }
            }
        }
    }
}

/// The stretches that may have ended with a commit of a partition that was not told, between two that were. If that before
/// was the last of its stretch: this one, and those that follow upon it without a commit of the partition. If that behind was
/// the first of its stretch: those without a commit of the partition that go before it.
fn untold(diaries: &[Diary], partition: &str, before: Told, behind: Told) -> Vec<Teller> {
    let intervals = |(instance, number): Teller| {
        let intervals = diaries[instance].stretches[number].intervals.get(partition);
        intervals.into_iter().flatten().filter(|(from, to)| from < to).copied().collect::<Vec<_>>()
    };
    let is_silent = |one: &Teller| intervals(*one).is_empty();
    let mut found = Vec::new();
    if let Some((instance, from)) = before.by
        && intervals((instance, from)).last() == Some(&(before.from, before.to))
    {
        // The last stretch of all was not broken off.
        let last = diaries[instance].stretches.len() - 1;
        found.extend((from < last).then_some((instance, from)));
        found.extend((from + 1..last).map(|number| (instance, number)).take_while(is_silent));
    }
    if let Some((instance, to)) = behind.by
        && intervals((instance, to)).first() == Some(&(behind.from, behind.to))
    {
        found.extend((0..to).rev().map(|number| (instance, number)).take_while(is_silent));
    }
    found
}

/// I5: no local state was lost.
pub(crate) fn wipes(diaries: &[Diary], found: &mut Found) {
    let wipes: usize = diaries.iter().map(|diary| diary.wipes).sum();
    if wipes > 0 {
        found.problem(format!("{wipes} times local state was thrown away"));
    }
}

/// All topics that the application reads, each after those that it is written from.
pub(crate) fn consumed(application: &str) -> Vec<String> {
    [INPUT].into_iter().chain(REPARTITIONED).map(|topic| named(application, topic)).collect()
}

/// All topics that the application writes.
pub(crate) fn written(application: &str) -> Vec<String> {
    let all = [ECHO, COUNTS, BOARDS, TOTALS].into_iter().chain(REPARTITIONED).chain(CHANGELOGS);
    all.map(|topic| named(application, topic)).collect()
}

/// I6: waits until everything below `until` is decided; returns how long that took.
pub(crate) fn decided(kafka: &mut Kafka, topics: &[String], until: &[i64], limit_ms: i64) -> Fallible<i64> {
    let begin = kafka.now_ms();
    loop {
        let stable = kafka.ends(topics, Isolation::ReadCommitted)?;
        let took = kafka.now_ms() - begin;
        if stable.iter().zip(until).all(|(stable, until)| stable >= until) {
            return Ok(took);
        }
        if took > limit_ms {
            return Err(format!(
                "after {took} ms the last stable offsets {stable:?} are not at the high watermarks {until:?} of the kill"
            )
            .into());
        }
        kafka.pause(50);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diary::Stretch;

    fn diary(stretches: &[&[(i64, i64)]]) -> Diary {
        let stretches = stretches.iter().map(|intervals| Stretch {
            commits: intervals.len(),
            intervals: match intervals {
                [] => BTreeMap::new(),
                some => [("in-0".to_owned(), some.to_vec())].into(),
            },
        });
        Diary { stretches: stretches.collect(), ..Diary::default() }
    }

    #[test]
    fn intervals_that_overlap_and_gaps_without_a_death_are_found() {
        // Instances, their stretches, their intervals.
        type Lives = &'static [&'static [&'static [(i64, i64)]]];
        let cases: &[(Lives, usize, usize)] = &[
            (&[&[&[(0, 5), (5, 5), (5, 9)]], &[&[(9, 12)]]], 0, 0),
            (&[&[&[(0, 5), (4, 9)]]], 0, 1),
            // The first has not died, and the second has not lived before.
            (&[&[&[(0, 5)]], &[&[(7, 9)]]], 1, 1),
            // A commit in the middle of a stretch is told.
            (&[&[&[(0, 5), (7, 9)], &[]]], 1, 1),
            (&[&[&[(0, 5)], &[(7, 9)]]], 1, 0),
            (&[&[&[(0, 5)], &[]], &[&[(7, 9)]]], 1, 0),
            // The second has died over its first commit; a death is good for one gap.
            (&[&[&[(0, 5)]], &[&[], &[(7, 9)]]], 1, 0),
            (&[&[&[(0, 5), (9, 12)]], &[&[], &[(7, 8)]]], 2, 1),
            // It has told a later commit of the partition than that before the gap.
            (&[&[&[(0, 5), (9, 12)], &[], &[]], &[&[(7, 9)]]], 1, 1),
            // Both commits are told in one stretch: whoever was silent after it, or before, had no part in what is missing.
            (&[&[&[(0, 5), (7, 9)], &[], &[]]], 1, 1),
            (&[&[&[], &[(0, 5), (7, 9)]]], 1, 1),
            // What says again where it stands is no last interval.
            (&[&[&[(0, 5), (5, 5)], &[(7, 9)]]], 1, 0),
            (&[&[&[(5, 0)]]], 1, 2),
            // The first commit, and the last.
            (&[&[&[(2, 9)]]], 1, 1),
            (&[&[&[], &[(2, 9)]]], 1, 0),
            (&[&[&[(0, 7)], &[]]], 1, 0),
            (&[&[&[(0, 7)]]], 1, 1),
        ];
        for (lives, untold, problems) in cases {
            let diaries: Vec<_> = lives.iter().map(|stretches| diary(stretches)).collect();
            let mut found = Found::default();
            let ends = lives.iter().flat_map(|stretches| stretches.iter().flat_map(|one| one.iter()));
            // They end at 9 or 12, but for those that lack the end.
            let end = ends.map(|(_, to)| *to).max().map_or(9, |to| to.max(9));
            intervals(&diaries, &[("in-0".to_owned(), end)].into(), &mut found);
            assert_eq!((found.untold, found.problems.len()), (*untold, *problems), "{diaries:?}: {found:?}");
        }
    }

    #[test]
    fn boards_show_the_highest_counts_and_equal_ones_by_key() {
        let totals = [("b1", 3), ("a1", 3), ("c1", 9), ("d1", 1), ("e1", 2), ("f1", 1), ("a2", 7)];
        let boards = ranked(&totals.map(|(key, total)| (key.to_owned(), total)).into());
        let row = |key, value: i64| format!(r#"{{"key":"{key}","value":{value}}}"#);
        let first = [row("c1", 9), row("a1", 3), row("b1", 3), row("e1", 2), row("d1", 1)].join(",");
        assert_eq!(boards["board-1"], format!(r#"{{"rows":[{first}]}}"#));
        assert_eq!(boards["board-2"], format!(r#"{{"rows":[{}]}}"#, row("a2", 7)));
    }

    #[test]
    fn a_record_too_many_too_few_or_another_is_found() {
        let record = |number: u8| (i64::from(number), vec![number], vec![number]);
        let expected = [record(1), record(2)];
        let cases = [(vec![1, 2], 0), (vec![1], 1), (vec![1, 2, 2], 1), (vec![2, 1], 1), (vec![1, 1, 2], 2)];
        for (actual, problems) in cases {
            let mut found = Found::default();
            compare("echo-0", &expected, &actual.iter().copied().map(record).collect::<Vec<_>>(), &mut found);
            assert_eq!(found.problems.len(), problems, "{actual:?}");
        }
    }
}
