//! The load: workers that each have a connection, and go on after a restart where they were.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use headwater_broker::ErrorCode;
use headwater_broker::batch::{self, BatchOptions, Record};

use crate::client::{Client, Step, wrong};
use crate::model::{At, COMPACTED, Log, Outcome, Shared, Stamp};
use crate::random::Random;

/// One less than a broker remembers, so that the last answered one can be sent again, too.
const IN_FLIGHT: usize = 4;

/// Somebody who works until the broker is gone.
pub trait Worker: Send {
    /// Takes up what was not answered.
    fn resume(&mut self, client: &mut Client) -> Step<()>;
    fn step(&mut self, client: &mut Client) -> Step<()>;
}

/// What all workers have.
pub struct Desk {
    pub name: String,
    pub random: Random,
    pub model: Shared,
    /// Values that were made.
    made: usize,
}

impl Desk {
    pub fn new(name: &str, random: Random, model: &Shared) -> Self {
        Self { name: name.to_owned(), random, model: model.clone(), made: 0 }
    }

    /// A batch of some records that nobody else has sent. A large one now and then: the kernel may tear it. Where a topic is
    /// compacted keys end, too.
    fn batch(&mut self, at: &At, options: &BatchOptions) -> (Bytes, i32) {
        let count = 1 + self.random.below(4);
        let mut records = Vec::new();
        for _ in 0..count {
            self.made += 1;
            let length = if self.random.once_in(60) { 40_000 } else { self.random.below(200) };
            let key = format!("{}-{}", self.name, self.random.below(6));
            let ends = at.0 == COMPACTED && self.random.once_in(4);
            let value = (!ends).then(|| format!("{}:{}:{}", self.name, self.made, "x".repeat(length)));
            records.push((1_000 + i64::try_from(self.made).unwrap(), key, value));
        }
        let borrowed = records.iter().map(|(time, key, value)| {
            Record::new(*time, Some(key.as_bytes()), value.as_ref().map(String::as_bytes))
        });
        (Bytes::from(batch::encode(options, borrowed)), i32::try_from(count).unwrap())
    }
}

/// A partition that an idempotent producer writes to.
struct Lane {
    at: At,
    sequence: i32,
    unanswered: VecDeque<(usize, Bytes)>,
    last: Option<(usize, Bytes)>,
}

/// An idempotent producer.
pub struct Idempotent {
    desk: Desk,
    stamp: Option<Stamp>,
    lanes: Vec<Lane>,
    /// Lanes of the batches on their way.
    in_flight: VecDeque<usize>,
}

impl Idempotent {
    pub fn new(desk: Desk) -> Self {
        let lanes = [("mixed", 0), ("mixed", 1), ("trimmed", 0), (COMPACTED, 0)];
        let lane = |(topic, partition): (&str, i32)| Lane {
            at: (topic.to_owned(), partition),
            sequence: 0,
            unanswered: VecDeque::new(),
            last: None,
        };
        Self { desk, stamp: None, lanes: lanes.map(lane).into(), in_flight: VecDeque::new() }
    }

    fn receive(&mut self, client: &mut Client) -> Step<()> {
        let lane = &mut self.lanes[self.in_flight[0]];
        let offset = client.placed(&lane.at)?;
        self.in_flight.pop_front();
        let (number, bytes) = lane.unanswered.pop_front().unwrap();
        self.desk.model.lock().placed(&lane.at, number, offset)?;
        lane.last = Some((number, bytes));
        Ok(())
    }
}

impl Worker for Idempotent {
    fn resume(&mut self, client: &mut Client) -> Step<()> {
        self.in_flight.clear();
        if self.stamp.is_none() {
            self.stamp = Some(client.init(None)?);
        }
        for number in 0..self.lanes.len() {
            let lane = &mut self.lanes[number];
            // Below a start that has moved nothing is known of producers.
            if let Some(last) = lane.last.take_if(|_| lane.at.0 != "trimmed") {
                lane.unanswered.push_front(last);
            }
            for (_, bytes) in &lane.unanswered {
                client.send_batch(&lane.at, bytes.clone(), None)?;
                self.in_flight.push_back(number);
            }
            while !self.in_flight.is_empty() {
                self.receive(client)?;
            }
        }
        Ok(())
    }

    fn step(&mut self, client: &mut Client) -> Step<()> {
        if self.in_flight.len() == IN_FLIGHT || (!self.in_flight.is_empty() && self.desk.random.once_in(3)) {
            return self.receive(client);
        }
        let number = self.desk.random.below(self.lanes.len());
        let lane = &mut self.lanes[number];
        let (id, epoch) = self.stamp.unwrap();
        let (bytes, count) = self.desk.batch(&lane.at, &BatchOptions::idempotent(id, epoch, lane.sequence));
        lane.sequence += count;
        let sent = self.desk.model.lock().send(&lane.at, &bytes, None);
        lane.unanswered.push_back((sent, bytes.clone()));
        self.in_flight.push_back(number);
        client.send_batch(&lane.at, bytes, None)
    }
}

