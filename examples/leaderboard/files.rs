//! The data files: gzipped CSV with a header, `NA` where a value is missing.

use std::fs::File;
use std::path::Path;

use csv::{ErrorKind, Reader, StringRecord};
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

/// What to do about a file that cannot be read.
const HINT: &str = "`git restore examples/leaderboard/data` or `make data` brings the files back";

fn rows<V>(
    folder: &Path,
    name: &str,
    row: impl Fn(&Line<'_>) -> Fallible<Keyed<V>>,
) -> Fallible<Vec<Keyed<V>>> {
    let path = folder.join(name);
    let shown = path.display();
    let file = File::open(&path)
        .map_err(|error| format!("{shown}: {error}; --data names the folder that has this file; {HINT}"))?;
    let mut reader = Reader::from_reader(GzDecoder::new(file));
    let header =
        reader.headers().map_err(|error| format!("{shown}, line 1: {}; {HINT}", cause(&error)))?.clone();
    if header.is_empty() {
        return Err(format!("{shown} is empty; {HINT}").into());
    }
    let mut rows = Vec::new();
    let mut fields = StringRecord::new();
    loop {
        let line = reader.position().line();
        let broken = |error: &dyn std::fmt::Display| format!("{shown}, line {line}: {error}; {HINT}");
        if !reader.read_record(&mut fields).map_err(|error| broken(&cause(&error)))? {
            return Ok(rows);
        }
        let read = row(&Line { header: &header, fields: &fields });
        rows.push(read.map_err(|error| broken(&error))?);
    }
}

/// The cause of an error without its place, which the caller names.
fn cause(error: &csv::Error) -> String {
    match error.kind() {
        ErrorKind::Io(error) => format!("the gzip file is broken ({error})"),
        ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("{len} fields instead of {expected_len}")
        }
        ErrorKind::Utf8 { .. } => "this is not UTF-8".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::path::PathBuf;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(text: &str) -> Vec<u8> {
        let mut out = GzEncoder::new(Vec::new(), Compression::fast());
        out.write_all(text.as_bytes()).unwrap();
        out.finish().unwrap()
    }

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("headwater-files-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// The error of reading `airlines.csv.gz` with these bytes.
    fn problem(name: &str, bytes: Option<Vec<u8>>) -> String {
        let folder = folder(name);
        if let Some(bytes) = bytes {
            std::fs::write(folder.join("airlines.csv.gz"), bytes).unwrap();
        }
        let read = rows(&folder, "airlines.csv.gz", |row| {
            Ok(Keyed { key: row.text("carrier")?, value: Airline { name: row.text("name")? }, time: 0 })
        });
        std::fs::remove_dir_all(&folder).unwrap();
        read.unwrap_err().to_string()
    }

    #[test]
    fn a_bad_file_is_named_with_its_line() {
        let text = "carrier,name\n9E,Endeavor Air Inc.\nAA,American Airlines Inc.\n";
        let whole = gzip(text);
        let cut = whole[..whole.len() - 12].to_vec();
        let cases = [
            ("missing", None, "airlines.csv.gz: No such file"),
            ("empty", Some(Vec::new()), "airlines.csv.gz"),
            ("plain", Some(text.into()), "airlines.csv.gz, line 1: the gzip file is broken"),
            ("cut", Some(cut), "the gzip file is broken"),
            ("short", Some(gzip("carrier,name\n9E\n")), "airlines.csv.gz, line 2: 1 fields instead of 2"),
            ("column", Some(gzip("carrier\n9E\n")), "airlines.csv.gz, line 2: no column `name`"),
            ("value", Some(gzip("carrier,name\n9E,NA\n")), "line 2: column `name` is missing"),
        ];
        for (name, bytes, expected) in cases {
            let problem = problem(name, bytes);
            assert!(problem.contains(expected), "{name}: {problem}");
            assert!(problem.contains("git restore") && !problem.contains('\n'), "{name}: {problem}");
        }
    }
}
