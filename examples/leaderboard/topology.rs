//! The application: flights meet airlines, planes and weather; the most delayed are ranked by hour, day and spell of
//! bad weather. `BOARDS.md` says what exactly.

use std::time::Duration;

use headwater::{
    BoardEmit, Grouped, KStream, KTable, Materialized, Ranked, Repartitioned, Result, SessionWindows,
    StreamsBuilder, TimeWindows, Topology, Windowed,
};

use crate::model::{
    Board, Category, Flight, Member, PLACES, Plane, Scored, Span, Spell, SpellEvent, Weather,
};

/// Input topics.
pub(crate) const FLIGHTS: &str = "flights";
pub(crate) const AIRLINES: &str = "airlines";
pub(crate) const PLANES: &str = "planes";
pub(crate) const WEATHER: &str = "weather";
/// The boards, each change of one a record.
pub(crate) const BOARDS: &str = "boards";
/// What was counted, by name.
pub(crate) const COUNTS: &str = "counts";

const HOUR: Duration = Duration::from_secs(3_600);
/// The longest pause within a spell of bad weather.
const SPELL_GAP: Duration = Duration::from_secs(3 * 3_600);

/// Builds the application. Windows stay open for `grace`; a board that changes is told every `interval` at most. Names of
/// topics begin with `prefix`.
pub(crate) fn build(prefix: &str, grace: Duration, interval: Duration) -> Result<Topology> {
    let builder = StreamsBuilder::new();
    let named = |topic: &str| format!("{prefix}{topic}");
    let flights = builder.stream::<String, Flight>(named(FLIGHTS));
    let planes = builder.table::<String, Plane>(&named(PLANES));
    let weather = builder.table::<String, Weather>(&named(WEATHER));
    let airlines = builder.table(&named(AIRLINES));

    let scored = flights
        .filter(|_, flight| flight.arr_delay.is_some())
        .left_join(&airlines, |flight, airline: Option<&crate::model::Airline>| Scored {
            minutes: flight.arr_delay.unwrap_or_default(),
            route: format!("{}-{}", flight.origin, flight.dest),
            origin: flight.origin,
            hour: flight.hour,
            tailnum: flight.tailnum,
            airline: airline.map(|airline| airline.name.clone()),
            model: None,
            bad_weather: None,
        })
        .select_key(|_, flight| flight.tailnum.clone().unwrap_or_default())
        .repartition_with(Repartitioned::named("by-tailnum"))
        .left_join(&planes, |flight, plane| Scored {
            model: plane.map(|plane| plane.model.clone()),
            ..flight
        })
        .select_key(|_, flight| format!("{}|{}", flight.origin, flight.hour))
        .repartition_with(Repartitioned::named("by-hour"))
        .left_join(&weather, |flight, weather| Scored {
            bad_weather: weather.map(Weather::is_bad),
            ..flight
        });

    let members = scored.flat_map(|_, flight| {
        flight.members().into_iter().map(move |member| (member, flight.minutes)).collect::<Vec<_>>()
    });
    let hours = ranked(&members, Span::Hour, HOUR, (grace, interval));
    let days = ranked(&members, Span::Day, 24 * HOUR, (grace, interval));
    let spells = spells(&scored, &weather, grace);
    hours.merge(&days).merge(&spells).to(&named(BOARDS));
    counts(&flights, &scored).to_stream().to(&named(COUNTS));
    builder.build()
}

/// The ten most delayed of each category, per window of `size`.
fn ranked(
    members: &KStream<Member, i64>,
    span: Span,
    size: Duration,
    (grace, interval): (Duration, Duration),
) -> KStream<String, Board> {
    let name = if span == Span::Hour { "hours" } else { "days" };
    let windows = TimeWindows::of_size_and_grace(size, grace);
    let told = BoardEmit::AtMostEvery(interval);
    let options = Ranked::named(&format!("{name}-board")).emit(told).with_retention(grace);
    members
        .group_by_key_with(Grouped::named("members"))
        .windowed_by(windows)
        .reduce_with(|sum, minutes| sum + minutes, Materialized::named(&format!("{name}-sums")))
        .group_by_window(|member: &Member, minutes| (member.category, *minutes))
        .leaderboard_with(PLACES, |minutes| *minutes, options)
        .to_stream()
        .map(move |key, board| {
            let rows =
                board.map(|board| board.rows.into_iter().map(|row| (row.key.name, row.value)).collect());
            let (start, end) = (key.window.start, key.window.end);
            let board = Board { board: span, category: key.key, origin: None, start, end, rows };
            (board_key(&board), board)
        })
}

