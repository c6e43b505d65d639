//! Processes that are told to end: the first signal commits and leaves the group at once, the second one waits for nothing.

use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use headwater::state::MemoryBackend;

use crate::broker::{Broker, on_a_broker};
use crate::heard;
use crate::pipeline::{Names, Pipeline};
use crate::place::{Place, told};

const SIGNALS: [(&str, i32); 2] = [("TERM", 15), ("INT", 2)];
/// By itself it would commit after a minute, and the group would miss it after three quarters of one.
const LINES: &str = "commit.interval.ms=60000\ntransaction.timeout.ms=120000\nsession.timeout.ms=45000\nheartbeat.interval.ms=3000";

/// Runs until it is told to end.
#[test]
fn process() {
    let Some((_, script)) = told() else { return };
    let words: Vec<_> = script.split(' ').map(str::to_owned).collect();
    let [application, input, output, expected] = words.try_into().unwrap();
    let names = Names { application, input, output };
    let expected: i64 = expected.parse().unwrap();
    on_a_broker(|broker| {
        let seen = AtomicI64::new(0);
        let look = move |_| {
            if seen.fetch_add(1, Ordering::Relaxed) + 1 == expected {
                println!("has seen all");
            }
        };
        let backend = |_: &_| Ok(Arc::new(MemoryBackend::default()) as Arc<_>);
        let running = names.application(broker, LINES, backend, look).unwrap().start().unwrap();
        running.until_signal().unwrap();
        // Nobody reads any more what a test says as it ends.
        std::process::exit(0);
    });
}

/// A process that is ended with its trial, whatever becomes of that.
struct Alive(Child);

impl Alive {
    /// One that has processed the next `expected` records, and has committed none of them.
    fn with_records(pipeline: &Pipeline<'_>, place: &Place, expected: i64) -> Self {
        let Names { application, input, output } = pipeline.names();
        let script = format!("{application} {input} {output} {expected}");
        Self(place.start("signals::process", &script, "has seen all", 1).0)
    }

    fn tell(&self, signal: &str) {
        let process = self.0.id().to_string();
        assert!(Command::new("kill").args([&format!("-{signal}"), &process]).status().unwrap().success());
    }

    fn end(&mut self, pipeline: &Pipeline<'_>) -> ExitStatus {
        pipeline.scene.until("the end of the process", |_| self.0.try_wait().unwrap())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How many records of the input are committed.
fn committed(pipeline: &Pipeline<'_>) -> i64 {
    let (scene, names) = (&pipeline.scene, pipeline.names());
    let mut admin = scene.admin();
    let offsets = scene.answer("offsets", |now_ms| admin.group_offsets(&names.application, now_ms)).unwrap();
    let of_input = offsets.iter().filter(|(partition, _)| partition.topic == pipeline.input);
    of_input.map(|(_, committed)| committed.offset).sum()
}

fn members(pipeline: &Pipeline<'_>) -> usize {
    let (scene, names) = (&pipeline.scene, pipeline.names());
    let mut admin = scene.admin();
    scene.answer("members", |now_ms| admin.members(&names.application, now_ms)).unwrap().len()
}

#[test]
#[ignore = "kills the brokers of HEADWATER_TEST_KAFKA"]
fn a_process_that_is_told_to_end_commits_and_leaves_at_once() {
    on_a_broker(|broker| {
        let (place, mut pipeline) = (Place::new(), Pipeline::new(broker));
        for (signal, _) in SIGNALS {
            let before = pipeline.sent();
            pipeline.feed(Duration::from_secs(1));
            pipeline.flush();
            let mut process = Alive::with_records(&pipeline, &place, pipeline.sent() - before);
            assert_eq!((committed(&pipeline), members(&pipeline)), (before, 1));
            let begin = pipeline.scene.now_ms();
            process.tell(signal);
            let status = process.end(&pipeline);
            let lasted_ms = pipeline.scene.now_ms() - begin;
            println!("SIG{signal}: {status} after {lasted_ms} ms");
            assert!(status.success() && lasted_ms < 10_000, "{signal}: {status} after {lasted_ms} ms");
            // Nobody waits for a session that times out.
            assert_eq!((committed(&pipeline), members(&pipeline)), (pipeline.sent(), 0), "{signal}");
        }
        let running = pipeline.application("").unwrap().start().unwrap();
        pipeline.check();
        pipeline.stop(running);
    });
}

/// Nobody answers, so it cannot commit: the first signal is heard, and the second one ends it.
fn told_twice(broker: &Broker, signal: &str, number: i32) {
    let (place, mut pipeline) = (Place::new(), Pipeline::new(broker));
    pipeline.feed(Duration::from_secs(1));
    pipeline.flush();
    let mut process = Alive::with_records(&pipeline, &place, pipeline.sent());
    broker.command("pause");
    process.tell(signal);
    heard::pause(2_000);
    assert!(process.0.try_wait().unwrap().is_none(), "it has not waited for its commit");
    process.tell(signal);
    let status = process.end(&pipeline);
    println!("SIG{signal} twice: {status}");
    assert_eq!(status.code(), Some(128 + number));
    broker.command("resume");
}

#[test]
#[ignore = "kills the brokers of HEADWATER_TEST_KAFKA"]
fn a_process_that_is_told_twice_ends_at_once() {
    on_a_broker(|broker| {
        for (signal, number) in SIGNALS {
            told_twice(broker, signal, number);
        }
    });
}
