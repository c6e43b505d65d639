//! Changelogs that are not what state on disk was written from: the state is thrown away, counted and rebuilt from what there
//! is, with words; nothing is made of two halves.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use headwater::state::{RocksBackend, RocksOptions};
use headwater::task::Rebuild;
use headwater::{Application, TopicPartition};

use crate::broker::on_a_broker;
use crate::heard;
use crate::pipeline::Pipeline;

/// The application with its state in this folder.
pub(crate) fn on_disk(pipeline: &Pipeline<'_>, folder: &Path, lines: &str) -> Application {
    let lines = format!("state.dir={}\n{lines}", folder.display());
    let backend = |config: &headwater::Config| {
        Ok(Arc::new(RocksBackend::open_folder(&RocksOptions::new(config.settings()))?) as Arc<_>)
    };
    pipeline.with(&lines, backend, |_| {}).unwrap()
}

/// Runs twice with state on disk; in between the changelog becomes another. Returns what the second run was told.
fn between(cause: Rebuild, spoil: impl FnOnce(&mut Pipeline<'_>)) {
    on_a_broker(|broker| {
        let mut pipeline = Pipeline::new(broker);
        let folder = std::env::temp_dir().join(pipeline.scene.name("state"));
        let running = on_disk(&pipeline, &folder, "").start().unwrap();
        pipeline.feed(Duration::from_secs(2));
        pipeline.check();
        running.stop().unwrap();
        let before = pipeline.all_counts();

        spoil(&mut pipeline);
        heard::begin();
        let running = on_disk(&pipeline, &folder, "").start().unwrap();
        pipeline.feed(Duration::from_secs(2));
        let all = pipeline.all_counts();
        let figures = running.stop().unwrap();
        std::fs::remove_dir_all(&folder).unwrap();

        let told = heard::lines("local state is thrown away and rebuilt from the changelogs");
        println!("{}", told.join("\n"));
        assert!(!told.is_empty() && told.iter().all(|line| line.contains(cause.name())), "{told:?}");
        assert_eq!(figures.rebuilds.keys().copied().collect::<Vec<_>>(), [cause]);
        // The changelog is empty: it is counted from the beginning, and no count of the time before is gone on from.
        for (key, counts) in all {
            let again = &counts[before[&key].len()..];
            assert!(again.iter().copied().eq(1..=again.len() as i64), "{key}: {counts:?}");
        }
    });
}

#[test]
#[ignore = "kills the brokers of HEADWATER_TEST_KAFKA"]
fn a_changelog_that_was_made_again_is_told() {
    let spoil = |pipeline: &mut Pipeline<'_>| {
        let changelog = pipeline.internal("changelog");
        pipeline.broker.delete_topic(&changelog);
    };
    between(Rebuild::TopicRecreated, spoil);
}

#[test]
#[ignore = "kills the brokers of HEADWATER_TEST_KAFKA"]
fn a_changelog_that_has_lost_what_comes_after_our_state_is_told() {
    let spoil = |pipeline: &mut Pipeline<'_>| {
        // Written by nobody that we know, and gone before it was read.
        let changelog = pipeline.internal("changelog");
        let partitions: Vec<_> =
            (0..2).map(|number| TopicPartition::new(changelog.clone(), number)).collect();
        let mut other = pipeline.scene.producer(None);
        for partition in &partitions {
            pipeline.scene.send(other.as_mut(), partition, &["12345678"; 100]);
        }
        let scene = &pipeline.scene;
        scene.answer("strange records", |now_ms| other.flush(now_ms)).unwrap();
        let mut admin = scene.admin();
        let isolation = headwater::kafka::Isolation::ReadUncommitted;
        let bounds = scene.answer("the ends", |now_ms| admin.bounds(&partitions, isolation, now_ms)).unwrap();
        // Brokers delete nothing from a topic that is compacted and no more.
        pipeline.broker.clean_up(&changelog, "compact,delete");
        let before: Vec<_> = partitions.into_iter().zip(bounds.into_iter().map(|(_, end)| end)).collect();
        scene.answer("an end of all", |now_ms| admin.delete_records(&before, now_ms)).unwrap();
        pipeline.broker.clean_up(&changelog, "compact");
    };
    between(Rebuild::OffsetOutOfRange, spoil);
}
