//! The kill loop.
//!
//! 1. Every instance has a static id and a folder of its own, so that one that comes back within its session has its
//!    partitions and its state as before.
//! 2. The first kills are deaths in the windows of a commit, three in each; the others, a quarter at least, come at random
//!    moments.
//! 3. After each the instance starts again. What it restores is no more than what came after the last flush that is on disk
//!    for certain, and everything that was written before the kill is decided soon.
//! 4. One instance stops (SIGSTOP) with a transaction open, and is woken when others have committed its partitions: the zombie
//!    commits nothing, and notices.
//! 5. In the end the feed stops, everything is processed, and the output is compared.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use headwater::TopicPartition;
use headwater::commit::Window;
use headwater::kafka::Isolation;

use crate::Fallible;
use crate::cast::{Fate, Instance, Role};
use crate::check::{self, Found};
use crate::cluster::Kafka;
use crate::diary::Diary;
use crate::feed::{Feed, Feeding, UNBOUNDED};
use crate::topology::{self, BOARDS, CHANGELOGS, COUNTS, ECHO, INPUT, TOTALS, named};

/// Keys that are drawn from.
const KEYS: u64 = 1_000;
/// How often an instance dies in each window.
const DEATHS_EACH: usize = 3;
/// From one window to die in to the next: has nothing in common with their number.
const WINDOW_STEP: usize = 5;
/// `transaction.timeout.ms` of the instances, and what the coordinator may take beside.
const DECIDED_MS: i64 = 10_000 + 20_000;
/// Who is back so soon after its death, in less than its session, finds its tasks where they were.
const OWN_MS: i64 = 5_000;
/// The longest that a start, or a death in a window, may take.
const PATIENCE_MS: i64 = 60_000;

/// Settings of the loop.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The cluster.
    #[arg(long)]
    bootstrap: String,
    /// How many kills.
    #[arg(long, default_value_t = 200)]
    kills: usize,
    /// How many instances.
    #[arg(long, default_value_t = 3)]
    instances: usize,
    /// Partitions of each topic.
    #[arg(long, default_value_t = 6)]
    partitions: i32,
    /// Records a second.
    #[arg(long, default_value_t = 2_000)]
    rate: u64,
    /// Copies of each topic.
    #[arg(long, default_value_t = 1)]
    replicas: i16,
    /// Chooses keys, instances and moments.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The guarantee of the instances; the check fails under `at_least_once`, which shows that it can.
    #[arg(long, default_value = "exactly_once_v2")]
    guarantee: String,
    /// Folder of states and logs.
    #[arg(long, default_value = "target/chaos")]
    dir: PathBuf,
    /// Begins the names of application and topics; by default a new name.
    #[arg(long)]
    application: Option<String>,
    /// Stops and wakes one instance as well.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    zombie: bool,
    /// Kills and restarts brokers in turn as well, by this command (it gets `kill N` or `restart N`).
    #[arg(long)]
    broker: Option<String>,
    /// How many brokers there are.
    #[arg(long, default_value_t = 3)]
    brokers: usize,
}

struct Loop<'a> {
    arguments: &'a Arguments,
    application: String,
    kafka: Kafka,
    instances: Vec<Instance>,
    chance: fastrand::Rng,
    feeding: Option<Feeding>,
    deaths: usize,
    restored: i64,
    broker_down: Option<usize>,
}

/// Kills, and checks.
pub(crate) fn run(arguments: &Arguments) -> Fallible<()> {
    let mut run = Loop::begin(arguments)?;
    for kill in 0..arguments.kills {
        run.kill(kill)?;
    }
    if arguments.zombie {
        run.zombie()?;
    }
    run.finish()
}

