//! Error codes: the numbers and names by which the Kafka protocol says what went wrong.
//!
//! Only codes that this broker (or a fault that a test injects) can answer are listed; the numbers and names
//! are Kafka's own.

use std::fmt;

macro_rules! error_codes {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $name:literal, $retriable:literal;)*) => {
        /// What went wrong, or [`ErrorCode::None`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        #[repr(i16)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $($(#[$doc])* $variant = $code,)*
        }

        impl ErrorCode {
            /// Every code, in the order of the numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Kafka's name for the code, as in `OFFSET_OUT_OF_RANGE`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Whether a client may send the same request again and hope, as Kafka's clients see it.
            #[must_use]
            pub const fn is_retriable(self) -> bool {
                match self { $(Self::$variant => $retriable,)* }
            }
        }
    };
}

error_codes! {
    /// The broker failed in a way it did not expect.
    UnknownServerError = -1, "UNKNOWN_SERVER_ERROR", false;
    /// No error.
    #[default]
    None = 0, "NONE", false;
    /// The offset lies below the log's start or beyond its end.
    OffsetOutOfRange = 1, "OFFSET_OUT_OF_RANGE", false;
    /// The batch's checksum, length or magic is wrong.
    CorruptMessage = 2, "CORRUPT_MESSAGE", true;
    /// No such topic, or no such partition of it.
    UnknownTopicOrPartition = 3, "UNKNOWN_TOPIC_OR_PARTITION", true;
    /// The partition has no leader right now.
    LeaderNotAvailable = 5, "LEADER_NOT_AVAILABLE", true;
    /// This broker does not lead the partition.
    NotLeaderOrFollower = 6, "NOT_LEADER_OR_FOLLOWER", true;
    /// The request took too long.
    RequestTimedOut = 7, "REQUEST_TIMED_OUT", true;
    /// The batch is larger than `max.message.bytes`.
    MessageTooLarge = 10, "MESSAGE_TOO_LARGE", false;
    /// The metadata beside a committed offset is too large.
    OffsetMetadataTooLarge = 12, "OFFSET_METADATA_TOO_LARGE", false;
    /// The connection broke; whether the request was applied is unknown.
    NetworkException = 13, "NETWORK_EXCEPTION", true;
    /// The coordinator is reading its state.
    CoordinatorLoadInProgress = 14, "COORDINATOR_LOAD_IN_PROGRESS", true;
    /// There is no coordinator right now.
    CoordinatorNotAvailable = 15, "COORDINATOR_NOT_AVAILABLE", true;
    /// This broker does not coordinate the group or the transactional id.
    NotCoordinator = 16, "NOT_COORDINATOR", true;
    /// The topic's name is not allowed.
    InvalidTopic = 17, "INVALID_TOPIC_EXCEPTION", false;
    /// The producer wants acknowledgements of a kind that there is not.
    InvalidRequiredAcks = 21, "INVALID_REQUIRED_ACKS", false;
    /// The generation is not the group's current one.
    IllegalGeneration = 22, "ILLEGAL_GENERATION", false;
    /// The member shares no protocol with the group.
    InconsistentGroupProtocol = 23, "INCONSISTENT_GROUP_PROTOCOL", false;
    /// The group's name is not allowed.
    InvalidGroupId = 24, "INVALID_GROUP_ID", false;
    /// The group does not know this member.
    UnknownMemberId = 25, "UNKNOWN_MEMBER_ID", false;
    /// The session time-out lies outside what the broker allows.
    InvalidSessionTimeout = 26, "INVALID_SESSION_TIMEOUT", false;
    /// The group rebalances: join again.
    RebalanceInProgress = 27, "REBALANCE_IN_PROGRESS", false;
    /// The client may not use the topic.
    TopicAuthorizationFailed = 29, "TOPIC_AUTHORIZATION_FAILED", false;
    /// The client may not use the group.
    GroupAuthorizationFailed = 30, "GROUP_AUTHORIZATION_FAILED", false;
    /// The client may not use the cluster.
    ClusterAuthorizationFailed = 31, "CLUSTER_AUTHORIZATION_FAILED", false;
    /// A record's time stamp is not acceptable.
    InvalidTimestamp = 32, "INVALID_TIMESTAMP", false;
    /// The broker has no such way to log in.
    UnsupportedSaslMechanism = 33, "UNSUPPORTED_SASL_MECHANISM", false;
    /// The request makes no sense at this point of a login.
    IllegalSaslState = 34, "ILLEGAL_SASL_STATE", false;
    /// The broker does not serve this version of the request.
    UnsupportedVersion = 35, "UNSUPPORTED_VERSION", false;
    /// A topic of this name exists.
    TopicAlreadyExists = 36, "TOPIC_ALREADY_EXISTS", false;
    /// The number of partitions makes no sense.
    InvalidPartitions = 37, "INVALID_PARTITIONS", false;
    /// More replicas than brokers were asked for.
    InvalidReplicationFactor = 38, "INVALID_REPLICATION_FACTOR", false;
    /// Replicas were assigned to brokers that there are not.
    InvalidReplicaAssignment = 39, "INVALID_REPLICA_ASSIGNMENT", false;
    /// A topic setting has an unknown name or an unusable value.
    InvalidConfig = 40, "INVALID_CONFIG", false;
    /// The request contradicts itself.
    InvalidRequest = 42, "INVALID_REQUEST", false;
    /// The batch's format is too old for what it asks.
    UnsupportedForMessageFormat = 43, "UNSUPPORTED_FOR_MESSAGE_FORMAT", false;
    /// The request asks for more than is allowed.
    PolicyViolation = 44, "POLICY_VIOLATION", false;
    /// A producer's sequence number left a gap.
    OutOfOrderSequenceNumber = 45, "OUT_OF_ORDER_SEQUENCE_NUMBER", false;
    /// A producer's sequence number was seen before.
    DuplicateSequenceNumber = 46, "DUPLICATE_SEQUENCE_NUMBER", false;
    /// A newer producer with the same id was seen.
    InvalidProducerEpoch = 47, "INVALID_PRODUCER_EPOCH", false;
    /// The transaction is not in a state that allows this.
    InvalidTxnState = 48, "INVALID_TXN_STATE", false;
    /// The producer id does not belong to the transactional id.
    InvalidProducerIdMapping = 49, "INVALID_PRODUCER_ID_MAPPING", false;
    /// The transaction time-out is larger than the broker allows.
    InvalidTransactionTimeout = 50, "INVALID_TRANSACTION_TIMEOUT", false;
    /// The producer's last transaction is still being ended: ask again.
    ConcurrentTransactions = 51, "CONCURRENT_TRANSACTIONS", true;
    /// The client may not use the transactional id.
    TransactionalIdAuthorizationFailed = 53, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", false;
    /// Another part of the request failed, so this one was not tried.
    OperationNotAttempted = 55, "OPERATION_NOT_ATTEMPTED", false;
    /// The storage failed.
    KafkaStorageError = 56, "KAFKA_STORAGE_ERROR", true;
    /// The login failed: no such user, or another password.
    SaslAuthenticationFailed = 58, "SASL_AUTHENTICATION_FAILED", false;
    /// The partition knows nothing (any more) about this producer.
    UnknownProducerId = 59, "UNKNOWN_PRODUCER_ID", false;
    /// The group has members.
    NonEmptyGroup = 68, "NON_EMPTY_GROUP", false;
    /// No such group.
    GroupIdNotFound = 69, "GROUP_ID_NOT_FOUND", false;
    /// The fetch session is not known.
    FetchSessionIdNotFound = 70, "FETCH_SESSION_ID_NOT_FOUND", true;
    /// The client's leader epoch is older than the broker's.
    FencedLeaderEpoch = 74, "FENCED_LEADER_EPOCH", true;
    /// The client's leader epoch is newer than the broker's.
    UnknownLeaderEpoch = 75, "UNKNOWN_LEADER_EPOCH", true;
    /// Join again with the member id in this answer.
    MemberIdRequired = 79, "MEMBER_ID_REQUIRED", false;
    /// The group is full.
    GroupMaxSizeReached = 81, "GROUP_MAX_SIZE_REACHED", false;
    /// Another member took over this `group.instance.id`.
    FencedInstanceId = 82, "FENCED_INSTANCE_ID", false;
    /// A member of the group reads the topic.
    GroupSubscribedToTopic = 86, "GROUP_SUBSCRIBED_TO_TOPIC", false;
    /// A record breaks a rule of its topic, such as a missing key in a compacted one.
    InvalidRecord = 87, "INVALID_RECORD", false;
    /// A transaction that is not decided yet has offsets for this partition.
    UnstableOffsetCommit = 88, "UNSTABLE_OFFSET_COMMIT", true;
    /// A newer producer with the same transactional id took over.
    ProducerFenced = 90, "PRODUCER_FENCED", false;
    /// No such resource.
    ResourceNotFound = 91, "RESOURCE_NOT_FOUND", false;
    /// No topic has this id.
    UnknownTopicId = 100, "UNKNOWN_TOPIC_ID", true;
    /// No transaction has this transactional id.
    TransactionalIdNotFound = 105, "TRANSACTIONAL_ID_NOT_FOUND", false;
    /// The member's epoch is not one that it can have: give everything up and join again.
    FencedMemberEpoch = 110, "FENCED_MEMBER_EPOCH", false;
    /// Another member holds this `group.instance.id` and has not left.
    UnreleasedInstanceId = 111, "UNRELEASED_INSTANCE_ID", false;
    /// The broker has no such assignor.
    UnsupportedAssignor = 112, "UNSUPPORTED_ASSIGNOR", false;
    /// The member has reached another epoch by now: try again with that.
    StaleMemberEpoch = 113, "STALE_MEMBER_EPOCH", false;
    /// There are no such endpoints.
    UnsupportedEndpointType = 115, "UNSUPPORTED_ENDPOINT_TYPE", false;
    /// The transaction has to be aborted.
    TransactionAbortable = 120, "TRANSACTION_ABORTABLE", false;
    /// The pattern of topics cannot be read.
    InvalidRegularExpression = 128, "INVALID_REGULAR_EXPRESSION", false;
}

