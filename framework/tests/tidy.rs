//! The laws of `ARCHITECTURE.md`, held by a test: module order, who may name whom, lengths, and that the map is true.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Longest function, in lines from signature to closing brace.
const FUNCTION_LINES_MAX: usize = 70;
/// Longest file without its tests.
const FILE_LINES_MAX: usize = 500;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the framework lies in the workspace").to_owned()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All Rust files below `folder`, sorted.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for entry in entries {
            let path = entry.expect("a folder can be listed").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// The part of a file before its unit tests.
fn without_tests(text: &str) -> &str {
    text.split("\n#[cfg(test)]").next().unwrap_or(text)
}

fn module_order() -> Vec<String> {
    let text = read(&root().join("ARCHITECTURE.md"));
    let list = text
        .split("<!-- modules: begin -->")
        .nth(1)
        .and_then(|rest| rest.split("<!-- modules: end -->").next());
    let list = list.expect("ARCHITECTURE.md lists the modules between its two marks");
    list.split_whitespace().map(|name| name.trim_matches('`').to_owned()).collect()
}

/// The top module that a file of the framework belongs to; none for `lib.rs`.
fn module_of(path: &Path) -> Option<String> {
    let inside = path.strip_prefix(root().join("framework/src")).expect("a file of the framework");
    let first = inside.components().next()?.as_os_str().to_str()?.trim_end_matches(".rs").to_owned();
    (first != "lib").then_some(first)
}

fn check(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn modules_use_only_those_before_them() {
    let order = module_order();
    let place: BTreeMap<&str, usize> =
        order.iter().enumerate().map(|(place, name)| (name.as_str(), place)).collect();
    let mut problems = Vec::new();
    for path in rust_files(&root().join("framework/src")) {
        let Some(own) = module_of(&path) else { continue };
        let Some(own_place) = place.get(own.as_str()) else {
            problems
                .push(format!("{}: module `{own}` is not in the list of ARCHITECTURE.md", path.display()));
            continue;
        };
        for (number, line) in without_tests(&read(&path)).lines().enumerate() {
            if line.trim_start().starts_with("//") {
                continue;
            }
            for used in line.split("crate::").skip(1) {
                let used: String = used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if place.get(used.as_str()).is_some_and(|used_place| used_place > own_place) {
                    let at = format!("{}:{}", path.display(), number + 1);
                    problems.push(format!(
                        "{at}: `{own}` uses `{used}`, which comes after it; move the shared part down"
                    ));
                }
            }
        }
    }
    check(&problems);
}

#[test]
fn lib_declares_the_modules_in_order() {
    let text = read(&root().join("framework/src/lib.rs"));
    let declared: Vec<_> =
        text.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    let order = module_order();
    assert_eq!(
        declared,
        order.iter().map(String::as_str).collect::<Vec<_>>(),
        "lib.rs against ARCHITECTURE.md"
    );
}

#[test]
fn what_belongs_to_one_place_is_named_there_only() {
    let rules: &[(&str, &[&str])] = &[
        ("headwater_broker", &["framework/src/kafka/memory/", "framework/src/testkit/"]),
        ("SystemTime::", &["framework/src/time.rs"]),
        ("Instant::", &["framework/src/time.rs"]),
        ("thread::spawn", &["framework/src/application/"]),
        ("thread::Builder", &["framework/src/application/"]),
        ("apache_avro", &["framework/src/codec/avro/"]),
        ("hashbrown", &["framework/src/state/overlay.rs"]),
        ("rdkafka", &["framework/src/kafka/"]),
        ("rocksdb", &["framework/src/state/", "framework/src/config/elsewhere.rs"]),
    ];
    let mut problems = Vec::new();
    for path in rust_files(&root().join("framework/src")) {
        let name = path.strip_prefix(root()).expect("a file of the workspace").display().to_string();
        for (number, line) in read(&path).lines().enumerate() {
            if line.trim_start().starts_with("//") {
                continue;
            }
            for (word, homes) in rules {
                if line.contains(word) && !homes.iter().any(|home| name.starts_with(home)) {
                    problems.push(format!(
                        "{name}:{}: `{word}` belongs into {}",
                        number + 1,
                        homes.join(" or ")
                    ));
                }
            }
        }
    }
    check(&problems);
}

#[test]
fn functions_and_files_are_short() {
    let mut problems = Vec::new();
    for folder in ["framework/src", "broker/src"] {
        for path in rust_files(&root().join(folder)) {
            let text = read(&path);
            let code = without_tests(&text);
            if code.lines().count() > FILE_LINES_MAX {
                problems.push(format!(
                    "{}: {} lines; look for the second concept",
                    path.display(),
                    code.lines().count()
                ));
            }
            problems.extend(long_functions(code).map(|(line, name, lines)| {
                format!(
                    "{}:{line}: function `{name}` has {lines} lines, {FUNCTION_LINES_MAX} at most",
                    path.display()
                )
            }));
        }
    }
    check(&problems);
}

/// Functions that are too long: line, name, lines. Relies on rustfmt: a function ends at a brace indented as its start.
fn long_functions(code: &str) -> impl Iterator<Item = (usize, String, usize)> {
    let lines: Vec<&str> = code.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let body = line.trim_start();
        let is_function =
            ["fn ", "pub fn ", "pub(crate) fn ", "pub(super) fn ", "const fn ", "pub const fn "]
                .iter()
                .any(|prefix| body.starts_with(prefix));
        if !is_function || body.ends_with(';') || body.ends_with('}') {
            continue;
        }
        let indent = &line[..line.len() - body.len()];
        let signature_end = lines[start..].iter().find(|line| line.starts_with(&format!("{indent})")));
        if !body.ends_with('{') && signature_end.is_some_and(|line| line.ends_with(';')) {
            continue;
        }
        let end = format!("{indent}}}");
        let length = lines[start..].iter().position(|line| *line == end).map_or(0, |length| length + 1);
        if length > FUNCTION_LINES_MAX {
            let name = body.split("fn ").nth(1).unwrap_or(body).split(['(', '<']).next().unwrap_or(body);
            found.push((start + 1, name.to_owned(), length));
        }
    }
    found.into_iter()
}