impl<'a> Loop<'a> {
    fn begin(arguments: &'a Arguments) -> Fallible<Self> {
        let mut kafka = Kafka::connect(&arguments.bootstrap, arguments.partitions)?;
        let application =
            arguments.application.clone().unwrap_or_else(|| format!("chaos-{:x}", kafka.now_ms()));
        kafka.create(
            &[INPUT, ECHO, COUNTS, BOARDS, TOTALS].map(|topic| named(&application, topic)),
            arguments.replicas,
            &[],
        )?;
        let folder = arguments.dir.join(&application);
        let feed = Feed {
            topic: named(&application, INPUT),
            partitions: arguments.partitions,
            keys: KEYS,
            each_first: false,
            rate: arguments.rate,
            seed: arguments.seed,
            allowed: Arc::new(AtomicU64::new(UNBOUNDED)),
        };
        let feeding = Some(feed.start(&kafka.cluster));
        let role = Role {
            bootstrap: arguments.bootstrap.clone(),
            application: application.clone(),
            guarantee: arguments.guarantee.clone(),
            pipeline: topology::Pipeline::All,
            memory_max: "1GiB".to_owned(),
            flush_interval_ms: 2_000,
            // A flush is of many batches, and a kill may fall between any two.
            flush_bytes: Some("256KiB"),
        };
        let mut instances = Vec::new();
        for number in 0..arguments.instances {
            let folder = folder.join(number.to_string());
            let mut instance = Instance::new(number, folder, &role)?;
            instance.start(None)?;
            instances.push(instance);
        }
        println!(
            "{application}: {} instances, {} partitions, {} records/s",
            arguments.instances, arguments.partitions, arguments.rate
        );
        let chance = fastrand::Rng::with_seed(arguments.seed);
        let mut run = Self {
            arguments,
            application,
            kafka,
            instances,
            chance,
            feeding,
            deaths: 0,
            restored: 0,
            broker_down: None,
        };
        for number in 0..run.instances.len() {
            run.until_running(number)?;
        }
        Ok(run)
    }

    /// Waits until an instance runs; one that has ended is an error.
    fn until_running(&mut self, number: usize) -> Fallible<()> {
        let runs = self.until(&format!("instance {number} runs"), |run| {
            let instance = &mut run.instances[number];
            match instance.ended()? {
                Some(status) => Err(format!("it has ended ({status})").into()),
                None => Ok(instance.diary()?.state == "Running"),
            }
        });
        runs.map_err(|error| {
            format!("{error}; instance {number}:\n{}", self.instances[number].last_words())
        })?;
        if self.feeding.as_ref().is_some_and(Feeding::has_failed) {
            let failed = self.feeding.take().map(Feeding::stop);
            failed.transpose()?;
        }
        Ok(())
    }

    /// One kill, and what follows.
    fn kill(&mut self, kill: usize) -> Fallible<()> {
        self.broker(kill)?;
        let number = self.chance.usize(..self.instances.len());
        let in_window = kill < (Window::ALL.len() * DEATHS_EACH).min(self.arguments.kills * 3 / 4);
        // Few kills are spread over all windows, too.
        let window = in_window.then(|| Window::ALL[kill * WINDOW_STEP % Window::ALL.len()]);
        let how = match window {
            Some(window) => {
                let times = match window {
                    // There is a flush every two seconds at least, of some hundred batches, and a commit every tenth.
                    Window::FirstApplied | Window::Flushed => self.chance.u32(1..3),
                    Window::BetweenBatches => self.chance.u32(1..200),
                    _ => self.chance.u32(5..30),
                };
                self.die_at(number, &format!("{window:?}:{times}"))?;
                format!("in window {window:?}")
            }
            None => {
                let moment = self.chance.i64(50..1_500);
                self.kafka.pause(moment);
                self.instances[number].kill()?;
                "at a random moment".to_owned()
            }
        };
        self.deaths += 1;
        let died_ms = self.kafka.now_ms();
        let topics = check::written(&self.application);
        let until = self.kafka.ends(&topics, Isolation::ReadUncommitted)?;
        let before = self.instances[number].diary()?;
        self.instances[number].start(None)?;
        self.until_running(number)?;
        let is_own = self.kafka.now_ms() - died_ms < OWN_MS;
        let ends =
            if is_own { until.clone() } else { self.kafka.ends(&topics, Isolation::ReadUncommitted)? };
        let restored = self.restored(number, &before, (&topics, ends))?;
        let decided = check::decided(&mut self.kafka, &topics, &until, DECIDED_MS)?;
        println!(
            "kill {}/{}: instance {number} {how}; {restored}; all decided after {decided} ms",
            kill + 1,
            self.arguments.kills
        );
        Ok(())
    }

