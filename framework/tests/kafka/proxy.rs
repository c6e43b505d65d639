//! A proxy before a broker, which answers for it who the brokers are: the proxy alone, or nobody, as a broker does itself that was
//! away for longer than its session and is not back in the cluster.
//!
//! Metadata are rewritten from version 9 of Kafka's protocol on, whose texts and arrays begin with their length plus one, seven
//! bits a byte; FindCoordinator up to version 2.

use std::collections::{BTreeSet, HashMap};
use std::io::{Read, Result, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// Numbers of Kafka's protocol.
const METADATA: i16 = 3;
const FIND_COORDINATOR: i16 = 10;

#[derive(Debug, Default)]
struct State {
    port: u16,
    names_nobody: AtomicBool,
    /// The clients that were told of nobody since that was begun.
    told: Mutex<BTreeSet<String>>,
}

/// A proxy.
#[derive(Debug)]
pub(crate) struct Proxy {
    state: Arc<State>,
}

impl Proxy {
    /// A proxy before the broker at `address`. Its threads end with their connections, or with the test.
    pub(crate) fn before(address: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let state = Arc::new(State { port: listener.local_addr().unwrap().port(), ..State::default() });
        let (shared, address) = (Arc::clone(&state), address.to_owned());
        std::thread::spawn(move || {
            for client in listener.incoming() {
                // Whoever is refused by the broker is hung up on.
                let _ = client.and_then(|client| shared.serve(client, &address));
            }
        });
        Self { state }
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.state.port)
    }

    /// Names nobody from now on.
    pub(crate) fn name_nobody(&self) {
        self.state.told.lock().unwrap().clear();
        self.state.names_nobody.store(true, Ordering::SeqCst);
    }

    /// Names itself again.
    pub(crate) fn name_itself(&self) {
        self.state.names_nobody.store(false, Ordering::SeqCst);
    }

    /// Whether the client of this name was told of nobody.
    pub(crate) fn has_told(&self, client: &str) -> bool {
        self.state.told.lock().unwrap().contains(client)
    }
}

impl State {
    fn serve(self: &Arc<Self>, client: TcpStream, address: &str) -> Result<()> {
        let broker = TcpStream::connect(address)?;
        let asked = Arc::new(Mutex::new(HashMap::new()));
        let (mut from_client, mut to_broker) = (client.try_clone()?, broker.try_clone()?);
        let questions = Arc::clone(&asked);
        std::thread::spawn(move || {
            while let Ok(request) = frame(&mut from_client) {
                let number = |at: usize| i16::from_be_bytes([request[at], request[at + 1]]);
                if [METADATA, FIND_COORDINATOR].contains(&number(0)) {
                    let client = &request[10..10 + usize::try_from(number(8)).unwrap()];
                    let client = String::from_utf8_lossy(client).into_owned();
                    questions.lock().unwrap().insert(request[4..8].to_vec(), (number(0), number(2), client));
                }
                if send(&mut to_broker, &request).is_err() {
                    break;
                }
            }
            let _ = to_broker.shutdown(Shutdown::Both);
        });
        let (state, mut from_broker, mut to_client) = (Arc::clone(self), broker, client);
        std::thread::spawn(move || {
            while let Ok(mut response) = frame(&mut from_broker) {
                match asked.lock().unwrap().remove(&response[..4]) {
                    Some((METADATA, 9.., client)) => {
                        let names_nobody = state.names_nobody.load(Ordering::SeqCst);
                        response = state.metadata(&response, names_nobody);
                        if names_nobody {
                            state.told.lock().unwrap().insert(client);
                        }
                    }
                    // The port is the last that it says.
                    Some((FIND_COORDINATOR, ..=2, _)) if !response.ends_with(&[0xff; 4]) => {
                        response.truncate(response.len() - 4);
                        response.extend(state.port());
                    }
                    None | Some((FIND_COORDINATOR, ..=2, _)) => {}
                    other => panic!("{other:?}"),
                }
                if send(&mut to_client, &response).is_err() {
                    break;
                }
            }
            let _ = to_client.shutdown(Shutdown::Both);
        });
        Ok(())
    }

    fn port(&self) -> [u8; 4] {
        i32::from(self.port).to_be_bytes()
    }

    /// An answer to Metadata: correlation id, tags, throttle time; brokers; cluster id; controller id; what is about topics.
    fn metadata(&self, response: &[u8], names_nobody: bool) -> Vec<u8> {
        let mut rest = &response[4 + 1 + 4..];
        let mut brokers = rest;
        for _ in 1..length(&mut rest) {
            rest = &rest[4..];
            text(&mut rest);
            rest = &rest[4..];
            text(&mut rest);
            assert_eq!(length(&mut rest), 0, "tags of a broker");
        }
        let about_cluster = rest;
        text(&mut rest);
        let cluster_id = &about_cluster[..about_cluster.len() - rest.len()];
        let (controller, topics) = rest.split_at(4);
        let head = &response[..4 + 1 + 4];
        if names_nobody {
            return [head, &[1], cluster_id, &(-1i32).to_be_bytes(), topics].concat();
        }
        assert_eq!(length(&mut brokers), 2, "one broker, or none");
        let node = &brokers[..4];
        let mut name = &brokers[4..];
        text(&mut name);
        let name = &brokers[4..brokers.len() - name.len()];
        // No rack, no tags.
        [head, &[2], node, name, &self.port(), &[0, 0], cluster_id, controller, topics].concat()
    }
}

/// The next request or response, without its size.
fn frame(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let mut size = [0; 4];
    stream.read_exact(&mut size)?;
    let mut bytes = vec![0; usize::try_from(i32::from_be_bytes(size)).unwrap()];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn send(stream: &mut TcpStream, bytes: &[u8]) -> Result<()> {
    let size = i32::try_from(bytes.len()).unwrap().to_be_bytes();
    stream.write_all(&[&size, bytes].concat())
}

/// Takes a length plus one; 0 is null.
fn length(bytes: &mut &[u8]) -> usize {
    let (mut value, mut shift) = (0, 0);
    loop {
        let (first, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        value |= usize::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return value;
        }
        shift += 7;
    }
}

/// Passes over a text, or null.
fn text(bytes: &mut &[u8]) {
    let length = length(bytes).saturating_sub(1);
    *bytes = &bytes[length..];
}