#[test]
fn files_begin_with_what_they_are() {
    let mut problems = Vec::new();
    for folder in ["framework/src", "broker/src"] {
        for path in rust_files(&root().join(folder)) {
            if !read(&path).starts_with("//!") {
                problems
                    .push(format!("{}: begin with `//!` and the meaning of the file's name", path.display()));
            }
            let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            for banned in ["util", "utils", "common", "helper", "helpers", "types", "misc", "manager", "impl"]
            {
                if name.split('_').any(|word| word == banned) {
                    problems.push(format!("{}: `{banned}` says nothing; name the concept", path.display()));
                }
            }
        }
    }
    check(&problems);
}

#[test]
fn every_path_in_the_map_exists() {
    let mut problems = Vec::new();
    for page in ["ARCHITECTURE.md", "README.md"] {
        let text = read(&root().join(page));
        for word in text.split('`').skip(1).step_by(2) {
            let is_path = ["framework/", "broker/", "examples/", "tests/", "docker/", ".ci/"]
                .iter()
                .any(|folder| word.starts_with(folder));
            if is_path && !word.contains(' ') && !root().join(word).exists() && !word.contains("results/") {
                problems.push(format!("{page}: `{word}` does not exist"));
            }
        }
    }
    check(&problems);
}

#[test]
fn the_changelog_has_a_place_for_what_is_new() {
    assert!(
        read(&root().join("CHANGELOG.md")).contains("\n## Unreleased\n"),
        "add `## Unreleased` to CHANGELOG.md"
    );
}