/// A transaction on its way.
struct Current {
    txn: u64,
    partitions: Vec<At>,
    /// Batches: where, which, and whether it was answered.
    batches: Vec<(At, usize, Bytes, bool)>,
    offset: Option<i64>,
    /// What was asked for at the end.
    end: Option<bool>,
}

/// A transactional producer.
pub struct Transactional {
    desk: Desk,
    group: String,
    stamp: Option<Stamp>,
    sequences: BTreeMap<At, i32>,
    current: Option<Current>,
    offsets: i64,
    /// The one that it has fenced.
    fenced: Option<Stamp>,
    /// Where this one has ended a transaction: there its epoch is known.
    written: BTreeSet<At>,
}

impl Transactional {
    pub fn new(desk: Desk) -> Self {
        let group = format!("group of {}", desk.name);
        let sequences = BTreeMap::new();
        Self {
            desk,
            group,
            stamp: None,
            sequences,
            current: None,
            offsets: 0,
            fenced: None,
            written: BTreeSet::new(),
        }
    }

    /// Another producer of the name: it fences this one and aborts what it left open.
    fn init(&mut self, client: &mut Client) -> Step<()> {
        if let Some(current) = &self.current {
            self.desk.model.lock().ask(current.txn, Outcome::Aborted);
        }
        let stamp = client.init(Some(&self.desk.name))?;
        if self.stamp.is_some_and(|(id, epoch)| id != stamp.0 || epoch >= stamp.1) {
            return wrong(format!("{} was {:?}, and now is {stamp:?}", self.desk.name, self.stamp));
        }
        self.fenced = self.stamp.replace(stamp);
        self.written.clear();
        self.sequences.clear();
        if let Some(current) = self.current.take() {
            self.desk.model.lock().ended(current.txn);
        }
        Ok(())
    }

    /// The producer before this one has not heard that it is fenced. What it sends is not in the model: were it taken, a
    /// check would find it.
    fn send_as_fenced(&mut self, client: &mut Client) -> Step<()> {
        let Some((id, epoch)) = self.fenced else { return Ok(()) };
        for options in [BatchOptions::transactional(id, epoch, 0), BatchOptions::idempotent(id, epoch, 0)] {
            let at = ("mixed".to_owned(), i32::try_from(self.desk.random.below(3)).unwrap());
            if !self.written.contains(&at) {
                continue;
            }
            let (bytes, _) = self.desk.batch(&at, &options);
            client.send_batch(&at, bytes, Some(&self.desk.name))?;
            let code = client.refused()?;
            if code != ErrorCode::InvalidProducerEpoch.code() {
                return wrong(format!("{:?} is fenced, and hears {code} from {at:?}", self.fenced));
            }
        }
        Ok(())
    }

    fn begin(&mut self) {
        let (id, epoch) = self.stamp.unwrap();
        let txn = self.desk.model.lock().begin(&self.group);
        let mut partitions: Vec<At> = (0..3).map(|number| ("mixed".to_owned(), number)).collect();
        if self.desk.random.once_in(2) {
            partitions.remove(self.desk.random.below(3));
        }
        // The offsets are those of the first.
        if self.desk.random.once_in(2) {
            partitions.push((COMPACTED.to_owned(), 0));
        }
        let mut batches = Vec::new();
        for _ in 0..=self.desk.random.below(3) {
            for at in &partitions {
                let sequence = self.sequences.entry(at.clone()).or_default();
                let (bytes, count) = self.desk.batch(at, &BatchOptions::transactional(id, epoch, *sequence));
                *sequence += count;
                let number = self.desk.model.lock().send(at, &bytes, Some(txn));
                batches.push((at.clone(), number, bytes, false));
            }
        }
        let with_offset = self.desk.random.once_in(2);
        self.offsets += i64::from(with_offset);
        let offset = with_offset.then_some(self.offsets);
        self.current = Some(Current { txn, partitions, batches, offset, end: None });
    }

