//! The property that a written name stands for, or why there is none.
//!
//! A name is, in this order: a property's own or other name; a client's prefix before one; a name that only
//! Kafka knows ([`elsewhere`]); unknown, which is answered with the nearest valid name.

use super::elsewhere::elsewhere;
use super::problem::Problem;
use super::property::Property;
use super::source::Source;
use super::table::{properties, property};

/// Prefixes by which Kafka Streams hands settings to one of its clients, and what that client is called.
const CLIENTS: &[(&str, &str)] = &[
    ("main.consumer.", "main consumer"),
    ("restore.consumer.", "restore consumer"),
    ("global.consumer.", "global consumer"),
    ("consumer.", "consumers"),
    ("producer.", "producers"),
    ("admin.", "admin client"),
];

/// A suggestion shares more than half of its letters with what was written.
const NEAR: f64 = 0.5;

/// The property that `name` from `source` stands for.
pub(super) fn resolve(name: &str, source: &Source) -> Result<&'static Property, Problem> {
    if let Some(property) = property(name) {
        return Ok(property);
    }
    let client = CLIENTS.iter().find(|(prefix, _)| name.starts_with(prefix));
    let bare = client.map_or(name, |(prefix, _)| &name[prefix.len()..]);
    if let (Some((prefix, client)), Some(property)) = (client, property(bare)) {
        if property.clients.contains(prefix) {
            return Ok(property);
        }
        let message = format!("{}`{name}`: `{bare}` is not a setting of the {client}", source.lead());
        return Err(Problem::new(message, format!("set `{}`, without prefix", source.spell(property.name))));
    }
    if let Some((why, instead)) = elsewhere(bare) {
        return Err(Problem::new(
            format!("{}`{name}` is not a property here: {why}", source.lead()),
            instead,
        ));
    }
    let hint = match nearest(name, client.map(|(prefix, _)| *prefix)) {
        Some(nearest) => format!("did you mean `{}`?", source.spell(&nearest)),
        None => "`Config::help` lists the properties".to_owned(),
    };
    Err(Problem::new(format!("{}unknown property `{name}`", source.lead()), hint))
}

/// The valid name that is nearest to `name`, under the same `prefix` where there is one.
fn nearest(name: &str, prefix: Option<&'static str>) -> Option<String> {
    let written = name.to_ascii_lowercase();
    let under_prefix = properties()
        .filter_map(|property| {
            property.clients.iter().find(|&&client| Some(client) == prefix).map(|client| (client, property))
        })
        .map(|(client, property)| format!("{client}{}", property.name));
    properties()
        .map(|property| property.name.to_owned())
        .chain(under_prefix)
        .map(|valid| (strsim::normalized_damerau_levenshtein(&written, &valid), valid))
        .filter(|(likeness, _)| *likeness > NEAR)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, valid)| valid)
}
