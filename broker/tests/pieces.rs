//! A large request comes in as many pieces as the network likes: it takes its own length of the room for requests.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, reason = "a failed step ends the test")]

use std::rc::Rc;

use headwater_broker::server::Streams;
use headwater_broker::{Broker, BrokerConfig, SharedBroker};
use kafka_protocol::messages::{ApiKey, MetadataRequest, RequestHeader};
use kafka_protocol::protocol::Encodable;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;

const ROOM: usize = 4 << 20;
/// What comes at a time.
const PIECE: usize = 1_400;

/// A request of so many bytes.
fn request(bytes: usize) -> Vec<u8> {
    let mut frame = vec![0; 4];
    let header =
        RequestHeader::default().with_request_api_key(ApiKey::Metadata as i16).with_request_api_version(0);
    header.encode(&mut frame, 1).unwrap();
    MetadataRequest::default().with_topics(Some(Vec::new())).encode(&mut frame, 0).unwrap();
    // What stands behind a message is no error.
    frame.resize(bytes, 0);
    let length = u32::try_from(bytes - 4).unwrap();
    frame[..4].copy_from_slice(&length.to_be_bytes());
    frame
}

/// A server with little room.
fn streams() -> Streams {
    let broker = SharedBroker::new(Broker::new(BrokerConfig::default()));
    let room = ROOM.to_string();
    let limits = [("socket.request.max.bytes", &room), ("queued.max.request.bytes", &room)];
    let mut builder = Broker::builder();
    for (name, value) in limits {
        builder = builder.set(name, value).unwrap();
    }
    builder.streams(broker).unwrap()
}

/// The clock jumps when nobody has anything to do: what waits for ever is found at once.
fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

/// Sends a request in pieces; whether it was taken, and answered.
async fn ask(streams: &Streams, bytes: usize) -> (bool, bool) {
    let (mut client, stream) = tokio::io::duplex(PIECE);
    let ask = async move {
        let sent = client.write_all(&request(bytes)).await;
        (sent.is_ok(), client.read_i32().await.is_ok())
    };
    tokio::join!(streams.serve(stream), ask).1
}

#[test]
fn a_large_request_may_come_in_small_pieces() {
    let streams = streams();
    runtime().block_on(async {
        for bytes in [100_000, 2 << 20, ROOM] {
            assert_eq!(ask(&streams, bytes).await, (true, true), "{bytes} bytes");
        }
    });
}

/// More than there is room for at a time.
#[test]
fn requests_that_come_side_by_side_do_not_wait_for_each_other() {
    let streams = Rc::new(streams());
    let set = tokio::task::LocalSet::new();
    let answered = set.block_on(&runtime(), async {
        let ask = |streams: Rc<Streams>| async move { ask(&streams, 1_000_000).await };
        let all: Vec<_> = (0..16).map(|_| tokio::task::spawn_local(ask(streams.clone()))).collect();
        let mut answered = 0;
        for one in all {
            answered += usize::from(one.await.unwrap() == (true, true));
        }
        answered
    });
    assert_eq!(answered, 16);
}
