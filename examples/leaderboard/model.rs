//! What travels on the topics: flights, airlines, planes, weather; scores; boards.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use headwater::HasSerde;
use headwater::codec::Json;
use serde::{Deserialize, Serialize};

/// Rows of a board.
pub(crate) const PLACES: usize = 10;

/// A flight, under its carrier's code. The record's timestamp is the scheduled departure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Flight {
    pub(crate) carrier: String,
    pub(crate) number: String,
    pub(crate) tailnum: Option<String>,
    pub(crate) origin: String,
    pub(crate) dest: String,
    /// The hour of the scheduled departure in UTC, as weather names it: `2013-01-01T10:00:00Z`.
    pub(crate) hour: String,
    /// Minutes, negative when early; none for flights that were cancelled or diverted.
    pub(crate) arr_delay: Option<i64>,
}

/// An airline, under its code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Airline {
    pub(crate) name: String,
}

/// A plane, under its tail number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plane {
    pub(crate) model: String,
}

/// The weather at an airport in an hour, under `<origin>|<hour>`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Weather {
    pub(crate) origin: String,
    /// Inches.
    pub(crate) precip: Option<f64>,
    /// Miles.
    pub(crate) visib: Option<f64>,
}

impl Weather {
    /// Rain or snow, or hardly anything to see.
    pub(crate) fn is_bad(&self) -> bool {
        self.precip.is_some_and(|precip| precip > 0.0) || self.visib.is_some_and(|visib| visib < 3.0)
    }
}

/// A scored flight with what the tables know of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Scored {
    pub(crate) minutes: i64,
    pub(crate) origin: String,
    pub(crate) hour: String,
    pub(crate) tailnum: Option<String>,
    pub(crate) route: String,
    pub(crate) airline: Option<String>,
    pub(crate) model: Option<String>,
    /// None where there is no row of weather.
    pub(crate) bad_weather: Option<bool>,
}

impl Scored {
    /// The boards' members that the flight counts for.
    pub(crate) fn members(&self) -> Vec<Member> {
        let member = |category: Category, name: &String| Member { category, name: name.clone() };
        let mut members = vec![member(Category::Route, &self.route)];
        members.extend(self.airline.as_ref().map(|name| member(Category::Carrier, name)));
        members.extend(self.model.as_ref().map(|name| member(Category::Aircraft, name)));
        members
    }
}

/// What is ranked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Category {
    Carrier,
    Route,
    Aircraft,
}

/// Who is ranked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Member {
    pub(crate) category: Category,
    pub(crate) name: String,
}

/// Something that happens in a spell of bad weather: a bad hour, or a flight that leaves in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SpellEvent {
    pub(crate) minutes: i64,
    pub(crate) members: Vec<Member>,
}

/// A spell of bad weather: the sums of its members, ranked. An event moves its own members, and nothing is ever sorted.
/// Copies share the ranking until one of them changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Sums", into = "Sums")]
pub(crate) struct Spell(Arc<BTreeMap<Category, Ranking>>);

/// A spell as it is written: its sums, from which the ranking follows.
type Sums = BTreeMap<Category, BTreeMap<String, i64>>;

/// Members by name and, the same ones, by place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Ranking {
    minutes: BTreeMap<Arc<str>, i64>,
    /// Most minutes first, equal ones by name.
    places: BTreeSet<(Reverse<i64>, Arc<str>)>,
}

impl Ranking {
    fn add(&mut self, name: Arc<str>, minutes: i64) {
        let before = self.minutes.get(&name).copied();
        if let Some(before) = before {
            self.places.remove(&(Reverse(before), Arc::clone(&name)));
        }
        let sum = before.unwrap_or(0) + minutes;
        self.places.insert((Reverse(sum), Arc::clone(&name)));
        self.minutes.insert(name, sum);
    }

    fn first(&self, places: usize) -> Vec<Row> {
        self.places.iter().take(places).map(|(Reverse(minutes), name)| (name.to_string(), *minutes)).collect()
    }
}

impl Spell {
    pub(crate) fn add(mut self, event: SpellEvent) -> Self {
        // A bad hour has no members: nothing is copied for it.
        if !event.members.is_empty() {
            let rankings = Arc::make_mut(&mut self.0);
            for member in event.members {
                rankings.entry(member.category).or_default().add(member.name.into(), event.minutes);
            }
        }
        self
    }

