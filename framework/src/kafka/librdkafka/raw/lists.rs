//! Lists of partitions, as C has them and as we do.

use rdkafka::bindings as c;

use super::{Failure, failed, terminated, text};
use crate::kafka::CommittedOffset;
use crate::topic::TopicPartition;

/// A partition in an answer.
#[derive(Debug)]
pub(in super::super) struct Placed {
    pub(in super::super) partition: TopicPartition,
    pub(in super::super) offset: i64,
    pub(in super::super) metadata: String,
    pub(in super::super) failure: Option<Failure>,
}

/// A list of partitions as C has it.
pub(super) struct List(pub(super) *mut c::rd_kafka_topic_partition_list_t);

impl List {
    pub(super) fn new() -> Self {
        // SAFETY: freed by `drop`.
        Self(unsafe { c::rd_kafka_topic_partition_list_new(8) })
    }

    pub(super) fn of_offsets(offsets: &[(TopicPartition, CommittedOffset)]) -> Result<Self, Failure> {
        let list = Self::new();
        for (partition, committed) in offsets {
            let entry = list.add(&partition.topic, partition.partition)?;
            let bytes = committed.metadata.as_bytes();
            // SAFETY: the entry belongs to the list; its metadata is memory of librdkafka's own, freed with the list.
            unsafe {
                (*entry).offset = committed.offset;
                if !bytes.is_empty() {
                    let room = c::rd_kafka_mem_malloc(std::ptr::null_mut(), bytes.len());
                    std::ptr::copy_nonoverlapping(bytes.as_ptr(), room.cast(), bytes.len());
                    (*entry).metadata = room;
                    (*entry).metadata_size = bytes.len();
                }
            }
        }
        Ok(list)
    }

    pub(super) fn add(
        &self,
        topic: &str,
        partition: i32,
    ) -> Result<*mut c::rd_kafka_topic_partition_t, Failure> {
        let topic = terminated(topic)?;
        // SAFETY: the list lives, the name is copied.
        Ok(unsafe { c::rd_kafka_topic_partition_list_add(self.0, topic.as_ptr(), partition) })
    }
}

impl Drop for List {
    fn drop(&mut self) {
        // SAFETY: the list is ours.
        unsafe { c::rd_kafka_topic_partition_list_destroy(self.0) };
    }
}

/// Copies a list.
///
/// # Safety
/// `list` is null or lives.
pub(super) unsafe fn placed(list: *const c::rd_kafka_topic_partition_list_t) -> Vec<Placed> {
    if list.is_null() {
        return Vec::new();
    }
    // SAFETY: the caller's; a list has `cnt` entries, an entry `metadata_size` bytes.
    unsafe {
        let count = usize::try_from((*list).cnt).unwrap_or(0);
        let entries = if count == 0 { &[] } else { std::slice::from_raw_parts((*list).elems, count) };
        let copy = |entry: &c::rd_kafka_topic_partition_t| Placed {
            partition: TopicPartition {
                topic: text(entry.topic).as_str().into(),
                partition: entry.partition,
            },
            offset: entry.offset,
            metadata: match entry.metadata.is_null() {
                true => String::new(),
                false => {
                    let bytes = std::slice::from_raw_parts(entry.metadata.cast(), entry.metadata_size);
                    String::from_utf8_lossy(bytes).into_owned()
                }
            },
            failure: failed(entry.err),
        };
        entries.iter().map(copy).collect()
    }
}
