//! Brokers that are away: an application waits with words, and goes on alone when they are back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use headwater::kafka::{Admin, Fault, Isolation};
use headwater::{Running, TopicPartition};

use crate::broker::{Broker, on_a_broker};
use crate::clusters::Scene;
use crate::heard;
use crate::pipeline::Pipeline;
use crate::proxy::Proxy;
use crate::refused::{end, failure};

const NOBODY: &str = "no broker can be reached: connecting is tried again until one answers";

/// What a line says, without its times and counts.
fn meaning(line: &str) -> String {
    let line = line.split_once(" (after ").map_or(line, |(line, _)| line);
    line.split(|letter: char| letter.is_ascii_digit()).collect()
}

/// What is warned of while nothing changes does not grow with time. The broker, its bootstrap address and two coordinators
/// each have a connection that says once why it fails; and the trial's own clients say so beside the application's.
fn is_no_flood() {
    let warned: Vec<_> = heard::lines("").into_iter().filter(|line| !line.starts_with("INFO")).collect();
    let all = format!("{} lines:\n{}", warned.len(), warned.join("\n"));
    assert!(warned.len() < 25, "{all}");
    for line in &warned {
        let again = warned.iter().filter(|other| meaning(other) == meaning(line)).count();
        // Of either side twice.
        assert!(again <= 4, "{again} times: {line}\n{all}");
    }
}

#[test]
#[ignore = "kills the brokers of HEADWATER_TEST_KAFKA"]
fn an_address_where_nobody_answers_is_tried_until_the_time_is_over() {
    on_a_broker(|broker| {
        let pipeline = Pipeline::new(broker);
        let tls = "security.protocol=SSL\nssl.ca.location=<ca.pem>";
        let cases = [
            ("127.0.0.1:1".to_owned(), "", "Connection refused"),
            ("nowhere.invalid:9092".to_owned(), "", "Failed to resolve 'nowhere.invalid:9092'"),
            // The other kind of listener hangs up.
            (broker.address("SSL"), "", "security.protocol"),
            (broker.address("PLAINTEXT"), tls, "PLAINTEXT broker listener?"),
        ];
        for (address, more, why) in cases {
            heard::begin();
            let lines = format!("bootstrap.servers={address}\ntask.timeout.ms=12000\n{more}");
            let running = pipeline.application(&lines).unwrap().start().unwrap();
            let warned = heard::wait(NOBODY, Duration::from_secs(5));
            assert!(warned.contains(&address), "{warned}");
            let said = end(&pipeline, running, 45_000);
            println!("{lines}\n-> {warned}\n-> {said}\n{}\n", heard::lines("").join("\n"));
            for words in
                [&format!("no broker of {address} can be reached: "), why, "`task.timeout.ms` has passed"]
            {
                assert!(said.contains(words), "{said}\nlacks {words}");
            }
            is_no_flood();
        }
    });
}

#[test]
#[ignore = "kills the brokers of HEADWATER_TEST_KAFKA"]
fn with_no_patience_the_first_question_without_an_answer_ends_it() {
    on_a_broker(|broker| {
        let pipeline = Pipeline::new(broker);
        let said = failure(&pipeline, "bootstrap.servers=127.0.0.1:1\ntask.timeout.ms=0", 15_000);
        assert!(said.contains("Connection refused"), "{said}");
    });
}

#[test]
#[ignore = "kills the brokers of HEADWATER_TEST_KAFKA"]
fn a_broker_that_comes_after_the_start_is_found() {
    on_a_broker(|broker| {
        let mut pipeline = Pipeline::new(broker);
        broker.command("kill");
        let running = pipeline.application("").unwrap().start().unwrap();
        heard::wait(NOBODY, Duration::from_secs(5));
        heard::pause(15_000);
        is_no_flood();
        broker.command("restart");
        heard::wait("a broker answers again", Duration::from_secs(10));
        pipeline.feed(Duration::from_secs(2));
        pipeline.check();
        pipeline.stop(running);
    });
}

/// An application, as the process `one`, and the number of records that it has begun with.
fn watched(pipeline: &Pipeline<'_>, lines: &str) -> (Running, Arc<AtomicUsize>) {
    let seen = Arc::new(AtomicUsize::new(0));
    let look = {
        let seen = Arc::clone(&seen);
        move |_| {
            seen.fetch_add(1, Ordering::Relaxed);
        }
    };
    (pipeline.watched(lines, look).unwrap().process("one").start().unwrap(), seen)
}

