//! What a user reads when bytes are not what they should be.

use headwater::codec::{Json, SerdeError, StringSerde};
use headwater::{HasSerde, Serde};

#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Order {
    id: u64,
}

#[track_caller]
fn check<T>(result: Result<T, SerdeError>, expected: &str) {
    assert_eq!(result.err().expect("an error").to_string(), expected);
}

fn read<T: HasSerde>(bytes: Option<&[u8]>) -> Result<T, SerdeError> {
    T::Serde::default().deserialize(bytes)
}

fn order(text: &str) -> Result<Order, SerdeError> {
    Json.deserialize(Some(text.as_bytes()))
}

#[test]
fn a_number_of_the_wrong_length() {
    check(read::<i64>(Some(b"7")), "expected i64: found 1 bytes instead of 8; first bytes 7");
    check(read::<i64>(Some(b"")), "expected i64: found 0 bytes instead of 8; first bytes ");
    let nine =
        "expected f64: found 9 bytes instead of 8; first bytes \\x00\\x01\\x02\\x03\\x04\\x05\\x06\\x07\\x08";
    check(read::<f64>(Some(&[0, 1, 2, 3, 4, 5, 6, 7, 8])), nine);
}

#[test]
fn text_that_is_not_utf8() {
    let result = StringSerde.deserialize(Some(b"caf\xe9, in Latin-1, and more"));
    check(result, "expected string: not UTF-8 from byte 3 on; first bytes caf\\xe9, in Latin-1");
}

#[test]
fn null_where_there_is_none() {
    let hint = "found null; make the type an `Option` where null is meant";
    check(read::<i64>(None), &format!("expected i64: {hint}"));
    check(read::<String>(None), &format!("expected string: {hint}"));
    check(read::<Vec<u8>>(None), &format!("expected bytes: {hint}"));
    check(Serde::<Order>::deserialize(&Json, None), &format!("expected json Order: {hint}"));
    assert_eq!(read::<Option<i64>>(None), Ok(None));
}

#[test]
fn json_of_another_shape() {
    check(order("{}"), "expected json Order: missing field `id` at line 1 column 2; first bytes {}");
    check(
        order("{\n  \"id\": \"x\"}"),
        "expected json Order: invalid type: string \"x\", expected u64 at line 2 column 11; \
         first bytes {\\n  \\\"id\\\": \\\"x\\\"}",
    );
    check(order(""), "expected json Order: EOF while parsing a value at line 1 column 0; first bytes ");
    let result: Result<Vec<Option<Order>>, _> = Json.deserialize(Some(b"[1"));
    check(
        result,
        "expected json Vec<Option<Order>>: invalid type: integer `1`, expected struct Order at line 1 column 2; \
         first bytes [1",
    );
}
