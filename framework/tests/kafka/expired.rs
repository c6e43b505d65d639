//! Inputs whose records were deleted before they were read: all of them go on at once where their topic begins, and what was
//! skipped is counted.

use std::time::Duration;

use headwater::TopicPartition;
use headwater::kafka::Isolation;

use crate::broker::on_a_broker;
use crate::heard;
use crate::pipeline::{PARTITIONS, Pipeline};

#[test]
#[ignore = "kills the brokers of HEADWATER_TEST_KAFKA"]
fn all_inputs_that_have_expired_go_on_at_once() {
    on_a_broker(|broker| {
        let mut pipeline = Pipeline::new(broker);
        let lines = "auto.offset.reset=earliest";
        let running = pipeline.application(lines).unwrap().start().unwrap();
        pipeline.feed(Duration::from_secs(1));
        pipeline.check();
        pipeline.stop(running);
        let before = pipeline.told();

        pipeline.feed(Duration::from_secs(1));
        pipeline.flush();
        let scene = &pipeline.scene;
        let inputs: Vec<_> =
            (0..PARTITIONS).map(|number| TopicPartition::new(pipeline.input.clone(), number)).collect();
        let mut admin = scene.admin();
        let isolation = Isolation::ReadUncommitted;
        let bounds = scene.answer("the ends", |now_ms| admin.bounds(&inputs, isolation, now_ms)).unwrap();
        let ends: Vec<_> = inputs.into_iter().zip(bounds.into_iter().map(|(_, end)| end)).collect();
        scene.answer("an end of all", |now_ms| admin.delete_records(&ends, now_ms)).unwrap();

        heard::begin();
        let running = pipeline.application(lines).unwrap().start().unwrap();
        pipeline.feed(Duration::from_secs(1));
        pipeline.flush();
        let fed = pipeline.sent() - 2 * before;
        pipeline.scene.until("what came later", |_| {
            heard::pause(200);
            (pipeline.told() - before >= fed).then_some(())
        });
        let figures = running.stop().unwrap();
        assert_eq!((pipeline.told() - before, figures.total().skipped_offsets), (fed, before as u64));
        assert_eq!(heard::lines("offset out of range: records are skipped").len(), PARTITIONS as usize);
        assert_eq!(heard::lines("nothing has come for a minute"), [""; 0]);
    });
}
