//! The API: what clients ask of the broker and what it answers.
//!
//! One struct per Kafka request, in Kafka's words where users know them, without version numbers: a front end
//! translates the wire's versions. Names of topics, groups and members are `Arc<str>`, so that handing them
//! on costs nothing; record batches are raw [`bytes::Bytes`].

mod admin;
mod consumer_group;
mod data;
mod group;
mod told;
mod transaction;

use std::fmt;
use std::sync::Arc;

use crate::error::ErrorCode;

pub use admin::{
    AlterConfigsRequest, AlterConfigsResponse, AlteredTopic, ConfigEntry, ConfigKind,
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse,
    DeleteTopicsRequest, DeleteTopicsResponse, DescribeConfigsRequest, DescribeConfigsResponse,
    MetadataRequest, MetadataResponse, NewPartitions, NewTopic, PartitionMetadata, TopicConfigs, TopicId,
    TopicMetadata, TopicResult,
};
pub use consumer_group::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse, DescribedConsumer, DescribedConsumerGroup, NamedPartitions,
    TopicIdPartitions,
};
pub use data::{
    AbortedTransaction, BadRecord, DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsResponse,
    EpochEnd, EpochQuery, FetchPartition, FetchRequest, FetchResponse, FetchedPartition, Isolation,
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponse, ListedOffset, OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse, OffsetSpec, ProducePartition, ProduceRequest, ProduceResponse,
    ProducedPartition, TrimmedPartition,
};
pub use group::{
    CommittedOffset, DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest,
    DescribeGroupsResponse, DescribedGroup, DescribedMember, FetchedOffset, GroupResult, GroupState,
    GroupType, HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, JoinedMember,
    LeaveGroupRequest, LeaveGroupResponse, LeavingMember, ListGroupsRequest, ListGroupsResponse, ListedGroup,
    MemberAssignment, MemberClaim, OffsetCommitPartition, OffsetCommitRequest, OffsetCommitResponse,
    OffsetDeleteRequest, OffsetDeleteResponse, OffsetFetchRequest, OffsetFetchResponse, PartitionResult,
    Protocol, SyncGroupRequest, SyncGroupResponse,
};
pub use transaction::{
    AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
    EndTxnRequest, EndTxnResponse, InitProducerIdRequest, InitProducerIdResponse, ProducerStamp,
    TxnOffsetCommitRequest, TxnOffsetCommitResponse,
};

/// Who asks: one connection. It is also the `client.id` from which member ids are made
/// (`<client.id>-<unique part>`), and what fault rules name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId {
    name: Arc<str>,
    host: Arc<str>,
}

impl ClientId {
    /// A client of this name, in this process: its host is empty.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), host: Arc::from("") }
    }

    /// The same client on this host, which descriptions of groups show (Kafka writes `/127.0.0.1`).
    #[must_use]
    pub fn with_host(self, host: impl Into<Arc<str>>) -> Self {
        Self { host: host.into(), ..self }
    }

    /// Its name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// Where it runs; empty for a client in this process.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }
}

impl From<&str> for ClientId {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// A claim to one answer; see [`crate::Broker::poll`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub(crate) u64);

/// One partition of one topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's number, from 0.
    pub partition: i32,
}