    /// Writes whatever is not answered yet.
    fn write(&mut self, client: &mut Client) -> Step<()> {
        let (Some(current), Some(stamp)) = (&mut self.current, self.stamp) else { return Ok(()) };
        let name = &self.desk.name;
        client.add_partitions(name, stamp, &current.partitions)?;
        // The first one even if it was answered: then it has to be at the same place.
        let resent = |place: usize, answered: bool| place == 0 || !answered;
        for (place, (at, _, bytes, answered)) in current.batches.iter().enumerate() {
            if resent(place, *answered) {
                client.send_batch(at, bytes.clone(), Some(name))?;
            }
        }
        for (place, (at, number, _, answered)) in current.batches.iter_mut().enumerate() {
            if resent(place, *answered) {
                let offset = client.placed(at)?;
                self.desk.model.lock().placed(at, *number, offset)?;
                *answered = true;
            }
        }
        if let Some(offset) = current.offset {
            let note = |answered| {
                let mut model = self.desk.model.lock();
                let known = &mut model.txn_groups.get_mut(&self.group).unwrap().offset;
                *known = Some((offset, answered || known.is_some_and(|(_, answered)| answered)));
            };
            note(false);
            client.send_offset(name, stamp, (&self.group, &current.partitions[0]), offset)?;
            note(true);
        }
        Ok(())
    }

    fn finish(&mut self, client: &mut Client) -> Step<()> {
        if self.current.as_ref().is_some_and(|current| current.end.is_none()) {
            self.write(client)?;
            if self.desk.random.once_in(15) {
                return self.init(client);
            }
        }
        let (Some(current), Some(stamp)) = (&mut self.current, self.stamp) else { return Ok(()) };
        let commit = *current.end.get_or_insert_with(|| !self.desk.random.once_in(3));
        self.desk.model.lock().ask(current.txn, Outcome::of(commit));
        client.end(&self.desk.name, stamp, commit)?;
        self.desk.model.lock().ended(current.txn);
        self.written.extend(current.partitions.iter().cloned());
        self.current = None;
        Ok(())
    }
}

impl Worker for Transactional {
    fn resume(&mut self, client: &mut Client) -> Step<()> {
        if self.stamp.is_none() || self.desk.random.once_in(3) {
            self.init(client)?;
        }
        self.finish(client)
    }

    fn step(&mut self, client: &mut Client) -> Step<()> {
        if self.desk.random.once_in(20) {
            self.init(client)?;
        }
        if self.desk.random.once_in(3) {
            self.send_as_fenced(client)?;
        }
        self.begin();
        self.finish(client)
    }
}

/// Somebody who makes topics and deletes them, trims a log and commits a group's offsets.
pub struct Operator {
    desk: Desk,
}

impl Operator {
    pub fn new(desk: Desk) -> Self {
        Self { desk }
    }

    fn commit(&mut self, client: &mut Client) -> Step<()> {
        let group = format!("group {}", self.desk.random.below(3));
        let next = {
            let mut model = self.desk.model.lock();
            let known = model.groups.entry(group.clone()).or_insert((-1, -1));
            known.1 += 1;
            known.1
        };
        client.commit_offset(&group, &("mixed".to_owned(), 0), next)?;
        self.desk.model.lock().groups.insert(group, (next, next));
        Ok(())
    }

    fn trim(&mut self, client: &mut Client) -> Step<()> {
        let at = ("trimmed".to_owned(), 0);
        let (start, end) = (client.offset(&at, -2)?, client.offset(&at, -1)?);
        let room = usize::try_from(end - start).unwrap();
        let before = start + i64::try_from(self.desk.random.below(room + 1)).unwrap();
        let note = |acked: bool| {
            let mut model = self.desk.model.lock();
            let log = model.log(&at);
            log.start = (if acked { before } else { log.start.0 }, before);
        };
        note(false);
        let heard = client.delete_records(&at, before)?;
        note(true);
        if heard == before { Ok(()) } else { wrong(format!("{at:?} starts at {heard}, not at {before}")) }
    }

    fn topic(&mut self, client: &mut Client) -> Step<()> {
        let name = format!("passing {}", self.desk.random.below(3)).replace(' ', "-");
        let at = (name.clone(), 0);
        let (exists, _) = *self.desk.model.lock().topics.entry(name.clone()).or_insert((false, true));
        let note = |state| {
            self.desk.model.lock().topics.insert(name.clone(), state);
        };
        if !exists {
            self.desk.model.lock().logs.insert(at.clone(), Log::default());
            note((true, true));
            client.create(&name, 1, &[])?;
            note((true, false));
        } else if self.desk.random.once_in(3) {
            note((true, true));
            client.delete(&name)?;
            note((false, true));
        } else {
            let (bytes, _) = self.desk.batch(&at, &BatchOptions::default());
            let number = self.desk.model.lock().send(&at, &bytes, None);
            client.send_batch(&at, bytes, None)?;
            let offset = client.placed(&at)?;
            self.desk.model.lock().placed(&at, number, offset)?;
        }
        Ok(())
    }
}

impl Worker for Operator {
    fn resume(&mut self, _: &mut Client) -> Step<()> {
        Ok(())
    }

    fn step(&mut self, client: &mut Client) -> Step<()> {
        match self.desk.random.below(8) {
            0..4 => self.commit(client),
            4..7 => self.topic(client),
            _ => self.trim(client),
        }
    }
}
