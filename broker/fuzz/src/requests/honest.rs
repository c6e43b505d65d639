//! An honest client: whatever was sent before, it is served.

use bytes::{Bytes, BytesMut};
use headwater_broker::batch::{self, BatchOptions, Record};
use headwater_broker::server::Streams;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    ApiVersionsRequest, CreateTopicsRequest, DeleteTopicsRequest, FetchRequest, ProduceRequest,
    RequestHeader, ResponseHeader, TopicName,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use tokio::io::{AsyncWriteExt, DuplexStream};

/// A hostile client may have made it, so it is deleted first.
const TOPIC: &str = "honest";

/// Makes a topic, writes to it and reads it.
pub(super) async fn check(streams: &Streams) {
    let (ours, theirs) = tokio::io::duplex(super::PIPE_BYTES);
    tokio::join!(streams.serve(theirs), talk(Client { stream: ours, sent: 0 }));
}

struct Client {
    stream: DuplexStream,
    sent: i32,
}

impl Client {
    async fn ask<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        self.sent += 1;
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.sent)
            .with_client_id(Some(StrBytes::from_static_str("honest")));
        let mut frame = BytesMut::new();
        header.encode(&mut frame, R::header_version(version)).expect("the header is right");
        request.encode(&mut frame, version).expect("the request is right");
        let length = i32::try_from(frame.len()).expect("the request is small");
        self.stream.write_i32(length).await.expect("an honest client is listened to");
        self.stream.write_all(&frame).await.expect("an honest client is listened to");
        let mut answer = super::answer(&mut self.stream).await.expect("an honest client is answered");
        let header = ResponseHeader::decode(&mut answer, R::Response::header_version(version));
        assert_eq!(header.expect("an answer has a header").correlation_id, self.sent);
        let response = R::Response::decode(&mut answer, version).expect("an answer can be read");
        assert!(answer.is_empty(), "{} bytes behind an answer", answer.len());
        response
    }
}

async fn talk(mut client: Client) {
    let name = || TopicName(StrBytes::from_static_str(TOPIC));
    let versions = client.ask(3, &ApiVersionsRequest::default()).await;
    assert!(versions.error_code == 0 && versions.api_keys.len() > 30);
    let delete = vec![DeleteTopicState::default().with_name(Some(name()))];
    client.ask(6, &DeleteTopicsRequest::default().with_topics(delete)).await;
    let topic = CreatableTopic::default().with_name(name()).with_num_partitions(1).with_replication_factor(1);
    let created = client.ask(7, &CreateTopicsRequest::default().with_topics(vec![topic])).await;
    assert_eq!(created.topics[0].error_code, 0, "{:?}", created.topics[0].error_message);

    let record = Record::new(1_000, Some(b"key"), Some(b"value"));
    let batch = Bytes::from(batch::encode(&BatchOptions::default(), [record]));
    let data = PartitionProduceData::default().with_records(Some(batch.clone()));
    let data = TopicProduceData::default().with_name(name()).with_partition_data(vec![data]);
    let produce = ProduceRequest::default().with_acks(-1).with_timeout_ms(1_000).with_topic_data(vec![data]);
    let produced = client.ask(9, &produce).await;
    let produced = &produced.responses[0].partition_responses[0];
    assert_eq!((produced.error_code, produced.base_offset), (0, 0));

    let partition = FetchPartition::default().with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default().with_topic(name()).with_partitions(vec![partition]);
    let fetch = FetchRequest::default().with_min_bytes(1).with_max_bytes(1 << 20).with_topics(vec![topic]);
    let fetched = client.ask(12, &fetch).await;
    let fetched = &fetched.responses[0].partitions[0];
    assert_eq!((fetched.error_code, fetched.high_watermark), (0, 1));
    let records = fetched.records.as_ref().expect("there are records");
    // The broker fills in the leader epoch, in front of the checksum.
    assert_eq!(records.get(16..), batch.get(16..));
}
