//! A raw client: requests in one line each. A connection that is gone is an ordinary thing here.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use headwater_broker::ErrorCode;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, CreateTopicsRequest, DeleteRecordsRequest,
    DeleteTopicsRequest, EndTxnRequest, FetchRequest, GroupId, InitProducerIdRequest, ListOffsetsRequest,
    ListTransactionsRequest, MetadataRequest, OffsetCommitRequest, OffsetFetchRequest, ProduceRequest,
    ProducerId, RequestHeader, ResponseHeader, TopicName, TransactionalId, TxnOffsetCommitRequest,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};

use crate::model::{At, Stamp};
use crate::process::Process;

/// Long enough for any machine; nothing waits for it to pass.
const PATIENCE: Duration = Duration::from_secs(60);
const PRODUCE: i16 = 3;
const FETCH_BYTES: i32 = 1 << 20;
const TRANSACTION_TIMEOUT_MS: i32 = 600_000;

/// Why somebody stops.
#[derive(Debug)]
pub enum Stop {
    /// The broker is gone.
    Gone,
    /// The broker has done what it must not.
    Wrong(String),
}

pub type Step<T> = Result<T, Stop>;

pub fn wrong<T>(what: impl Into<String>) -> Step<T> {
    Err(Stop::Wrong(what.into()))
}

pub struct Client {
    stream: TcpStream,
    sent: i32,
    heard: i32,
    process: Arc<Process>,
}

pub fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

pub fn topic(name: &str) -> TopicName {
    TopicName(text(name))
}

fn gone<T, E>(result: Result<T, E>) -> Step<T> {
    result.map_err(|_| Stop::Gone)
}

/// No error, or the end of a broker that stops in order.
pub fn expect(code: i16, what: &str) -> Step<()> {
    match code {
        0 => Ok(()),
        code if code == ErrorCode::NetworkException.code() => Err(Stop::Gone),
        code => wrong(format!("{what} is answered with error {code}")),
    }
}

impl Client {
    pub fn of(process: &Arc<Process>) -> Step<Self> {
        let stream = gone(TcpStream::connect(process.address))?;
        gone(stream.set_read_timeout(Some(PATIENCE)))?;
        gone(stream.set_nodelay(true))?;
        Ok(Self { stream, sent: 0, heard: 0, process: process.clone() })
    }

