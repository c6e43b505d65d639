//! The board: the first members of a leaderboard as users see them, and the score that floating-point numbers need.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::codec::{HasSerde, Json};

/// The first members of a board, best first. Where keys and values are JSON, so are boards.
///
/// ```
/// use headwater::{Board, BoardRow, HasSerde, Serde};
/// let rows = vec![BoardRow { key: "AA".to_owned(), value: 12 }];
/// let mut json = Vec::new();
/// <Board<String, i64> as HasSerde>::Serde::default().serialize(&Board { rows }, &mut json)?;
/// assert_eq!(json, br#"{"rows":[{"key":"AA","value":12}]}"#);
/// # Ok::<(), headwater::codec::SerdeError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Board<K, V> {
    /// The rows; the rank of a row is its index plus one.
    pub rows: Vec<BoardRow<K, V>>,
}

/// A member of a board.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoardRow<K, V> {
    /// The member: the key of the table that was grouped.
    pub key: K,
    /// Its row; the score is told from it.
    pub value: V,
}

impl<K, V> HasSerde for Board<K, V>
where
    K: Clone + Serialize + DeserializeOwned + 'static,
    V: Clone + Serialize + DeserializeOwned + 'static,
{
    type Serde = Json;
}

/// A floating-point score. NaN is below every number, and 0 and -0 are the same.
///
/// ```
/// use headwater::FloatScore;
/// assert!(FloatScore(0.5) > FloatScore(-1.0));
/// assert!(FloatScore(f64::NAN) < FloatScore(f64::NEG_INFINITY));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct FloatScore(
    /// The number.
    pub f64,
);

impl Ord for FloatScore {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // What cannot be compared has a NaN in it: whoever is a number is above.
        self.0.partial_cmp(&other.0).unwrap_or_else(|| (!self.0.is_nan()).cmp(&!other.0.is_nan()))
    }
}

impl PartialOrd for FloatScore {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for FloatScore {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for FloatScore {}
