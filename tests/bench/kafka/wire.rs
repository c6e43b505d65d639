//! A probe of the machine: passthrough by hand on sockets, the least that any client has to do. Batches are fetched, their
//! checksums computed, every record parsed in place, encoded anew, summed up again and produced to the partition it came
//! from. One thread, one broker that leads all partitions, one request of each kind under way; it ends with its input.

use std::io::{Read, Write, stdout};
use std::net::TcpStream;
use std::thread::sleep;
use std::time::Duration;

use cpu_time::ProcessTime;
use headwater::time::{Clock, SystemClock};

use super::{Ends, Fallible};

const PRODUCE: i16 = 0;
const FETCH: i16 = 1;
const METADATA: i16 = 3;
/// As Headwater's consumer asks for a partition.
const FETCH_BYTES: i32 = 1 << 20;
/// Some hundred kilobytes, of the megabyte that a topic takes.
const BATCH_RECORDS: usize = 5_000;
/// From a batch's first byte: to its length's end, to its checksum's end, to its records.
const LENGTH_END: usize = 12;
const SUM_AT: usize = 17;
const SUMMED_AT: usize = 21;
const RECORDS_AT: usize = 61;
/// Errors of a topic that was made a moment ago: the broker does not know it yet, or not yet that it leads it.
const NOT_YET: [i16; 3] = [3, 5, 6];
/// How long a topic may take to be ready.
const PATIENCE_US: u64 = 30_000_000;
/// Bit of a batch's attributes: markers of transactions, which are no records.
const CONTROL: i16 = 1 << 5;

/// A connection to a broker.
struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Connection {
    fn new(bootstrap: &str) -> Fallible<Self> {
        let stream = TcpStream::connect(bootstrap)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, request: Vec::new(), answer: Vec::new() })
    }

    /// Begins a request; what is appended to it is its body.
    fn begin(&mut self, api: i16, version: i16) -> &mut Vec<u8> {
        self.request.clear();
        self.request.extend([0; 4]);
        self.request.extend(api.to_be_bytes());
        self.request.extend(version.to_be_bytes());
        self.request.extend(0_i32.to_be_bytes());
        text(&mut self.request, "wire");
        &mut self.request
    }

    fn send(&mut self) -> Fallible<()> {
        let length = i32::try_from(self.request.len() - 4)?;
        self.request[..4].copy_from_slice(&length.to_be_bytes());
        Ok(self.stream.write_all(&self.request)?)
    }

    /// Waits for the answer; returns what stands behind its number.
    fn receive(&mut self) -> Fallible<Cursor<'_>> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        self.answer.resize(usize::try_from(i32::from_be_bytes(length))?, 0);
        self.stream.read_exact(&mut self.answer)?;
        Ok(Cursor { bytes: &self.answer[4..] })
    }
}

/// Bytes that are read from front to back.
#[derive(Clone, Copy)]
struct Cursor<'a> {
    bytes: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Fallible<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or("an answer ends too early")?;
        self.bytes = rest;
        Ok(taken)
    }

    fn i8(&mut self) -> Fallible<i8> {
        Ok(i8::from_be_bytes(self.take(1)?.try_into()?))
    }

    fn i16(&mut self) -> Fallible<i16> {
        Ok(i16::from_be_bytes(self.take(2)?.try_into()?))
    }

    fn i32(&mut self) -> Fallible<i32> {
        Ok(i32::from_be_bytes(self.take(4)?.try_into()?))
    }

    fn i64(&mut self) -> Fallible<i64> {
        Ok(i64::from_be_bytes(self.take(8)?.try_into()?))
    }

    fn text(&mut self) -> Fallible<&'a [u8]> {
        let length = self.i16()?;
        self.take(usize::try_from(length)?)
    }

    /// A zigzag number of variable length.
    #[inline]
    fn varint(&mut self) -> Fallible<i64> {
        let mut value = 0_u64;
        for (at, byte) in self.bytes.iter().enumerate().take(10) {
            value |= u64::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                self.bytes = &self.bytes[at + 1..];
                return Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
            }
        }
        Err("a number does not end".into())
    }

    /// Bytes with their length before them, where -1 is null.
    #[inline]
    fn field(&mut self) -> Fallible<Option<&'a [u8]>> {
        let length = self.varint()?;
        if length < 0 { Ok(None) } else { self.take(usize::try_from(length)?).map(Some) }
    }
}