    /// Every fourth kill a broker is killed before, the next one each time, and started again two kills later; at once if
    /// it is the only one.
    fn broker(&mut self, kill: usize) -> Fallible<()> {
        match (kill % 4, self.broker_down) {
            (0, None) => {
                let number = kill / 4 % self.arguments.brokers + 1;
                self.disturb("kill", number)?;
                self.broker_down = Some(number);
                // Nothing goes on without the only one.
                if self.arguments.brokers == 1 { self.restart_broker(number) } else { Ok(()) }
            }
            (2, Some(number)) => self.restart_broker(number),
            _ => Ok(()),
        }
    }

    fn restart_broker(&mut self, number: usize) -> Fallible<()> {
        self.broker_down = None;
        self.disturb("restart", number)
    }

    fn disturb(&self, what: &str, number: usize) -> Fallible<()> {
        let Some(command) = &self.arguments.broker else { return Ok(()) };
        let mut words = command.split(' ');
        let status = Command::new(words.next().unwrap_or_default())
            .args([what, &number.to_string()])
            .args(words)
            .stdout(std::process::Stdio::null())
            .status()?;
        println!("broker {number}: {what}");
        if status.success() { Ok(()) } else { Err(format!("`{command} {what} {number}` has failed").into()) }
    }

    /// Starts the instance anew so that it dies in a window, and waits until it has.
    fn die_at(&mut self, number: usize, die_at: &str) -> Fallible<()> {
        let instance = &mut self.instances[number];
        instance.kill()?;
        self.deaths += 1;
        instance.start(Some(Fate::Die(die_at)))?;
        self.until(&format!("instance {number} dies at {die_at}"), |run| {
            Ok(run.instances[number].ended()?.is_some())
        })?;
        let instance = &mut self.instances[number];
        if instance.diary()?.dies.is_none() {
            let words = instance.last_words();
            return Err(format!("instance {number} has ended, but not at {die_at}:\n{words}").into());
        }
        instance.kill()
    }

    /// What was restored, which is no more than was not on disk, by these ends of topics: of its own tasks those that they had
    /// when it died, of others' those that they have now.
    fn restored(
        &mut self,
        number: usize,
        before: &Diary,
        (topics, ends): (&[String], Vec<i64>),
    ) -> Fallible<String> {
        let partitions = topics.iter().flat_map(|topic| self.kafka.all(topic));
        let changelogs = CHANGELOGS.map(|changelog| named(&self.application, changelog));
        let is_changelog =
            |partition: &TopicPartition| changelogs.iter().any(|one| **one == *partition.topic);
        let ends: HashMap<_, _> = partitions
            .zip(ends)
            .filter(|(partition, _)| is_changelog(partition))
            .map(|(partition, end)| (partition.to_string(), end))
            .collect();
        let restored = self.instances[number].diary()?.restored;
        let (mut all, mut most) = (0, 0);
        for (partition, records) in &restored {
            let end = ends.get(partition).ok_or("a changelog that is not known")?;
            let on_disk = before.on_disk(partition);
            if *records > end - on_disk {
                return Err(format!(
                    "instance {number} has restored {records} records of {partition}, of which {on_disk} were on disk, and its \
                     end is {end}"
                )
                .into());
            }
            all += records;
            most += end - on_disk;
        }
        self.restored += all;
        Ok(format!("restored {all} records, at most {most}"))
    }

