//! Damage: how an input is read as changes of files.
//!
//! Each change is a number, the number of a file (by name, in order) and what it takes: positions have two bytes,
//! counts one, both are brought into the file. What is cut short at the end is taken for zeros.

use super::super::checksums;
use super::template::Files;

/// More changes are not made: one is enough for most trouble.
const MOST_CHANGES: usize = 16;

/// What is left of an input.
struct Left<'a>(&'a [u8]);

impl<'a> Left<'a> {
    fn byte(&mut self) -> u8 {
        let (byte, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *byte
    }

    /// A place in a file, its end included.
    fn position(&mut self, content: &[u8]) -> usize {
        let position = usize::from(self.byte()) << 8 | usize::from(self.byte());
        position % (content.len() + 1)
    }

    fn bytes(&mut self) -> &'a [u8] {
        let count = usize::from(self.byte()).min(self.0.len());
        let (bytes, rest) = self.0.split_at(count);
        self.0 = rest;
        bytes
    }

    fn offset(&mut self) -> i64 {
        i64::from_be_bytes(std::array::from_fn(|_| self.byte()))
    }

    /// The name of one of the files.
    fn file(&mut self, files: &Files) -> Option<String> {
        let number = usize::from(self.byte());
        files.keys().nth(number % files.len().max(1)).cloned()
    }

    /// A name that a file beside this one may have.
    fn name(&mut self, beside: &str) -> String {
        let folder = beside.rsplit_once('/').map_or("", |(folder, _)| folder);
        let kind = self.byte();
        let offset = self.offset();
        let name = match kind % 11 {
            0 => format!("{offset:020}.log"),
            1 => format!("{offset:020}.index"),
            2 => format!("{offset:020}.timeindex"),
            3 => format!("{offset:020}.snapshot"),
            4 => format!("{offset:020}.cleaned"),
            5 => format!("{offset:020}-{:020}.swap", self.offset()),
            6 => format!("{offset:020}.log.deleted"),
            7 => format!("journal-{}.log", offset.cast_unsigned()),
            8 => format!("journal-{}.tmp", offset.cast_unsigned()),
            9 => "log.checkpoint".to_owned(),
            _ => "partition.metadata".to_owned(),
        };
        format!("{folder}/{name}")
    }
}

/// Does what an input says.
pub fn apply(files: &mut Files, input: &[u8]) {
    let mut left = Left(input);
    for _ in 0..MOST_CHANGES {
        if left.0.is_empty() {
            break;
        }
        let change = left.byte();
        let Some(name) = left.file(files) else { break };
        match change % 12 {
            7 => {
                let other = left.file(files).unwrap_or_else(|| name.clone());
                let (one, two) = (files[&name].clone(), files[&other].clone());
                files.insert(name, two);
                files.insert(other, one);
            }
            8 => {
                let to = left.name(&name);
                let content = files.remove(&name).unwrap_or_default();
                files.insert(to, content);
            }
            9 => {
                let (to, content) = (left.name(&name), files[&name].clone());
                files.insert(to, content);
            }
            6 => drop(files.remove(&name)),
            change => {
                let content = files.get_mut(&name).expect("it was found by its name");
                alter(change, &name, content, &mut left);
            }
        }
    }
}

/// Changes a file's content.
fn alter(change: u8, name: &str, content: &mut Vec<u8>, left: &mut Left<'_>) {
    match change {
        0 => {
            let (at, value) = (left.position(content), left.byte());
            if let Some(byte) = content.get_mut(at) {
                *byte ^= value;
            }
        }
        1 => {
            let at = left.position(content);
            for (byte, other) in content[at..].iter_mut().zip(left.bytes()) {
                *byte = *other;
            }
        }
        2 => {
            let at = left.position(content);
            content.truncate(at);
        }
        3 => content.extend_from_slice(left.bytes()),
        4 => {
            let at = left.position(content);
            content.splice(at..at, left.bytes().iter().copied());
        }
        5 => {
            let at = left.position(content);
            let end = (at + usize::from(left.byte())).min(content.len());
            content.drain(at..end);
        }
        _ => mend(name, content),
    }
}

/// Makes checksums right again.
fn mend(name: &str, content: &mut Vec<u8>) {
    let file = name.rsplit('/').next().unwrap_or(name);
    match file.rsplit('.').next() {
        _ if file.starts_with("journal-") => checksums::mend_entries(content),
        Some("log" | "swap" | "cleaned") => checksums::mend_batches(content),
        Some("snapshot") => checksums::mend_first(content),
        Some("index" | "timeindex") => checksums::mend_last(content),
        Some("checkpoint") => checksums::mend_lines(content),
        _ => {}
    }
}