fn text(to: &mut Vec<u8>, text: &str) {
    to.extend(i16::try_from(text.len()).unwrap_or(0).to_be_bytes());
    to.extend(text.as_bytes());
}

fn varint(to: &mut Vec<u8>, value: i64) {
    let mut left = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while left >= 0x80 {
        to.push(left.to_le_bytes()[0] | 0x80);
        left >>= 7;
    }
    to.push(left.to_le_bytes()[0]);
}

/// How long [`varint`] makes a number.
fn varint_len(value: i64) -> usize {
    let left = ((value << 1) ^ (value >> 63)).cast_unsigned() | 1;
    usize::try_from((70 - left.leading_zeros()) / 7).unwrap_or(10)
}

/// A record, in place.
struct Record<'a> {
    timestamp: i64,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
}

/// A batch that is being written.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    records: usize,
    first_ms: i64,
    newest_ms: i64,
}

impl Batch {
    fn push(&mut self, record: &Record<'_>) {
        if self.records == 0 {
            self.bytes.clear();
            self.bytes.extend([0; RECORDS_AT]);
            (self.first_ms, self.newest_ms) = (record.timestamp, record.timestamp);
        }
        self.newest_ms = self.newest_ms.max(record.timestamp);
        let delta_ms = record.timestamp - self.first_ms;
        let number = i64::try_from(self.records).unwrap_or(0);
        let length = |field: Option<&[u8]>| field.map_or(-1, |field| i64::try_from(field.len()).unwrap_or(0));
        let (key, value) = (length(record.key), length(record.value));
        let lengths = [delta_ms, number, key, value].map(varint_len).iter().sum::<usize>();
        let fields = record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
        // One byte of attributes, and one for the number of headers.
        varint(&mut self.bytes, i64::try_from(2 + lengths + fields).unwrap_or(0));
        self.bytes.push(0);
        varint(&mut self.bytes, delta_ms);
        varint(&mut self.bytes, number);
        varint(&mut self.bytes, key);
        self.bytes.extend(record.key.unwrap_or_default());
        varint(&mut self.bytes, value);
        self.bytes.extend(record.value.unwrap_or_default());
        self.bytes.push(0);
        self.records += 1;
    }

    /// Writes the head, with the checksum.
    fn finish(&mut self) -> Fallible<&[u8]> {
        let records = i32::try_from(self.records)?;
        let mut head = Vec::with_capacity(RECORDS_AT);
        head.extend(0_i64.to_be_bytes());
        head.extend(i32::try_from(self.bytes.len() - LENGTH_END)?.to_be_bytes());
        head.extend((-1_i32).to_be_bytes()); // leader's epoch
        head.push(2);
        head.extend([0; 4]); // checksum, below
        head.extend(0_i16.to_be_bytes());
        head.extend((records - 1).to_be_bytes());
        head.extend(self.first_ms.to_be_bytes());
        head.extend(self.newest_ms.to_be_bytes());
        head.extend((-1_i64).to_be_bytes()); // producer, its epoch, its number of the first record
        head.extend((-1_i16).to_be_bytes());
        head.extend((-1_i32).to_be_bytes());
        head.extend(records.to_be_bytes());
        self.bytes[..RECORDS_AT].copy_from_slice(&head);
        let sum = crc32c::crc32c(&self.bytes[SUMMED_AT..]);
        self.bytes[SUM_AT..SUMMED_AT].copy_from_slice(&sum.to_be_bytes());
        Ok(&self.bytes)
    }
}