    /// An instance that sleeps with a transaction open until others have its partitions is a zombie when it wakes: it must not
    /// commit, and has to notice.
    fn zombie(&mut self) -> Fallible<()> {
        let number = self.chance.usize(..self.instances.len());
        self.instances[number].kill()?;
        self.deaths += 1;
        self.instances[number].start(Some(Fate::Sleep("Offsets:20")))?;
        self.until("an instance falls asleep", |run| Ok(run.instances[number].diary()?.sleeps.is_some()))?;
        let asleep = self.instances[number].diary()?;
        let held = asleep.stretches.last().map(|stretch| stretch.intervals.clone()).unwrap_or_default();
        if held.is_empty() {
            return Err(format!("instance {number} has committed nothing before it fell asleep").into());
        }
        self.until("others commit the partitions of one that sleeps", |run| {
            let others = run.instances.iter().filter(|other| other.number != number);
            let diaries = others.map(Instance::diary).collect::<Fallible<Vec<_>>>()?;
            let taken_over = |partition: &String| {
                diaries.iter().any(|diary| diary.committed(partition) > asleep.committed(partition))
            };
            Ok(held.keys().all(taken_over))
        })?;
        self.instances[number].signal("CONT")?;
        self.until("one that has woken notices that it was fenced", |run| {
            let notices = run.instances[number].diary()?.stretches.len() > asleep.stretches.len();
            match run.instances[number].ended()? {
                None => Ok(notices),
                Some(status) => Err(format!("instance {number} has ended after it woke ({status})").into()),
            }
        })?;
        let woken = self.instances[number].diary()?;
        let commits = |diary: &Diary| diary.stretches[asleep.stretches.len() - 1].commits;
        if commits(&woken) > commits(&asleep) {
            return Err(format!("instance {number} has committed in its sleep").into());
        }
        println!(
            "zombie: instance {number} slept with a transaction open while others took {} partitions, woke, was fenced, and goes on",
            held.len()
        );
        self.until_running(number)
    }

    /// Waits until something holds.
    fn until(&mut self, what: &str, mut holds: impl FnMut(&mut Self) -> Fallible<bool>) -> Fallible<()> {
        let begin = self.kafka.now_ms();
        while !holds(self)? {
            if self.kafka.now_ms() - begin > PATIENCE_MS {
                return Err(format!("this has not happened: {what}").into());
            }
            self.kafka.pause(20);
        }
        Ok(())
    }

    fn until_processed(&mut self, topic: &str) -> Fallible<()> {
        let mut waiting = Ok(0);
        let done = self.until("it is processed to its end", |run| {
            // What is consumed may be purged between the two questions: an error is no end.
            waiting = run.kafka.waiting(&run.application, topic);
            Ok(matches!(waiting, Ok(0)))
        });
        done.map_err(|error| format!("{topic}: {error}; {waiting:?} records wait").into())
    }

    fn finish(mut self) -> Fallible<()> {
        self.broker_down.map_or(Ok(()), |number| self.restart_broker(number))?;
        let sent = self.feeding.take().map_or(Ok(0), Feeding::stop)?;
        let topics = check::written(&self.application);
        // Whoever has read the input to its end, and has that decided, writes no more on the way to the boards.
        let consumed = check::consumed(&self.application);
        for topic in &consumed {
            self.until_processed(topic)?;
            let until = self.kafka.ends(&topics, Isolation::ReadUncommitted)?;
            check::decided(&mut self.kafka, &topics, &until, DECIDED_MS)?;
        }
        for instance in &mut self.instances {
            instance.end(&self.kafka)?;
        }
        let mut committed = BTreeMap::new();
        for topic in &consumed {
            let partitions = self.kafka.all(topic).into_iter().map(|partition| partition.to_string());
            committed.extend(partitions.zip(self.kafka.committed(&self.application, topic)?));
        }
        let mut found = Found::default();
        let diaries = self.instances.iter().map(Instance::diary).collect::<Fallible<Vec<_>>>()?;
        check::outputs(&self.kafka, &self.application, sent, &mut found)?;
        check::intervals(&diaries, &committed, &mut found);
        check::wipes(&diaries, &mut found);
        println!(
            "{sent} records in, {} out, {} commits, {} deaths, {} intervals that died with who took them, {} records restored, wipes: {}",
            found.records,
            found.commits,
            self.deaths,
            found.untold,
            self.restored,
            diaries.iter().map(|diary| diary.wipes).sum::<usize>()
        );
        for problem in &found.problems {
            println!("PROBLEM: {problem}");
        }
        if found.problems.is_empty() {
            println!(
                "exactly once: equal to an undisturbed run, record by record; {} boards and totals end as there; commits without overlap, \
                 and without a gap that nobody died over",
                found.last
            );
            return Ok(());
        }
        Err(format!("{} problems", found.problems.len()).into())
    }
}
