//! A random walk of a consumer group against what must always hold: members join, leave, fall silent, lose answers,
//! are slow to give up what they shall, change their minds; topics come, grow and go; the broker crashes, or its disk is
//! full for a moment.
//!
//! 1. No partition is held by two members, as members see it.
//! 2. Epochs never go back.
//! 3. When it is quiet, every partition that somebody wants is held by somebody who wants it, and nobody holds two
//!    more than somebody else could take over (`uniform`).
#![allow(clippy::unwrap_used, reason = "a failed step ends the test")]

mod rig;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use headwater_broker::api::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, CreatePartitionsRequest,
    CreatePartitionsResponse, DeleteTopicsRequest, DeleteTopicsResponse, DescribedConsumerGroup, GroupState,
    NewPartitions, NewTopic, TopicId, TopicIdPartitions,
};
use headwater_broker::storage::files::DiskFaults;
use headwater_broker::{BrokerConfig, ErrorCode};
use rig::{REBALANCE_MS, Rig};

const TOPICS: [&str; 5] = ["a", "b", "c", "d", "e"];
const SESSION_MS: i64 = 45_000;

type Held = BTreeSet<(TopicId, i32)>;

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }
}

/// A client: what it knows and holds, whatever the broker thinks.
#[derive(Clone)]
struct Client {
    id: String,
    instance: Option<Arc<str>>,
    wants: Vec<&'static str>,
    /// 0 while it is out, or does not know better.
    epoch: i32,
    told: Held,
    holds: Held,
    /// It has left for a while, and will be back.
    away: bool,
    /// An answer was lost: it tells everything, to hear everything.
    missed: bool,
}

struct Walk {
    rig: Rig,
    faults: DiskFaults,
    dice: Dice,
    assignor: Option<Arc<str>>,
    /// All want the same topics.
    alike: bool,
    clients: Vec<Client>,
    names: usize,
    group_epoch: i32,
}

fn named(held: &Held) -> Vec<TopicIdPartitions> {
    let mut topics: BTreeMap<TopicId, Vec<i32>> = BTreeMap::new();
    for (topic, partition) in held {
        topics.entry(*topic).or_default().push(*partition);
    }
    let of_topic = |(topic_id, partitions)| TopicIdPartitions { topic_id, partitions };
    topics.into_iter().map(of_topic).collect()
}

fn held(named: &[TopicIdPartitions]) -> Held {
    let of_topic = |named: &TopicIdPartitions| {
        let topic_id = named.topic_id;
        named.partitions.clone().into_iter().map(move |partition| (topic_id, partition))
    };
    named.iter().flat_map(of_topic).collect()
}

impl Walk {
    fn new(seed: u64) -> Self {
        let faults = DiskFaults::default();
        let mut rig = Rig::in_folder(BrokerConfig { seed, ..BrokerConfig::default() }, faults.clone());
        rig.topic(NewTopic::new("a", 3));
        let assignor = (seed % 4 == 3).then(|| Arc::from("range"));
        let alike = seed.is_multiple_of(2);
        let clients = vec![];
        Self { rig, faults, dice: Dice(seed), assignor, alike, clients, names: 0, group_epoch: 0 }
    }

