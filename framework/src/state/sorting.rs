//! Sorting by keys that lie all over memory: each is looked at twice, not at every comparison.

/// Bytes of a key that are compared without a look at it.
const HEAD: usize = size_of::<u128>() - PLACE;
/// Bytes of a place among the things.
const PLACE: usize = size_of::<u32>();

/// Sorts `things` by the bytes that stand for them, those with the same bytes in the order in which they came. Takes 16
/// bytes and a thing for each.
///
/// # Panics
/// If there are 4 billion things.
pub(super) fn sort_by_bytes<'a, T: Copy>(things: &mut [T], bytes: impl Fn(T) -> &'a [u8]) {
    let Some(first) = things.first().map(|first| bytes(*first)) else { return };
    assert!(u32::try_from(things.len()).is_ok(), "a number has room for the place of a thing");
    let (mut shared, mut longest, mut shortest) = (first.len(), 0, usize::MAX);
    for thing in &*things {
        let bytes = bytes(*thing);
        shared = same(&first[..shared], bytes);
        (longest, shortest) = (longest.max(bytes.len()), shortest.min(bytes.len()));
    }
    // Numbers are sorted, of the first bytes behind those that all share, and the place: nothing is faster.
    let number = |(place, thing): (u32, &T)| head(&bytes(*thing)[shared..]) | u128::from(place);
    let mut numbers: Vec<u128> = (0..).zip(&*things).map(number).collect();
    numbers.sort_unstable();
    let thing = |number: &u128| things[(*number as u32) as usize];
    if longest != shortest || longest - shared > HEAD {
        for alike in numbers.chunk_by_mut(|one, other| one >> (8 * PLACE) == other >> (8 * PLACE)) {
            alike.sort_by(|one, other| bytes(thing(one)).cmp(bytes(thing(other))));
        }
    }
    let sorted: Vec<T> = numbers.iter().map(thing).collect();
    things.copy_from_slice(&sorted);
}

/// Whether two keys are the same: they are short, so they are compared in place.
#[inline]
pub(super) fn is_same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let (words, rest) = one.as_chunks::<8>();
    let (other_words, other_rest) = other.as_chunks::<8>();
    words.iter().zip(other_words).all(|(one, other)| one == other)
        && rest.iter().zip(other_rest).all(|(one, other)| one == other)
}

/// How many bytes both begin with.
fn same(one: &[u8], other: &[u8]) -> usize {
    if other.get(..one.len()).is_some_and(|other| is_same(one, other)) {
        return one.len();
    }
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}

/// The first bytes as a number that has their order, with room for a place; zeros stand for bytes that are missing.
fn head(bytes: &[u8]) -> u128 {
    let mut first = [0; HEAD + PLACE];
    match bytes.first_chunk::<HEAD>() {
        Some(head) => first[..HEAD].copy_from_slice(head),
        None => first[..bytes.len()].copy_from_slice(bytes),
    }
    u128::from_be_bytes(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_are_in_the_order_of_their_bytes() {
        let cases: [&[&str]; 7] = [
            &[],
            &["one"],
            &["ab", "a", "", "a\0", "b", "a\0\0"],
            &["key-2", "key-10", "key-1", "key-", "key-2"],
            &["aa12", "aa3456789", "aa", "aa1", "aa2", "aa12"],
            &["same-length-12", "same-length-11", "same-length-12", "other-length-1"],
            &[
                "prefix/2/long",
                "prefix/1",
                "prefix/1/long and more",
                "prefix/1/long and less",
                "prefix/1/long",
            ],
        ];
        for words in cases {
            let (mut sorted, mut expected) = (words.to_vec(), words.to_vec());
            sort_by_bytes(&mut sorted, |word| word.as_bytes());
            expected.sort_unstable();
            assert_eq!(sorted, expected);
        }
    }

    #[test]
    fn things_of_the_same_bytes_stay_in_order() {
        let words = ["b", "a and a long rest", "b", "a and a long rest", "a"];
        let mut places = [4, 2, 3, 0, 1];
        sort_by_bytes(&mut places, |place: usize| words[place].as_bytes());
        assert_eq!(places, [4, 3, 1, 2, 0]);
    }
}
