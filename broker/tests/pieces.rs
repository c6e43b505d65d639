//! A large request comes in as many pieces as the network likes: it takes its own length of the room for requests.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, reason = "a failed step ends the test")]

use headwater_broker::{Broker, BrokerConfig, SharedBroker};
use kafka_protocol::messages::{ApiKey, MetadataRequest, RequestHeader};
use kafka_protocol::protocol::Encodable;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

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

#[test]
fn a_large_request_may_come_in_small_pieces() {
    let broker = SharedBroker::new(Broker::new(BrokerConfig::default()));
    let room = ROOM.to_string();
    let limits = [("socket.request.max.bytes", &room), ("queued.max.request.bytes", &room)];
    let mut builder = Broker::builder();
    for (name, value) in limits {
        builder = builder.set(name, value).unwrap();
    }
    let streams = builder.streams(broker).unwrap();
    // The clock jumps when nobody has anything to do: what waits for ever is found at once.
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        for bytes in [100_000, 2 << 20, ROOM] {
            let (mut client, stream) = tokio::io::duplex(PIECE);
            let ask = async move {
                let sent = client.write_all(&request(bytes)).await;
                (sent.is_ok(), client.read_i32().await.is_ok())
            };
            let ((), (sent, answered)) = tokio::join!(streams.serve(stream), ask);
            assert!(sent && answered, "{bytes} bytes, sent: {sent}, answered: {answered}");
        }
    });
}