    fn some_topics(&mut self) -> Vec<&'static str> {
        if self.alike {
            return TOPICS.to_vec();
        }
        TOPICS.into_iter().filter(|_| self.dice.roll(2) == 0).collect()
    }

    fn new_name(&mut self) -> String {
        self.names += 1;
        format!("m{}", self.names)
    }

    fn add_client(&mut self) {
        if self.clients.len() == 6 {
            return;
        }
        let instance = (self.dice.roll(3) == 0).then(|| Arc::from(format!("i{}", self.names)));
        let (id, wants) = (self.new_name(), self.some_topics());
        let (told, holds) = (Held::new(), Held::new());
        self.clients.push(Client { id, instance, wants, epoch: 0, told, holds, away: false, missed: false });
    }

    fn group(&self) -> Option<DescribedConsumerGroup> {
        self.rig.broker.consumer_group("g")
    }

    fn request(&self, who: usize) -> ConsumerGroupHeartbeatRequest {
        let client = &self.clients[who];
        let is_full = client.epoch == 0 || client.missed;
        let topics = || client.wants.iter().copied().map(Arc::from).collect();
        ConsumerGroupHeartbeatRequest {
            group_id: Arc::from("g"),
            member_id: Arc::from(client.id.as_str()),
            member_id_required: true,
            member_epoch: client.epoch,
            group_instance_id: client.instance.clone(),
            rebalance_timeout_ms: is_full.then_some(REBALANCE_MS),
            subscribed_topics: is_full.then(topics),
            server_assignor: self.assignor.clone(),
            owned: Some(named(&client.holds)),
            ..ConsumerGroupHeartbeatRequest::default()
        }
    }

    fn send(&mut self, request: ConsumerGroupHeartbeatRequest) -> ConsumerGroupHeartbeatResponse {
        self.rig.ask(request)
    }

    /// A heartbeat whose answer may be lost.
    fn beat(&mut self, who: usize, is_heard: bool) {
        if self.clients[who].away {
            return;
        }
        let answer = self.send(self.request(who));
        self.clients[who].missed = !is_heard;
        if is_heard {
            self.take(who, answer);
        }
    }

    fn take(&mut self, who: usize, answer: ConsumerGroupHeartbeatResponse) {
        let client = &mut self.clients[who];
        match answer.error {
            ErrorCode::None => {
                assert!(answer.member_epoch >= client.epoch, "a member's epoch went back");
                client.epoch = answer.member_epoch;
                if let Some(told) = answer.assignment {
                    client.told = held(&told);
                    // What is new is taken at once, what is to be given up is given up later.
                    client.holds.extend(client.told.iter().copied());
                }
            }
            ErrorCode::UnknownMemberId | ErrorCode::FencedInstanceId | ErrorCode::GroupIdNotFound => {
                client.holds.clear();
                client.told.clear();
                client.epoch = 0;
            }
            // Nothing has happened: it tells everything once more.
            ErrorCode::CoordinatorNotAvailable => client.missed = true,
            // It gives everything up. The broker still knows it, so it leaves to join again.
            ErrorCode::FencedMemberEpoch | ErrorCode::UnreleasedInstanceId => self.leave(who),
            other => panic!("{other}"),
        }
    }

    fn leave(&mut self, who: usize) {
        let request = ConsumerGroupHeartbeatRequest { member_epoch: -1, ..self.request(who) };
        self.send(request);
        let client = &mut self.clients[who];
        client.holds.clear();
        client.told.clear();
        client.epoch = 0;
        client.away = false;
    }

    /// A static client goes away without leaving and comes back under another id.
    fn pause_or_return(&mut self, who: usize) {
        if self.clients[who].instance.is_none() || self.clients[who].epoch == 0 && !self.clients[who].away {
            return;
        }
        if self.clients[who].away {
            let id = self.new_name();
            let client = &mut self.clients[who];
            client.id = id;
            client.away = false;
            return self.beat(who, true);
        }
        let request = ConsumerGroupHeartbeatRequest { member_epoch: -2, ..self.request(who) };
        let left = self.send(request).error == ErrorCode::None;
        let client = &mut self.clients[who];
        client.holds.clear();
        client.told.clear();
        client.epoch = 0;
        client.away = left;
    }

    fn change_topics(&mut self) {
        let name = TOPICS[self.dice.roll(TOPICS.len())];
        let count = self.rig.broker.partition_count(name);
        match (count, self.dice.roll(3)) {
            (None, _) => {
                let partitions = i32::try_from(1 + self.dice.roll(4)).unwrap();
                self.rig.topic(NewTopic::new(name, partitions));
            }
            (Some(_), 0) => {
                let request = DeleteTopicsRequest { topics: vec![Arc::from(name)] };
                self.rig.ask::<DeleteTopicsResponse>(request);
            }
            (Some(count), _) => {
                let grown = NewPartitions { name: Arc::from(name), total: count + 1 };
                let request = CreatePartitionsRequest { topics: vec![grown], validate_only: false };
                self.rig.ask::<CreatePartitionsResponse>(request);
            }
        }
    }

    fn step(&mut self) {
        let chance = self.dice.roll(100);
        if self.clients.is_empty() || chance < 8 {
            return self.add_client();
        }
        let who = self.dice.roll(self.clients.len());
        match chance {
            8..50 => self.beat(who, true),
            50..56 => self.beat(who, false),
            // It has given up what it shall.
            56..75 => self.clients[who].holds = self.clients[who].told.clone(),
            75..79 => self.leave(who),
            79..82 => {
                self.leave(who);
                self.clients.remove(who);
            }
            82..86 => self.pause_or_return(who),
            86..89 => self.change_topics(),
            89..92 => self.subscribe(who),
            92..94 => self.rig.pass(20_000),
            94 => {
                // It is killed: nobody tells the broker.
                self.clients.remove(who);
            }
            95 | 96 => {
                let before = self.group();
                self.rig.broker.crash(self.rig.now);
                self.rig.broker.restart(self.rig.now).unwrap();
                assert_eq!(self.group(), before, "all is as it was");
            }
            97 => {
                // The disk is full for a moment.
                self.faults.leave_room(Some(0));
                self.beat(who, true);
                self.faults.leave_room(None);
            }
            _ => self.rig.pass(1_000),
        }
    }

    fn subscribe(&mut self, who: usize) {
        if self.clients[who].epoch == 0 {
            return;
        }
        let wants = self.some_topics();
        self.clients[who].wants.clone_from(&wants);
        let topics = wants.into_iter().map(Arc::from).collect();
        let request = ConsumerGroupHeartbeatRequest { subscribed_topics: Some(topics), ..self.request(who) };
        let answer = self.send(request);
        self.take(who, answer);
    }

    fn check(&mut self) {
        let Some(group) = self.group() else { return };
        assert!(group.group_epoch >= self.group_epoch, "the group's epoch went back");
        assert!(group.assignment_epoch <= group.group_epoch);
        self.group_epoch = group.group_epoch;
        let mut taken = Held::new();
        for member in &group.members {
            assert!(member.member_epoch <= group.assignment_epoch);
            let Some(client) = self.clients.iter().find(|client| *client.id == *member.member_id) else {
                continue;
            };
            for at in &client.holds {
                assert!(taken.insert(*at), "{} and another one hold {at:?}", client.id);
            }
        }
        let mut assigned = Held::new();
        for partitions in group.members.iter().flat_map(|member| &member.assignment) {
            for partition in &partitions.partitions {
                assert!(assigned.insert((partitions.topic_id, *partition)), "assigned twice");
            }
        }
    }

    /// Everybody comes back and does as it is told, until nothing changes any more.
    fn calm_down(&mut self) {
        for who in 0..self.clients.len() {
            if self.clients[who].away {
                self.pause_or_return(who);
            }
        }
        for round in 0..40 {
            for who in 0..self.clients.len() {
                self.clients[who].holds = self.clients[who].told.clone();
                self.beat(who, true);
                self.check();
            }
            // Those that were killed are noticed.
            self.rig.pass(if round < 10 { SESSION_MS / 5 } else { 0 });
        }
    }

    fn check_calm(&self) {
        let Some(group) = self.group() else { return };
        assert_eq!(group.members.len(), self.clients.len());
        if self.clients.is_empty() {
            return;
        }
        assert_eq!(group.state, GroupState::Stable);
        let mut free = Held::new();
        for name in self.rig.broker.topics() {
            let id = self.rig.broker.partition(&name, 0).unwrap().topic_id;
            let count = self.rig.broker.partition_count(&name).unwrap();
            if self.clients.iter().any(|client| client.wants.contains(&name.as_str())) {
                free.extend((0..count).map(|partition| (id, partition)));
            }
        }
        for client in &self.clients {
            assert_eq!((client.epoch, &client.holds), (group.group_epoch, &client.told), "{}", client.id);
            for (topic, partition) in &client.holds {
                assert!(free.remove(&(*topic, *partition)), "{partition} of {topic} is not to be held");
                assert!(self.wants(client, *topic), "{} does not want {topic}", client.id);
            }
        }
        assert!(free.is_empty(), "nobody has {free:?}");
        self.check_balance();
    }

    fn wants(&self, client: &Client, topic: TopicId) -> bool {
        let id = |name: &&&str| self.rig.broker.partition(name, 0).map(|view| view.topic_id);
        client.wants.iter().filter_map(|name| id(&name)).any(|wanted| wanted == topic)
    }

    fn check_balance(&self) {
        if self.assignor.is_some() {
            return;
        }
        for rich in &self.clients {
            for poor in self.clients.iter().filter(|poor| poor.holds.len() + 1 < rich.holds.len()) {
                let could_take = rich.holds.iter().any(|(topic, _)| self.wants(poor, *topic));
                assert!(!could_take, "{} has {:?}, {} {:?}", rich.id, rich.holds, poor.id, poor.holds);
            }
        }
    }

    /// Who leaves a group whose members all want the same makes nobody give anything up.
    fn check_stickiness(&mut self) {
        if !self.alike || self.assignor.is_some() || self.clients.len() < 2 {
            return;
        }
        self.leave(0);
        self.clients.remove(0);
        let before: Vec<Held> = self.clients.iter().map(|client| client.holds.clone()).collect();
        self.calm_down();
        self.check_calm();
        for (client, before) in self.clients.iter().zip(before) {
            assert!(client.holds.is_superset(&before), "{} gave up something of {before:?}", client.id);
        }
    }
}

#[test]
fn whatever_happens_a_partition_has_one_holder_and_at_last_everyone_has_its_share() {
    for seed in 0..200 {
        let mut walk = Walk::new(seed);
        for _ in 0..3 {
            for _ in 0..100 {
                walk.step();
                walk.check();
            }
            walk.calm_down();
            walk.check_calm();
        }
        walk.check_stickiness();
    }
}