/// The ten most delayed of each category, per spell of bad weather at an airport.
fn spells(
    scored: &KStream<String, Scored>,
    weather: &KTable<String, Weather>,
    grace: Duration,
) -> KStream<String, Board> {
    let hours = weather.to_stream().flat_map(|_, weather| {
        weather.filter(Weather::is_bad).map(|row| (row.origin, SpellEvent { minutes: 0, members: vec![] }))
    });
    let flights = scored.filter(|_, flight| flight.bad_weather == Some(true)).map(|_, flight| {
        (flight.origin.clone(), SpellEvent { minutes: flight.minutes, members: flight.members() })
    });
    hours
        .merge(&flights)
        .group_by_key_with(Grouped::named("spells"))
        .windowed_by_session(SessionWindows::of_inactivity_gap_and_grace(SPELL_GAP, grace))
        .aggregate_with(
            Spell::default,
            |_, event, spell| spell.add(event),
            |_, one, other| one.merge(other),
            Materialized::named("spell-sums"),
        )
        .to_stream()
        .flat_map(spell_boards)
}

/// The boards of a spell; one that grew is taken back under its old bounds, in every category.
fn spell_boards(key: Windowed<String>, spell: Option<Spell>) -> Vec<(String, Board)> {
    let rows = match spell {
        Some(spell) => spell.boards().into_iter().map(|(category, rows)| (category, Some(rows))).collect(),
        None => vec![(Category::Carrier, None), (Category::Route, None), (Category::Aircraft, None)],
    };
    let (origin, start, end) = (key.key, key.window.start, key.window.end);
    let board = |(category, rows)| {
        let board = Board { board: Span::Session, category, origin: Some(origin.clone()), start, end, rows };
        (board_key(&board), board)
    };
    rows.into_iter().map(board).collect()
}

/// All changes of a board go to one partition, in order.
fn board_key(board: &Board) -> String {
    format!(
        "{:?}|{:?}|{}|{}|{}",
        board.board,
        board.category,
        board.origin.as_deref().unwrap_or(""),
        board.start,
        board.end
    )
}

/// What the check compares besides the boards.
fn counts(flights: &KStream<String, Flight>, scored: &KStream<String, Scored>) -> KTable<String, i64> {
    let read = flights.flat_map(|_, flight| {
        let unscored = flight.arr_delay.is_none().then_some(("no_arr_delay", 1));
        [("flights", 1)].into_iter().chain(unscored).map(|(name, count)| (name.to_owned(), count))
    });
    let known = scored.flat_map(|_, flight| {
        let lacks = |lacks: bool, name| lacks.then_some((name, 1));
        let counted = [
            Some(("scored", 1)),
            Some(("score", flight.minutes)),
            lacks(flight.airline.is_none(), "no_airline"),
            lacks(flight.tailnum.is_none(), "no_tailnum"),
            lacks(flight.tailnum.is_some() && flight.model.is_none(), "no_plane"),
            lacks(flight.bad_weather.is_none(), "no_weather"),
            lacks(flight.bad_weather == Some(true), "bad_weather"),
        ];
        counted.into_iter().flatten().map(|(name, count)| (name.to_owned(), count))
    });
    read.merge(&known)
        .group_by_key_with(Grouped::named("counted"))
        .reduce_with(|sum, count| sum + count, Materialized::named("counts"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_application_can_be_built() {
        let topology = build("", HOUR, Duration::from_secs(1)).unwrap_or_else(|error| panic!("{error}"));
        assert!(topology.describe().contains("members-repartition"));
    }
}
