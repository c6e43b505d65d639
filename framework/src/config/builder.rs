//! Gathers properties from code, environment and files, then decides which value holds.
//!
//! 1. Code wins over the environment, the environment over files, anything over defaults.
//! 2. In code the last call wins. Of several files (or environments) the one that was named last wins.
//! 3. In one place a property has one value: a second one that differs is refused, by whichever of its names.
//! 4. Everything that is wrong is told in one error.

use std::ffi::OsString;
use std::path::Path;

use super::problem::{self, Problem};
use super::property::{Fallback, Property, Value};
use super::source::{ENVIRONMENT_PREFIX, Source};
use super::table::properties;
use super::values::{HANDLERS, Values};
use super::{Config, check, file, name, security};
use crate::error::Result;
use crate::kafka::Secret;

/// Variables that begin like properties and are none: they steer the project's tests and logs.
pub const RESERVED_VARIABLES: &[&str] =
    &["HEADWATER_SUITES", "HEADWATER_TEST_BOOTSTRAP", "HEADWATER_TEST_KAFKA", "HEADWATER_LOG"];

/// A property as it was written somewhere.
#[derive(Clone, Debug)]
struct Given {
    name: String,
    /// Whatever its property, which is not known yet: it may be one that is never shown.
    value: Secret,
    source: Source,
    /// Which call gave it; all of code is one place.
    place: usize,
}

/// Gathers properties; see [`Config::builder`].
#[derive(Debug, Default)]
#[must_use = "`build` makes the configuration"]
pub struct ConfigBuilder {
    given: Vec<Given>,
    problems: Vec<Problem>,
    places: usize,
}

impl ConfigBuilder {
    /// Sets a property from code. Wins over the environment, files, and earlier calls.
    ///
    /// ```
    /// use headwater::config::Config;
    /// let config = Config::builder().set("application.id", "orders").set("commit.interval.ms", "50").build()?;
    /// assert_eq!(config.settings().commit_interval_ms, 50);
    /// # Ok::<(), headwater::Error>(())
    /// ```
    pub fn set(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let value = Secret::new(value);
        self.given.push(Given { name: name.into(), value, source: Source::Code, place: 0 });
        self
    }

    /// Reads a file of properties in Java's syntax, in UTF-8. Wins over files that were named before.
    ///
    /// ```no_run
    /// use headwater::config::Config;
    /// let config = Config::builder().file("orders.properties").build()?;
    /// # Ok::<(), headwater::Error>(())
    /// ```
    pub fn file(mut self, path: impl AsRef<Path>) -> Self {
        self.places += 1;
        let shown = path.as_ref().display().to_string();
        let entries = match std::fs::read(&path) {
            Ok(bytes) => file::parse(&bytes),
            Err(error) => {
                let message = format!("cannot read the file of properties {shown}: {error}");
                self.problems.push(Problem::new(message, "name a file that exists and may be read"));
                return self;
            }
        };
        for entry in entries {
            match entry {
                Ok(file::Entry { line, name, value }) => {
                    let source = Source::File { path: shown.clone(), line };
                    self.given.push(Given { name, value: Secret::new(value), source, place: self.places });
                }
                Err(file::Malformed { line, why }) => {
                    let hint = "the syntax is that of java.util.Properties";
                    self.problems.push(Problem::new(format!("{shown}:{line}: {why}"), hint));
                }
            }
        }
        self
    }

    /// Takes the variables that begin with `HEADWATER_`: `HEADWATER_APPLICATION_ID` is `application.id`. Wins
    /// over files. Other variables do not count; [`RESERVED_VARIABLES`] are no properties.
    ///
    /// ```
    /// use headwater::config::Config;
    /// let variables = [("HEADWATER_APPLICATION_ID", "orders"), ("HOME", "/")];
    /// let config = Config::builder().environment(variables).build()?;
    /// assert_eq!(config.settings().application_id, "orders");
    ///
    /// // In a program:
    /// let builder = Config::builder().environment(std::env::vars_os());
    /// # Ok::<(), headwater::Error>(())
    /// ```
    pub fn environment<K, V>(mut self, variables: impl IntoIterator<Item = (K, V)>) -> Self
    where
        K: Into<OsString>,
        V: Into<OsString>,
    {
        self.places += 1;
        for (variable, value) in variables {
            let variable: OsString = variable.into();
            let variable = variable.to_string_lossy();
            let Some(name) = variable.strip_prefix(ENVIRONMENT_PREFIX) else { continue };
            if RESERVED_VARIABLES.contains(&variable.as_ref()) {
                continue;
            }
            let name = name.to_ascii_lowercase().replace('_', ".");
            let value: OsString = value.into();
            let Ok(value) = value.into_string() else {
                self.problems.push(Problem::new(format!("{variable}: not UTF-8"), "write it in UTF-8"));
                continue;
            };
            let source = Source::Environment { variable: variable.into_owned() };
            self.given.push(Given { name, value: Secret::new(value), source, place: self.places });
        }
        self
    }

