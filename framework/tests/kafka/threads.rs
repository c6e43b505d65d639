//! Threads that come and go, fail and rest: their members and producers follow one another on brokers that remember them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use headwater::UncaughtErrorResponse;

use crate::broker::on_a_broker;
use crate::heard;
use crate::pipeline::Pipeline;

/// One thread becomes two, one again and two again, of which one fails and is replaced; then all rest for a while.
fn come_and_go(lines: &str) {
    on_a_broker(|broker| {
        let mut pipeline = Pipeline::new(broker);
        let failed = AtomicBool::new(false);
        let look = move |number: i64| {
            assert!(number < 350 || failed.swap(true, Ordering::Relaxed), "this goes wrong once");
        };
        let application = pipeline.watched(lines, look).unwrap();
        let application = application.uncaught_error_handler(|error| {
            assert!(error.to_string().contains("this goes wrong once"), "{error}");
            UncaughtErrorResponse::ReplaceThread
        });
        let running = application.start().unwrap();
        pipeline.feed(Duration::from_secs(1));
        pipeline.check();

        assert_eq!(running.add_thread().unwrap(), 1);
        pipeline.feed(Duration::from_secs(1));
        pipeline.check();
        assert_eq!(running.remove_thread(), Some(1));
        pipeline.feed(Duration::from_secs(1));
        pipeline.check();
        assert_eq!(running.add_thread().unwrap(), 1);
        pipeline.feed(Duration::from_secs(1));
        pipeline.check();
        assert_eq!(running.figures().failures, 1);

        heard::begin();
        running.pause();
        pipeline.scene.until("both threads rest", |_| (heard::lines(" paused").len() == 2).then_some(()));
        let before = pipeline.told();
        pipeline.feed(Duration::from_secs(1));
        pipeline.flush();
        assert_eq!(pipeline.told(), before, "who rests tells nothing");
        running.resume();
        pipeline.check();
        assert_eq!(running.failure(), None);
        pipeline.stop(running);
    });
}

#[test]
#[ignore = "kills the brokers of HEADWATER_TEST_KAFKA"]
fn threads_come_and_go_fail_and_rest_and_no_record_is_lost_or_doubled() {
    come_and_go("");
}

/// A static member cannot leave: the group gives its tasks to others when its session is over.
#[test]
#[ignore = "kills the brokers of HEADWATER_TEST_KAFKA"]
fn threads_of_static_members_come_and_go_fail_and_rest_and_no_record_is_lost_or_doubled() {
    come_and_go("group.instance.id=here");
}
