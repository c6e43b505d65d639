//! Sorting by keys that lie all over memory: each is looked at twice, not at every comparison.

/// Bytes of a key that are compared without a look at it.
const HEAD: usize = size_of::<u64>();

/// Sorts `things` by the bytes that stand for them, those with the same bytes in their own order. Takes 16 bytes or more
/// for each.
pub(super) fn sort_by_bytes<'a, T: Copy + Ord>(things: &mut [T], bytes: impl Fn(T) -> &'a [u8]) {
    let Some(first) = things.first().map(|first| bytes(*first)) else { return };
    let shared = things.iter().fold(first.len(), |shared, thing| same(&first[..shared], bytes(*thing)));
    let mut heads: Vec<_> = things.iter().map(|thing| (head(&bytes(*thing)[shared..]), *thing)).collect();
    heads.sort_unstable_by(|(one, a), (other, b)| {
        one.cmp(other).then_with(|| bytes(*a).cmp(bytes(*b))).then_with(|| a.cmp(b))
    });
    for (thing, (_, sorted)) in things.iter_mut().zip(heads) {
        *thing = sorted;
    }
}

/// How many bytes both begin with.
fn same(one: &[u8], other: &[u8]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}

/// The first bytes as a number that has their order; zeros stand for bytes that are missing.
fn head(bytes: &[u8]) -> u64 {
    match bytes.first_chunk() {
        Some(first) => u64::from_be_bytes(*first),
        None => {
            let mut first = [0; HEAD];
            first[..bytes.len()].copy_from_slice(bytes);
            u64::from_be_bytes(first)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_are_in_the_order_of_their_bytes() {
        let cases: [&[&str]; 5] = [
            &[],
            &["one"],
            &["ab", "a", "", "a\0", "b", "a\0\0"],
            &["key-2", "key-10", "key-1", "key-", "key-2"],
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
}
