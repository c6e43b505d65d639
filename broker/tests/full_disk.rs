//! A disk that gets full under the program: what comes is refused, what was acknowledged stays, reading goes on, and so does
//! everything else once there is room, also when the program is killed and started meanwhile.
#![cfg(feature = "program")]
#![allow(clippy::unwrap_used, reason = "a failed step ends the test")]

mod process;
mod raw;

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use headwater_broker::ErrorCode;
use headwater_broker::batch::{self, Batch, BatchOptions, Record};
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    AddPartitionsToTxnRequest, CreateTopicsRequest, EndTxnRequest, FetchRequest, GroupId,
    InitProducerIdRequest, JoinGroupRequest, MetadataRequest, OffsetCommitRequest, OffsetFetchRequest,
    ProduceRequest, ProducerId, TopicName, TransactionalId,
};
use kafka_protocol::protocol::StrBytes;
use process::{Folder, Process, on_a_disk, told};
use raw::Client;

const FULL: i16 = 56;
const LATER: i16 = 15;
/// More than a page, so that there is no room for it where there is none for a page.
const LARGE: usize = 20_000;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn topic(name: &str) -> TopicName {
    TopicName(text(name))
}

/// A producer with a transaction.
#[derive(Clone, Copy)]
struct Producer {
    id: i64,
    epoch: i16,
}

impl Client {
    fn create(&mut self, name: &str) -> i16 {
        let new = CreatableTopic::default()
            .with_name(topic(name))
            .with_num_partitions(1)
            .with_replication_factor(1);
        self.ask(5, &CreateTopicsRequest::default().with_topics(vec![new])).topics[0].error_code
    }

    fn topics(&mut self) -> Vec<String> {
        let answer = self.ask(4, &MetadataRequest::default().with_topics(None));
        answer.topics.iter().map(|found| found.name.as_ref().unwrap().0.to_string()).collect()
    }

    /// Sends a batch of one record; the offset, or the error.
    fn produce(&mut self, name: &str, value: &[u8], producer: Option<Producer>) -> Result<i64, i16> {
        let options =
            producer.map_or_else(BatchOptions::default, |by| BatchOptions::transactional(by.id, by.epoch, 0));
        let batch = Bytes::from(batch::encode(&options, [Record::new(1_000, None, Some(value))]));
        let data = PartitionProduceData::default().with_records(Some(batch));
        let data = TopicProduceData::default().with_name(topic(name)).with_partition_data(vec![data]);
        let request = ProduceRequest::default()
            .with_transactional_id(producer.map(|_| TransactionalId(text("x"))))
            .with_acks(-1)
            .with_timeout_ms(1_000)
            .with_topic_data(vec![data]);
        let answer = self.ask(3, &request);
        let found = &answer.responses[0].partition_responses[0];
        if found.error_code == 0 { Ok(found.base_offset) } else { Err(found.error_code) }
    }

