//! The check: what was written against what an undisturbed run writes, and the commits against each other.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use headwater::TopicPartition;
use headwater::kafka::Isolation;
use serde_json::json;

use crate::Fallible;
use crate::cluster::Kafka;
use crate::diary::Diary;
use crate::topology::{BOARDS, CHANGELOGS, COUNTS, ECHO, INPUT, PLACES, RANKED, board_of, named};

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) records: usize,
    pub(crate) boards: usize,
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

/// I1: each partition of echo and counts is that of an undisturbed run, record by record, and each board ends as there.
pub(crate) fn outputs(kafka: &Kafka, application: &str, found: &mut Found) -> Fallible<()> {
    let read = |topic, number| whole(kafka, &TopicPartition::new(named(application, topic), number));
    let (mut totals, mut boards) = (BTreeMap::new(), BTreeMap::new());
    for number in 0..kafka.partitions {
        let input = read(INPUT, number)?;
        let (echo, counts) = (read(ECHO, number)?, read(COUNTS, number)?);
        compare(&format!("{ECHO}-{number}"), &input, &echo, found);
        compare(&format!("{COUNTS}-{number}"), &counted(&input, &mut totals), &counts, found);
        let told = read(BOARDS, number)?;
        found.records += echo.len() + counts.len() + told.len();
        boards.extend(told.into_iter().map(|(_, key, board)| (text(key), text(board))));
    }
    let expected = ranked(&totals);
    found.boards = expected.len();
    for (key, board) in &expected {
        let last = boards.get(key);
        if last != Some(board) {
            found.problem(format!("{BOARDS}: the last {key} is {last:?}, expected {board}"));
        }
    }
    if boards.len() != expected.len() {
        found.problem(format!("{BOARDS}: {} keys, expected {}", boards.len(), expected.len()));
    }
    Ok(())
}

/// The counts of a partition of the input; adds to the totals of all partitions.
fn counted(input: &[Shown], totals: &mut BTreeMap<String, i64>) -> Vec<Shown> {
    let mut newest: HashMap<&[u8], i64> = HashMap::new();
    let count = |(time, key, _): &'_ Shown| (*time, key.clone());
    let mut counts = Vec::with_capacity(input.len());
    for ((time, key), record) in input.iter().map(|record| (count(record), record)) {
        let total = totals.entry(text(key.clone())).or_default();
        let newest = newest.entry(&record.1).or_default();
        *total += 1;
        *newest = (*newest).max(time);
        counts.push((*newest, key, total.to_be_bytes().to_vec()));
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

/// An interval of a partition, and who has told it: number of the instance and of its stretch.
type Told = ((i64, i64), (usize, usize));

/// I7: the intervals of a partition, over all instances, are disjoint and gapless. What is missing has to be the one commit
/// that an instance did not live to tell: the last one of a stretch that was broken off, of the instance that stood before
/// the gap or of the one that stands behind it.
pub(crate) fn intervals(diaries: &[Diary], found: &mut Found) {
    let mut all: BTreeMap<&str, Vec<Told>> = BTreeMap::new();
    for (instance, diary) in diaries.iter().enumerate() {
        for (number, stretch) in diary.stretches.iter().enumerate() {
            found.commits += stretch.commits;
            for (partition, intervals) in &stretch.intervals {
                // What says again where it stands (nothing consumed, something written) takes nothing.
                let taken = intervals.iter().filter(|(from, to)| from < to);
                all.entry(partition).or_default().extend(taken.map(|one| (*one, (instance, number))));
            }
        }
    }
    for (partition, mut told) in all {
        told.sort_unstable();
        let mut spent = BTreeSet::new();
        for pair in told.windows(2) {
            let (before, behind) = (pair[0], pair[1]);
            let (end, begin) = (before.0.1, behind.0.0);
            if begin < end {
                found.problem(format!("{partition}: {begin} is committed twice, by {pair:?}"));
            } else if begin > end {
                found.untold += 1;
                let silent = untold(diaries, partition, before, behind).find(|one| !spent.contains(one));
                match silent {
                    Some(one) => _ = spent.insert(one),
                    None => found.problem(format!(
                        "{partition}: {end}..{begin} is committed by nobody, and nobody died over it: {pair:?}"
                    )),
                }
            }
        }
    }
}

/// The stretches that may have ended with a commit of a partition that was not told, between two that were: that of the
/// commit before, if this was its last one of the partition; and those without a commit of the partition that follow upon
/// it, or go before that of the commit behind.
fn untold<'a>(
    diaries: &'a [Diary],
    partition: &'a str,
    before: Told,
    behind: Told,
) -> impl Iterator<Item = (usize, usize)> + 'a {
    let intervals = move |(instance, number): (usize, usize)| {
        diaries[instance].stretches[number].intervals.get(partition)
    };
    let is_silent = move |one: &(usize, usize)| intervals(*one).is_none();
    let (taken, (first, from)) = before;
    let (second, to) = behind.1;
    let last = diaries[first].stretches.len() - 1;
    let is_last = intervals((first, from)).and_then(|all| all.last()) == Some(&taken);
    let own = std::iter::once((first, from)).filter(move |_| is_last && from < last);
    let after = (from + 1..last).map(move |number| (first, number)).take_while(is_silent);
    let ahead = (0..to).rev().map(move |number| (second, number)).take_while(is_silent);
    own.chain(after).chain(ahead)
}

/// I5: no local state was lost.
pub(crate) fn wipes(diaries: &[Diary], found: &mut Found) {
    let wipes: usize = diaries.iter().map(|diary| diary.wipes).sum();
    if wipes > 0 {
        found.problem(format!("{wipes} times local state was thrown away"));
    }
}

/// All topics that the application writes.
pub(crate) fn written(application: &str) -> Vec<String> {
    let all = [ECHO, COUNTS, BOARDS, RANKED].into_iter().chain(CHANGELOGS);
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
            (&[&[&[(0, 5), (9, 12)], &[]], &[&[(7, 9)]]], 1, 1),
        ];
        for (lives, untold, problems) in cases {
            let diaries: Vec<_> = lives.iter().map(|stretches| diary(stretches)).collect();
            let mut found = Found::default();
            intervals(&diaries, &mut found);
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
