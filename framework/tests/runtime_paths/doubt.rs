//! "There is no committed offset", where one is known to have existed: a coordinator that resigns may say so
//! (KAFKA-20416), and who believes it at once counts everything twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use headwater::kafka::memory::MemoryCluster;
use headwater::kafka::{
    Admin, Answer, Cluster, CommittedOffset, Consumer, GroupEvent, GroupMetadata, Isolation, KafkaError,
    MemberOptions, Membership, OffsetCommit, Producer, ProducerOptions,
};
use headwater::state::MemoryBackend;
use headwater::{StreamsBuilder, TopicName, TopicPartition};
use headwater_broker::api::DeleteGroupsRequest;

use crate::bench::{Bench, counting};

/// A cluster whose coordinator forgets the committed offsets so many times.
#[derive(Clone, Debug)]
struct Forgetful {
    cluster: MemoryCluster,
    times: Arc<AtomicU32>,
}

struct ForgetfulMember {
    member: Box<dyn Membership>,
    times: Arc<AtomicU32>,
}

impl Cluster for Forgetful {
    fn membership(&self, options: &MemberOptions) -> Box<dyn Membership> {
        let (member, times) = (self.cluster.membership(options), Arc::clone(&self.times));
        Box::new(ForgetfulMember { member, times })
    }

    fn consumer(&self, client: &str, isolation: Isolation) -> Box<dyn Consumer> {
        self.cluster.consumer(client, isolation)
    }

    fn producer(&self, options: &ProducerOptions) -> Box<dyn Producer> {
        self.cluster.producer(options)
    }

    fn admin(&self, client: &str) -> Box<dyn Admin> {
        self.cluster.admin(client)
    }

    fn for_worker(&self) -> Arc<dyn Cluster> {
        Arc::new(self.clone())
    }

    fn wait(&self, timeout_ms: i64) {
        self.cluster.wait(timeout_ms);
    }
}

impl Membership for ForgetfulMember {
    fn subscribe(&mut self, topics: &[TopicName]) {
        self.member.subscribe(topics);
    }

    fn poll(&mut self, now_ms: i64) -> Result<Option<GroupEvent>, KafkaError> {
        self.member.poll(now_ms)
    }

    fn release(&mut self) {
        self.member.release();
    }

    fn rejoin(&mut self) {
        self.member.rejoin();
    }

    fn generation(&self) -> GroupMetadata {
        self.member.generation()
    }

    fn committed(
        &mut self,
        partitions: &[TopicPartition],
        now_ms: i64,
    ) -> Answer<Vec<Option<CommittedOffset>>> {
        let answer = self.member.committed(partitions, now_ms);
        let forget = |left: u32| left.checked_sub(1);
        if answer.is_ready() && self.times.fetch_update(Ordering::Relaxed, Ordering::Relaxed, forget).is_ok()
        {
            return answer.map(|answer| answer.map(|offsets| vec![None; offsets.len()]));
        }
        answer
    }

    fn commit(&mut self, offsets: &[OffsetCommit], now_ms: i64) -> Answer<()> {
        self.member.commit(offsets, now_ms)
    }

    fn leave(&mut self, now_ms: i64) {
        self.member.leave(now_ms);
    }
}

/// Two records are counted, a worker follows on a cluster that forgets so many times, and a third comes.
fn forgotten(times: u32, bench: &mut Bench) -> u32 {
    bench.start(&counting).unwrap();
    bench.pipe("in", &[("k", b"v"), ("k", b"v")]);
    bench.stop();
    let times = Arc::new(AtomicU32::new(times));
    let cluster = Forgetful { cluster: bench.cluster.clone(), times: Arc::clone(&times) };
    bench.start_on(&counting, Arc::new(cluster)).unwrap();
    bench.pipe("in", &[("k", b"v")]);
    times.load(Ordering::Relaxed)
}

#[test]
fn a_missing_offset_is_doubted_where_local_state_knows_better() {
    for times in 0..=5 {
        let mut bench = Bench::new();
        assert_eq!((forgotten(times, &mut bench), bench.counts()), (0, vec![1, 2, 3]), "{times}");
    }
}

/// Without local state nothing tells that there was an offset.
#[test]
fn a_missing_offset_is_believed_where_nothing_is_known() {
    let mut bench = Bench::new();
    let stateless = |builder: &StreamsBuilder| builder.stream::<String, String>("in").to("out");
    bench.put("in", &[("k", b"a")]);
    bench.start(&stateless).unwrap();
    bench.stop();
    bench.backend = MemoryBackend::default();
    let times = Arc::new(AtomicU32::new(1));
    let cluster = Forgetful { cluster: bench.cluster.clone(), times };
    bench.start_on(&stateless, Arc::new(cluster)).unwrap();
    assert_eq!(bench.out().concat(), b"aa", "as after `auto.offset.reset=earliest`");
}

/// Who deletes the group's offsets means it: after some doubt `auto.offset.reset` decides.
#[test]
fn offsets_that_were_deleted_are_given_up_after_some_doubt() {
    let delete = |bench: &Bench| {
        let request = DeleteGroupsRequest { group_ids: vec!["app".into()] };
        bench.cluster.broker().call(&"test".into(), request, 1_000_000).unwrap();
    };
    let mut bench = Bench::new();
    assert_eq!(forgotten(0, &mut bench), 0);
    bench.stop();
    delete(&bench);
    bench.start(&counting).unwrap();
    assert_eq!(bench.counts(), [1, 2, 3, 4, 5, 6], "the input is read again, on top of the state");
    bench.stop();
    delete(&bench);
    let mut bench = bench.set("auto.offset.reset", "none");
    let error = bench.start(&counting).unwrap_err().to_string();
    assert!(error.starts_with("there is no committed offset, and `auto.offset.reset` is `none`"), "{error}");
}