    pub(crate) fn merge(mut self, other: Self) -> Self {
        if self.0.is_empty() {
            return other;
        }
        if !other.0.is_empty() {
            let rankings = Arc::make_mut(&mut self.0);
            for (category, ranking) in other.0.iter() {
                let own = rankings.entry(*category).or_default();
                ranking.minutes.iter().for_each(|(name, minutes)| own.add(Arc::clone(name), *minutes));
            }
        }
        self
    }

    /// The first ten of each category that has any.
    pub(crate) fn boards(&self) -> Vec<(Category, Vec<Row>)> {
        self.0.iter().map(|(category, ranking)| (*category, ranking.first(PLACES))).collect()
    }
}

impl From<Sums> for Spell {
    fn from(sums: Sums) -> Self {
        let mut rankings: BTreeMap<Category, Ranking> = BTreeMap::new();
        for (category, sums) in sums {
            let ranking = rankings.entry(category).or_default();
            sums.into_iter().for_each(|(name, minutes)| ranking.add(name.into(), minutes));
        }
        Self(Arc::new(rankings))
    }
}

impl From<Spell> for Sums {
    fn from(spell: Spell) -> Self {
        let sums = |ranking: &Ranking| {
            ranking.minutes.iter().map(|(name, minutes)| (name.to_string(), *minutes)).collect()
        };
        spell.0.iter().map(|(category, ranking)| (*category, sums(ranking))).collect()
    }
}

/// A place on a board: who, and how many minutes.
pub(crate) type Row = (String, i64);

/// Which board it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Span {
    Hour,
    Day,
    Session,
}

/// A board as it is written to the topic `boards`; `rows` is none where the board is taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Board {
    pub(crate) board: Span,
    pub(crate) category: Category,
    pub(crate) origin: Option<String>,
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) rows: Option<Vec<Row>>,
}

impl HasSerde for Flight {
    type Serde = Json;
}
impl HasSerde for Airline {
    type Serde = Json;
}
impl HasSerde for Plane {
    type Serde = Json;
}
impl HasSerde for Weather {
    type Serde = Json;
}
impl HasSerde for Scored {
    type Serde = Json;
}
impl HasSerde for Category {
    type Serde = Json;
}
impl HasSerde for Member {
    type Serde = Json;
}
impl HasSerde for SpellEvent {
    type Serde = Json;
}
impl HasSerde for Spell {
    type Serde = Json;
}
impl HasSerde for Board {
    type Serde = Json;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flight(name: &str, minutes: i64) -> SpellEvent {
        SpellEvent { minutes, members: vec![Member { category: Category::Route, name: name.to_owned() }] }
    }

    fn spell(flights: &[(&str, i64)]) -> Spell {
        flights.iter().fold(Spell::default(), |spell, (name, minutes)| spell.add(flight(name, *minutes)))
    }

    fn routes(spell: &Spell) -> Vec<(String, i64)> {
        spell.boards().into_iter().flat_map(|(_, rows)| rows).collect()
    }

    #[test]
    fn members_move_as_their_sums_do() {
        let before = spell(&[("b", 5), ("a", 5), ("c", 9), ("d", -3)]);
        let row = |name: &str, minutes| (name.to_owned(), minutes);
        assert_eq!(routes(&before), [row("c", 9), row("a", 5), row("b", 5), row("d", -3)]);
        let after = before.clone().add(flight("c", -10)).add(flight("d", 8));
        assert_eq!(routes(&after), [row("a", 5), row("b", 5), row("d", 5), row("c", -1)]);
        assert_eq!(routes(&before)[0], row("c", 9), "a copy does not change what it was made of");
        let many: Vec<_> =
            ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"].map(|name| (name, 0)).into();
        assert_eq!(routes(&spell(&many)).len(), PLACES);
    }

    #[test]
    fn merged_spells_have_the_sums_of_both() {
        let (one, other) = (spell(&[("a", 1), ("b", 2)]), spell(&[("b", 3), ("c", 4)]));
        let both = spell(&[("a", 1), ("b", 5), ("c", 4)]);
        assert_eq!(one.clone().merge(other), both);
        assert_eq!(Spell::default().merge(one.clone()), one);
        assert_eq!(one.clone().merge(Spell::default()), one);
    }

    #[test]
    fn a_spell_is_written_as_its_sums() {
        let text = serde_json::to_string(&spell(&[("b", 5), ("a", 5)])).unwrap();
        assert_eq!(text, r#"{"route":{"a":5,"b":5}}"#);
        assert_eq!(serde_json::from_str::<Spell>(&text).unwrap(), spell(&[("a", 5), ("b", 5)]));
    }
}
