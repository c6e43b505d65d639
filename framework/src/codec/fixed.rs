//! Values of a fixed width: the check that all of them share.

use super::SerdeError;

/// The bytes of a value that is `N` bytes wide, neither null nor of another length.
#[inline]
pub(super) fn exactly<const N: usize>(expected: &str, bytes: Option<&[u8]>) -> Result<[u8; N], SerdeError> {
    let present = not_null(expected, bytes)?;
    present.try_into().map_err(|_| wrong_length(expected, present, N))
}

/// The bytes of a value that cannot be null.
#[inline]
pub(super) fn not_null<'a>(expected: &str, bytes: Option<&'a [u8]>) -> Result<&'a [u8], SerdeError> {
    bytes.ok_or_else(|| null_refused(expected))
}

#[cold]
fn null_refused(expected: &str) -> SerdeError {
    SerdeError::new(expected, "found null; make the type an `Option` where null is meant", None)
}

#[cold]
fn wrong_length(expected: &str, bytes: &[u8], wanted: usize) -> SerdeError {
    let problem = format!("found {} bytes instead of {wanted}", bytes.len());
    SerdeError::new(expected, problem, Some(bytes))
}