impl ErrorCode {
    /// Kafka's number for the code.
    #[must_use]
    pub const fn code(self) -> i16 {
        self as i16
    }

    /// The code with this number; a number that this broker never answers is
    /// [`ErrorCode::UnknownServerError`].
    #[must_use]
    pub fn from_code(code: i16) -> Self {
        Self::ALL.iter().copied().find(|known| known.code() == code).unwrap_or(Self::UnknownServerError)
    }

    /// `Ok` for [`ErrorCode::None`], the code itself as an error otherwise.
    ///
    /// # Errors
    /// Returns the code when it is one.
    pub fn check(self) -> Result<(), Self> {
        if self == Self::None { Ok(()) } else { Err(self) }
    }

    pub(crate) fn of<T>(result: &Result<T, Self>) -> Self {
        result.as_ref().err().copied().unwrap_or_default()
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.code())
    }
}

impl std::error::Error for ErrorCode {}

#[cfg(test)]
mod tests {
    use super::ErrorCode;

    #[test]
    fn numbers_and_names_are_unique_and_come_back() {
        for (i, code) in ErrorCode::ALL.iter().enumerate() {
            assert_eq!(ErrorCode::from_code(code.code()), *code);
            for other in &ErrorCode::ALL[i + 1..] {
                assert!(code.code() < other.code(), "{code} stands before {other}");
                assert_ne!(code.name(), other.name());
            }
        }
    }
}
