//! PLAIN: a login by name and password, in one message (RFC 4616). To be used on encrypted connections only.

/// A client's message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message<'a> {
    /// As whom it wants to act; empty for the user itself.
    pub(super) actor: &'a str,
    pub(super) user: &'a str,
    pub(super) password: &'a str,
}

/// What the message has to be: three texts with a NUL between each.
pub(super) fn read(message: &[u8]) -> Result<Message<'_>, String> {
    let text = std::str::from_utf8(message).map_err(|_| "a message that is no text".to_owned())?;
    let parts: Vec<&str> = text.split('\0').collect();
    match parts[..] {
        [actor, user, password] => Ok(Message { actor, user, password }),
        _ => Err(format!("a message of {} parts, where PLAIN has 3", parts.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn three_parts() {
        let message = read(b"\0alice\0open sesame").unwrap();
        assert_eq!((message.actor, message.user, message.password), ("", "alice", "open sesame"));
        for (message, expected) in [
            (&b""[..], "a message of 1 parts, where PLAIN has 3"),
            (b"alice\0secret", "a message of 2 parts, where PLAIN has 3"),
            (b"\0alice\0secret\0", "a message of 4 parts, where PLAIN has 3"),
            (b"\0al\xffice\0secret", "a message that is no text"),
        ] {
            assert_eq!(read(message).unwrap_err(), expected);
        }
    }
}