    /// All values of a topic; `read_committed` ones.
    fn values(&mut self, name: &str) -> Vec<Vec<u8>> {
        let (mut values, mut offset) = (Vec::new(), 0);
        loop {
            let partition =
                FetchPartition::default().with_fetch_offset(offset).with_partition_max_bytes(1 << 20);
            let wanted = FetchTopic::default().with_topic(topic(name)).with_partitions(vec![partition]);
            let request = FetchRequest::default()
                .with_max_bytes(1 << 20)
                .with_isolation_level(1)
                .with_topics(vec![wanted]);
            let mut answer = self.ask(5, &request);
            let found = answer.responses.remove(0).partitions.remove(0);
            assert_eq!(found.error_code, 0, "{name} cannot be read at {offset}");
            let bytes = found.records.unwrap_or_default();
            if bytes.is_empty() {
                return values;
            }
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let batch = Batch::parse(rest).unwrap();
                let header = *batch.header();
                batch.verify().unwrap();
                if !header.is_control() {
                    values.extend(batch.records().map(|record| record.unwrap().value.unwrap().to_vec()));
                }
                offset = header.base_offset + i64::from(header.last_offset_delta) + 1;
                rest = &rest[header.size()..];
            }
        }
    }

    fn commit(&mut self, group: &str, offset: i64) -> i16 {
        let partition = OffsetCommitRequestPartition::default()
            .with_committed_offset(offset)
            .with_committed_metadata(Some(text("")));
        let wanted =
            OffsetCommitRequestTopic::default().with_name(topic("t")).with_partitions(vec![partition]);
        let request = OffsetCommitRequest::default()
            .with_group_id(GroupId(text(group)))
            .with_generation_id_or_member_epoch(-1)
            .with_topics(vec![wanted]);
        self.ask(2, &request).topics[0].partitions[0].error_code
    }

    fn committed(&mut self, group: &str) -> i64 {
        let wanted = OffsetFetchRequestTopic::default().with_name(topic("t")).with_partition_indexes(vec![0]);
        let request =
            OffsetFetchRequest::default().with_group_id(GroupId(text(group))).with_topics(Some(vec![wanted]));
        let answer = self.ask(7, &request);
        assert_eq!(answer.topics[0].partitions[0].error_code, 0);
        answer.topics[0].partitions[0].committed_offset
    }

    fn join(&mut self, group: &str, member: &str) -> (i16, String) {
        let protocol = JoinGroupRequestProtocol::default()
            .with_name(text("range"))
            .with_metadata(Bytes::from_static(b"m"));
        let request = JoinGroupRequest::default()
            .with_group_id(GroupId(text(group)))
            .with_member_id(text(member))
            .with_protocol_type(text("consumer"))
            .with_session_timeout_ms(60_000)
            .with_rebalance_timeout_ms(60_000)
            .with_protocols(vec![protocol]);
        let answer = self.ask(4, &request);
        (answer.error_code, answer.member_id.to_string())
    }

    fn init(&mut self, id: &str) -> Result<Producer, i16> {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(TransactionalId(text(id))))
            .with_transaction_timeout_ms(600_000);
        let answer = self.ask(2, &request);
        match answer.error_code {
            0 => Ok(Producer { id: answer.producer_id.0, epoch: answer.producer_epoch }),
            error => Err(error),
        }
    }

    fn add_partition(&mut self, producer: Producer) -> i16 {
        let wanted = AddPartitionsToTxnTopic::default().with_name(topic("t")).with_partitions(vec![0]);
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(TransactionalId(text("x")))
            .with_v3_and_below_producer_id(ProducerId(producer.id))
            .with_v3_and_below_producer_epoch(producer.epoch)
            .with_v3_and_below_topics(vec![wanted]);
        let answer = self.ask(2, &request);
        answer.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code
    }

    fn end(&mut self, producer: Producer) -> i16 {
        let request = EndTxnRequest::default()
            .with_transactional_id(TransactionalId(text("x")))
            .with_producer_id(ProducerId(producer.id))
            .with_producer_epoch(producer.epoch)
            .with_committed(true);
        self.ask(2, &request).error_code
    }
}

/// Takes all the room that there is.
fn fill(ballast: &Path) {
    let mut file = File::create(ballast).unwrap();
    for size in [64 << 10, 1 << 10, 1] {
        while file.write_all(&vec![7; size]).is_ok() {}
    }
}

/// A broker on a disk, and what it has acknowledged.
struct Trial {
    disk: PathBuf,
    log: Folder,
    process: Process,
    client: Client,
    values: Vec<Vec<u8>>,
    committed: i64,
}

fn start(disk: &Path, log: &Folder) -> (Process, Client) {
    let data = disk.join("data");
    let process = Process::start(&["--dir", data.to_str().unwrap()], None, Path::new(&log.at("log")));
    let client = Client::at(process.address);
    (process, client)
}

impl Trial {
    fn new(disk: PathBuf) -> Self {
        let log = Folder::new();
        let (process, client) = start(&disk, &log);
        Self { disk, log, process, client, values: Vec::new(), committed: -1 }
    }

    fn ballast(&self) -> PathBuf {
        self.disk.join("ballast")
    }

    fn send(&mut self, size: usize) -> Result<(), i16> {
        let value = format!("{:0>size$}", self.values.len()).into_bytes();
        self.client.produce("t", &value, None).map(|_| self.values.push(value))
    }

    fn commit(&mut self) -> i16 {
        let error = self.client.commit("g", self.committed + 1);
        self.committed += i64::from(error == 0);
        error
    }

    /// Sends until nothing is taken any more: no batch, and not a line of the journal.
    fn until_refused(&mut self) {
        for size in [LARGE, 10] {
            let refused = std::iter::repeat_with(|| self.send(size)).find_map(Result::err);
            assert_eq!(refused, Some(FULL));
        }
        let refused = std::iter::repeat_with(|| self.commit()).find(|error| *error != 0);
        assert_eq!(refused, Some(LATER));
    }

    /// What was acknowledged is there and nothing else is.
    fn check(&mut self) {
        let found = self.client.values("t");
        assert_eq!(found.len(), self.values.len(), "records that are found, and that were acknowledged");
        assert!(found == self.values);
        assert_eq!(self.client.committed("g"), self.committed);
    }