    /// Checks everything and makes the configuration.
    ///
    /// ```
    /// use headwater::config::Config;
    /// let misspelt = Config::builder().set("application.id", "orders").set("comit.interval.ms", "50");
    /// assert_eq!(
    ///     misspelt.build().unwrap_err().to_string(),
    ///     "unknown property `comit.interval.ms`; did you mean `commit.interval.ms`?"
    /// );
    /// ```
    ///
    /// # Errors
    /// One error that tells all that is wrong: files that cannot be read, unknown names, values that are not
    /// allowed, settings that contradict each other.
    pub fn build(self) -> Result<Config> {
        let mut problems = self.problems;
        let mut known: Vec<(&'static Property, Given)> = Vec::with_capacity(self.given.len());
        for given in self.given {
            match name::resolve(&given.name, &given.source) {
                Ok(property) => known.push((property, given)),
                Err(problem) => problems.push(problem),
            }
        }
        let mut values = Values::new();
        for property in properties() {
            let given = known.iter().filter(|(known, _)| known.name == property.name).map(|(_, given)| given);
            if let Err(problem) = choose(property, given, &mut values) {
                values.get_mut(property.name).refused = true;
                problems.push(problem);
            }
        }
        values.derive();
        problems.extend(check::contradictions(&values));
        let security = security::of(&values, &mut problems);
        match problem::error(problems) {
            Some(error) => Err(error),
            None => Ok(Config::new(values, security)),
        }
    }
}

fn text(given: &Given) -> &str {
    given.value.reveal().trim()
}

/// Puts the value of `property` that wins into `values`.
fn choose<'a>(
    property: &'static Property,
    given: impl Iterator<Item = &'a Given> + Clone,
    values: &mut Values,
) -> std::result::Result<(), Problem> {
    let rank = |given: &&Given| (given.source.rank(), given.place);
    // The last of those with the highest rank.
    let Some(winner) = given.clone().max_by_key(rank) else {
        return match property.default {
            Fallback::Required => {
                Err(Problem::new(format!("`{}` is not set", property.name), format!("it {}", property.doc)))
            }
            Fallback::Unset(_) | Fallback::Text(_) | Fallback::Derived(_) => Ok(()),
        };
    };
    let in_code_again = |rival: &Given| winner.source == Source::Code && rival.name == winner.name;
    let rival = given
        .filter(|rival| rank(rival) == rank(&winner) && text(rival) != text(winner))
        .find(|rival| !in_code_again(rival));
    if let Some(rival) = rival {
        let shown = |given: &Given| property.kind.shown(given.value.reveal());
        let (lead, value, name) = (winner.source.lead(), shown(winner), &winner.name);
        let (other, from) = (&rival.name, &rival.source);
        let message = format!("{lead}`{name}` is `{value}`, but `{other}` ({from}) is `{}`", shown(rival));
        return Err(Problem::new(
            message,
            format!("they are the same setting: give `{}` once", property.name),
        ));
    }
    let Some(value) = property.kind.parse(winner.value.reveal()) else {
        let (lead, name) = (winner.source.lead(), &winner.name);
        let message = match text(winner) {
            "" => format!("{lead}`{name}` has no value"),
            value => format!("{lead}`{name}` cannot be `{}`", property.kind.shown(value)),
        };
        return Err(Problem::new(message, format!("allowed: {}", property.kind)));
    };
    let chosen = values.get_mut(property.name);
    chosen.dead_letters_if_possible = HANDLERS.contains(&property.name)
        && value == Value::Text("continue".to_owned())
        && !text(winner).eq_ignore_ascii_case("continue");
    chosen.value = value;
    chosen.source = winner.source.clone();
    Ok(())
}