/// Feeds until it is so.
fn feed_until(pipeline: &mut Pipeline<'_>, what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..600 {
        pipeline.feed(Duration::from_millis(100));
        if is_so() {
            return;
        }
    }
    panic!("{what} did not come:\n{}", heard::lines("").join("\n"));
}

/// A broker is away for so long while records come; then all of them have to be there, as `check` has it.
fn away<'a>(broker: &'a Broker, lines: &str, seconds: u64, check: fn(&mut Pipeline<'a>)) {
    let mut pipeline = Pipeline::new(broker);
    let running = pipeline.application(lines).unwrap().start().unwrap();
    pipeline.feed(Duration::from_secs(5));
    broker.command("kill");
    pipeline.feed(Duration::from_secs(seconds));
    heard::wait(NOBODY, Duration::ZERO);
    is_no_flood();
    broker.command("restart");
    pipeline.feed(Duration::from_secs(5));
    check(&mut pipeline);
    println!("{}", heard::lines("").join("\n"));
    assert_eq!(running.failure(), None);
    running.stop().unwrap();
    // Nor does its last commit.
    check(&mut pipeline);
}

#[test]
#[ignore = "kills the brokers of HEADWATER_TEST_KAFKA"]
fn a_broker_that_is_away_for_a_minute_costs_no_record_and_doubles_none() {
    on_a_broker(|broker| away(broker, "", 60, Pipeline::check));
}

#[test]
#[ignore = "kills the brokers of HEADWATER_TEST_KAFKA"]
fn a_broker_that_is_away_costs_no_record_under_at_least_once() {
    on_a_broker(|broker| {
        let lines = "processing.guarantee=at_least_once\ncommit.interval.ms=500";
        away(broker, lines, 5, Pipeline::check_at_least_once);
    });
}

/// Its connections stay open: a client has to give them up by itself.
#[test]
#[ignore = "kills the brokers of HEADWATER_TEST_KAFKA"]
fn a_broker_that_is_frozen_is_given_up_and_asked_again() {
    on_a_broker(|broker| {
        let mut pipeline = Pipeline::new(broker);
        let (running, seen) = watched(&pipeline, "request.timeout.ms=2000");
        // Whether a request of a transaction is on its way as it freezes is a matter of luck.
        let told = (0..20).find_map(|_| {
            let before = seen.load(Ordering::Relaxed);
            feed_until(&mut pipeline, "a record", || seen.load(Ordering::Relaxed) > before);
            // It freezes while records come.
            std::thread::scope(|scope| {
                scope.spawn(|| broker.command("pause"));
                pipeline.feed(Duration::from_secs(5));
            });
            broker.command("resume");
            heard::lines("TxnCoordinator/1: Timed out").into_iter().next()
        });
        let told = told.expect("no request of a transaction was on its way");
        pipeline.feed(Duration::from_secs(3));
        pipeline.check();
        println!("{told}\n{}", heard::lines("").join("\n"));
        // A request of a transaction is without answer, and may still arrive: the next transaction has another epoch.
        let renewed = ["it gets a new epoch", "the producer is replaced"].map(heard::lines);
        assert!(renewed.iter().any(|lines| !lines.is_empty()));
        assert_eq!(running.failure(), None);
        pipeline.stop(running);
    });
}

