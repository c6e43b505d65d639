//! Values come back as they went, from no bytes to ten million.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fmt::Debug;

use bytes::Bytes;
use headwater::codec::Json;
use headwater::{HasSerde, RecordBatch, Serde};

fn round_trip<T: PartialEq + Debug>(serde: &impl Serde<T>, value: &T) {
    let mut out = b"before".to_vec();
    let present = serde.serialize(value, &mut out).unwrap();
    assert_eq!(present, !serde.is_null(value));
    let (before, written) = out.split_at(6);
    assert_eq!(before, b"before");
    assert!(present || written.is_empty());
    let read = serde.deserialize(present.then_some(written)).unwrap();
    assert!(read == *value, "{} bytes come back as another value", written.len());
}

fn usual<T: HasSerde + PartialEq + Debug>(value: T) {
    round_trip(&T::Serde::default(), &value);
}

#[test]
fn values_of_every_type_and_size() {
    usual(i16::MIN);
    usual(i32::MIN);
    usual(i64::MIN);
    usual(f32::MIN_POSITIVE);
    usual(f64::NEG_INFINITY);
    usual(false);
    usual(());
    usual(None::<String>);
    usual(Some(String::new()));
    usual(Some(Some(7_i64)));
    for len in [0, 1, 10_000_000] {
        usual("x".repeat(len));
        usual(vec![0xff_u8; len]);
        usual(Bytes::from(vec![0; len]));
        round_trip(&Json, &"ü\u{1}".repeat(len / 2));
    }
}

#[test]
fn bytes_read_from_a_batch_share_its_memory() {
    let mut batch = RecordBatch::default();
    batch.push(0, Some(b"key"), Some(b"value"), 0);
    batch.push(0, Some(b""), None, 1);
    let batch = batch.freeze();
    let serde = <Option<Bytes> as HasSerde>::Serde::default();
    let read =
        |bytes: Option<&[u8]>| -> Option<Bytes> { serde.deserialize_shared(bytes, batch.memory()).unwrap() };
    let (first, second) = (batch.get(0), batch.get(1));
    let value = read(first.value).unwrap();
    assert_eq!(value, "value");
    assert_eq!(value.as_ptr(), first.value.unwrap().as_ptr());
    assert_eq!((read(second.key), read(second.value)), (Some(Bytes::new()), None));
}

#[test]
fn writing_into_room_that_is_there_does_not_move_it() {
    let mut out = Vec::with_capacity(64);
    let room = out.as_ptr();
    for _ in 0..3 {
        out.clear();
        <String as HasSerde>::Serde::default().serialize(&"text".to_owned(), &mut out).unwrap();
        <i64 as HasSerde>::Serde::default().serialize(&1, &mut out).unwrap();
        <Bytes as HasSerde>::Serde::default().serialize(&Bytes::from_static(b"bytes"), &mut out).unwrap();
        Json.serialize(&[1, 2, 3], &mut out).unwrap();
    }
    assert_eq!((out.as_ptr(), out.len()), (room, 4 + 8 + 5 + 7));
}
