//! Topics that are deleted under way: an application stops with an error that names the topic and says what to do.

use std::time::Duration;

use crate::broker::on_a_broker;
use crate::heard;
use crate::pipeline::Pipeline;
use crate::refused::end;

#[test]
#[ignore = "kills the brokers of HEADWATER_TEST_KAFKA"]
fn a_topic_that_is_deleted_under_way_ends_an_application_by_its_name() {
    on_a_broker(|broker| {
        let kinds = ["input", "output", "changelog", "repartition"];
        let guarantees = ["exactly_once_v2", "at_least_once"];
        for (kind, guarantee) in guarantees.iter().flat_map(|guarantee| kinds.map(|kind| (kind, guarantee))) {
            heard::begin();
            let mut pipeline = Pipeline::new(broker);
            let lines = format!("processing.guarantee={guarantee}\ntask.timeout.ms=15000");
            let running = pipeline.application(&lines).unwrap().start().unwrap();
            pipeline.feed(Duration::from_secs(2));
            pipeline.check();
            let topic = match kind {
                "input" => pipeline.input.clone(),
                "output" => pipeline.output.clone(),
                kind => pipeline.internal(kind),
            };
            broker.delete_topic(&topic);
            if kind != "input" {
                pipeline.feed(Duration::from_secs(3));
            }
            let said = end(&pipeline, running, 60_000);
            println!("{kind}, {guarantee}: {said}\n");
            let words = match kind {
                // The state of its store would be lost with it.
                "changelog" => [
                    "changelog `",
                    "` does not exist any more",
                    "if the state is to be kept, restore the topic first",
                ],
                _ => [
                    "a topic is not there any more: ",
                    "(UNKNOWN_TOPIC_OR_PARTITION)",
                    "was it deleted? create it",
                ],
            };
            for words in words.into_iter().chain([&*topic]) {
                assert!(said.contains(words), "{said}\nlacks {words}");
            }
        }
    });
}
