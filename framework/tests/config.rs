//! Configuration: lines of properties in, settings or the text of the error out.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;

use headwater::config::{Config, Settings};

/// The properties in `lines`, each `name=value`.
fn pairs(lines: &str) -> Vec<(&str, &str)> {
    lines
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(|line| line.split_once('=').unwrap())
        .collect()
}

/// What comes of `lines`, set from code.
fn configure(lines: &str) -> Result<Config, String> {
    Config::from_properties(pairs(lines)).map_err(|error| error.to_string())
}

/// A file with this text in the folder for test files.
fn file(name: &str, text: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// Whether a property says how to connect: `connection.rs` tests its values.
fn connects(name: &str) -> bool {
    ["security.", "sasl.", "ssl.", "compression."].iter().any(|group| name.starts_with(group))
}

/// The names of all properties.
fn names() -> Vec<String> {
    let help = Config::help();
    help.lines().filter(|line| !line.starts_with(' ')).map(str::to_owned).collect()
}

type Read = fn(&Settings) -> String;

macro_rules! field {
    ($field:ident) => {
        |settings| format!("{:?}", settings.$field)
    };
}

/// A property, the field it becomes, its default, and values with what becomes of them. `JAVA.` stands for the package.
type Case = (&'static str, Read, &'static str, &'static [(&'static str, &'static str)]);

const IDENTITY: &[Case] = &[
    ("application.id", field!(application_id), "\"app\"", &[("or-d_er.s2", "\"or-d_er.s2\"")]),
    ("bootstrap.servers", field!(bootstrap_servers), "[]", &[("a:1, [::1]:2", "[\"a:1\", \"[::1]:2\"]")]),
    ("client.id", field!(client_id), "\"app\"", &[("west ~ 1", "\"west ~ 1\"")]),
    ("num.stream.threads", field!(num_stream_threads), "1", &[("999", "999")]),
    (
        "processing.guarantee",
        field!(processing_guarantee),
        "AtLeastOnce",
        &[
            ("exactly_once_v2", "ExactlyOnceV2"),
            ("exactly_once", "ExactlyOnceV2"),
            ("exactly_once_beta", "ExactlyOnceV2"),
            ("at_least_once", "AtLeastOnce"),
        ],
    ),
    ("commit.interval.ms", field!(commit_interval_ms), "30000", &[("1", "1")]),
    ("transaction.timeout.ms", field!(transaction_timeout_ms), "300000", &[("60000", "60000")]),
    ("request.timeout.ms", field!(request_timeout_ms), "30000", &[("70", "70")]),
    ("max.request.size", field!(max_request_size), "1048576", &[("20m", "20971520")]),
    ("session.timeout.ms", field!(session_timeout_ms), "45000", &[(" 6000 ", "6000")]),
    ("heartbeat.interval.ms", field!(heartbeat_interval_ms), "3000", &[("44999", "44999")]),
    ("max.poll.interval.ms", field!(max_poll_interval_ms), "300000", &[("2147483647", "2147483647")]),
    ("group.instance.id", field!(group_instance_id), "None", &[("west", "Some(\"west\")")]),
];

const INTAKE: &[Case] = &[
    (
        "auto.offset.reset",
        field!(auto_offset_reset),
        "Some(Earliest)",
        &[("latest", "Some(Latest)"), ("none", "None"), ("Earliest", "Some(Earliest)")],
    ),
    ("buffered.records.per.partition", field!(buffered_records_per_partition), "1000", &[("1", "1")]),
    ("max.task.idle.ms", field!(max_task_idle_ms), "Some(0)", &[("-1", "None"), ("5", "Some(5)")]),
    (
        "default.timestamp.extractor",
        field!(default_timestamp_extractor),
        "FailOnInvalidTimestamp",
        &[
            ("fail-on-invalid-timestamp", "FailOnInvalidTimestamp"),
            ("log-and-skip-on-invalid-timestamp", "LogAndSkipOnInvalidTimestamp"),
            ("use-partition-time-on-invalid-timestamp", "UsePartitionTimeOnInvalidTimestamp"),
            ("wallclock", "Wallclock"),
            ("JAVA.FailOnInvalidTimestamp", "FailOnInvalidTimestamp"),
            ("JAVA.LogAndSkipOnInvalidTimestamp", "LogAndSkipOnInvalidTimestamp"),
            ("JAVA.UsePartitionTimeOnInvalidTimestamp", "UsePartitionTimeOnInvalidTimestamp"),
            ("JAVA.WallclockTimestampExtractor", "Wallclock"),
            ("WallclockTimestampExtractor", "Wallclock"),
        ],
    ),
    ("task.timeout.ms", field!(task_timeout_ms), "300000", &[("0", "0")]),
    ("replication.factor", field!(replication_factor), "None", &[("3", "Some(3)"), ("-1", "None")]),
    ("topic.max.message.bytes", field!(topic_max_message_bytes), "None", &[("2000000", "Some(2000000)")]),
    ("repartition.purge.interval.ms", field!(repartition_purge_interval_ms), "30000", &[("0", "0")]),
    (
        "windowstore.changelog.additional.retention.ms",
        field!(windowstore_changelog_additional_retention_ms),
        "86400000",
        &[("1", "1")],
    ),
    ("emit.interval.ms.kstreams.windowed.aggregation", field!(emit_interval_ms), "0", &[("1000", "1000")]),
];

const STATE: &[Case] = &[
    (
        "deserialization.exception.handler",
        field!(deserialization_exception_handler),
        "Fail",
        &[
            ("fail", "Fail"),
            ("continue", "Continue"),
            ("dead-letter", "DeadLetter"),
            ("JAVA.LogAndFailExceptionHandler", "Fail"),
            ("JAVA.LogAndContinueExceptionHandler", "Continue"),
        ],
    ),
    (
        "processing.exception.handler",
        field!(processing_exception_handler),
        "Fail",
        &[
            ("continue", "Continue"),
            ("dead-letter", "DeadLetter"),
            ("JAVA.LogAndFailProcessingExceptionHandler", "Fail"),
            ("LogAndContinueProcessingExceptionHandler", "Continue"),
        ],
    ),
    (
        "production.exception.handler",
        field!(production_exception_handler),
        "Fail",
        &[
            ("continue", "Continue"),
            ("dead-letter", "DeadLetter"),
            ("JAVA.DefaultProductionExceptionHandler", "Fail"),
        ],
    ),
    ("errors.dead.letter.queue.topic.name", field!(dead_letter_topic), "None", &[("dead", "Some(\"dead\")")]),
    ("state.flush.interval.ms", field!(state_flush_interval_ms), "60000", &[("1", "1")]),
    ("state.flush.bytes", field!(state_flush_bytes), "16777216", &[("8m", "8388608"), ("5", "5")]),
    ("memory.max", field!(memory_max), "268435456", &[("2 GiB", "2147483648")]),
    ("state.dir", in_temporary, "\"TEMPORARY/headwater\"", &[("/var/lib/app", "\"/var/lib/app\"")]),
    ("state.cleanup.delay.ms", field!(state_cleanup_delay_ms), "600000", &[("0", "0")]),
];

/// `state.dir`, whatever this machine's folder for temporary files is.
fn in_temporary(settings: &Settings) -> String {
    let temporary = std::env::temp_dir().display().to_string();
    format!("{:?}", settings.state_dir).replace(&temporary, "TEMPORARY")
}

/// What else has to be set where `name` is set to `value`.
fn company(name: &str, value: &str) -> &'static str {
    match (name, value) {
        ("transaction.timeout.ms", _) => "processing.guarantee=exactly_once_v2",
        ("errors.dead.letter.queue.topic.name", _) => "processing.exception.handler=dead-letter",
        (_, "dead-letter") => "errors.dead.letter.queue.topic.name=dead",
        _ => "",
    }
}

#[test]
fn every_property_has_its_default_and_its_values() {
    let cases: Vec<&Case> = IDENTITY.iter().chain(INTAKE).chain(STATE).collect();
    let default = configure("application.id=app").unwrap();
    for (name, read, expected_default, values) in &cases {
        assert_eq!(read(default.settings()), *expected_default, "default of {name}");
        for (value, expected) in *values {
            let package = if name.contains("handler") { "errors" } else { "processor" };
            let written = value.replace("JAVA", &format!("org.apache.kafka.streams.{package}"));
            let config =
                configure(&format!("application.id=app\n{name}={written}\n{}", company(name, value)))
                    .unwrap();
            assert_eq!(read(config.settings()), *expected, "{name}={value}");
        }
        let other = values.iter().any(|(_, becomes)| becomes != expected_default);
        assert!(other, "{name} is tested at its default only");
    }
    assert_eq!(cases.iter().map(|(name, ..)| (*name).to_owned()).collect::<Vec<_>>(), in_table_order(&cases));
}

/// The names of all properties, those of `cases` in the order of `cases`: equal to them where none is missing.
fn in_table_order(cases: &[&Case]) -> Vec<String> {
    let mut names = names();
    names.retain(|name| !connects(name));
    names.sort_by_key(|name| cases.iter().position(|(tested, ..)| tested == name));
    names
}

#[test]
fn a_state_folder_that_is_not_used_is_refused() {
    let check = |properties: &str, folder: Option<&str>| {
        let checked = configure(properties).unwrap().check_folder(folder.map(std::path::Path::new));
        checked.map_err(|error| error.to_string())
    };
    assert_eq!(check("application.id=app", None), Ok(()));
    let set = "application.id=app\nstate.dir=/state";
    assert_eq!(check(set, Some("/state/app")), Ok(()));
    let advice =
        "let the program open a `RocksBackend` with these settings (feature `rocksdb`), or leave it out";
    for (folder, place) in [(None, "in memory"), (Some("/states/app"), "in `/states/app`")] {
        let message =
            format!("`state.dir` (/state, code) is not used: the program keeps its state {place}; {advice}");
        assert_eq!(check(set, folder), Err(message));
    }
}

#[test]
fn defaults_follow_other_settings() {
    let eos = "processing.guarantee=exactly_once_v2\n";
    let cases: &[(String, Read, &str)] = &[
        (eos.to_owned(), field!(commit_interval_ms), "100"),
        (eos.to_owned(), field!(transaction_timeout_ms), "10000"),
        (eos.to_owned(), field!(request_timeout_ms), "2500"),
        (format!("{eos}commit.interval.ms=2000"), field!(transaction_timeout_ms), "20000"),
        (format!("{eos}commit.interval.ms=100000"), field!(transaction_timeout_ms), "900000"),
        (format!("{eos}commit.interval.ms=100000"), field!(request_timeout_ms), "30000"),
        ("client.id=west".to_owned(), field!(client_id), "\"west\""),
        ("memory.max=4m".to_owned(), field!(state_flush_bytes), "262144"),
        ("memory.max=1".to_owned(), field!(state_flush_bytes), "1"),
        ("__emit.interval.ms.kstreams.windowed.aggregation__=7".to_owned(), field!(emit_interval_ms), "7"),
        // Clients' prefixes name the same settings.
        ("consumer.session.timeout.ms=5000".to_owned(), field!(session_timeout_ms), "5000"),
        ("main.consumer.auto.offset.reset=latest".to_owned(), field!(auto_offset_reset), "Some(Latest)"),
        ("consumer.heartbeat.interval.ms=5".to_owned(), field!(heartbeat_interval_ms), "5"),
        ("consumer.max.poll.interval.ms=5".to_owned(), field!(max_poll_interval_ms), "5"),
        ("main.consumer.group.instance.id=west".to_owned(), field!(group_instance_id), "Some(\"west\")"),
        ("producer.max.request.size=5k".to_owned(), field!(max_request_size), "5120"),
        ("producer.request.timeout.ms=50".to_owned(), field!(request_timeout_ms), "50"),
        (format!("{eos}producer.transaction.timeout.ms=5000"), field!(transaction_timeout_ms), "5000"),
    ];
    for (lines, read, expected) in cases {
        let config = configure(&format!("application.id=app\n{lines}")).unwrap();
        assert_eq!(read(config.settings()), *expected, "{lines}");
    }
}

#[test]
fn javas_handlers_that_go_on_feed_a_dead_letter_queue_where_there_is_one() {
    let cases = [
        ("deserialization.exception.handler=LogAndContinueExceptionHandler", "DeadLetter"),
        ("deserialization.exception.handler=continue\nprocessing.exception.handler=dead-letter", "Continue"),
        (
            "deserialization.exception.handler=LogAndFailExceptionHandler\nproduction.exception.handler=dead-letter",
            "Fail",
        ),
    ];
    for (lines, expected) in cases {
        let lines = format!("application.id=app\nerrors.dead.letter.queue.topic.name=dead\n{lines}");
        let handler = configure(&lines).unwrap().settings().deserialization_exception_handler;
        assert_eq!(format!("{handler:?}"), expected, "{lines}");
    }
}

/// Checks that `application.id=app` and `lines` are refused with `expected`.
fn refused(lines: &str, expected: &str) {
    let error = configure(&format!("application.id=app\n{lines}")).expect_err(lines);
    assert_eq!(error, expected, "{lines}");
}

#[test]
fn unknown_names_are_refused_with_the_nearest() {
    let cases = [
        ("comit.interval.ms", "did you mean `commit.interval.ms`?"),
        ("commit.interval", "did you mean `commit.interval.ms`?"),
        ("commit_interval_ms", "did you mean `commit.interval.ms`?"),
        ("APPLICATION_ID", "did you mean `application.id`?"),
        ("bootstrap.server", "did you mean `bootstrap.servers`?"),
        ("num.threads", "did you mean `num.stream.threads`?"),
        ("dead.letter.queue.topic.name", "did you mean `errors.dead.letter.queue.topic.name`?"),
        ("consumer.sesion.timeout.ms", "did you mean `consumer.session.timeout.ms`?"),
        ("producer.transaction.timeout", "did you mean `producer.transaction.timeout.ms`?"),
        ("frobnicate", "`Config::help` lists the properties"),
        ("", "`Config::help` lists the properties"),
    ];
    for (name, hint) in cases {
        refused(&format!("{name}=1"), &format!("unknown property `{name}`; {hint}"));
    }
}

#[test]
fn every_misspelt_name_leads_back() {
    for name in names() {
        for misspelt in
            [format!("{name}s"), name[1..].to_owned(), name.replacen('e', "", 1), name.replace('.', "-")]
        {
            // Which is another name of it.
            if misspelt != name && misspelt != "sasl.mechanisms" {
                refused(
                    &format!("{misspelt}=1"),
                    &format!("unknown property `{misspelt}`; did you mean `{name}`?"),
                );
            }
        }
    }
}

#[test]
fn kafkas_other_names_say_what_to_do_instead() {
    let memory = "every update of a table is told; only the changelog gets the last one of each commit; set `memory.max` \
                  for the memory of state; tell windows once with `EmitStrategy::on_window_close`";
    let cases = [
        ("acks", "writes always wait for all in-sync replicas (`all`); leave it out"),
        ("producer.acks", "writes always wait for all in-sync replicas (`all`); leave it out"),
        (
            "enable.auto.commit",
            "offsets are committed together with results and state; set `commit.interval.ms`",
        ),
        (
            "consumer.isolation.level",
            "it follows from the guarantee: `read_committed` under `exactly_once_v2`; set `processing.guarantee`",
        ),
        (
            "group.protocol",
            "membership is by the classic protocol, which all brokers from 2.5 on speak; leave it out",
        ),
        (
            "num.standby.replicas",
            "there are no standby replicas; set `group.instance.id`: a restart within `session.timeout.ms` moves no \
             task",
        ),
        (
            "rocksdb.config.setter",
            "there is one database for all stores, which is set up by the framework and bounded as a whole; set \
             `memory.max`, of which it gets its part",
        ),
        (
            "allow.os.group.write.access",
            "state is written by one process, and the group of its user may read it; leave it out",
        ),
        ("cache.max.bytes.buffering", memory),
        ("statestore.cache.max.bytes", memory),
        ("topology.optimization", "a topology runs as it is written; leave it out"),
        (
            "default.key.serde",
            "serdes come from the types of keys and values; implement `HasSerde` for the type, or name a serde where \
             the topology uses it",
        ),
        (
            "default.deserialization.exception.handler",
            "it is the old name of `deserialization.exception.handler`; set `deserialization.exception.handler`",
        ),
        ("rack.aware.assignment.non_overlap_cost", "assignment knows no racks; leave it out"),
        (
            "topic.min.insync.replicas",
            "internal topics take the brokers' defaults, but for `topic.max.message.bytes`; set `replication.factor`, or the brokers' defaults",
        ),
    ];
    for (name, why) in cases {
        refused(&format!("{name}=1"), &format!("`{name}` is not a property here: {why}"));
    }
}

#[test]
fn kafkas_other_names_of_security_say_what_to_do_instead() {
    let cases = [
        (
            "sasl.kerberos.service.name",
            "logins are by PLAIN or SCRAM, with a user's name and password; set `sasl.mechanism`, `sasl.username` and \
             `sasl.password`",
        ),
        (
            "ssl.truststore.password",
            "a truststore is a file of certificates in PEM, which has no password; leave it out, or name the \
             certificates by `ssl.ca.location`",
        ),
        (
            "enable.ssl.certificate.verification",
            "brokers always have to show a certificate that verifies; name their authority by `ssl.ca.location`; \
             `ssl.endpoint.identification.algorithm` may be `none`",
        ),
        (
            "ssl.enabled.protocols",
            "versions and ciphers are OpenSSL's default; set them for the machine, in its `openssl_conf`",
        ),
        (
            "ssl.engine.factory.class",
            "there are no classes to name in a configuration; OpenSSL makes the connections; leave it out",
        ),
    ];
    for (name, why) in cases {
        refused(&format!("{name}=1"), &format!("`{name}` is not a property here: {why}"));
    }
}

#[test]
fn prefixes_stand_only_before_settings_of_that_client() {
    let cases = [
        ("restore.consumer.session.timeout.ms", "session.timeout.ms", "restore consumer"),
        ("admin.request.timeout.ms", "request.timeout.ms", "admin client"),
        ("consumer.request.timeout.ms", "request.timeout.ms", "consumers"),
        ("producer.commit.interval.ms", "commit.interval.ms", "producers"),
        ("main.consumer.bootstrap.servers", "bootstrap.servers", "main consumer"),
        ("global.consumer.auto.offset.reset", "auto.offset.reset", "global consumer"),
    ];
    for (name, bare, client) in cases {
        let expected =
            format!("`{name}`: `{bare}` is not a setting of the {client}; set `{bare}`, without prefix");
        refused(&format!("{name}=1"), &expected);
    }
}

#[test]
fn values_that_are_not_allowed_are_refused_with_what_is() {
    let name = "1 to 249 of the characters a-z A-Z 0-9 . _ - (and not `.` or `..`)";
    let bytes = "a number of bytes, 1 or more, as in 1048576, 1024k, 64m, 2g, 64 MiB or 2 GiB";
    let ms = |range: &str| format!("a whole number of milliseconds, {range}");
    let cases = [
        ("session.timeout.ms", "45s", ms("1 to 3600000")),
        ("session.timeout.ms", "3600001", ms("1 to 3600000")),
        ("heartbeat.interval.ms", "3600001", ms("1 to 3600000")),
        ("max.poll.interval.ms", "2147483648", ms("1 to 2147483647")),
        ("request.timeout.ms", "9", ms("10 to 300000")),
        ("request.timeout.ms", "300001", ms("10 to 300000")),
        ("commit.interval.ms", "0", ms("1 or more")),
        ("commit.interval.ms", "1.5", ms("1 or more")),
        ("max.task.idle.ms", "-2", ms("0 or more, or -1")),
        ("transaction.timeout.ms", "999", ms("1000 to 900000")),
        ("transaction.timeout.ms", "900001", ms("1000 to 900000")),
        ("processing.guarantee", "exactly_twice", "at_least_once | exactly_once_v2".to_owned()),
        ("auto.offset.reset", "by_duration:PT5M", "earliest | latest | none".to_owned()),
        ("processing.exception.handler", "com.example.Mine", "fail | continue | dead-letter".to_owned()),
        ("replication.factor", "0", "a whole number of replicas, 1 to 32767, or -1".to_owned()),
        ("num.stream.threads", "0", "a whole number of workers, 1 to 999".to_owned()),
        ("memory.max", "64MB", bytes.to_owned()),
        ("bootstrap.servers", "broker", "a list of host:port, separated by commas".to_owned()),
        ("client.id", "a\tb", "1 to 200 characters without control characters".to_owned()),
        ("errors.dead.letter.queue.topic.name", "a/b", name.to_owned()),
        ("errors.dead.letter.queue.topic.name", "..", name.to_owned()),
        ("group.instance.id", &"x".repeat(246), name.replace("249", "245")),
        ("application.id", &"x".repeat(201), name.replace("249", "200")),
    ];
    for (name, value, allowed) in cases {
        refused(&format!("{name}={value}"), &format!("`{name}` cannot be `{value}`; allowed: {allowed}"));
    }
    refused("task.timeout.ms=", &format!("`task.timeout.ms` has no value; allowed: {}", ms("0 or more")));
}

#[test]
fn contradictions_are_refused_by_name() {
    let cases = [
        (
            "processing.guarantee=exactly_once_v2\ncommit.interval.ms=5000\ntransaction.timeout.ms=5000",
            "`commit.interval.ms` (5000, code) must be below `transaction.timeout.ms` (5000, code); the coordinator \
             would abort transactions before they are committed; commit more often",
        ),
        (
            "processing.guarantee=exactly_once_v2\ncommit.interval.ms=900000",
            "`commit.interval.ms` (900000, code) must be below `transaction.timeout.ms` (900000, default); the \
             coordinator would abort transactions before they are committed; commit more often",
        ),
        (
            "transaction.timeout.ms=5000",
            "`transaction.timeout.ms` (5000, code) has no effect under `processing.guarantee` (at_least_once, \
             default); leave it out, or set `processing.guarantee` to `exactly_once_v2`",
        ),
        (
            "heartbeat.interval.ms=45000",
            "`heartbeat.interval.ms` (45000, code) must be below `session.timeout.ms` (45000, default); a third of it \
             leaves room for two lost heartbeats",
        ),
        (
            "memory.max=1m\nstate.flush.bytes=2m",
            "`state.flush.bytes` (2097152, code) must not be above `memory.max` (1048576, code); memory would be full \
             before anything is flushed; a sixteenth of it leaves room for records",
        ),
        (
            "production.exception.handler=dead-letter",
            "`production.exception.handler` (dead-letter, code) needs `errors.dead.letter.queue.topic.name`; set it to \
             the topic that shall take the records",
        ),
        (
            "errors.dead.letter.queue.topic.name=dead",
            "`errors.dead.letter.queue.topic.name` (dead, code) has no effect: no handler is `dead-letter`; set \
             `deserialization.exception.handler` or `processing.exception.handler` or \
             `production.exception.handler` to `dead-letter`",
        ),
        (
            "consumer.session.timeout.ms=5000\nsession.timeout.ms=6000",
            "`session.timeout.ms` is `6000`, but `consumer.session.timeout.ms` (code) is `5000`; they are the same \
             setting: give `session.timeout.ms` once",
        ),
    ];
    for (lines, expected) in cases {
        refused(lines, expected);
    }
}

#[test]
fn a_refused_value_is_not_a_contradiction_as_well() {
    let name = "1 to 249 of the characters a-z A-Z 0-9 . _ - (and not `.` or `..`)";
    refused(
        "processing.exception.handler=skip\nerrors.dead.letter.queue.topic.name=dead",
        "`processing.exception.handler` cannot be `skip`; allowed: fail | continue | dead-letter",
    );
    refused(
        "processing.exception.handler=dead-letter\nerrors.dead.letter.queue.topic.name=a/b",
        &format!("`errors.dead.letter.queue.topic.name` cannot be `a/b`; allowed: {name}"),
    );
}

#[test]
fn all_problems_are_told_at_once() {
    let error = configure(
        "comit.interval.ms=5
         acks=all
         session.timeout.ms=soon
         heartbeat.interval.ms=90000
         transaction.timeout.ms=5000
         processing.exception.handler=dead-letter",
    )
    .unwrap_err();
    let expected = [
        "the configuration has 6 problems:",
        "unknown property `comit.interval.ms`; did you mean `commit.interval.ms`?",
        "`acks` is not a property here: writes always wait for all in-sync replicas (`all`); leave it out",
        "`application.id` is not set; it names the consumer group and the internal topics: processes with the same id \
         share the work",
        // Whether a heartbeat every 90000 ms is too rare cannot be told without a session timeout.
        "`session.timeout.ms` cannot be `soon`; allowed: a whole number of milliseconds, 1 to 3600000",
        "`transaction.timeout.ms` (5000, code) has no effect under `processing.guarantee` (at_least_once, default); \
         leave it out, or set `processing.guarantee` to `exactly_once_v2`",
        "`processing.exception.handler` (dead-letter, code) needs `errors.dead.letter.queue.topic.name`; set it to the \
         topic that shall take the records",
    ];
    assert_eq!(error, expected.join("\n  "));
}

#[test]
fn errors_stop() {
    let error = Config::from_properties([("frobnicate", "1")]).unwrap_err();
    assert_eq!(error.reaction(), headwater::error::Reaction::Stop);
}

#[test]
fn code_wins_over_environment_over_files() {
    let base = file(
        "base.properties",
        "application.id=base\nclient.id=base\ngroup.instance.id=base\ntask.timeout.ms=1\n",
    );
    let local = file("local.properties", "client.id=local\ngroup.instance.id=local\ntask.timeout.ms=2\n");
    // The order of the calls matters only among files, and among calls of `set`.
    let config = Config::builder()
        .set("task.timeout.ms", "4")
        .set("task.timeout.ms", "5")
        .environment([("HEADWATER_GROUP_INSTANCE_ID", "variable"), ("HEADWATER_TASK_TIMEOUT_MS", "3")])
        .file(&base)
        .file(&local)
        .build()
        .unwrap();
    let explained = config.explain();
    let lines = [
        format!("application.id = base (file {}:1)", base.display()),
        format!("client.id = local (file {}:1)", local.display()),
        "group.instance.id = variable (environment HEADWATER_GROUP_INSTANCE_ID)".to_owned(),
        "task.timeout.ms = 5 (code)".to_owned(),
        "commit.interval.ms = 30000 (default)".to_owned(),
        "bootstrap.servers = not set (default)".to_owned(),
    ];
    for line in lines {
        assert!(explained.lines().any(|explained| explained == line), "{line} is not in\n{explained}");
    }
}

#[test]
fn a_value_that_loses_is_not_looked_at() {
    let wrong = file("wrong.properties", "application.id=app\ntask.timeout.ms=soon\n");
    let config = Config::builder().file(wrong).set("task.timeout.ms", "7").build().unwrap();
    assert_eq!(config.settings().task_timeout_ms, 7);
}

#[test]
fn files_are_refused_with_their_lines() {
    let cases = [
        (
            3,
            "comit.interval.ms = 5",
            "unknown property `comit.interval.ms`; did you mean `commit.interval.ms`?",
        ),
        (
            3,
            "task.timeout.ms\\\n  = soon",
            "`task.timeout.ms` cannot be `soon`; allowed: a whole number of milliseconds, 0 or more",
        ),
        (
            3,
            "task.timeout.ms",
            "`task.timeout.ms` has no value; allowed: a whole number of milliseconds, 0 or more",
        ),
        (
            4,
            "! x\ngroup.instance.id=\\u12",
            "\\u without four hexadecimal digits; the syntax is that of java.util.Properties",
        ),
        (
            5,
            "group.instance.id=b\ngroup.instance.id=a\ngroup.instance.id=b",
            "`group.instance.id` is `b`, but `group.instance.id` (file PATH:4) is `a`; they are the same setting: give `group.instance.id` \
             once",
        ),
    ];
    for (number, (line, text, expected)) in cases.into_iter().enumerate() {
        let path =
            file(&format!("refused-{number}.properties"), &format!("# Orders\napplication.id app\n{text}\n"));
        let shown = path.display().to_string();
        let expected = format!("{shown}:{line}: {}", expected.replace("PATH", &shown));
        assert_eq!(Config::builder().file(&path).build().unwrap_err().to_string(), expected);
    }
}

#[test]
fn a_file_that_is_missing_is_refused() {
    let error =
        Config::builder().set("application.id", "app").file("nowhere/app.properties").build().unwrap_err();
    let error = error.to_string();
    assert!(error.starts_with("cannot read the file of properties nowhere/app.properties: "), "{error}");
}

#[test]
fn variables_stand_for_properties() {
    let variables = [
        ("HEADWATER_APPLICATION_ID", "app"),
        ("HEADWATER_CONSUMER_SESSION_TIMEOUT_MS", "5000"),
        ("HEADWATER_SUITES", "/suites"),
        ("HEADWATER_TEST_BOOTSTRAP", "broker:9092"),
        ("HEADWATER_LOG", "debug"),
        ("headwater_frobnicate", "1"),
        ("PATH", "/bin"),
    ];
    let config = Config::builder().environment(variables).build().unwrap();
    assert_eq!(config.settings().session_timeout_ms, 5_000);
}

#[test]
fn variables_are_refused_by_their_own_names() {
    let cases = [
        (
            "HEADWATER_COMIT_INTERVAL_MS",
            "unknown property `comit.interval.ms`; did you mean `HEADWATER_COMMIT_INTERVAL_MS`?",
        ),
        (
            "HEADWATER_RACK_AWARE_ASSIGNMENT_NON_OVERLAP_COST",
            "`rack.aware.assignment.non.overlap.cost` is not a property here: assignment knows no racks; leave it out",
        ),
        (
            "HEADWATER_ADMIN_REQUEST_TIMEOUT_MS",
            "`admin.request.timeout.ms`: `request.timeout.ms` is not a setting of the admin client; set \
             `HEADWATER_REQUEST_TIMEOUT_MS`, without prefix",
        ),
        (
            "HEADWATER_TASK_TIMEOUT_MS",
            "`task.timeout.ms` has no value; allowed: a whole number of milliseconds, 0 or more",
        ),
        ("HEADWATER_", "unknown property ``; `Config::help` lists the properties"),
    ];
    for (variable, expected) in cases {
        let builder = Config::builder().set("application.id", "app").environment([(variable, "")]);
        assert_eq!(builder.build().unwrap_err().to_string(), format!("{variable}: {expected}"));
    }
}

#[cfg(unix)]
#[test]
fn variables_that_are_not_utf8_are_refused_only_with_the_prefix() {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt as _;
    let garbled = || OsString::from_vec(vec![0xff]);
    let builder = || Config::builder().set("application.id", "app");
    builder().environment([(OsString::from("OTHER"), garbled()), (garbled(), garbled())]).build().unwrap();
    let error = builder()
        .environment([(OsString::from("HEADWATER_GROUP_INSTANCE_ID"), garbled())])
        .build()
        .unwrap_err();
    assert_eq!(error.to_string(), "HEADWATER_GROUP_INSTANCE_ID: not UTF-8; write it in UTF-8");
}

#[test]
fn workers_get_their_options() {
    let lines = "application.id=app
        client.id=west
        group.instance.id=box
        processing.guarantee=exactly_once_v2
        session.timeout.ms=6000
        heartbeat.interval.ms=2000
        max.poll.interval.ms=9000
        transaction.timeout.ms=8000
        request.timeout.ms=700";
    let config = configure(lines).unwrap();
    let expected = headwater::kafka::MemberOptions {
        group: "app".to_owned(),
        client: "west-007-p1".to_owned(),
        instance: Some("box-007".to_owned()),
        session_timeout_ms: 6_000,
        heartbeat_interval_ms: 2_000,
        max_poll_interval_ms: 9_000,
    };
    assert_eq!(config.member_options("p1", 7), expected);
    let expected = headwater::kafka::ProducerOptions {
        client: "west-007-p1".to_owned(),
        transactional_id: Some("app-p1-7".to_owned()),
        transaction_timeout_ms: 8_000,
        request_timeout_ms: 700,
    };
    assert_eq!(config.producer_options("p1", 7), expected);
    let config = configure("application.id=app").unwrap();
    assert_eq!(config.producer_options("p1", 7).transactional_id, None);
    assert_eq!(config.member_options("p1", 7).instance, None);
}

#[test]
fn every_property_names_its_decision_its_values_and_its_default() {
    let help = Config::help();
    for lines in help.lines().collect::<Vec<_>>().chunks(3) {
        let [name, decision, values] = lines else { panic!("{lines:?}") };
        assert!(
            !name.starts_with(' ') && decision.starts_with("    ") && values.starts_with("    "),
            "{lines:?}"
        );
        assert!(values.contains("; default: ") || values.ends_with("; required"), "{values}");
        assert!(!name.ends_with(".ms") || values.contains("milliseconds"), "{values}");
    }
}