/// Both ends, and what is between them.
struct Pipe<'a> {
    ends: &'a Ends,
    input: Connection,
    output: Connection,
    /// By partition: the offset to read next, and whether that is the end.
    next: Vec<(i64, bool)>,
    batch: Batch,
    records: u64,
    unanswered: bool,
}

/// Passes the topic on once, and prints what a record took.
pub(crate) fn run(ends: &Ends) -> Fallible<()> {
    let mut input = Connection::new(&ends.bootstrap)?;
    let partitions = partitions(&mut input, &ends.input)?;
    let output = Connection::new(&ends.bootstrap)?;
    let next = vec![(0, false); partitions];
    let mut pipe = Pipe { ends, input, output, next, batch: Batch::default(), records: 0, unanswered: false };
    let begin = ProcessTime::now();
    pipe.ask()?;
    while pipe.next.iter().any(|(_, ended)| !ended) {
        pipe.pass()?;
    }
    pipe.acknowledged()?;
    let ns = begin.elapsed().as_nanos() / u128::from(pipe.records.max(1));
    Ok(writeln!(stdout(), "{{\"records\":{},\"cpu_ns\":{ns}}}", pipe.records)?)
}

fn partitions(connection: &mut Connection, topic: &str) -> Fallible<usize> {
    let body = connection.begin(METADATA, 0);
    body.extend(1_i32.to_be_bytes());
    text(body, topic);
    connection.send()?;
    let mut answer = connection.receive()?;
    for _ in 0..answer.i32()? {
        let (_, _, _) = (answer.i32()?, answer.text()?, answer.i32()?);
    }
    let (_, err, _) = (answer.i32()?, answer.i16()?, answer.text()?);
    if err == 0 { Ok(usize::try_from(answer.i32()?)?) } else { Err(format!("{topic}: error {err}").into()) }
}

