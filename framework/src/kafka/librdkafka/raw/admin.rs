//! Questions about topics and their offsets: each goes out at once, its answer comes by a queue.

use std::ffi::{CString, c_char};

use rdkafka::bindings as c;

use super::{
    Client, Event, Failure, List, Placed, Queue, TEXT, checked, failed, placed, settled, shown, terminated,
    text,
};
use crate::kafka::{Isolation, NewTopic};
use crate::topic::{TopicName, TopicPartition};

/// A topic in an answer.
#[derive(Debug)]
pub(in super::super) struct Described {
    pub(in super::super) name: TopicName,
    pub(in super::super) id: u128,
    pub(in super::super) partitions: i32,
    pub(in super::super) failure: Option<Failure>,
}

/// The settings of a topic in an answer.
#[derive(Debug)]
pub(in super::super) struct Listed {
    pub(in super::super) name: TopicName,
    pub(in super::super) configs: Vec<(String, String)>,
    pub(in super::super) failure: Option<Failure>,
}

/// Options of a question.
pub(super) struct Options(pub(super) *mut c::rd_kafka_AdminOptions_t);

impl Options {
    pub(super) fn new(client: &Client, what: c::rd_kafka_admin_op_t, timeout_ms: i32) -> Self {
        let mut said = [0; TEXT];
        // SAFETY: freed by `drop`; a time-out is an option of every question.
        unsafe {
            let options = c::rd_kafka_AdminOptions_new(client.rk, what);
            c::rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms, said.as_mut_ptr(), TEXT);
            Self(options)
        }
    }
}

impl Drop for Options {
    fn drop(&mut self) {
        // SAFETY: the options are ours.
        unsafe { c::rd_kafka_AdminOptions_destroy(self.0) };
    }
}

use c::rd_kafka_admin_op_t as Op;

impl Client {
    /// Asks for partitions and ids of topics.
    pub(in super::super) fn describe_topics(
        &self,
        names: &[TopicName],
        queue: &Queue,
        timeout_ms: i32,
    ) -> Result<(), Failure> {
        let names = names.iter().map(|name| terminated(name)).collect::<Result<Vec<_>, _>>()?;
        let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
        let options = Options::new(self, Op::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS, timeout_ms);
        // SAFETY: everything is copied; the collection is freed.
        unsafe {
            let topics = c::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
            c::rd_kafka_DescribeTopics(self.rk, topics, options.0, queue.rkqu);
            c::rd_kafka_TopicCollection_destroy(topics);
        }
        Ok(())
    }

    /// Asks for the settings of topics.
    pub(in super::super) fn describe_configs(
        &self,
        names: &[TopicName],
        queue: &Queue,
        timeout_ms: i32,
    ) -> Result<(), Failure> {
        let names = names.iter().map(|name| terminated(name)).collect::<Result<Vec<_>, _>>()?;
        let options = Options::new(self, Op::RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, timeout_ms);
        // SAFETY: everything is copied; the resources are freed.
        unsafe {
            let resource = |name: &CString| {
                c::rd_kafka_ConfigResource_new(
                    c::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC,
                    name.as_ptr(),
                )
            };
            let mut resources: Vec<_> = names.iter().map(resource).collect();
            c::rd_kafka_DescribeConfigs(
                self.rk,
                resources.as_mut_ptr(),
                resources.len(),
                options.0,
                queue.rkqu,
            );
            c::rd_kafka_ConfigResource_destroy_array(resources.as_mut_ptr(), resources.len());
        }
        Ok(())
    }

    /// Asks for topics to be made.
    pub(in super::super) fn create_topics(
        &self,
        topics: &[NewTopic],
        queue: &Queue,
        timeout_ms: i32,
    ) -> Result<(), Failure> {
        let options = Options::new(self, Op::RD_KAFKA_ADMIN_OP_CREATETOPICS, timeout_ms);
        let mut made = Made(Vec::with_capacity(topics.len()));
        for topic in topics {
            made.add(topic)?;
        }
        // SAFETY: the topics are copied.
        unsafe {
            c::rd_kafka_CreateTopics(self.rk, made.0.as_mut_ptr(), made.0.len(), options.0, queue.rkqu);
        }
        Ok(())
    }

    /// Asks for topics to be deleted.
    pub(in super::super) fn delete_topics(
        &self,
        names: &[TopicName],
        queue: &Queue,
        timeout_ms: i32,
    ) -> Result<(), Failure> {
        let names = names.iter().map(|name| terminated(name)).collect::<Result<Vec<_>, _>>()?;
        let options = Options::new(self, Op::RD_KAFKA_ADMIN_OP_DELETETOPICS, timeout_ms);
        // SAFETY: the names are copied; what was made of them is freed.
        unsafe {
            let mut topics: Vec<_> =
                names.iter().map(|name| c::rd_kafka_DeleteTopic_new(name.as_ptr())).collect();
            c::rd_kafka_DeleteTopics(self.rk, topics.as_mut_ptr(), topics.len(), options.0, queue.rkqu);
            c::rd_kafka_DeleteTopic_destroy_array(topics.as_mut_ptr(), topics.len());
        }
        Ok(())
    }

