//! What travels on the topics: flights, airlines, planes, weather; scores; boards.

use std::collections::BTreeMap;

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

/// A spell of bad weather: the sums of its members.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Spell {
    sums: BTreeMap<Category, BTreeMap<String, i64>>,
}

impl Spell {
    pub(crate) fn add(mut self, event: SpellEvent) -> Self {
        for member in event.members {
            *self.sums.entry(member.category).or_default().entry(member.name).or_default() += event.minutes;
        }
        self
    }

    pub(crate) fn merge(mut self, other: Self) -> Self {
        for (category, sums) in other.sums {
            let own = self.sums.entry(category).or_default();
            for (name, minutes) in sums {
                *own.entry(name).or_default() += minutes;
            }
        }
        self
    }

    /// The first ten of each category that has any.
    pub(crate) fn boards(&self) -> Vec<(Category, Vec<Row>)> {
        let top = |sums: &BTreeMap<String, i64>| {
            let mut rows: Vec<Row> = sums.iter().map(|(name, minutes)| (name.clone(), *minutes)).collect();
            rows.sort_by(|(one, more), (other, less)| less.cmp(more).then_with(|| one.cmp(other)));
            rows.truncate(PLACES);
            rows
        };
        self.sums.iter().map(|(category, sums)| (*category, top(sums))).collect()
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
