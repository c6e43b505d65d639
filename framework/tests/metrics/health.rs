//! What probes are told.

use std::net::TcpStream;

use headwater::StreamsBuilder;

use crate::bench::{cluster, put, serve, until};
use crate::scrape::{Scrape, get};

fn copying(builder: &StreamsBuilder) {
    builder.stream::<String, i64>("in").to("out");
}

#[test]
fn a_worker_that_fails_makes_the_process_unhealthy() {
    let cluster = cluster(&["in", "out"]);
    let (running, address) = serve(&cluster, &[("num.stream.threads", "2")], copying);
    assert_eq!(running.states().len(), 2, "also of a worker that has not begun");
    until(&cluster, "the start", || (get(address, "/health/ready").0 == 200).then_some(()));
    for path in ["/health", "/health/live"] {
        let body = r#"{"status":"running","workers":["running","running"]}"#.to_owned();
        assert_eq!(get(address, path), (200, body), "{path}");
    }
    assert!(running.health().is_ready());
    let page = Scrape::of(address);
    let (alive, failed) = (
        "kafka_streams_stream_metrics_alive_stream_threads",
        "kafka_streams_stream_metrics_failed_stream_threads",
    );
    assert_eq!((page.value(alive, &[]), page.value(failed, &[])), (2.0, 0.0));

    put(&cluster, "in", 1, (Some("a"), b"no number"));
    until(&cluster, "the end", || running.is_finished().then_some(()));
    for path in ["/health", "/health/live", "/health/ready"] {
        let (status, body) = get(address, path);
        assert_eq!(status, 503, "{path}");
        assert!(body.starts_with(r#"{"status":"failed","workers":["#), "{body}");
    }
    let page = Scrape::of(address);
    assert_eq!((page.value(alive, &[]), page.value(failed, &[])), (0.0, 1.0));
    assert_eq!(page.value("kafka_streams_stream_metrics_client_state", &[]), 6.0);
    assert_eq!(page.value("headwater_worker_state", &[("state", "failed")]), 1.0);
    assert!(running.wait().is_err());
}

#[test]
fn the_server_ends_with_the_application() {
    let cluster = cluster(&["in", "out"]);
    let (running, address) = serve(&cluster, &[], copying);
    assert!(running.serve_metrics(address).is_err(), "the address is taken");
    let other = running.serve_metrics("127.0.0.1:0").unwrap();
    assert_eq!((get(other, "/health").0, get(address, "/").0), (200, 404));
    assert!(!running.metrics_text().is_empty());
    // Neither does a connection that is open, and asks nothing, hold it up.
    let open = TcpStream::connect(address).unwrap();
    running.stop().unwrap();
    drop(open);
    for address in [address, other] {
        assert!(TcpStream::connect(address).is_err(), "{address}");
    }
}
