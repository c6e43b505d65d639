//! A disk that gets full under an application: it stops with words that name the folder, and one that is started once there
//! is room goes on where it was.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use crate::broker::on_a_broker;
use crate::changelog::on_disk;
use crate::heard;
use crate::pipeline::Pipeline;
use crate::place::{Place, can_mount, told, with_disk};
use crate::refused::end;

/// Takes all the room that there is.
fn fill(ballast: &Path) {
    let mut file = File::create(ballast).unwrap();
    // At last a byte at a time, so that nothing fits any more.
    for size in [64 << 10, 1 << 10, 1] {
        while file.write_all(&vec![7; size]).is_ok() {}
    }
}

#[test]
fn full_disk_child() {
    let Some((folder, _)) = told() else { return };
    on_a_broker(|broker| {
        let mut pipeline = Pipeline::new(broker);
        // What was counted goes to the disk every second.
        let lines = "state.flush.interval.ms=1000";
        let ballast = folder.join("ballast");
        let running = on_disk(&pipeline, &folder, lines).start().unwrap();
        pipeline.feed(Duration::from_secs(3));
        pipeline.check();
        fill(&ballast);
        pipeline.feed(Duration::from_secs(3));
        let said = end(&pipeline, running, 60_000);
        println!("{said}\n{}", heard::lines("WARN").join("\n"));
        let place = folder.join(&pipeline.names().application).display().to_string();
        let words =
            ["the state in", &place, "No space left on device", "make room on that disk", "start again"];
        for words in words {
            assert!(said.contains(words), "{said}\nlacks {words}");
        }

        let logged = pipeline.changelog_len();

        fs::remove_file(&ballast).unwrap();
        heard::begin();
        let running = on_disk(&pipeline, &folder, lines).start().unwrap();
        pipeline.feed(Duration::from_secs(3));
        pipeline.check();
        println!("{}", heard::lines("").join("\n"));
        assert_eq!(running.failure(), None);
        let figures = pipeline.stop(running);
        // What had come to the disk before is gone on from.
        assert!(figures.rebuilds.is_empty(), "{:?}", figures.rebuilds);
        assert!(figures.restored < logged, "{} of {logged} are restored", figures.restored);
    });
}

#[test]
#[ignore = "kills the brokers of HEADWATER_TEST_KAFKA"]
fn a_disk_that_gets_full_under_an_application_costs_no_record_and_doubles_none() {
    let place = Place::new();
    if can_mount(&place) {
        let wrap = with_disk("16m");
        let wrap: Vec<_> = wrap.iter().map(String::as_str).collect();
        println!("{}", place.run(&wrap, "full_disk::full_disk_child", "go"));
    }
}
