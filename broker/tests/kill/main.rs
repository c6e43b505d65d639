//! The program is killed under load again and again, and what it answered holds.
//!
//! Workers send over TCP until the broker ends in the middle of it; it is started again, and a model of what
//! was sent and answered is compared with what it serves. `HEADWATER_KILLS=100` makes it long,
//! `HEADWATER_SEED=n` repeats the load of a seed (how it is interleaved is up to the machine).
#![cfg(feature = "program")]
#![allow(clippy::unwrap_used, reason = "a failed step ends the test")]
#![allow(unreachable_pub, missing_docs, reason = "the modules of one test")]

mod check;
mod client;
mod groups;
mod load;
mod members;
mod model;
mod process;
mod random;

use std::sync::Arc;

use client::{Client, Step, Stop};
use load::{Desk, Idempotent, Operator, Transactional, Worker};
use members::{Member, Protocol};
use model::{COMPACTED, Shared};
use process::{End, Folder, Process};
use random::Random;

/// A few seconds.
const KILLS: u64 = 12;
/// Kills after which a new folder is begun: a check reads all that there is.
const KILLS_OF_A_FOLDER: u64 = 20;
/// Answers from a start to its end, at most.
const ANSWERS: usize = 1_000;

/// One folder with what is known of it.
struct Run {
    folder: Folder,
    model: Shared,
    workers: Vec<Box<dyn Worker>>,
    process: Arc<Process>,
    random: Random,
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

impl Run {
    fn new(random: &mut Random) -> Result<Self, String> {
        let (folder, model) = (Folder::new(), Shared::default());
        let mut desk = |name: &str| Desk::new(name, random.fork(), &model);
        let workers: Vec<Box<dyn Worker>> = vec![
            Box::new(Idempotent::new(desk("i0"))),
            Box::new(Idempotent::new(desk("i1"))),
            Box::new(Transactional::new(desk("t0"))),
            Box::new(Transactional::new(desk("t1"))),
            Box::new(Operator::new(desk("o"))),
            Box::new(Member::new(desk("m0"), Protocol::Classic)),
            Box::new(Member::new(desk("m1"), Protocol::Consumer)),
        ];
        let process = Arc::new(Process::start(&folder)?);
        let mut run = Self { folder, model, workers, process, random: random.fork() };
        said(run.create_topics())?;
        Ok(run)
    }

    fn create_topics(&mut self) -> Step<()> {
        let mut client = Client::of(&self.process)?;
        client.create("mixed", 3, &[])?;
        client.create("trimmed", 1, &[])?;
        client.create(COMPACTED, 1, &[("cleanup.policy", "compact"), ("delete.retention.ms", "20")])
    }

    /// Load up to the end of the process, a new start, and the check.
    fn round(&mut self, end: End) -> Result<(), String> {
        self.process.arm(1 + self.random.below(ANSWERS), end);
        let heard: Vec<Result<(), String>> = std::thread::scope(|scope| {
            let begin = |worker| {
                let process = &self.process;
                scope.spawn(move || work(worker, process))
            };
            let threads: Vec<_> = self.workers.iter_mut().map(begin).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        heard.into_iter().collect::<Result<(), String>>()?;
        self.process.wait(&self.folder)?;
        if end == End::Kill {
            self.folder.tear(&mut self.random);
        }
        if end == End::Kill && self.random.once_in(4) {
            // Killed while it takes up what was left.
            drop(Process::start(&self.folder)?);
        }
        self.process = Arc::new(Process::start(&self.folder)?);
        said(Client::of(&self.process).and_then(|mut client| {
            let mut model = self.model.lock();
            check::check(&mut client, &mut model)
        }))
    }
}

/// Works until the broker is gone.
fn work(worker: &mut Box<dyn Worker>, process: &Arc<Process>) -> Result<(), String> {
    let worked = Client::of(process).and_then(|mut client| {
        worker.resume(&mut client)?;
        loop {
            worker.step(&mut client)?;
        }
    });
    match worked {
        Ok(()) | Err(Stop::Gone) => Ok(()),
        Err(Stop::Wrong(what)) => {
            process.arm(1, End::Kill);
            process.answered();
            Err(what)
        }
    }
}

/// What a step says where the broker has to be there.
fn said(step: Step<()>) -> Result<(), String> {
    match step {
        Ok(()) => Ok(()),
        Err(Stop::Gone) => Err("the broker is gone, and nobody has killed it".to_owned()),
        Err(Stop::Wrong(what)) => Err(what),
    }
}

#[test]
fn what_was_answered_survives_kills_under_load() {
    let (kills, seed) = (number("HEADWATER_KILLS", KILLS), number("HEADWATER_SEED", 1));
    let mut random = Random(seed);
    let (mut records, mut committed, mut aborted, mut undecided) = (0, 0, 0, 0);
    let mut done = 0;
    while done < kills {
        let mut run =
            Run::new(&mut random).unwrap_or_else(|what| panic!("seed {seed}, a new folder: {what}"));
        for _ in 0..KILLS_OF_A_FOLDER.min(kills - done) {
            done += 1;
            for end in [End::Kill, End::Stop] {
                run.round(end).unwrap_or_else(|what| panic!("seed {seed}, round {done} ({end:?}): {what}"));
            }
        }
        let tally = &run.model.lock().tally;
        records += tally.records;
        committed += tally.committed;
        aborted += tally.aborted;
        undecided += tally.undecided;
    }
    println!(
        "kills: {done}, records acknowledged: {records}, transactions: {committed} committed, {aborted} aborted, \
         {undecided} undecided at a kill; nothing lost, nothing doubled"
    );
}