impl Pipe<'_> {
    /// Asks for what comes next.
    fn ask(&mut self) -> Fallible<()> {
        let body = self.input.begin(FETCH, 4);
        body.extend((-1_i32).to_be_bytes());
        body.extend(100_i32.to_be_bytes()); // longest wait
        body.extend(1_i32.to_be_bytes());
        body.extend((FETCH_BYTES * 4).to_be_bytes());
        body.push(1); // committed records
        body.extend(1_i32.to_be_bytes());
        text(body, &self.ends.input);
        body.extend(i32::try_from(self.next.len())?.to_be_bytes());
        for (partition, (offset, _)) in (0_i32..).zip(&self.next) {
            body.extend(partition.to_be_bytes());
            body.extend(offset.to_be_bytes());
            body.extend(FETCH_BYTES.to_be_bytes());
        }
        self.input.send()
    }

    /// Takes an answer, asks for the next one, and passes on what has come.
    fn pass(&mut self) -> Fallible<()> {
        self.input.receive()?;
        let answer = std::mem::take(&mut self.input.answer);
        let (parts, mut at) = (self.next.len(), Cursor { bytes: &answer[4..] });
        let (_, _, _) = (at.i32()?, at.i32()?, at.text()?);
        at.i32()?;
        let mut fetched = Vec::with_capacity(parts);
        for _ in 0..parts {
            let (partition, err, end, _) = (at.i32()?, at.i16()?, at.i64()?, at.i64()?);
            let aborted = usize::try_from(at.i32()?.max(0))?;
            at.take(aborted * 16)?;
            if err != 0 {
                return Err(format!("partition {partition}: error {err}").into());
            }
            let length = usize::try_from(at.i32()?.max(0))?;
            let bytes = at.take(length)?;
            let next = &mut self.next[usize::try_from(partition)?];
            let from = next.0;
            next.0 = end_of(bytes)?.unwrap_or(from);
            next.1 = next.0 >= end;
            fetched.push((partition, from, bytes));
        }
        self.ask()?;
        for (partition, from, bytes) in fetched {
            self.records_of(partition, from, bytes)?;
        }
        self.input.answer = answer;
        Ok(())
    }

    fn records_of(&mut self, partition: i32, from: i64, bytes: &[u8]) -> Fallible<()> {
        for whole in Whole(bytes) {
            let (first, mut at) = whole?;
            let sum = u32::from_be_bytes(at.bytes[SUM_AT..SUMMED_AT].try_into()?);
            if crc32c::crc32c(&at.bytes[SUMMED_AT..]) != sum {
                return Err("a batch's checksum is wrong".into());
            }
            at.take(SUMMED_AT)?;
            let (attributes, _, first_ms) = (at.i16()?, at.i32()?, at.i64()?);
            at.take(22)?;
            let count = at.i32()?;
            for _ in 0..if attributes & CONTROL == 0 { count } else { 0 } {
                at.varint()?;
                at.i8()?;
                let (delta_ms, number) = (at.varint()?, at.varint()?);
                let record = Record { timestamp: first_ms + delta_ms, key: at.field()?, value: at.field()? };
                for _ in 0..at.varint()? {
                    let (_, _) = (at.field()?, at.field()?);
                }
                if first + number >= from {
                    self.batch.push(&record);
                    self.records += 1;
                }
                if self.batch.records == BATCH_RECORDS {
                    self.produce(partition)?;
                }
            }
        }
        if self.batch.records > 0 { self.produce(partition) } else { Ok(()) }
    }

    fn produce(&mut self, partition: i32) -> Fallible<()> {
        self.acknowledged()?;
        let batch = self.batch.finish()?;
        let body = self.output.begin(PRODUCE, 3);
        body.extend((-1_i16).to_be_bytes()); // no transaction
        body.extend((-1_i16).to_be_bytes()); // all replicas
        body.extend(30_000_i32.to_be_bytes());
        body.extend(1_i32.to_be_bytes());
        text(body, &self.ends.out);
        body.extend(1_i32.to_be_bytes());
        body.extend(partition.to_be_bytes());
        body.extend(i32::try_from(batch.len())?.to_be_bytes());
        body.extend(batch);
        self.batch.records = 0;
        self.unanswered = true;
        self.output.send()
    }

    /// Takes the answer to the batch under way, which is sent again if its partition is not ready.
    #[expect(clippy::disallowed_methods, reason = "a real broker is waited for")]
    fn acknowledged(&mut self) -> Fallible<()> {
        if !std::mem::take(&mut self.unanswered) {
            return Ok(());
        }
        let clock = SystemClock::new();
        loop {
            let mut answer = self.output.receive()?;
            let (_, _, _, _) = (answer.i32()?, answer.text()?, answer.i32()?, answer.i32()?);
            match answer.i16()? {
                0 => return Ok(()),
                err if NOT_YET.contains(&err) && clock.elapsed_us() < PATIENCE_US => {
                    sleep(Duration::from_millis(50));
                    self.output.send()?;
                }
                err => return Err(format!("a batch was refused: error {err}").into()),
            }
        }
    }
}

/// The batches that arrived whole, each with the offset of its first record; the last one of an answer may be cut off.
struct Whole<'a>(&'a [u8]);

impl<'a> Iterator for Whole<'a> {
    type Item = Fallible<(i64, Cursor<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut head = Cursor { bytes: self.0 };
        let (first, length) = (head.i64().ok()?, head.i32().ok()?);
        let whole = LENGTH_END + usize::try_from(length).ok()?;
        let (batch, rest) = self.0.split_at_checked(whole)?;
        self.0 = rest;
        let short = || "a batch is too short".into();
        Some(if whole < RECORDS_AT { Err(short()) } else { Ok((first, Cursor { bytes: batch })) })
    }
}

/// The offset behind the last record of the batches that arrived whole.
fn end_of(bytes: &[u8]) -> Fallible<Option<i64>> {
    let Some(last) = Whole(bytes).last() else { return Ok(None) };
    let (first, mut at) = last?;
    at.take(SUMMED_AT + 2)?;
    Ok(Some(first + i64::from(at.i32()?) + 1))
}