impl TopicPartition {
    /// Partition `partition` of `topic`.
    #[must_use]
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

macro_rules! apis {
    ($($variant:ident = $key:literal, $request:ident, $response:ident;)*) => {
        /// Which request it is, with Kafka's API key.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i16)]
        pub enum ApiKey {
            $(#[doc = concat!("[`", stringify!($request), "`]")] $variant = $key,)*
        }

        impl ApiKey {
            /// Every API that this broker serves.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];
        }

        /// What a client asks.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Request {
            $(#[doc = concat!("See [`", stringify!($request), "`].")] $variant($request),)*
        }

        impl Request {
            /// Which request it is.
            #[must_use]
            pub fn api_key(&self) -> ApiKey {
                match self { $(Self::$variant(_) => ApiKey::$variant,)* }
            }
        }

        $(impl From<$request> for Request {
            fn from(request: $request) -> Self {
                Self::$variant(request)
            }
        })*

        /// What the broker answers: the variant of the request, or [`Response::Error`].
        #[derive(Clone, Debug, PartialEq)]
        pub enum Response {
            $(#[doc = concat!("See [`", stringify!($response), "`].")] $variant($response),)*
            /// The request as a whole failed: a fault, a crash ([`ErrorCode::NetworkException`]), a malformed
            /// request.
            Error(ErrorCode),
        }

        impl Response {
            /// Which request it answers; `None` for [`Response::Error`].
            #[must_use]
            pub fn api_key(&self) -> Option<ApiKey> {
                match self {
                    $(Self::$variant(_) => Some(ApiKey::$variant),)*
                    Self::Error(_) => None,
                }
            }
        }

        $(impl From<$response> for Response {
            fn from(response: $response) -> Self {
                Self::$variant(response)
            }
        }

        impl TryFrom<Response> for $response {
            type Error = ErrorCode;

            /// The answer inside, or the code of [`Response::Error`];
            /// another request's answer is [`ErrorCode::UnknownServerError`].
            fn try_from(response: Response) -> Result<Self, ErrorCode> {
                match response {
                    Response::$variant(answer) => Ok(answer),
                    Response::Error(code) => Err(code),
                    _ => Err(ErrorCode::UnknownServerError),
                }
            }
        })*
    };
}

apis! {
    Produce = 0, ProduceRequest, ProduceResponse;
    Fetch = 1, FetchRequest, FetchResponse;
    ListOffsets = 2, ListOffsetsRequest, ListOffsetsResponse;
    Metadata = 3, MetadataRequest, MetadataResponse;
    OffsetCommit = 8, OffsetCommitRequest, OffsetCommitResponse;
    OffsetFetch = 9, OffsetFetchRequest, OffsetFetchResponse;
    JoinGroup = 11, JoinGroupRequest, JoinGroupResponse;
    Heartbeat = 12, HeartbeatRequest, HeartbeatResponse;
    LeaveGroup = 13, LeaveGroupRequest, LeaveGroupResponse;
    SyncGroup = 14, SyncGroupRequest, SyncGroupResponse;
    DescribeGroups = 15, DescribeGroupsRequest, DescribeGroupsResponse;
    ListGroups = 16, ListGroupsRequest, ListGroupsResponse;
    CreateTopics = 19, CreateTopicsRequest, CreateTopicsResponse;
    DeleteTopics = 20, DeleteTopicsRequest, DeleteTopicsResponse;
    DeleteRecords = 21, DeleteRecordsRequest, DeleteRecordsResponse;
    InitProducerId = 22, InitProducerIdRequest, InitProducerIdResponse;
    OffsetForLeaderEpoch = 23, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse;
    AddPartitionsToTxn = 24, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse;
    AddOffsetsToTxn = 25, AddOffsetsToTxnRequest, AddOffsetsToTxnResponse;
    EndTxn = 26, EndTxnRequest, EndTxnResponse;
    TxnOffsetCommit = 28, TxnOffsetCommitRequest, TxnOffsetCommitResponse;
    DescribeConfigs = 32, DescribeConfigsRequest, DescribeConfigsResponse;
    AlterConfigs = 33, AlterConfigsRequest, AlterConfigsResponse;
    CreatePartitions = 37, CreatePartitionsRequest, CreatePartitionsResponse;
    DeleteGroups = 42, DeleteGroupsRequest, DeleteGroupsResponse;
    OffsetDelete = 47, OffsetDeleteRequest, OffsetDeleteResponse;
    ConsumerGroupHeartbeat = 68, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse;
    ConsumerGroupDescribe = 69, ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse;
}
