//! The wire: frames of the Kafka protocol, and what is in them.
//!
//! 1. A frame is a length of four bytes and as many bytes: a header (API key, version, correlation id, client id)
//!    and a message. The messages are those of the crate `kafka-protocol`.
//! 2. Before a message is decoded its [`shape`] is checked: what its lengths claim has to be there. So a request
//!    that lies about them costs nothing.
//! 3. Record batches are handed on as they came; nothing here looks into them.

mod shape;
mod shapes;

use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};

/// Bytes of a frame's length.
pub(crate) const LENGTH_BYTES: usize = 4;
/// API key, version and correlation id.
const FIXED_HEADER_BYTES: usize = 8;

/// Why a frame cannot be understood. Its connection is closed: nobody knows what would come next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) String);

/// A request whose message is not decoded yet.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) key: ApiKey,
    pub(crate) version: i16,
    pub(crate) correlation_id: i32,
    pub(crate) client_id: Arc<str>,
    body: Bytes,
}

/// What a frame is.
#[derive(Debug)]
pub(crate) enum Frame {
    Call(Call),
    /// A version of ApiVersions that is not served. KIP-511: it is answered in version 0, with the versions that are.
    UnknownApiVersions {
        correlation_id: i32,
    },
}

/// Reads a frame's header. `served` says which versions of an API there are.
pub(crate) fn open(
    mut frame: Bytes,
    served: impl Fn(ApiKey) -> Option<(i16, i16)>,
) -> Result<Frame, Malformed> {
    if frame.len() < FIXED_HEADER_BYTES {
        return Err(Malformed(format!("a request of {} bytes", frame.len())));
    }
    let (number, version) = ((&frame[..]).get_i16(), (&frame[2..]).get_i16());
    let unknown = || Malformed(format!("API key {number} in version {version}, which is not served"));
    let key = ApiKey::try_from(number).map_err(|()| unknown())?;
    let (least, most) = served(key).ok_or_else(unknown)?;
    if !(least..=most).contains(&version) {
        let correlation_id = (&frame[4..]).get_i32();
        return if key == ApiKey::ApiVersions {
            Ok(Frame::UnknownApiVersions { correlation_id })
        } else {
            Err(unknown())
        };
    }
    let header_version = key.request_header_version(version);
    let header = RequestHeader::decode(&mut frame, header_version)
        .map_err(|error| Malformed(format!("a header that cannot be read: {error}")))?;
    let client_id = header.client_id.as_deref().unwrap_or_default();
    let (correlation_id, client_id) = (header.correlation_id, Arc::from(client_id));
    Ok(Frame::Call(Call { key, version, correlation_id, client_id, body: frame }))
}

impl Call {
    /// The message.
    pub(crate) fn decode<R: Request>(&mut self) -> Result<R, Malformed> {
        let malformed = |why: &dyn std::fmt::Display| {
            Malformed(format!("{:?} in version {} that cannot be read: {why}", self.key, self.version))
        };
        shape::check(self.key, self.version, &self.body).map_err(|error| malformed(&error.0))?;
        R::decode(&mut self.body, self.version).map_err(|error| malformed(&error))
    }
}

/// A frame with this answer, its length included.
pub(crate) fn answer<M: Encodable + HeaderVersion>(
    correlation_id: i32,
    version: i16,
    message: &M,
) -> anyhow::Result<BytesMut> {
    let header = ResponseHeader::default().with_correlation_id(correlation_id);
    let header_version = M::header_version(version);
    let length = header.compute_size(header_version)? + message.compute_size(version)?;
    let mut frame = BytesMut::with_capacity(LENGTH_BYTES + length);
    frame.put_u32(0);
    header.encode(&mut frame, header_version)?;
    message.encode(&mut frame, version)?;
    let length = u32::try_from(frame.len() - LENGTH_BYTES)?;
    frame[..LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
    Ok(frame)
}

/// A string of the protocol's kind.
pub(crate) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// A name of ours.
pub(crate) fn name(text: &StrBytes) -> Arc<str> {
    Arc::from(text.as_str())
}