    /// Asks for the first (`-2`) or the next (`-1`) offset of partitions, or for that of a time (from 0 on).
    pub(in super::super) fn list_offsets(
        &self,
        (partitions, what): (&[TopicPartition], i64),
        isolation: Isolation,
        queue: &Queue,
        timeout_ms: i32,
    ) -> Result<(), Failure> {
        let list = List::new();
        let options = Options::new(self, Op::RD_KAFKA_ADMIN_OP_LISTOFFSETS, timeout_ms);
        let level = match isolation {
            Isolation::ReadCommitted => c::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED,
            Isolation::ReadUncommitted => {
                c::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_UNCOMMITTED
            }
        };
        for partition in partitions {
            let entry = list.add(&partition.topic, partition.partition)?;
            // SAFETY: the entry belongs to the list.
            unsafe { (*entry).offset = what };
        }
        // SAFETY: the list is copied; the error is taken over.
        unsafe {
            settled(c::rd_kafka_AdminOptions_set_isolation_level(options.0, level))?;
            c::rd_kafka_ListOffsets(self.rk, list.0, options.0, queue.rkqu);
        }
        Ok(())
    }

    /// Asks for records below these offsets to be deleted.
    pub(in super::super) fn delete_records(
        &self,
        before: &[(TopicPartition, i64)],
        queue: &Queue,
        timeout_ms: i32,
    ) -> Result<(), Failure> {
        let list = List::new();
        let options = Options::new(self, Op::RD_KAFKA_ADMIN_OP_DELETERECORDS, timeout_ms);
        for (partition, offset) in before {
            let entry = list.add(&partition.topic, partition.partition)?;
            // SAFETY: the entry belongs to the list.
            unsafe { (*entry).offset = *offset };
        }
        // SAFETY: the list is copied; what was made of it is freed.
        unsafe {
            let mut records = [c::rd_kafka_DeleteRecords_new(list.0)];
            c::rd_kafka_DeleteRecords(self.rk, records.as_mut_ptr(), 1, options.0, queue.rkqu);
            c::rd_kafka_DeleteRecords_destroy_array(records.as_mut_ptr(), 1);
        }
        Ok(())
    }
}

/// Topics to be made.
struct Made(Vec<*mut c::rd_kafka_NewTopic_t>);

impl Made {
    fn add(&mut self, topic: &NewTopic) -> Result<(), Failure> {
        let name = terminated(&topic.name)?;
        let replicas = topic.replication_factor.map_or(-1, i32::from);
        let mut said = [0; TEXT];
        // SAFETY: the strings are copied; `said` has room for `TEXT` bytes; freed by `drop`.
        unsafe {
            let made =
                c::rd_kafka_NewTopic_new(name.as_ptr(), topic.partitions, replicas, said.as_mut_ptr(), TEXT);
            if made.is_null() {
                return Err(super::configuration(&said));
            }
            self.0.push(made);
            for (name, value) in &topic.configs {
                let (name, value) = (terminated(name)?, terminated(value)?);
                checked(c::rd_kafka_NewTopic_set_config(made, name.as_ptr(), value.as_ptr()))?;
            }
        }
        Ok(())
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        // SAFETY: they are ours.
        unsafe { c::rd_kafka_NewTopic_destroy_array(self.0.as_mut_ptr(), self.0.len()) };
    }
}

/// The answers: each is read from the event that brings it, whose kind the caller has checked by asking.
impl Event {
    /// To [`Client::describe_topics`].
    pub(in super::super) fn topics(&self) -> Result<Vec<Described>, Failure> {
        let mut count = 0;
        // SAFETY: null if this is no such answer; else `count` topics, which belong to the event.
        unsafe {
            let result = c::rd_kafka_event_DescribeTopics_result(self.rkev);
            if result.is_null() {
                return Err(Failure::lacking());
            }
            let topics = c::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
            let one = |at: usize| {
                let topic = *topics.add(at);
                let id = c::rd_kafka_TopicDescription_topic_id(topic);
                let halves =
                    (c::rd_kafka_Uuid_most_significant_bits(id), c::rd_kafka_Uuid_least_significant_bits(id));
                let mut partitions = 0;
                c::rd_kafka_TopicDescription_partitions(topic, &raw mut partitions);
                Described {
                    name: text(c::rd_kafka_TopicDescription_name(topic)).as_str().into(),
                    id: u128::from(halves.0.cast_unsigned()) << 64 | u128::from(halves.1.cast_unsigned()),
                    partitions: i32::try_from(partitions).unwrap_or(i32::MAX),
                    failure: of_error(c::rd_kafka_TopicDescription_error(topic)),
                }
            };
            Ok((0..count).map(one).collect())
        }
    }

