//! What members of groups ask for.

use bytes::Bytes;
use headwater_broker::ErrorCode;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    ConsumerGroupHeartbeatRequest, GroupId, HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest,
    OffsetCommitRequest, SyncGroupRequest,
};

use crate::client::{Client, Step, expect, text, topic};
use crate::model::At;

/// Longer than any round.
const SESSION_MS: i32 = 600_000;
/// So long a member whose answer was lost holds up who joins after it.
const REBALANCE_MS: i32 = 200;

impl Client {
    /// Joins a group of the classic protocol and takes all; its member id and generation.
    pub fn join_classic(&mut self, group: &str) -> Step<(String, i32)> {
        let protocol = JoinGroupRequestProtocol::default().with_name(text("range"));
        let mut request = JoinGroupRequest::default()
            .with_group_id(GroupId(text(group)))
            .with_session_timeout_ms(SESSION_MS)
            .with_rebalance_timeout_ms(REBALANCE_MS)
            .with_protocol_type(text("consumer"))
            .with_protocols(vec![protocol.with_metadata(Bytes::from_static(b"\0\0\0\0\0\0"))]);
        loop {
            let mut joined = self.ask(5, &request)?;
            if joined.error_code == ErrorCode::MemberIdRequired.code() {
                request.member_id = joined.member_id;
                joined = self.ask(5, &request)?;
            }
            expect(joined.error_code, &format!("a JoinGroup of {group}"))?;
            let assignment = SyncGroupRequestAssignment::default().with_member_id(joined.member_id.clone());
            let sync = SyncGroupRequest::default()
                .with_group_id(GroupId(text(group)))
                .with_generation_id(joined.generation_id)
                .with_member_id(joined.member_id.clone())
                .with_assignments(vec![assignment.with_assignment(Bytes::from_static(b"all"))]);
            let synced = self.ask(3, &sync)?;
            if synced.error_code == ErrorCode::UnknownMemberId.code() {
                // It came too late, as on a machine that has much to do.
                request.member_id = text("");
                continue;
            }
            expect(synced.error_code, &format!("a SyncGroup of {group}"))?;
            return Ok((joined.member_id.to_string(), joined.generation_id));
        }
    }

    pub fn heartbeat(&mut self, group: &str, member: &str, generation: i32) -> Step<i16> {
        let request = HeartbeatRequest::default()
            .with_group_id(GroupId(text(group)))
            .with_generation_id(generation)
            .with_member_id(text(member));
        Ok(self.ask(3, &request)?.error_code)
    }

    pub fn leave(&mut self, group: &str, member: &str) -> Step<()> {
        let leaving = MemberIdentity::default().with_member_id(text(member));
        let request =
            LeaveGroupRequest::default().with_group_id(GroupId(text(group))).with_members(vec![leaving]);
        expect(self.ask(3, &request)?.error_code, &format!("a LeaveGroup of {group}"))
    }

    /// A heartbeat of a member of a consumer group (KIP-848): its error and epoch.
    pub fn beat(&mut self, group: &str, member: &str, epoch: i32) -> Step<(i16, i32)> {
        let request = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(GroupId(text(group)))
            .with_member_id(text(member))
            .with_member_epoch(epoch)
            .with_rebalance_timeout_ms(SESSION_MS)
            .with_subscribed_topic_names(Some(vec![topic("mixed")]))
            .with_topic_partitions(Some(Vec::new()));
        let answer = self.ask(1, &request)?;
        Ok((answer.error_code, answer.member_epoch))
    }

    /// A commit of a member in its generation or epoch; the error.
    pub fn commit_as(&mut self, group: &str, member: (&str, i32), at: &At, offset: i64) -> Step<i16> {
        let partition = OffsetCommitRequestPartition::default()
            .with_partition_index(at.1)
            .with_committed_offset(offset)
            .with_committed_metadata(Some(text("")));
        let wanted =
            OffsetCommitRequestTopic::default().with_name(topic(&at.0)).with_partitions(vec![partition]);
        let request = OffsetCommitRequest::default()
            .with_group_id(GroupId(text(group)))
            .with_generation_id_or_member_epoch(member.1)
            .with_member_id(text(member.0))
            .with_topics(vec![wanted]);
        Ok(self.ask(9, &request)?.topics[0].partitions[0].error_code)
    }
}
