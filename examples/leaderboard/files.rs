//! The data files: gzipped CSV with a header, `NA` where a value is missing.

use std::fs::File;
use std::path::Path;

use csv::{Reader, StringRecord};
use flate2::read::GzDecoder;

use crate::model::{Airline, Flight, Plane, Weather};
use crate::{Fallible, utc};

/// A record for a topic.
#[derive(Clone, Debug)]
pub(crate) struct Keyed<V> {
    pub(crate) key: String,
    pub(crate) value: V,
    /// Milliseconds since 1970-01-01 UTC.
    pub(crate) time: i64,
}

/// All rows of the data.
pub(crate) struct Data {
    pub(crate) airlines: Vec<Keyed<Airline>>,
    pub(crate) planes: Vec<Keyed<Plane>>,
    pub(crate) weather: Vec<Keyed<Weather>>,
    pub(crate) flights: Vec<Keyed<Flight>>,
}

/// Reads the four files of a folder.
pub(crate) fn read(folder: &Path) -> Fallible<Data> {
    let mut weather = rows(folder, "weather.csv.gz", |row| {
        let (origin, hour) = (row.text("origin")?, row.text("time_hour")?);
        let value =
            Weather { origin: origin.clone(), precip: row.number("precip")?, visib: row.number("visib")? };
        Ok(Keyed { key: format!("{origin}|{hour}"), value, time: utc::parse(&hour)? })
    })?;
    let mut flights = rows(folder, "flights.csv.gz", |row| {
        let hour = row.text("time_hour")?;
        let minute: i64 = row.number("minute")?.ok_or("column `minute` is missing")?;
        let value = Flight {
            carrier: row.text("carrier")?,
            number: row.text("flight")?,
            tailnum: row.optional("tailnum")?,
            origin: row.text("origin")?,
            dest: row.text("dest")?,
            arr_delay: row.number("arr_delay")?,
            hour: hour.clone(),
        };
        Ok(Keyed { key: value.carrier.clone(), value, time: utc::parse(&hour)? + minute * 60_000 })
    })?;
    // The files are sorted by actual departure; a replay goes by the schedule.
    weather.sort_by_key(|row| row.time);
    flights.sort_by_key(|row| row.time);
    Ok(Data {
        airlines: rows(folder, "airlines.csv.gz", |row| {
            Ok(Keyed { key: row.text("carrier")?, value: Airline { name: row.text("name")? }, time: 0 })
        })?,
        planes: rows(folder, "planes.csv.gz", |row| {
            Ok(Keyed { key: row.text("tailnum")?, value: Plane { model: row.text("model")? }, time: 0 })
        })?,
        weather,
        flights,
    })
}

struct Line<'a> {
    header: &'a StringRecord,
    fields: &'a StringRecord,
}

impl Line<'_> {
    fn optional(&self, column: &str) -> Fallible<Option<String>> {
        let place = self.header.iter().position(|name| name == column);
        let field =
            place.and_then(|place| self.fields.get(place)).ok_or_else(|| format!("no column `{column}`"))?;
        Ok((field != "NA").then(|| field.to_owned()))
    }

    fn text(&self, column: &str) -> Fallible<String> {
        Ok(self.optional(column)?.ok_or_else(|| format!("column `{column}` is missing"))?)
    }

    fn number<T: std::str::FromStr>(&self, column: &str) -> Fallible<Option<T>> {
        let Some(text) = self.optional(column)? else { return Ok(None) };
        Ok(Some(text.parse().map_err(|_| format!("column `{column}`: `{text}` is no number"))?))
    }
}

fn rows<V>(
    folder: &Path,
    name: &str,
    row: impl Fn(&Line<'_>) -> Fallible<Keyed<V>>,
) -> Fallible<Vec<Keyed<V>>> {
    let path = folder.join(name);
    let file = File::open(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut reader = Reader::from_reader(GzDecoder::new(file));
    let header = reader.headers()?.clone();
    let mut rows = Vec::new();
    for fields in reader.records() {
        let fields = fields?;
        let line = fields.position().map_or(0, csv::Position::line);
        let read = row(&Line { header: &header, fields: &fields });
        rows.push(read.map_err(|error| format!("{}, line {line}: {error}", path.display()))?);
    }
    Ok(rows)
}
