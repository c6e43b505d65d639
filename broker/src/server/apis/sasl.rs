//! SaslHandshake and SaslAuthenticate where there is no login to be done: at a listener without one, or a second time.
//! Both are told so, as Kafka does. The login itself stands before the APIs, in `server/security`.

use kafka_protocol::messages::{
    SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse,
};

use crate::error::ErrorCode;
use crate::server::exchange::{Exchange, Hangup};
use crate::wire;

pub(super) async fn sasl_handshake(
    _: &Exchange<'_>,
    _: SaslHandshakeRequest,
) -> Result<Option<SaslHandshakeResponse>, Hangup> {
    Ok(Some(SaslHandshakeResponse::default().with_error_code(ErrorCode::IllegalSaslState.code())))
}

pub(super) async fn sasl_authenticate(
    _: &Exchange<'_>,
    _: SaslAuthenticateRequest,
) -> Result<Option<SaslAuthenticateResponse>, Hangup> {
    let why = "SaslAuthenticate request received after successful authentication, or where there is none";
    let response = SaslAuthenticateResponse::default()
        .with_error_code(ErrorCode::IllegalSaslState.code())
        .with_error_message(Some(wire::text(why)));
    Ok(Some(response))
}