    /// To [`Client::describe_configs`].
    pub(in super::super) fn configs(&self) -> Result<Vec<Listed>, Failure> {
        let mut count = 0;
        // SAFETY: as above; settings belong to their resource, which belongs to the event.
        unsafe {
            let result = c::rd_kafka_event_DescribeConfigs_result(self.rkev);
            if result.is_null() {
                return Err(Failure::lacking());
            }
            let resources = c::rd_kafka_DescribeConfigs_result_resources(result, &raw mut count);
            let one = |at: usize| {
                let resource = *resources.add(at);
                let mut count = 0;
                let entries = c::rd_kafka_ConfigResource_configs(resource, &raw mut count);
                let entry = |at: usize| {
                    let entry = *entries.add(at);
                    (text(c::rd_kafka_ConfigEntry_name(entry)), text(c::rd_kafka_ConfigEntry_value(entry)))
                };
                let failure = failed(c::rd_kafka_ConfigResource_error(resource));
                Listed {
                    name: text(c::rd_kafka_ConfigResource_name(resource)).as_str().into(),
                    configs: (0..count).map(entry).collect(),
                    failure,
                }
            };
            Ok((0..count).map(one).collect())
        }
    }

    /// To [`Client::create_topics`]: the topics, each with what was wrong.
    pub(in super::super) fn created(&self) -> Result<Vec<(TopicName, Option<Failure>)>, Failure> {
        let mut count = 0;
        // SAFETY: as above.
        unsafe {
            let result = c::rd_kafka_event_CreateTopics_result(self.rkev);
            if result.is_null() {
                return Err(Failure::lacking());
            }
            let topics = c::rd_kafka_CreateTopics_result_topics(result, &raw mut count);
            Ok(judged(topics, count))
        }
    }

    /// To [`Client::delete_topics`], as [`Event::created`].
    pub(in super::super) fn deleted(&self) -> Result<Vec<(TopicName, Option<Failure>)>, Failure> {
        let mut count = 0;
        // SAFETY: as above.
        unsafe {
            let result = c::rd_kafka_event_DeleteTopics_result(self.rkev);
            if result.is_null() {
                return Err(Failure::lacking());
            }
            let topics = c::rd_kafka_DeleteTopics_result_topics(result, &raw mut count);
            Ok(judged(topics, count))
        }
    }

    /// To [`Client::delete_records`].
    pub(in super::super) fn records_deleted(&self) -> Result<Vec<Placed>, Failure> {
        // SAFETY: as above.
        unsafe {
            let result = c::rd_kafka_event_DeleteRecords_result(self.rkev);
            if result.is_null() {
                return Err(Failure::lacking());
            }
            Ok(placed(c::rd_kafka_DeleteRecords_result_offsets(result)))
        }
    }

    /// To [`Client::list_offsets`].
    pub(in super::super) fn offsets(&self) -> Result<Vec<Placed>, Failure> {
        let mut count = 0;
        // SAFETY: as above.
        unsafe {
            let result = c::rd_kafka_event_ListOffsets_result(self.rkev);
            if result.is_null() {
                return Err(Failure::lacking());
            }
            let infos = c::rd_kafka_ListOffsets_result_infos(result, &raw mut count);
            let one = |at: usize| {
                let info = &*c::rd_kafka_ListOffsetsResultInfo_topic_partition(*infos.add(at));
                Placed {
                    partition: TopicPartition {
                        topic: text(info.topic).as_str().into(),
                        partition: info.partition,
                    },
                    offset: info.offset,
                    metadata: String::new(),
                    failure: failed(info.err).or_else(|| unanswered(info)),
                }
            };
            Ok((0..count).map(one).collect())
        }
    }
}

/// Copies what became of topics.
///
/// # Safety
/// `topics` has `count` entries that live.
unsafe fn judged(
    topics: *mut *const c::rd_kafka_topic_result_t,
    count: usize,
) -> Vec<(TopicName, Option<Failure>)> {
    let one = |at: usize| {
        // SAFETY: the caller's.
        unsafe {
            let topic = *topics.add(at);
            let failure = failed(c::rd_kafka_topic_result_error(topic)).map(|failure| {
                let said = text(c::rd_kafka_topic_result_error_string(topic));
                Failure { text: if said.is_empty() { failure.text.clone() } else { said }, ..failure }
            });
            (text(c::rd_kafka_topic_result_name(topic)).as_str().into(), failure)
        }
    };
    (0..count).map(one).collect()
}

/// Where the question to one of several brokers fails, librdkafka (2.12.1) says so by an offset alone, without an error.
fn unanswered(info: &c::rd_kafka_topic_partition_t) -> Option<Failure> {
    let none = info.offset == i64::from(c::RD_KAFKA_OFFSET_INVALID);
    let unavailable = c::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE;
    none.then(|| Failure::plain(unavailable, "its leader does not answer".to_owned()))
}

/// Copies an error that belongs to an answer; null, or without a code, is none.
///
/// # Safety
/// `error` is null or lives.
pub(super) unsafe fn of_error(error: *const c::rd_kafka_error_t) -> Option<Failure> {
    // SAFETY: the caller's.
    unsafe {
        let none = error.is_null()
            || c::rd_kafka_error_code(error) == c::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
        (!none).then(|| shown(error))
    }
}
