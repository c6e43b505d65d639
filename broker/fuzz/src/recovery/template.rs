//! Template: the files that a broker has left after it did a bit of everything.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use headwater_broker::api::*;
use headwater_broker::batch::{self, BatchOptions, Compression, Record};
use headwater_broker::storage::files::{DiskFaults, FileOptions, FileStorage};
use headwater_broker::{Broker, BrokerConfig, ClientId, ErrorCode, Request, Response, TopicPartition};

use super::{Folder, NOW};

/// Files by their names below the folder of a broker.
pub type Files = BTreeMap<String, Vec<u8>>;

/// The files that a broker has left.
#[derive(Clone, Debug)]
pub struct Template {
    /// How it ended.
    pub name: String,
    /// What it left.
    pub files: Files,
}

/// How a broker ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Orderly,
    Killed,
    /// Killed after so many changes of the disk by a compaction.
    Compacting(u64),
}

/// More changes no compaction of a template makes.
const MOST_CHANGES: u64 = 100;

/// One for each kind of end.
#[must_use]
pub fn all(folder: &Folder) -> Vec<Template> {
    let mut templates = vec![
        Template { name: "orderly".to_owned(), files: make(folder, End::Orderly) },
        Template { name: "killed".to_owned(), files: make(folder, End::Killed) },
    ];
    for extension in [".cleaned", ".swap", ".log.deleted"] {
        let left = |files: &Files| files.keys().any(|name| name.ends_with(extension));
        let killed = (0..MOST_CHANGES).map(|changes| make(folder, End::Compacting(changes))).find(left);
        let files = killed.unwrap_or_else(|| panic!("no compaction leaves {extension}"));
        templates.push(Template { name: format!("killed, with {extension}"), files });
    }
    templates
}

/// A broker at work.
struct Work {
    broker: Broker,
}

fn make(folder: &Folder, end: End) -> Files {
    folder.clear();
    let faults = DiskFaults::default();
    let options = FileOptions { open_files: 3, faults: faults.clone(), ..FileOptions::default() };
    let storage = FileStorage::open(&folder.0, options).expect("the folder is new");
    let mut work = Work { broker: Broker::with_storage(BrokerConfig::default(), Box::new(storage)) };
    work.write();
    work.transactions();
    work.groups();
    match end {
        End::Orderly => work.broker.close(NOW).expect("the disk is fine"),
        End::Killed => {}
        End::Compacting(changes) => {
            faults.stop_after(Some(changes));
            // It stops somewhere, or is done.
            let _ = work.broker.compact("compacted", 0, NOW);
        }
    }
    let mut files = Files::new();
    read(&folder.0, &folder.0, &mut files);
    files
}

fn read(root: &Path, folder: &Path, files: &mut Files) {
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("the folder can be listed").path();
        if path.is_dir() {
            read(root, &path, files);
        } else {
            let name = path.strip_prefix(root).expect("it lies in the folder").to_string_lossy().into_owned();
            files.insert(name, fs::read(&path).expect("the file can be read"));
        }
    }
}

impl Work {
    fn ask<T: TryFrom<Response, Error = ErrorCode>>(&mut self, request: impl Into<Request>) -> T {
        let response =
            self.broker.call(&ClientId::new("work"), request, NOW).expect("it is answered at once");
        T::try_from(response).unwrap_or_else(|code| panic!("another answer was expected, not {code}"))
    }

    fn topic(&mut self, topic: NewTopic) {
        let answer: CreateTopicsResponse = self.ask(CreateTopicsRequest::new(vec![topic]));
        assert_eq!(answer.topics[0].error, ErrorCode::None);
    }

    fn produce(&mut self, at: (&str, i32), options: &BatchOptions, records: &[(&str, &str)]) {
        self.produce_packed(at, options, records, Compression::None);
    }

    fn produce_packed(
        &mut self,
        (topic, partition): (&str, i32),
        options: &BatchOptions,
        records: &[(&str, &str)],
        codec: Compression,
    ) {
        let records = (1_000..).zip(records).map(|(time, (key, value))| {
            Record::new(time, Some(key.as_bytes()), (!value.is_empty()).then_some(value.as_bytes()))
        });
        let plain = batch::encode(options, records);
        let batch: Bytes = batch::codec::pack_batch(plain, codec).expect("all codecs are there").into();
        let partitions = vec![ProducePartition { at: TopicPartition::new(topic, partition), batch }];
        let answer: ProduceResponse = self.ask(ProduceRequest { transactional_id: None, partitions });
        assert_eq!(answer.partitions[0].error, ErrorCode::None, "{topic}");
    }