    /// What cannot be kept is refused, in a way that clients ask again for, and has not happened.
    fn check_refusals(&mut self) {
        assert!(ErrorCode::KafkaStorageError.is_retriable() && ErrorCode::KafkaStorageError.code() == FULL);
        assert!(ErrorCode::CoordinatorNotAvailable.is_retriable());
        assert_eq!(ErrorCode::CoordinatorNotAvailable.code(), LATER);
        for _ in 0..3 {
            assert_eq!(self.send(LARGE), Err(FULL));
            assert_eq!(self.commit(), LATER);
            assert_eq!(self.client.commit("another group", 1), LATER);
            assert_eq!(self.client.create("another"), FULL);
            assert_eq!(self.client.init("another").err(), Some(LATER));
            assert_eq!(self.client.topics(), ["t"]);
            assert_eq!(self.client.committed("another group"), -1);
            self.check();
        }
    }

    fn kill_and_start(&mut self) {
        self.process.kill();
        (self.process, self.client) = start(&self.disk, &self.log);
    }
}

#[test]
fn full_disk_child() {
    let Some(disk) = told() else { return };
    let mut trial = Trial::new(disk);
    assert_eq!(trial.client.create("t"), 0);
    // One transaction is decided while the disk is full, or rather is not.
    let producer = trial.client.init("x").unwrap();
    assert_eq!(trial.client.add_partition(producer), 0);
    trial.send(LARGE).unwrap();
    assert_eq!(trial.commit(), 0);
    trial.check();
    fill(&trial.ballast());
    trial.until_refused();
    trial.check_refusals();
    assert_eq!(trial.client.produce("t", &[b'x'; LARGE], Some(producer)), Err(FULL));

    fs::remove_file(trial.ballast()).unwrap();
    trial.send(LARGE).expect("there is room");
    assert_eq!(trial.commit(), 0);
    trial.check();
    trial.client.produce("t", b"of a transaction", Some(producer)).unwrap();
    fill(&trial.ballast());
    let seen = trial.values.len();
    trial.until_refused();
    for _ in 0..3 {
        assert_eq!(trial.client.end(producer), LATER);
        assert_eq!(trial.client.values("t").len(), seen, "it is not decided");
    }

    fs::remove_file(trial.ballast()).unwrap();
    assert_eq!(trial.client.end(producer), 0);
    trial.values.insert(seen, b"of a transaction".to_vec());
    trial.check();
    let said = trial.process.said();
    assert!(said.contains("is the disk full?"), "{said}");
    assert!(said.lines().count() < 100, "{said}");
    println!(
        "acknowledged beside a full disk: {} records, {} commits",
        trial.values.len(),
        trial.committed + 1
    );
}

#[test]
fn full_disk_and_kill_child() {
    let Some(disk) = told() else { return };
    let mut trial = Trial::new(disk);
    assert_eq!(trial.client.create("t"), 0);
    trial.send(LARGE).unwrap();
    assert_eq!(trial.commit(), 0);
    for round in 0..3 {
        fill(&trial.ballast());
        trial.until_refused();
        // The first of them may find a few bytes to write that they have started.
        for _ in 0..8 {
            trial.kill_and_start();
            trial.check_refusals();
        }
        // Nobody is told of a member that another start could give to somebody else.
        assert_eq!(trial.client.join("members", ""), (LATER, String::new()));
        fs::remove_file(trial.ballast()).unwrap();
        trial.send(LARGE).unwrap_or_else(|error| panic!("round {round}: there is room, and {error}"));
        assert_eq!(trial.commit(), 0);
        trial.check();
        let (error, member) = trial.client.join("members", "");
        assert_eq!((error, member.is_empty()), (79, false));
        trial.kill_and_start();
        trial.check();
        trial.send(10).unwrap();
    }
    // An end in order has nothing to write on a full disk that it could not do without.
    fill(&trial.ballast());
    trial.until_refused();
    trial.process.stop();
    (trial.process, trial.client) = start(&trial.disk, &trial.log);
    trial.check_refusals();
    println!(
        "acknowledged beside full disks: {} records, {} commits",
        trial.values.len(),
        trial.committed + 1
    );
}

#[test]
fn a_full_disk_refuses_what_comes_and_loses_nothing() {
    on_a_disk("size=4m", "full_disk_child");
}

#[test]
fn a_broker_that_is_killed_on_a_full_disk_starts_and_goes_on_when_there_is_room() {
    on_a_disk("size=4m", "full_disk_and_kill_child");
}
