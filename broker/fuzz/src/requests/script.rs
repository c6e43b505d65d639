//! Script: how an input is read as what clients do.
//!
//! ```text
//! flags                            1: the listener wants a login   2: all that follows is sent as it is
//! key (below 0xf0)  version  length (two bytes, big endian)  body
//!                                  a frame; of the version 0x80: the next one does not wait for its answer,
//!                                  0x40: the client hangs up behind it
//! 0xf0  quarters                   so many quarters of a second pass
//! 0xf1                             the client hangs up, and another one comes
//! 0xf2 to 0xff  length  bytes      bytes as they are
//! ```
//! Batches in a body get the checksum that fits them: a fuzzer does not guess it. What is cut short at the end is taken
//! as far as it is there.

use std::time::Duration;

use kafka_protocol::messages::ApiKey;

use super::super::checksums::mend_batches;

/// More are not played, or inputs would only become longer and slower.
const MOST_STEPS: usize = 32;
/// Quarters of a second that pass in an input at most: longer than sessions and time-outs that seeds name. Each costs a few
/// looks at what is due.
const MOST_QUARTERS: u64 = 480;
const NO_WAIT: u8 = 0x80;
const HANG_UP: u8 = 0x40;

/// What an input says.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// Whether clients come through the listener with a login.
    pub logs_in: bool,
    /// One after another.
    pub connections: Vec<Connection>,
}

/// What one client does.
#[derive(Clone, Debug, Default)]
pub struct Connection {
    /// In turn.
    pub steps: Vec<Step>,
    /// Whether it goes without listening to the end.
    pub hangs_up: bool,
}

/// Something that a client does.
#[derive(Clone, Debug)]
pub enum Step {
    /// It sends a frame.
    Frame(Frame),
    /// It sends bytes.
    Bytes(Vec<u8>),
    /// It sends nothing for so long.
    Wait(Duration),
}

/// A request with a header that fits it.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Number of its API.
    pub key: u8,
    /// Version.
    pub version: u8,
    /// What its answer has to name.
    pub correlation_id: i32,
    /// The message.
    pub body: Vec<u8>,
    /// Whether the client waits for the answer before it goes on.
    pub waits: bool,
}

impl Frame {
    /// Length, header and message.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let version = i16::from(self.version);
        let mut out = vec![0; 4];
        out.extend_from_slice(&i16::from(self.key).to_be_bytes());
        out.extend_from_slice(&version.to_be_bytes());
        out.extend_from_slice(&self.correlation_id.to_be_bytes());
        out.extend_from_slice(b"\x00\x04fuzz");
        let key = ApiKey::try_from(i16::from(self.key));
        if key.is_ok_and(|key| key.request_header_version(version) >= 2) {
            out.push(0);
        }
        out.extend_from_slice(&self.body);
        let length = u32::try_from(out.len() - 4).expect("inputs are small");
        out[..4].copy_from_slice(&length.to_be_bytes());
        out
    }
}

/// What is left of an input.
struct Left<'a>(&'a [u8]);

impl<'a> Left<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    fn block(&mut self) -> &'a [u8] {
        let length = usize::from(self.byte().unwrap_or(0)) << 8 | usize::from(self.byte().unwrap_or(0));
        let (block, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        block
    }
}

impl Script {
    /// Reads an input; all of them say something.
    #[must_use]
    pub fn read(input: &[u8]) -> Self {
        let mut left = Left(input);
        let flags = left.byte().unwrap_or(0);
        let mut script = Self { logs_in: flags & 1 != 0, connections: Vec::new() };
        let mut connection = Connection::default();
        let mut quarters_left = MOST_QUARTERS;
        if flags & 2 != 0 {
            connection.steps.push(Step::Bytes(left.0.to_vec()));
            left.0 = &[];
        }
        for number in 0..MOST_STEPS {
            let Some(kind) = left.byte() else { break };
            match kind {
                0xf0 => {
                    let quarters = u64::from(left.byte().unwrap_or(0)).min(quarters_left);
                    quarters_left -= quarters;
                    connection.steps.push(Step::Wait(Duration::from_millis(250 * quarters)));
                }
                0xf1 => connection.hangs_up = true,
                0xf2.. => connection.steps.push(Step::Bytes(left.block().to_vec())),
                key => {
                    let version = left.byte().unwrap_or(0);
                    let mut body = left.block().to_vec();
                    mend_batches(&mut body);
                    connection.hangs_up = version & HANG_UP != 0;
                    connection.steps.push(Step::Frame(Frame {
                        key,
                        version: version & !(NO_WAIT | HANG_UP),
                        correlation_id: i32::try_from(number).unwrap_or(0),
                        body,
                        waits: version & NO_WAIT == 0 && !connection.hangs_up,
                    }));
                }
            }
            if connection.hangs_up {
                script.connections.push(std::mem::take(&mut connection));
            }
        }
        script.connections.push(connection);
        script
    }
}