    /// Segments, sequences, compressed batches, keys that come again, a start that has moved, a topic that is gone.
    fn write(&mut self) {
        let small =
            |name: &str, partitions| NewTopic::new(name, partitions).with_config("segment.bytes", "200");
        let plain = BatchOptions::default();
        for topic in [
            small("plain", 2),
            small("compacted", 1).with_config("cleanup.policy", "compact"),
            small("gone", 1),
            NewTopic::new("packed", 1),
            NewTopic::new("txn", 1).with_config("retention.ms", "1000"),
            NewTopic::new("empty", 1),
        ] {
            self.topic(topic);
        }
        for round in 0..4 {
            let options = BatchOptions::idempotent(70, 2, round * 2);
            self.produce(("plain", 0), &options, &[("a", "1"), ("b", "2")]);
            self.produce(("plain", 1), &plain, &[("a", "1")]);
            self.produce(("compacted", 0), &plain, &[("a", "1"), ("b", if round == 3 { "" } else { "2" })]);
        }
        for codec in [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
            self.produce_packed(("packed", 0), &plain, &[("a", "11111111111111111111"), ("b", "2")], codec);
        }
        self.produce(("gone", 0), &plain, &[("a", "1")]);
        let trim = DeleteRecordsPartition { at: TopicPartition::new("plain", 1), before_offset: 3 };
        let trimmed: DeleteRecordsResponse = self.ask(DeleteRecordsRequest { partitions: vec![trim] });
        assert_eq!(trimmed.partitions[0].low_watermark, 3);
        let names = vec![Arc::from("gone")];
        let gone: DeleteTopicsResponse = self.ask(DeleteTopicsRequest { topics: names });
        assert_eq!(gone.topics[0].error, ErrorCode::None);
    }

    /// One is committed, one aborted, one open, with offsets of a group.
    fn transactions(&mut self) {
        for (id, commit) in [("x", Some(true)), ("y", Some(false)), ("z", None)] {
            let transactional_id: Arc<str> = Arc::from(id);
            let init: InitProducerIdResponse = self.ask(InitProducerIdRequest {
                transactional_id: Some(transactional_id.clone()),
                transaction_timeout_ms: 30_000,
                current: None,
            });
            let (producer, at) = (init.producer, TopicPartition::new("txn", 0));
            let _: AddPartitionsToTxnResponse = self.ask(AddPartitionsToTxnRequest {
                transactional_id: transactional_id.clone(),
                producer,
                partitions: vec![at.clone()],
            });
            let options = BatchOptions::transactional(producer.id, producer.epoch, 0);
            self.produce(("txn", 0), &options, &[(id, "1")]);
            let group_id: Arc<str> = Arc::from("g");
            let _: AddOffsetsToTxnResponse = self.ask(AddOffsetsToTxnRequest {
                transactional_id: transactional_id.clone(),
                producer,
                group_id: group_id.clone(),
            });
            let committed: TxnOffsetCommitResponse = self.ask(TxnOffsetCommitRequest {
                transactional_id: transactional_id.clone(),
                producer,
                group_id,
                member: MemberClaim::none(),
                offsets: vec![OffsetCommitPartition { at, committed: CommittedOffset::new(producer.id) }],
            });
            assert_eq!(committed.partitions[0].error, ErrorCode::None);
            if let Some(commit) = commit {
                let end: EndTxnResponse = self.ask(EndTxnRequest { transactional_id, producer, commit });
                assert_eq!(end.error, ErrorCode::None);
            }
        }
    }

    /// A group that only has offsets, one of the classic protocol and one of the new.
    fn groups(&mut self) {
        for offset in 0..3 {
            let at = TopicPartition::new("plain", 0);
            let answer: OffsetCommitResponse = self.ask(OffsetCommitRequest {
                group_id: Arc::from("g"),
                member: MemberClaim::none(),
                offsets: vec![OffsetCommitPartition { at, committed: CommittedOffset::new(offset) }],
            });
            assert_eq!(answer.partitions[0].error, ErrorCode::None);
        }
        let joined: JoinGroupResponse = self.ask(JoinGroupRequest {
            group_id: Arc::from("classic"),
            member_id: Arc::from(""),
            group_instance_id: None,
            protocol_type: Arc::from("consumer"),
            protocols: vec![Protocol { name: Arc::from("range"), metadata: Bytes::from_static(b"topics") }],
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 60_000,
            member_id_required: false,
            knows_skip_assignment: false,
        });
        assert_eq!(joined.error, ErrorCode::None);
        let beat: ConsumerGroupHeartbeatResponse = self.ask(ConsumerGroupHeartbeatRequest {
            group_id: Arc::from("consumer"),
            member_id: Arc::from("m"),
            rebalance_timeout_ms: Some(60_000),
            subscribed_topics: Some(vec![Arc::from("plain")]),
            owned: Some(Vec::new()),
            ..ConsumerGroupHeartbeatRequest::default()
        });
        assert_eq!(beat.error, ErrorCode::None);
    }
}
