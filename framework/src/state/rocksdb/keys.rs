//! Keys of the database: `subtopology:u32 | partition:u32 | space:u32 | key`, big-endian, so that a task is one range of
//! keys, and each of its spaces one within that.

use crate::state::Space;
use crate::topic::TaskId;

/// Bytes before the key: task and space.
pub(super) const PREFIX: usize = 12;

/// Where a task's keys begin.
pub(super) fn task_start(task: TaskId) -> [u8; 8] {
    number(task).to_be_bytes()
}

/// Where a task's keys have ended.
pub(super) fn task_end(task: TaskId) -> [u8; 8] {
    let next = number(task).checked_add(1);
    next.expect("no topology has 4 billion sub-topologies").to_be_bytes()
}

fn number(task: TaskId) -> u64 {
    u64::from(task.subtopology) << 32 | u64::from(task.partition.cast_unsigned())
}

/// Whose key this is.
pub(super) fn task_of(key: &[u8]) -> Option<TaskId> {
    let (subtopology, rest) = key.split_first_chunk::<4>()?;
    let (partition, _) = rest.split_first_chunk::<4>()?;
    Some(TaskId {
        subtopology: u32::from_be_bytes(*subtopology),
        partition: u32::from_be_bytes(*partition).cast_signed(),
    })
}

/// Writes a key of the database over what is in `whole`.
pub(super) fn write(task: TaskId, space: Space, key: &[u8], whole: &mut Vec<u8>) {
    whole.clear();
    append(task, space, key, whole);
}

/// Writes a key of the database behind what is in `bytes`.
pub(super) fn append(task: TaskId, space: Space, key: &[u8], bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(&task_start(task));
    bytes.extend_from_slice(&space.to_be_bytes());
    bytes.extend_from_slice(key);
}

/// A key of the database.
pub(super) fn key(task: TaskId, space: Space, key: &[u8]) -> Vec<u8> {
    let mut whole = Vec::with_capacity(PREFIX + key.len());
    write(task, space, key, &mut whole);
    whole
}

/// Where a space's keys have ended.
pub(super) fn space_end(task: TaskId, space: Space) -> Vec<u8> {
    match space.checked_add(1) {
        Some(next) => key(task, next, b""),
        None => task_end(task).to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_a_range_and_a_space_one_within() {
        let task = |subtopology, partition| TaskId { subtopology, partition };
        let ordered = [
            task_start(task(0, 0)).to_vec(),
            key(task(0, 0), 0, b""),
            key(task(0, 0), 0, b"\xff\xff\xff\xff\xff"),
            space_end(task(0, 0), 0),
            key(task(0, 0), 1, b"a"),
            key(task(0, 0), u32::MAX, b"a"),
            space_end(task(0, 0), u32::MAX),
            key(task(0, 1), 0, b""),
            task_end(task(0, i32::MAX)).to_vec(),
            key(task(1, 0), 0, b""),
        ];
        assert!(ordered.is_sorted(), "{ordered:?}");
        assert_eq!(task_end(task(0, 0)), task_start(task(0, 1)));
        assert_eq!(task_of(&key(task(3, 70_000), 2, b"k")), Some(task(3, 70_000)));
        assert_eq!(task_of(b"short"), None);
    }
}
