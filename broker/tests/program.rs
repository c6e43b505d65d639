//! The program from outside: what it says and refuses at its start, what it logs, and that its help and the README agree.
#![cfg(feature = "program")]
#![allow(clippy::unwrap_used, reason = "a failed step ends the test")]

mod process;
mod raw;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;

use kafka_protocol::messages::{EndTxnRequest, InitProducerIdRequest, TransactionalId};
use kafka_protocol::protocol::StrBytes;
use process::{Folder, Process, on_a_disk, program, told};
use raw::Client;

/// What a start that fails says on one line; `$` stands for the folder of the test.
fn refused(folder: &Folder, arguments: &[&str]) -> String {
    let arguments: Vec<String> =
        arguments.iter().map(|argument| argument.replace('$', folder.0.to_str().unwrap())).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let output = program(&arguments).env("RUST_LOG", "error").output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    assert!(output.stdout.is_empty(), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap().replace(folder.0.to_str().unwrap(), "$")
}

fn check(folder: &Folder, arguments: &[&str], expected: &str) {
    let said = refused(folder, arguments);
    assert_eq!(said, format!("headwater-broker: {expected}\n"), "{arguments:?}");
}

#[test]
fn a_start_that_cannot_be_says_why_and_what_to_do_on_one_line() {
    let folder = Folder::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let in_use = format!(
        "{taken} cannot be listened at: Address already in use (os error 98); end what listens there, or choose another port (0 takes a free one)"
    );
    let used = Process::start(&["--dir", &folder.at("used")], None, Path::new(&folder.at("log")));
    fs::write(folder.at("file"), "").unwrap();
    for (name, content) in [
        ("misspelt", "# ours\nnum.partitions=3\nnum.partition=4\n"),
        ("value", "num.partitions=many\n"),
        ("without-folder", "log.dirs=/a,/b\n"),
        ("ssl", "listeners=SSL://127.0.0.1:0\n"),
    ] {
        fs::write(folder.at(name), content).unwrap();
    }
    let free = "127.0.0.1:0";
    let cases: &[(&[&str], &str)] = &[
        (&["--listen", &taken], &in_use),
        (&["--listen", free, "--metrics", &taken], &in_use),
        (
            &["--listen", "192.0.2.1:9092"],
            "192.0.2.1:9092 cannot be listened at: Cannot assign requested address (os error 99); choose an address of this machine",
        ),
        (
            &["--listen", "9092"],
            "9092 cannot be listened at: invalid socket address; it has to be <host>:<port>",
        ),
        (
            &["--listen", free, "--dir", "$/file"],
            "the broker's folder $/file cannot be opened: File exists (os error 17); it is a file: choose another name",
        ),
        (
            &["--listen", free, "--dir", "$/file/data"],
            "the broker's folder $/file/data cannot be opened: Not a directory (os error 20); it is a file: choose another name",
        ),
        (
            &["--listen", free, "--dir", "$/used"],
            "the broker's folder $/used cannot be opened: another broker uses it; end that one, or choose another folder",
        ),
        (&["--config", "$/nowhere"], "$/nowhere cannot be read: No such file or directory (os error 2)"),
        (
            &["--config", "$/misspelt"],
            "$/misspelt:3: there is no property `num.partition`; did you mean `num.partitions`?",
        ),
        (
            &["--config", "$/value"],
            "$/value:1: `num.partitions` cannot be `many`; allowed: a whole number, 1 to 2147483647",
        ),
        (
            &["--config", "$/without-folder"],
            "$/without-folder:1: `log.dirs` cannot be `/a,/b`; allowed: one folder",
        ),
        (&["--config", "$/ssl"], "listener SSL: `ssl.keystore.location` is missing"),
    ];
    for (arguments, expected) in cases {
        check(&folder, arguments, expected);
    }
    drop(used);
    let output = program(&[]).env("RUST_LOG", "headwater_broker=loud").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with("headwater-broker: RUST_LOG cannot be `headwater_broker=loud`: "), "{said}");
    assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{said}");
}

#[test]
fn read_only_child() {
    let Some(disk) = told() else { return };
    let folder = Folder(disk);
    check(
        &folder,
        &["--listen", "127.0.0.1:0", "--dir", "$/data"],
        "the broker's folder $/data cannot be opened: Read-only file system (os error 30); choose a folder that this user may write to",
    );
    check(
        &folder,
        &["--listen", "127.0.0.1:0", "--dir", "$"],
        "the broker's folder $ cannot be opened: Read-only file system (os error 30); choose a folder that this user may write to",
    );
}

