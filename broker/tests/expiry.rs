//! Producers and transactional ids that nobody has heard of for long are forgotten.
#![allow(clippy::unwrap_used, reason = "a failed step ends the test")]

mod rig;

use headwater_broker::batch::BatchOptions;
use headwater_broker::storage::files::DiskFaults;
use headwater_broker::{BrokerConfig, ErrorCode};
use rig::{Rig, TXN_TIMEOUT_MS, txn};

/// After so long they are forgotten, and so often it is looked.
const PRODUCERS_MS: i64 = 100_000;
const IDS_MS: i64 = 300_000;
const LOOK_MS: i64 = 1_000;

fn rig() -> Rig {
    let config = BrokerConfig {
        producer_id_expiration_ms: PRODUCERS_MS,
        producer_id_expiration_check_interval_ms: Some(LOOK_MS),
        transactional_id_expiration_ms: IDS_MS,
        transactional_id_expiration_check_interval_ms: Some(LOOK_MS),
        ..BrokerConfig::default()
    };
    let mut rig = Rig::in_folder(config, DiskFaults::default());
    rig.topic(headwater_broker::api::NewTopic::new("t", 1));
    rig.pass(0);
    rig
}

/// Lets time pass as the broker's clock does: it looks when something is due.
fn pass(rig: &mut Rig, ms: i64) {
    let end = rig.now + ms;
    rig.pass(0);
    while let Some(due) = rig.broker.next_deadline().filter(|due| *due < end) {
        rig.now = due;
        rig.pass(0);
    }
    let left = end - rig.now;
    rig.pass(left);
}

fn known(rig: &Rig) -> Vec<i64> {
    rig.broker.producers("t", 0).unwrap().iter().map(|view| view.producer.id).collect()
}

#[test]
fn an_idle_producer_is_forgotten_and_may_go_on_with_any_sequence() {
    let mut rig = rig();
    let of = |id, sequence| BatchOptions::idempotent(id, 0, sequence);
    rig.produce_as("t", &of(1, 0), &["a", "b"]).unwrap();
    pass(&mut rig, PRODUCERS_MS / 2);
    rig.produce_as("t", &of(2, 0), &["a"]).unwrap();
    pass(&mut rig, PRODUCERS_MS / 2 - 1);
    assert_eq!(known(&rig), [1, 2]);
    assert_eq!(rig.produce_as("t", &of(1, 0), &["a", "b"]), Ok(0), "a duplicate, which is no sign of life");
    assert_eq!(rig.produce_as("t", &of(1, 5), &["f"]), Err(ErrorCode::OutOfOrderSequenceNumber));
    pass(&mut rig, LOOK_MS);
    assert_eq!(known(&rig), [2], "the other one has written since");
    assert_eq!(rig.produce_as("t", &of(1, 5), &["f"]), Ok(3), "it may begin anywhere");
    assert_eq!(rig.produce_as("t", &of(1, 7), &["h"]), Err(ErrorCode::OutOfOrderSequenceNumber));
    assert_eq!(rig.produce_as("t", &of(1, 6), &["g"]), Ok(4));
}

#[test]
fn idleness_counts_on_over_a_restart() {
    let mut rig = rig();
    rig.produce_as("t", &BatchOptions::idempotent(1, 0, 0), &["a"]).unwrap();
    let x = rig.init("x");
    pass(&mut rig, PRODUCERS_MS / 2);
    rig.broker.close(rig.now).unwrap();
    rig.reopen();
    pass(&mut rig, PRODUCERS_MS / 2 + LOOK_MS);
    assert_eq!(known(&rig), Vec::<i64>::new());
    pass(&mut rig, IDS_MS - PRODUCERS_MS - 2 * LOOK_MS);
    assert_eq!(rig.broker.transaction("x").map(|view| view.producer), Some(x));
    pass(&mut rig, 2 * LOOK_MS);
    assert_eq!(rig.broker.transaction("x"), None);
}

#[test]
fn what_a_kill_leaves_unknown_counts_from_the_start_after_it() {
    let mut rig = rig();
    rig.produce_as("t", &BatchOptions::idempotent(1, 0, 0), &["a"]).unwrap();
    rig.reopen();
    rig.produce_as("t", &BatchOptions::idempotent(1, 0, 1), &["b"]).unwrap();
    rig.reopen();
    pass(&mut rig, PRODUCERS_MS - 1);
    assert_eq!(known(&rig), [1]);
    pass(&mut rig, LOOK_MS + 1);
    assert_eq!(known(&rig), Vec::<i64>::new());
}

#[test]
fn an_idle_transactional_id_is_forgotten_for_good() {
    let mut rig = rig();
    let (x, y) = (rig.init("x"), rig.init("y"));
    rig.add("x", x, &["t"]);
    rig.produce_as("t", &txn(x, 0), &["a"]).unwrap();
    rig.end("x", x, true);
    pass(&mut rig, IDS_MS / 2);
    assert_eq!(rig.add("y", y, &["t"]), ErrorCode::None);
    rig.end("y", y, false);
    pass(&mut rig, IDS_MS / 2 + LOOK_MS);
    assert_eq!(rig.broker.transactional_ids().len(), 1, "y has done something since");
    assert_eq!(rig.add("x", x, &["t"]), ErrorCode::InvalidProducerIdMapping);
    assert_eq!(rig.end("x", x, true), ErrorCode::InvalidProducerIdMapping);
    rig.reopen();
    assert_eq!(rig.broker.transactional_ids().len(), 1, "nor does a start know it");
    let again = rig.try_init("x", Some(x)).unwrap();
    assert!(again.id > y.id && again.epoch == 0, "its producer initialises again: {again:?}");
    assert_eq!(rig.add("x", again, &["t"]), ErrorCode::None);
}

#[test]
fn an_open_transaction_keeps_its_id_and_its_producers() {
    let config = BrokerConfig {
        producer_id_expiration_ms: 1,
        transactional_id_expiration_ms: 1,
        ..BrokerConfig::default()
    };
    let mut rig = Rig::in_folder(config, DiskFaults::default());
    rig.topic(headwater_broker::api::NewTopic::new("t", 1));
    let x = rig.init("x");
    rig.add("x", x, &["t"]);
    rig.produce_as("t", &txn(x, 0), &["a"]).unwrap();
    let expire = |rig: &mut Rig| {
        rig.pass(TXN_TIMEOUT_MS - 1);
        rig.broker.expire_producers(rig.now);
        rig.broker.expire_transactional_ids(rig.now);
    };
    expire(&mut rig);
    assert_eq!(rig.produce_as("t", &txn(x, 2), &["c"]), Err(ErrorCode::OutOfOrderSequenceNumber));
    assert_eq!(rig.produce_as("t", &txn(x, 1), &["b"]), Ok(1));
    assert_eq!(rig.end("x", x, true), ErrorCode::None);
    expire(&mut rig);
    assert_eq!((known(&rig), rig.broker.transactional_ids()), (Vec::new(), Vec::new()));
}

#[test]
fn the_journal_of_many_transactional_ids_does_not_grow_for_ever() {
    let mut rig = rig();
    // Each lives for one round.
    let mut longest = 0;
    for round in 0..40 {
        for number in 0..200 {
            rig.init(&format!("{round}-{number}-{}", "x".repeat(100)));
        }
        pass(&mut rig, IDS_MS + LOOK_MS);
        assert_eq!(rig.broker.transactional_ids().len(), 0);
        longest = longest.max(rig.journal_bytes());
    }
    assert!(longest < 2 << 20, "{longest} bytes");
}