    fn send<R: Request>(&mut self, version: i16, request: &R) -> Step<()> {
        self.sent += 1;
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.sent)
            .with_client_id(Some(StrBytes::from_static_str("kill")));
        let mut frame = BytesMut::new();
        frame.put_u32(0);
        header.encode(&mut frame, R::header_version(version)).unwrap();
        request.encode(&mut frame, version).unwrap();
        let length = u32::try_from(frame.len() - 4).unwrap();
        frame[..4].copy_from_slice(&length.to_be_bytes());
        gone(self.stream.write_all(&frame))
    }

    fn receive<R: Request>(&mut self, version: i16) -> Step<R::Response> {
        let mut length = [0; 4];
        gone(self.stream.read_exact(&mut length))?;
        let mut frame = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap()];
        gone(self.stream.read_exact(&mut frame))?;
        let mut frame = Bytes::from(frame);
        let header = ResponseHeader::decode(&mut frame, R::Response::header_version(version)).unwrap();
        self.heard += 1;
        assert_eq!(header.correlation_id, self.heard);
        let response = R::Response::decode(&mut frame, version).unwrap();
        assert!(!frame.has_remaining(), "{} bytes behind the answer", frame.remaining());
        self.process.answered();
        Ok(response)
    }

    pub fn ask<R: Request>(&mut self, version: i16, request: &R) -> Step<R::Response> {
        self.send(version, request)?;
        self.receive::<R>(version)
    }

    pub fn create(&mut self, name: &str, partitions: i32, configs: &[(&str, &str)]) -> Step<()> {
        let config = |(name, value): &(&str, &str)| {
            CreatableTopicConfig::default().with_name(text(name)).with_value(Some(text(value)))
        };
        let new = CreatableTopic::default()
            .with_name(topic(name))
            .with_num_partitions(partitions)
            .with_replication_factor(1)
            .with_configs(configs.iter().map(config).collect());
        let answer = self.ask(4, &CreateTopicsRequest::default().with_topics(vec![new]))?;
        expect(answer.topics[0].error_code, &format!("the creation of {name}"))
    }

    pub fn delete(&mut self, name: &str) -> Step<()> {
        let request = DeleteTopicsRequest::default().with_topic_names(vec![topic(name)]);
        let answer = self.ask(1, &request)?;
        expect(answer.responses[0].error_code, &format!("the deletion of {name}"))
    }

    pub fn topics(&mut self) -> Step<Vec<String>> {
        let answer = self.ask(4, &MetadataRequest::default().with_topics(None))?;
        Ok(answer.topics.iter().map(|found| found.name.as_ref().unwrap().0.to_string()).collect())
    }

    pub fn send_batch(&mut self, at: &At, batch: Bytes, transactional_id: Option<&str>) -> Step<()> {
        let data = PartitionProduceData::default().with_index(at.1).with_records(Some(batch));
        let data = TopicProduceData::default().with_name(topic(&at.0)).with_partition_data(vec![data]);
        let request = ProduceRequest::default()
            .with_transactional_id(transactional_id.map(|id| TransactionalId(text(id))))
            .with_acks(-1)
            .with_timeout_ms(1_000)
            .with_topic_data(vec![data]);
        self.send(PRODUCE, &request)
    }

    /// The offset that the oldest batch without an answer has got.
    pub fn placed(&mut self, at: &At) -> Step<i64> {
        let answer = self.receive::<ProduceRequest>(PRODUCE)?;
        let partition = &answer.responses[0].partition_responses[0];
        expect(partition.error_code, &format!("a batch for {at:?}"))?;
        Ok(partition.base_offset)
    }

    /// What the batch is answered with that was sent last.
    pub fn refused(&mut self) -> Step<i16> {
        let answer = self.receive::<ProduceRequest>(PRODUCE)?;
        match answer.responses[0].partition_responses[0].error_code {
            code if code == ErrorCode::NetworkException.code() => Err(Stop::Gone),
            code => Ok(code),
        }
    }

    pub fn fetch(&mut self, at: &At, offset: i64, committed: bool) -> Step<PartitionData> {
        let partition = FetchPartition::default()
            .with_partition(at.1)
            .with_fetch_offset(offset)
            .with_partition_max_bytes(FETCH_BYTES);
        let wanted = FetchTopic::default().with_topic(topic(&at.0)).with_partitions(vec![partition]);
        let request = FetchRequest::default()
            .with_min_bytes(1)
            .with_max_bytes(FETCH_BYTES)
            .with_isolation_level(i8::from(committed))
            .with_topics(vec![wanted]);
        let mut answer = self.ask(5, &request)?;
        let found = answer.responses.remove(0).partitions.remove(0);
        expect(found.error_code, &format!("a fetch of {at:?} at {offset}"))?;
        Ok(found)
    }

    /// The log's start (-2) or its end (-1).
    pub fn offset(&mut self, at: &At, which: i64) -> Step<i64> {
        let partition = ListOffsetsPartition::default().with_partition_index(at.1).with_timestamp(which);
        let wanted = ListOffsetsTopic::default().with_name(topic(&at.0)).with_partitions(vec![partition]);
        let answer = self.ask(1, &ListOffsetsRequest::default().with_topics(vec![wanted]))?;
        let found = &answer.topics[0].partitions[0];
        expect(found.error_code, &format!("the offsets of {at:?}"))?;
        Ok(found.offset)
    }

    pub fn delete_records(&mut self, at: &At, before: i64) -> Step<i64> {
        let partition = DeleteRecordsPartition::default().with_partition_index(at.1).with_offset(before);
        let wanted = DeleteRecordsTopic::default().with_name(topic(&at.0)).with_partitions(vec![partition]);
        let answer = self.ask(1, &DeleteRecordsRequest::default().with_topics(vec![wanted]))?;
        let found = &answer.topics[0].partitions[0];
        expect(found.error_code, &format!("DeleteRecords of {at:?} before {before}"))?;
        Ok(found.low_watermark)
    }

    pub fn commit_offset(&mut self, group: &str, at: &At, offset: i64) -> Step<()> {
        let partition = OffsetCommitRequestPartition::default()
            .with_partition_index(at.1)
            .with_committed_offset(offset)
            .with_committed_metadata(Some(text("")));
        let wanted =
            OffsetCommitRequestTopic::default().with_name(topic(&at.0)).with_partitions(vec![partition]);
        let request = OffsetCommitRequest::default()
            .with_group_id(GroupId(text(group)))
            .with_generation_id_or_member_epoch(-1)
            .with_topics(vec![wanted]);
        let answer = self.ask(2, &request)?;
        expect(answer.topics[0].partitions[0].error_code, &format!("a commit of {group}"))
    }

    /// A group's offset; `None` where a transaction holds it back.
    pub fn committed(&mut self, group: &str, at: &At, require_stable: bool) -> Step<Option<i64>> {
        let wanted = OffsetFetchRequestTopic::default().with_name(topic(&at.0));
        let request = OffsetFetchRequest::default()
            .with_group_id(GroupId(text(group)))
            .with_topics(Some(vec![wanted.with_partition_indexes(vec![at.1])]))
            .with_require_stable(require_stable);
        let answer = self.ask(7, &request)?;
        let found = &answer.topics[0].partitions[0];
        if found.error_code == ErrorCode::UnstableOffsetCommit.code() {
            return Ok(None);
        }
        expect(found.error_code, &format!("the offsets of {group}"))?;
        Ok(Some(found.committed_offset))
    }

    pub fn init(&mut self, transactional_id: Option<&str>) -> Step<Stamp> {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(transactional_id.map(|id| TransactionalId(text(id))))
            .with_transaction_timeout_ms(TRANSACTION_TIMEOUT_MS);
        loop {
            let answer = self.ask(2, &request)?;
            if answer.error_code != ErrorCode::ConcurrentTransactions.code() {
                expect(answer.error_code, "an InitProducerId")?;
                return Ok((answer.producer_id.0, answer.producer_epoch));
            }
        }
    }

    pub fn add_partitions(&mut self, id: &str, stamp: Stamp, all: &[At]) -> Step<()> {
        let wanted = all
            .iter()
            .map(|at| AddPartitionsToTxnTopic::default().with_name(topic(&at.0)).with_partitions(vec![at.1]));
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(TransactionalId(text(id)))
            .with_v3_and_below_producer_id(ProducerId(stamp.0))
            .with_v3_and_below_producer_epoch(stamp.1)
            .with_v3_and_below_topics(wanted.collect());
        loop {
            let answer = self.ask(2, &request)?;
            let found = &answer.results_by_topic_v3_and_below[0].results_by_partition[0];
            if found.partition_error_code != ErrorCode::ConcurrentTransactions.code() {
                return expect(found.partition_error_code, &format!("AddPartitionsToTxn of {id}"));
            }
        }
    }

    /// Commits an offset of a group as part of a transaction.
    pub fn send_offset(&mut self, id: &str, stamp: Stamp, (group, at): (&str, &At), offset: i64) -> Step<()> {
        let add = AddOffsetsToTxnRequest::default()
            .with_transactional_id(TransactionalId(text(id)))
            .with_producer_id(ProducerId(stamp.0))
            .with_producer_epoch(stamp.1)
            .with_group_id(GroupId(text(group)));
        expect(self.ask(2, &add)?.error_code, &format!("AddOffsetsToTxn of {id}"))?;
        let partition = TxnOffsetCommitRequestPartition::default()
            .with_partition_index(at.1)
            .with_committed_offset(offset)
            .with_committed_metadata(Some(text("")));
        let wanted =
            TxnOffsetCommitRequestTopic::default().with_name(topic(&at.0)).with_partitions(vec![partition]);
        let commit = TxnOffsetCommitRequest::default()
            .with_transactional_id(TransactionalId(text(id)))
            .with_group_id(GroupId(text(group)))
            .with_producer_id(ProducerId(stamp.0))
            .with_producer_epoch(stamp.1)
            .with_topics(vec![wanted]);
        let answer = self.ask(2, &commit)?;
        expect(answer.topics[0].partitions[0].error_code, &format!("TxnOffsetCommit of {id}"))
    }

    pub fn end(&mut self, id: &str, stamp: Stamp, commit: bool) -> Step<()> {
        let request = EndTxnRequest::default()
            .with_transactional_id(TransactionalId(text(id)))
            .with_producer_id(ProducerId(stamp.0))
            .with_producer_epoch(stamp.1)
            .with_committed(commit);
        loop {
            let code = self.ask(2, &request)?.error_code;
            if code != ErrorCode::ConcurrentTransactions.code() {
                return expect(code, &format!("EndTxn of {id} (commit: {commit})"));
            }
        }
    }

    /// How many transactions are decided while markers are still owed.
    pub fn ending(&mut self) -> Step<usize> {
        let states = vec![text("PrepareCommit"), text("PrepareAbort")];
        let answer = self.ask(0, &ListTransactionsRequest::default().with_state_filters(states))?;
        Ok(answer.transaction_states.len())
    }
}