#[test]
fn a_folder_that_cannot_be_written_is_refused() {
    on_a_disk("ro,size=1m", "read_only_child");
}

fn lines<'a>(said: &'a str, words: &str) -> Vec<&'a str> {
    said.lines().filter(|line| line.contains(words)).collect()
}

/// As a client that has nothing to do with Kafka, again and again.
fn shout(process: &Process, times: usize) {
    for _ in 0..times {
        let mut stream = raw::connect(process.address);
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        let _ = stream.read(&mut [0]);
    }
}

#[test]
fn start_and_end_are_told_and_what_a_client_repeats_is_not() {
    let folder = Folder::new();
    let (data, log) = (folder.at("data"), folder.at("log"));
    let mut process = Process::start(&["--dir", &data, "--metrics", "127.0.0.1:0"], None, Path::new(&log));
    let metrics = process.line();
    assert!(metrics.starts_with("metrics: http://127.0.0.1:") && metrics.ends_with("/metrics"), "{metrics}");
    shout(&process, 300);
    process.stop();
    let said = process.said();
    let address = format!("address={}", process.address);
    let expected: &[&[&str]] = &[
        &["the broker starts", "version="],
        &["the folder is taken up", "data", "topics=0", "partitions=0", "damaged_bytes=0", "took_ms="],
        &["metrics are served", "address=127.0.0.1:"],
        &["clients are served", &address, "listener=\"PLAINTEXT\"", "protocol=PLAINTEXT"],
        &["the broker ends", "signal=15"],
        &["the broker has ended"],
    ];
    for words in expected {
        let found = lines(&said, words[0]);
        assert_eq!(found.len(), 1, "{}: {said}", words[0]);
        assert!(words.iter().all(|word| found[0].contains(word)), "{words:?}: {said}");
    }
    // 20 of them in ten seconds; a slow machine needs more than ten.
    let told = lines(&said, "a connection is closed").len();
    assert!((20..300).contains(&told), "{told}");
    assert!(!said.contains("DEBUG"), "{said}");
}

#[test]
fn rust_log_says_what_is_told() {
    let folder = Folder::new();
    let quiet = folder.at("quiet");
    let mut process = Process::start(&[], Some("warn"), Path::new(&quiet));
    shout(&process, 1);
    process.stop();
    let said = process.said();
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("a connection is closed"), "{said}");

    let loud = folder.at("loud");
    let mut process = Process::start(&[], Some("headwater_broker=debug"), Path::new(&loud));
    let mut client = Client::at(process.address);
    let request = InitProducerIdRequest::default()
        .with_transactional_id(Some(TransactionalId(StrBytes::from_static_str("x"))))
        .with_transaction_timeout_ms(60_000);
    let first = client.ask(2, &request);
    assert_eq!(client.ask(2, &request).error_code, 0);
    let fenced = EndTxnRequest::default()
        .with_transactional_id(TransactionalId(StrBytes::from_static_str("x")))
        .with_producer_id(first.producer_id)
        .with_producer_epoch(first.producer_epoch);
    assert_eq!(client.ask(2, &fenced).error_code, 90);
    process.stop();
    let said = process.said();
    let told = lines(&said, "a request is refused");
    assert_eq!(told.len(), 1, "{said}");
    for words in
        ["DEBUG headwater_broker::server", "client=\"raw\"", "api=EndTxn", "error=\"PRODUCER_FENCED\""]
    {
        assert!(told[0].contains(words), "{words}: {said}");
    }
}

#[test]
fn help_and_readme_agree() {
    let output = program(&["--help"]).output().unwrap();
    assert!(output.status.success());
    let help = String::from_utf8(output.stdout).unwrap();
    let words = help.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
    let flags = words.filter(|word| word.starts_with("--") && !matches!(*word, "--help" | "--version"));
    let readme = include_str!("../README.md");
    let usage = readme.lines().find(|line| line.starts_with("cargo run ")).unwrap();
    for flag in flags {
        assert!(usage.contains(&format!("[{flag} ")), "{flag}: {usage}");
    }
    let shown = usage.split("[--").skip(1).map(|rest| rest.split(' ').next().unwrap());
    for flag in shown {
        assert!(help.contains(&format!("--{flag} ")), "--{flag}: {help}");
    }
    assert!(help.contains("RUST_LOG") && readme.contains("RUST_LOG"));
}
