//! Records in columns: how they travel where nobody can tell the difference (the rule is in [`operator`](crate::operator)).
//!
//! One call for many records is what makes a call cheap: a key column is read, hashed or written in one go. A record's
//! row is its place in every column.

use super::{Headers, Record};

/// Records that travel together: at most [`Columns::ROWS`] of them from a source, in order.
#[derive(Debug)]
pub struct Columns<K, V> {
    /// Keys.
    pub keys: Vec<K>,
    /// Values.
    pub values: Vec<V>,
    /// Event times, milliseconds.
    pub timestamps: Vec<i64>,
    /// Headers.
    pub headers: Vec<Headers>,
    /// Which record of the input batch each of them came from.
    pub origins: Vec<u32>,
}

impl<K, V> Default for Columns<K, V> {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            values: Vec::new(),
            timestamps: Vec::new(),
            headers: Vec::new(),
            origins: Vec::new(),
        }
    }
}

impl<K, V> Columns<K, V> {
    /// Rows at most that a source sends at once: enough that a call per column costs little, and few enough that all
    /// columns stay in the first-level cache.
    pub const ROWS: usize = 64;

    /// Number of rows.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.origins.len()
    }

    /// Whether there is no row.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.origins.is_empty()
    }

    /// Appends a record.
    #[inline]
    pub fn push(&mut self, record: Record<K, V>, origin: u32) {
        self.keys.push(record.key);
        self.values.push(record.value);
        self.timestamps.push(record.timestamp);
        self.headers.push(record.headers);
        self.origins.push(origin);
    }

    /// Removes all rows.
    #[inline]
    pub fn clear(&mut self) {
        self.keys.clear();
        self.values.clear();
        self.timestamps.clear();
        self.headers.clear();
        self.origins.clear();
    }

    /// Keeps the first `count` rows.
    #[inline]
    pub fn truncate(&mut self, count: usize) {
        self.keys.truncate(count);
        self.values.truncate(count);
        self.timestamps.truncate(count);
        self.headers.truncate(count);
        self.origins.truncate(count);
    }

    /// Takes out the records, each with its origin.
    #[inline]
    pub fn drain(&mut self) -> impl Iterator<Item = (Record<K, V>, u32)> + '_ {
        self.drain_first(self.len())
    }

    /// Takes out the first `count` records, each with its origin.
    ///
    /// # Panics
    /// If there are fewer.
    #[inline]
    pub fn drain_first(&mut self, count: usize) -> impl Iterator<Item = (Record<K, V>, u32)> + '_ {
        let (mut keys, mut values) = (self.keys.drain(..count), self.values.drain(..count));
        let (mut timestamps, mut headers) = (self.timestamps.drain(..count), self.headers.drain(..count));
        // Not zipped: pairs of pairs would be put together in memory on the way to the record.
        self.origins.drain(..count).map_while(move |origin| {
            let (key, value) = (keys.next()?, values.next()?);
            let record = Record { key, value, timestamp: timestamps.next()?, headers: headers.next()? };
            Some((record, origin))
        })
    }

    /// Keeps the rows for which `keep` holds, in order; it is shown key, value and origin.
    #[inline]
    pub fn retain(&mut self, mut keep: impl FnMut(&K, &V, u32) -> bool) {
        let mut kept = 0;
        for row in 0..self.len() {
            if !keep(&self.keys[row], &self.values[row], self.origins[row]) {
                continue;
            }
            if kept < row {
                self.keys.swap(kept, row);
                self.values.swap(kept, row);
                self.timestamps.swap(kept, row);
                self.headers.swap(kept, row);
                self.origins.swap(kept, row);
            }
            kept += 1;
        }
        self.truncate(kept);
    }

    /// Moves all rows behind those of `other`, with each value turned into another.
    #[inline]
    pub fn map_values_into<W>(&mut self, other: &mut Columns<K, W>, mut map: impl FnMut(&K, V) -> W) {
        for (key, value) in self.keys.iter().zip(self.values.drain(..)) {
            other.values.push(map(key, value));
        }
        move_all(&mut self.keys, &mut other.keys);
        move_all(&mut self.timestamps, &mut other.timestamps);
        move_all(&mut self.headers, &mut other.headers);
        move_all(&mut self.origins, &mut other.origins);
    }
}

#[inline]
fn move_all<T>(from: &mut Vec<T>, to: &mut Vec<T>) {
    if to.is_empty() {
        std::mem::swap(from, to);
    } else {
        to.append(from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(keys: &[i32]) -> Columns<i32, String> {
        let mut columns = Columns::default();
        for (origin, key) in (0..).zip(keys) {
            columns.push(Record::new(*key, key.to_string(), i64::from(*key) * 10), origin);
        }
        columns
    }

    #[test]
    fn rows_stay_together_through_retain_map_and_drain() {
        let mut rows = columns(&[1, 2, 3, 4, 5]);
        rows.retain(|key, _, origin| key % 2 == 1 && origin < 9);
        let mut mapped = Columns::default();
        rows.map_values_into(&mut mapped, |key, value| format!("{key}:{value}"));
        assert!(rows.is_empty() && rows.keys.is_empty() && rows.values.is_empty());
        columns(&[7]).map_values_into(&mut mapped, |_, value| value);
        let first: Vec<_> = mapped.drain_first(2).map(|(record, at)| (record.value, at)).collect();
        assert_eq!(first, [("1:1".to_owned(), 0), ("3:3".to_owned(), 2)]);
        let rest: Vec<_> = mapped.drain().map(|(record, at)| (record.key, record.timestamp, at)).collect();
        assert_eq!(rest, [(5, 50, 4), (7, 70, 0)]);
        assert!(mapped.is_empty());
    }
}