/// An application holds what it has not committed as the broker goes, and is told to stop. What it has left open is ended by
/// its next start, which has its name as one with state on disk has it: it holds readers up for minutes otherwise, unless the
/// producer of the one that was stopped still gets a word in as the broker comes back.
fn stopped_without_brokers(broker: &Broker, guarantee: &str) {
    let mut pipeline = Pipeline::new(broker);
    // By itself it commits after a minute.
    let lines = match guarantee {
        "exactly_once_v2" => "commit.interval.ms=60000\ntransaction.timeout.ms=120000".to_owned(),
        other => format!("processing.guarantee={other}\ncommit.interval.ms=60000"),
    };
    let (running, seen) = watched(&pipeline, &lines);
    feed_until(&mut pipeline, "a record", || seen.load(Ordering::Relaxed) > 0);
    broker.command("kill");
    let begin = pipeline.scene.now_ms();
    let ended = running.stop();
    let lasted_ms = pipeline.scene.now_ms() - begin;
    let said = ended.err().map(|error| error.to_string());
    println!("{guarantee}: after {lasted_ms} ms: {said:?}");
    match said {
        Some(said) => assert!(said.contains("told to stop") && said.contains("nothing is lost"), "{said}"),
        // With its session it has lost its tasks: there is nothing to say that others need to know.
        None => assert!(!heard::lines("tasks are lost").is_empty() && guarantee == "at_least_once"),
    }
    // Half a minute, and what its thread takes to end; it is five minutes with `task.timeout.ms`.
    assert!(lasted_ms < 45_000);
    broker.command("restart");
    let lines = format!("processing.guarantee={guarantee}");
    let running = pipeline.application(&lines).unwrap().process("one").start().unwrap();
    pipeline.feed(Duration::from_secs(1));
    match guarantee {
        "exactly_once_v2" => {
            pipeline.check();
            pipeline.stop(running);
        }
        _ => {
            pipeline.check_at_least_once();
            running.stop().unwrap();
        }
    }
}

#[test]
#[ignore = "kills the brokers of HEADWATER_TEST_KAFKA"]
fn who_is_told_to_stop_while_no_broker_answers_ends_soon_and_loses_nothing() {
    on_a_broker(|broker| {
        for guarantee in ["exactly_once_v2", "at_least_once"] {
            stopped_without_brokers(broker, guarantee);
        }
    });
}

#[test]
#[ignore = "kills the brokers of HEADWATER_TEST_KAFKA"]
fn connections_that_are_encrypted_and_log_in_come_back() {
    on_a_broker(|broker| {
        let lines = "bootstrap.servers=<SASL_SSL>\nfile=scram-sha-512.properties\ncompression.type=lz4";
        away(broker, lines, 5, Pipeline::check);
    });
}

#[test]
#[ignore = "kills the brokers of HEADWATER_TEST_KAFKA"]
fn the_bounds_of_a_partition_whose_broker_is_away_are_no_bounds() {
    on_a_broker(|broker| {
        let scene = Scene::on(broker.cluster("bootstrap.servers=<PLAINTEXT>"));
        let partition = [TopicPartition::new(scene.topic("a", 1), 0)];
        let mut admin = scene.admin();
        let ask = |admin: &mut dyn Admin| {
            scene.until("an answer", |now_ms| {
                match admin.bounds(&partition, Isolation::ReadCommitted, now_ms) {
                    Poll::Ready(answer) => Some(answer),
                    Poll::Pending => None,
                }
            })
        };
        assert_eq!(scene.until("bounds", |_| ask(admin.as_mut()).ok()), [(0, 0)]);
        broker.command("kill");
        // The client still knows who leads the partition.
        let answer = ask(admin.as_mut());
        broker.command("restart");
        let error = answer.unwrap_err();
        assert_eq!(error.fault, Fault::Retriable, "{error}");
        let again = scene.until("bounds again", |_| ask(admin.as_mut()).ok());
        assert_eq!(again, [(0, 0)]);
    });
}

/// What a client does not notice by itself: it waits for an answer that does not come.
#[test]
#[ignore = "kills the brokers of HEADWATER_TEST_KAFKA"]
fn a_partition_of_which_nothing_comes_for_a_minute_is_asked_for_anew() {
    on_a_broker(|broker| {
        let scene = Scene::on(broker.cluster("bootstrap.servers=<PLAINTEXT>"));
        let partition = TopicPartition::new(scene.topic("a", 1), 0);
        let mut producer = scene.producer(None);
        scene.send(producer.as_mut(), &partition, &["0"]);
        scene.answer("a flush", |now_ms| producer.flush(now_ms)).unwrap();
        let mut consumer = scene.cluster.consumer("trial", Isolation::ReadCommitted);
        broker.command("pause");
        consumer.add(&partition, 0);
        let begin = scene.now_ms();
        while heard::lines("nothing has come for a minute: it is asked for anew").is_empty() {
            assert!(consumer.fetch(&partition, 1 << 20, scene.now_ms()).unwrap().is_none());
            assert!(scene.now_ms() - begin < 90_000, "{}", heard::lines("").join("\n"));
            heard::pause(100);
        }
        assert!(scene.now_ms() - begin > 60_000);
        broker.command("resume");
        let (read, end) = scene.read_on(consumer.as_mut(), &partition);
        assert_eq!((read.len(), end), (1, 1));
    });
}

