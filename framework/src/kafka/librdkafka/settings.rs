//! Settings: what librdkafka is told, by its own names.

use std::sync::atomic::Ordering;

use super::Tuning;
use crate::kafka::{Isolation, MemberOptions, ProducerOptions};

type Pairs = Vec<(String, String)>;

/// Each partition waits in a queue of its own, of this size; a queue that is full is not fetched for.
const QUEUED_KBYTES: &str = "4096";
/// What a client's own queue of records to be sent may hold; what is more waits in our batches, which are smaller.
const PRODUCER_KBYTES: &str = "65536";
/// As many of 64 bytes.
const PRODUCER_RECORDS: &str = "1000000";
/// What librdkafka adds to a record when it compares its size with `message.max.bytes`.
const RECORD_SLACK: usize = 512;

fn pairs<const N: usize>(all: [(&str, &str); N]) -> Pairs {
    all.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

impl Tuning {
    fn common(&self, client: &str) -> Pairs {
        let mut common = self.connection.clone();
        common.extend(pairs([
            ("client.id", client),
            ("log.connection.close", "false"),
            ("reconnect.backoff.ms", "50"),
            // A broker that is back is found within a second.
            ("reconnect.backoff.max.ms", "1000"),
            ("socket.keepalive.enable", "true"),
            ("socket.nagle.disable", "true"),
        ]));
        common
    }

    /// For questions.
    pub(super) fn admin(&self, client: &str) -> Pairs {
        let mut settings = self.common(client);
        settings.extend(pairs([("allow.auto.create.topics", "false")]));
        settings
    }

    /// For a consumer that reads what it is told to.
    pub(super) fn consumer(&self, client: &str, isolation: Isolation) -> Pairs {
        let isolation = match isolation {
            Isolation::ReadCommitted => "read_committed",
            Isolation::ReadUncommitted => "read_uncommitted",
        };
        let mut settings = self.common(client);
        settings.extend(pairs([
            ("allow.auto.create.topics", "false"),
            ("auto.offset.reset", "error"),
            ("check.crcs", "true"),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("enable.partition.eof", "true"),
            ("fetch.message.max.bytes", "4194304"),
            // The default of a second stalls a partition whose queue was full for a moment.
            ("fetch.queue.backoff.ms", "10"),
            // A partition that is added waits until the fetch under way is answered.
            ("fetch.wait.max.ms", "100"),
            ("isolation.level", isolation),
            ("queued.max.messages.kbytes", QUEUED_KBYTES),
            ("queued.min.messages", "20000"),
        ]));
        settings
    }

    /// For a member of a group, which reads nothing itself.
    pub(super) fn member(&self, options: &MemberOptions) -> Pairs {
        let mut settings = self.common(&options.client);
        let session = options.session_timeout_ms.to_string();
        let heartbeat = options.heartbeat_interval_ms.to_string();
        // librdkafka refuses one that is shorter than the session.
        let poll = options.max_poll_interval_ms.max(options.session_timeout_ms).to_string();
        settings.extend(pairs([
            ("allow.auto.create.topics", "false"),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("group.id", &options.group),
            ("heartbeat.interval.ms", &heartbeat),
            ("max.poll.interval.ms", &poll),
            ("partition.assignment.strategy", "range"),
            ("session.timeout.ms", &session),
        ]));
        settings.extend(options.instance.iter().map(|name| ("group.instance.id".to_owned(), name.clone())));
        settings
    }

    /// For a producer.
    pub(super) fn producer(&self, options: &ProducerOptions) -> Pairs {
        let mut settings = self.common(&options.client);
        let batch = self.batch_bytes.load(Ordering::Relaxed).to_string();
        let largest = (self.max_request_size + RECORD_SLACK).max(1_000).to_string();
        let timeout = options.request_timeout_ms.to_string();
        settings.extend(pairs([
            ("batch.num.messages", "10000"),
            ("batch.size", &batch),
            ("enable.idempotence", "true"),
            ("linger.ms", "5"),
            ("message.max.bytes", &largest),
            ("queue.buffering.max.kbytes", PRODUCER_KBYTES),
            ("queue.buffering.max.messages", PRODUCER_RECORDS),
            ("request.timeout.ms", &timeout),
            ("retry.backoff.ms", "50"),
        ]));
        match &options.transactional_id {
            Some(id) => {
                let timeout = options.transaction_timeout_ms.to_string();
                settings.extend(pairs([("transactional.id", id), ("transaction.timeout.ms", &timeout)]));
            }
            // Whoever sends says how long it is worth to try: `task.timeout.ms`.
            None => settings.extend(pairs([("message.timeout.ms", "0")])),
        }
        settings
    }
}
