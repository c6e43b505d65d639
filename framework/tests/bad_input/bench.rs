//! What befalls a record that a topology cannot take: once for each answer of its handler.

use headwater::kafka::Isolation;
use headwater::kafka::memory::MemoryCluster;
use headwater::telemetry::{Counters, DropReason};
use headwater::testkit::{Testkit, TestkitBuilder};
use headwater::{Error, RecordBatch, StreamsBuilder, TopicPartition, Topology};

/// The input of every case, with a record that is good before the bad one and another behind it.
const INPUT: (&str, i32) = ("in", 1);
const GOOD_TIMES: [i64; 2] = [10, 30];

/// Key, value, timestamp.
pub(crate) type Raw<'a> = (Option<&'a [u8]>, Option<&'a [u8]>, i64);

/// A topology that makes one record in `out` of each in `in`, and a record that it cannot take.
pub(crate) struct Case<'a> {
    pub(crate) topology: &'a dyn Fn(&StreamsBuilder),
    pub(crate) good: (&'a [u8], &'a [u8]),
    pub(crate) bad: Raw<'a>,
    /// Which handler is asked: `deserialization`, `processing` or `production`.
    pub(crate) stage: &'a str,
    pub(crate) node: &'a str,
    /// How the error begins.
    pub(crate) problem: &'a str,
    /// What the error advises, before what it says about the handler.
    pub(crate) hint: Option<&'a str>,
    /// Under which reason `continue` counts the record.
    pub(crate) dropped: DropReason,
}

impl Case<'_> {
    /// Goes through the three answers, each with both guarantees.
    pub(crate) fn check(&self) {
        for exactly_once in [true, false] {
            let cluster = MemoryCluster::new();
            self.fails_and_is_read_again(&cluster, exactly_once);
            self.is_dropped(&cluster, exactly_once);
            self.becomes_a_dead_letter(exactly_once);
        }
    }

    fn topology(&self) -> Topology {
        let builder = StreamsBuilder::new();
        (self.topology)(&builder);
        builder.build().unwrap()
    }

    fn kit(&self, cluster: &MemoryCluster, answer: &str, exactly_once: bool) -> TestkitBuilder {
        let kit = Testkit::builder().cluster(cluster).partitions(2).topic("out", 2);
        let kit = if exactly_once { kit.exactly_once() } else { kit };
        kit.set(&format!("{}.exception.handler", self.stage), answer)
    }

    /// Where the bad record lies, as errors say it.
    fn place(&self) -> String {
        let (topic, partition) = INPUT;
        format!("(topic {topic}, partition {partition}, offset 1, node {}, task 0_{partition})", self.node)
    }

    fn error(&self) -> String {
        let hint = self.hint.map(|hint| format!("{hint}; ")).unwrap_or_default();
        let stage = self.stage;
        let handler = format!(
            "set `{stage}.exception.handler` to `continue` or `dead-letter` to go on after such records"
        );
        format!("{} {}; {hint}{handler}", self.problem, self.place())
    }

    fn feed(&self, kit: &mut Testkit) -> Result<(), Error> {
        let mut batch = RecordBatch::default();
        let (key, value) = self.good;
        batch.push(GOOD_TIMES[0], Some(key), Some(value), 0);
        batch.push(self.bad.2, self.bad.0, self.bad.1, 0);
        // No text: headers belong to who writes them.
        batch.push_header("own", Some(b"\xff\xfe"));
        batch.push(GOOD_TIMES[1], Some(key), Some(value), 0);
        kit.put(&TopicPartition::new(INPUT.0, INPUT.1), &batch)?;
        kit.settle()
    }

    /// The worker stops; nothing of what it read is committed, and the next worker comes to the same record.
    fn fails_and_is_read_again(&self, cluster: &MemoryCluster, exactly_once: bool) {
        let mut kit = self.kit(cluster, "fail", exactly_once).build(&self.topology()).unwrap();
        assert_eq!(self.feed(&mut kit).unwrap_err().to_string(), self.error());
        assert_eq!(kit.restart(0).unwrap_err().to_string(), self.error(), "after a restart");
        assert_eq!(kit.counters(), Counters::default(), "nothing is committed");
        if exactly_once {
            assert!(times(cluster, "out").is_empty(), "nothing is visible");
        }
    }

    /// Another worker, which goes on, finds the same record where the failed one left it.
    fn is_dropped(&self, cluster: &MemoryCluster, exactly_once: bool) {
        let kit = self.kit(cluster, "continue", exactly_once).build(&self.topology()).unwrap();
        let counters = kit.counters();
        assert_eq!((counters.consumed, counters.produced), (3, 2), "{counters}");
        assert_eq!((counters.dropped(self.dropped), counters.dropped_total()), (1, 1), "{counters}");
        adds_up(&counters);
        assert_eq!(times(cluster, "out"), GOOD_TIMES);
    }

    fn becomes_a_dead_letter(&self, exactly_once: bool) {
        let cluster = MemoryCluster::new();
        let kit = self.kit(&cluster, "dead-letter", exactly_once);
        let kit = kit.set("errors.dead.letter.queue.topic.name", "dead");
        let mut kit = kit.build(&self.topology()).unwrap();
        self.feed(&mut kit).unwrap();
        let counters = kit.counters();
        assert_eq!(
            (counters.consumed, counters.produced, counters.dead_letters_total()),
            (3, 2, 1),
            "{counters}"
        );
        adds_up(&counters);
        assert_eq!(times(&cluster, "out"), GOOD_TIMES);
        let letters = cluster.read_all("dead", Isolation::ReadCommitted).unwrap();
        let letter = letters.iter().flatten().next().unwrap();
        assert_eq!((letter.key, letter.value), (self.bad.0, self.bad.1), "the input as it was");
        assert_eq!(letter.timestamp, self.bad.2.max(0), "a topic takes no negative time");
        let headers = letter.to_headers();
        assert_eq!(headers.last("own"), Some(&b"\xff\xfe"[..]));
        let header = |name: &str| {
            let value = headers.last(&format!("__streams.errors.{name}")).unwrap_or_else(|| panic!("{name}"));
            String::from_utf8(value.to_vec()).unwrap()
        };
        let names = ["stage", "topic", "partition", "offset", "node", "task"];
        let partition = INPUT.1.to_string();
        let expected = [self.stage, INPUT.0, &partition, "1", self.node, &format!("0_{partition}")];
        assert_eq!(names.map(header), expected);
        assert!(self.problem.starts_with(&header("exception")), "{}", header("exception"));
        let hint = self.hint.map(|hint| format!("; {hint}")).unwrap_or_default();
        assert_eq!(header("message"), format!("{} {}{hint}", self.problem, self.place()));
    }
}

/// Where each input makes one output: every record is accounted for once.
pub(crate) fn adds_up(counters: &Counters) {
    let accounted = counters.produced + counters.dead_letters_total() + counters.dropped_total();
    assert_eq!(counters.consumed, accounted, "{counters}");
}

/// The timestamps of what a topic shows, by partition.
pub(crate) fn times(cluster: &MemoryCluster, topic: &str) -> Vec<i64> {
    let batches = cluster.read_all(topic, Isolation::ReadCommitted).unwrap();
    batches.iter().flatten().map(|record| record.timestamp).collect()
}