/// What is asked of a group's coordinator, and is not answered in time, is asked again; the answers to all come later.
#[test]
#[ignore = "kills the brokers of HEADWATER_TEST_KAFKA"]
fn questions_that_a_frozen_coordinator_answers_late_do_no_harm() {
    on_a_broker(|broker| {
        let scene = Scene::on(broker.cluster("bootstrap.servers=<PLAINTEXT>"));
        let partition = TopicPartition::new(scene.topic("a", 1), 0);
        let group = scene.name("group");
        let mut member = scene.cluster.membership(&scene.member_options("group", "trial"));
        let (mut admin, mut other) = (scene.admin(), scene.admin());
        let all = |admin: &mut dyn Admin| {
            scene.until("offsets", |now_ms| match admin.group_offsets(&group, now_ms) {
                Poll::Ready(Err(error)) if error.fault == Fault::Retriable => None,
                Poll::Ready(answer) => Some(answer.unwrap()),
                Poll::Pending => None,
            })
        };
        assert_eq!(all(admin.as_mut()), []);
        broker.command("pause");
        let begin = scene.now_ms();
        let mut failed = 0;
        while scene.now_ms() - begin < 45_000 {
            let now_ms = scene.now_ms();
            let partitions = std::slice::from_ref(&partition);
            let answers = [
                admin.group_offsets(&group, now_ms).map_ok(drop),
                other.members(&group, now_ms).map_ok(drop),
                member.committed(partitions, now_ms).map_ok(drop),
            ];
            for answer in answers {
                if let Poll::Ready(answer) = answer {
                    assert_eq!(answer.unwrap_err().fault, Fault::Retriable);
                    failed += 1;
                }
            }
            heard::pause(20);
        }
        assert!(failed > 0);
        // A client may go while its questions are open.
        let passing = Scene::on(broker.cluster("bootstrap.servers=<PLAINTEXT>"));
        assert!(passing.admin().group_offsets(&group, scene.now_ms()).is_pending());
        drop(passing);
        broker.command("resume");
        assert_eq!(all(admin.as_mut()), []);
        // Late answers come behind it.
        heard::pause(3_000);
        assert_eq!(all(admin.as_mut()), []);
    });
}

/// As a broker does that comes back after a freeze: nobody is a member of the cluster then, and it says so. librdkafka finds the
/// servers again by itself, but not always.
#[test]
#[ignore = "kills the brokers of HEADWATER_TEST_KAFKA"]
fn who_is_told_of_no_broker_at_all_asks_the_servers_again() {
    on_a_broker(|broker| {
        let proxy = Proxy::before(&broker.address("PLAINTEXT"));
        let servers = format!("bootstrap.servers={}", proxy.address());
        let mut pipeline = Pipeline::new(broker);
        let running = pipeline.application(&servers).unwrap().start().unwrap();
        pipeline.feed(Duration::from_secs(1));
        pipeline.check();
        let scene = Scene::on(broker.cluster(&servers));
        let partition = TopicPartition::new(scene.topic("a", 1), 0);
        let mut producer = scene.producer(None);
        let mut readers: Vec<_> = (0..30)
            .map(|number| {
                let name = format!("reader-{number}");
                let mut reader = scene.cluster.consumer(&name, Isolation::ReadCommitted);
                reader.add(&partition, 0);
                (name, reader)
            })
            .collect();
        for round in 0..3 {
            scene.send(producer.as_mut(), &partition, &["0"]);
            scene.answer("a flush", |now_ms| producer.flush(now_ms)).unwrap();
            for (_, reader) in &mut readers {
                // It may have been told that there is nothing before the record came.
                let read = scene.until("a record", |_| {
                    Some(scene.read_on(reader.as_mut(), &partition)).filter(|(read, _)| !read.is_empty())
                });
                assert_eq!((read.0.len(), read.1), (1, round + 1));
            }
            proxy.name_nobody();
            // They look every two seconds who the brokers are.
            scene.until("an answer to each", |_| {
                readers.iter().all(|(name, _)| proxy.has_told(name)).then_some(())
            });
            proxy.name_itself();
        }
        pipeline.feed(Duration::from_secs(1));
        pipeline.check();
        assert_eq!(running.failure(), None);
        pipeline.stop(running);
    });
}
