//! The check: what was written against what an undisturbed run writes, and the commits against each other.

use std::collections::{BTreeMap, HashMap};

use headwater::TopicPartition;
use headwater::kafka::Isolation;

use crate::Fallible;
use crate::cluster::Kafka;
use crate::diary::Diary;
use crate::topology::{COUNTS, ECHO, INPUT, STORE, named};

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) records: usize,
    pub(crate) commits: usize,
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

/// I1: each output partition is that of an undisturbed run, record by record.
pub(crate) fn outputs(kafka: &Kafka, application: &str, found: &mut Found) -> Fallible<()> {
    for number in 0..kafka.partitions {
        let read = |topic| whole(kafka, &TopicPartition::new(named(application, topic), number));
        let (input, echo, counts) = (read(INPUT)?, read(ECHO)?, read(COUNTS)?);
        let mut seen: HashMap<&[u8], i64> = HashMap::new();
        let mut newest: HashMap<&[u8], i64> = HashMap::new();
        let counted: Vec<Shown> = input
            .iter()
            .map(|(time, key, _)| {
                let (count, newest) = (seen.entry(key).or_default(), newest.entry(key).or_default());
                *count += 1;
                *newest = (*newest).max(*time);
                (*newest, key.clone(), count.to_be_bytes().to_vec())
            })
            .collect();
        compare(&format!("{ECHO}-{number}"), &input, &echo, found);
        compare(&format!("{COUNTS}-{number}"), &counted, &counts, found);
        found.records += echo.len() + counts.len();
    }
    Ok(())
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

/// I7: the intervals of a partition, over all instances, are disjoint, and without gaps but where an instance was killed
/// between a commit and telling of it: `deaths` in all.
pub(crate) fn intervals(diaries: &[Diary], deaths: usize, found: &mut Found) {
    let mut all: BTreeMap<&str, Vec<(i64, i64)>> = BTreeMap::new();
    for (_, partition, from, to) in diaries.iter().flat_map(|diary| &diary.commits) {
        all.entry(partition).or_default().push((*from, *to));
        found.commits += 1;
    }
    let mut gaps = 0;
    for (partition, mut intervals) in all {
        // What says again where it stands (nothing consumed, something written) takes nothing.
        intervals.retain(|(from, to)| from < to);
        intervals.sort_unstable();
        for pair in intervals.windows(2) {
            let ((_, end), (begin, _)) = (pair[0], pair[1]);
            if begin < end {
                found.problem(format!("{partition}: {begin} is committed twice, by {pair:?}"));
            }
            gaps += usize::from(begin > end);
        }
    }
    // A dead instance has two partitions or more, and one commit of all of them.
    if gaps > deaths * 6 {
        found.problem(format!("{gaps} gaps between commits, after {deaths} deaths"));
    }
}

/// I5: no local state was lost.
pub(crate) fn wipes(diaries: &[Diary], found: &mut Found) {
    let wipes: usize = diaries.iter().map(|diary| diary.wipes).sum();
    if wipes > 0 {
        found.problem(format!("{wipes} times local state was thrown away"));
    }
}

/// All topics that the application writes.
pub(crate) fn written(application: &str) -> [String; 3] {
    [named(application, ECHO), named(application, COUNTS), named(application, &format!("{STORE}-changelog"))]
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

    fn diary(commits: &[(i64, i64)]) -> Diary {
        let commits = commits.iter().map(|(from, to)| (1, "in-0".to_owned(), *from, *to)).collect();
        Diary { commits, ..Diary::default() }
    }

    #[test]
    fn intervals_that_overlap_are_found_and_gaps_are_counted() {
        let cases: [(&[&[(i64, i64)]], usize, usize); 4] = [
            (&[&[(0, 5), (5, 5), (5, 9)], &[(9, 12)]], 0, 0),
            (&[&[(0, 5), (4, 9)]], 0, 1),
            (&[&[(0, 5)], &[(7, 9)]], 0, 1),
            (&[&[(0, 5)], &[(7, 9)]], 1, 0),
        ];
        for (diaries, deaths, problems) in cases {
            let diaries: Vec<_> = diaries.iter().map(|commits| diary(commits)).collect();
            let mut found = Found::default();
            intervals(&diaries, deaths, &mut found);
            assert_eq!(found.problems.len(), problems, "{diaries:?}: {found:?}");
        }
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
