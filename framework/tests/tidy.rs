//! The laws of `ARCHITECTURE.md`, held by a test: module order, who may name whom, lengths, parameters, and that the map
//! is true.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Longest function, in lines from signature to closing brace.
const FUNCTION_LINES_MAX: usize = 70;
/// Most parameters of a function, `self` included.
const PARAMETERS_MAX: usize = 5;
/// Longest file without its tests.
const FILE_LINES_MAX: usize = 500;
/// Where Rust code lies, of all crates.
const FOLDERS: [&str; 6] = ["framework/src", "framework/tests", "broker", "cli", "examples", "tests"];
/// Integration tests: lists of cases, which may be long files.
const TEST_FOLDERS: [&str; 3] = ["framework/tests", "broker/tests", "tests/tests"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the framework lies in the workspace").to_owned()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All Rust files below `folder`, sorted; hidden folders are not the project's.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for entry in entries {
            let path = entry.expect("a folder can be listed").path();
            if path.is_dir() {
                let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
                folders.extend((!hidden).then_some(path));
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
        ("headwater_broker", &["framework/src/kafka/memory/"]),
        ("SystemTime::", &["framework/src/time.rs"]),
        ("Instant::", &["framework/src/time.rs"]),
        ("thread::spawn", &["framework/src/application/", "framework/src/kafka/librdkafka/bell.rs"]),
        (
            "thread::Builder",
            &[
                "framework/src/application/",
                "framework/src/kafka/librdkafka/",
                "framework/src/metrics/server.rs",
                "framework/src/state/rocksdb/loader.rs",
            ],
        ),
        ("indicatif", &["framework/src/application/restore_bar.rs"]),
        ("axum", &["framework/src/metrics/server.rs"]),
        ("tokio", &["framework/src/metrics/server.rs"]),
        (" prometheus::", &["framework/src/metrics/page.rs"]),
        ("apache_avro", &["framework/src/codec/avro/"]),
        ("unsafe_code", &["framework/src/state/huge_pages.rs", "framework/src/kafka/librdkafka/mod.rs"]),
        ("allocator_api2", &["framework/src/state/huge_pages.rs"]),
        ("foldhash", &["framework/src/state/overlay.rs"]),
        (" rdkafka::", &["framework/src/kafka/librdkafka/"]),
        (
            "rocksdb",
            &[
                "framework/src/state/rocksdb/",
                "framework/src/state/mod.rs",
                "framework/src/config/elsewhere.rs",
                "framework/src/config/mod.rs",
                "framework/src/application/mod.rs",
                "framework/src/reset/mod.rs",
            ],
        ),
    ];
    check(&strangers("framework/src", rules));
}

#[test]
fn the_brokers_core_knows_no_network_and_no_clock() {
    let server = "broker/src/server/";
    let rules: &[(&str, &[&str])] = &[
        ("kafka_protocol", &[server, "broker/src/wire/"]),
        ("tokio", &[server]),
        ("std::net", &[server]),
        ("std::thread", &[server]),
        ("Instant", &["broker/src/server/clock.rs"]),
        ("SystemTime", &["broker/src/server/clock.rs"]),
        ("rustls", &["broker/src/server/security/"]),
        (" ring::", &["broker/src/server/security/"]),
        (" base64::", &["broker/src/server/security/"]),
        ("clap", &["broker/src/main.rs"]),
        ("axum", &["broker/src/server/metrics/http.rs"]),
        (" prometheus::", &["broker/src/server/metrics/page.rs"]),
        ("unsafe", &[]),
    ];
    check(&strangers("broker/src", rules));
}

/// Words that stand in a folder's code outside of where they belong.
fn strangers(folder: &str, rules: &[(&str, &[&str])]) -> Vec<String> {
    let mut problems = Vec::new();
    for path in rust_files(&root().join(folder)) {
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
    problems
}

#[test]
fn functions_and_files_are_short() {
    let mut problems = Vec::new();
    for folder in FOLDERS {
        for path in rust_files(&root().join(folder)) {
            let text = read(&path);
            let code = without_tests(&text);
            let is_test = TEST_FOLDERS.iter().any(|tests| path.starts_with(root().join(tests)));
            if !is_test && code.lines().count() > FILE_LINES_MAX {
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
            problems.extend(functions(code).filter(|(_, _, count)| *count > PARAMETERS_MAX).map(
                |(line, name, count)| {
                    format!(
                        "{}:{line}: function `{name}` has {count} parameters, {PARAMETERS_MAX} at most",
                        path.display()
                    )
                },
            ));
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

/// All functions with a name: line, name, number of parameters. Comments within a signature are not expected.
fn functions(code: &str) -> impl Iterator<Item = (usize, &str, usize)> {
    let starts = code.match_indices("fn ").filter(|(at, _)| {
        let line = &code[code[..*at].rfind('\n').map_or(0, |end| end + 1)..*at];
        // `pub(crate) async`: words before the keyword, and nothing that a comment or an expression needs. What C calls has
        // the parameters that C gives it.
        let words = line.trim_start();
        !words.contains("extern")
            && words.chars().all(|c| c.is_alphanumeric() || " ()_\"".contains(c))
            && !words.starts_with('(')
    });
    starts.filter_map(|(at, _)| {
        let signature = &code[at + 3..];
        let name = signature.split(['(', '<']).next()?;
        let line = code[..at].lines().count().max(1);
        Some((line, name, parameters(&signature[name.len()..])?))
    })
}

/// How many parameters a signature names, from behind the function's name: commas in the first round brackets that
/// stand in no other brackets.
fn parameters(signature: &str) -> Option<usize> {
    let (mut depth, mut inside) = (0_usize, false);
    let (mut count, mut named) = (0, false);
    let mut before = ' ';
    for c in signature.chars() {
        match c {
            '(' if !inside && depth == 0 => inside = true,
            '(' | '[' | '<' => depth += 1,
            // The arrow of a function's type closes nothing.
            '>' if before != '-' => depth = depth.checked_sub(1)?,
            ')' | ']' if depth > 0 => depth -= 1,
            ')' => return Some(count + usize::from(named)),
            ',' if depth == 0 && inside => {
                count += usize::from(named);
                named = false;
            }
            c if inside && !c.is_whitespace() => named = true,
            _ => {}
        }
        before = c;
    }
    None
}

#[test]
fn parameters_are_counted() {
    let cases = [
        ("fn a() {}", 0),
        ("fn a(&self) {}", 1),
        ("    pub(crate) fn a<K, V>(&self, one: (A, B), two: &dyn Fn(K, V) -> Vec<(K, V)>) {}", 3),
        ("fn a(\n    one: [u8; 2],\n    two: BTreeMap<K, V>,\n) -> R {}", 2),
        ("fn a<F: Fn(A, B) -> C>(one: F) {}", 1),
        ("fn a(a: A, b: B, c: C, d: D, e: E, f: F) {}", 6),
    ];
    for (code, expected) in cases {
        assert_eq!(functions(code).map(|(_, _, count)| count).collect::<Vec<_>>(), [expected], "{code}");
    }
    assert_eq!(functions("// the fn a(b)\nlet f: fn (a) = b;").count(), 0);
}

#[test]
fn files_begin_with_what_they_are() {
    let mut problems = Vec::new();
    for folder in FOLDERS {
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
            let is_path = ["framework/", "broker/", "cli/", "examples/", "tests/", "docker/", ".ci/"]
                .iter()
                .any(|folder| word.starts_with(folder));
            if is_path && !word.contains(' ') && !root().join(word).exists() && !word.contains("results/") {
                problems.push(format!("{page}: `{word}` does not exist"));
            }
        }
    }
    check(&problems);
}

/// Everything in `text` that looks like a path of Rust: `consume::lane`, `kafka::Consumer`, `Worker::step`.
fn rust_paths(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
    words.map(|word| word.trim_matches(':')).filter(|word| word.contains("::"))
}

/// Whether a word stands in one of the framework's files below `place` behind one of these keywords.
fn is_declared(place: &Path, keywords: &[&str], name: &str) -> bool {
    let mut files = if place.is_dir() { rust_files(place) } else { Vec::new() };
    let file = place.with_extension("rs");
    files.extend(file.exists().then_some(file));
    files.iter().any(|path| {
        let text = read(path);
        keywords.iter().any(|keyword| {
            let declaration = format!("{keyword} {name}");
            text.match_indices(&declaration).any(|(at, _)| {
                let next = text[at + declaration.len()..].chars().next();
                !next.is_some_and(|c| c.is_alphanumeric() || c == '_')
            })
        })
    })
}

/// Whether a path of Rust leads to a module, a type or a function of the framework.
fn leads_somewhere(path: &str) -> bool {
    const TYPES: [&str; 4] = ["struct", "enum", "trait", "type"];
    let mut place = root().join("framework/src");
    for name in path.split("::") {
        if name.starts_with(char::is_uppercase) {
            // What follows a type is a function or a variant of it; the type's name is proof enough of the place.
            return is_declared(&place, &TYPES, name);
        }
        if !place.join(name).is_dir() && !place.join(name).with_extension("rs").exists() {
            return is_declared(&place, &["fn", "const"], name);
        }
        place = place.join(name);
    }
    true
}

#[test]
fn every_module_path_in_the_map_exists() {
    let text = read(&root().join("ARCHITECTURE.md"));
    let problems: Vec<_> = rust_paths(&text)
        .filter(|path| !leads_somewhere(path))
        .map(|path| format!("ARCHITECTURE.md: `{path}` does not exist in framework/src"))
        .collect();
    check(&problems);
}

#[test]
fn a_module_path_that_leads_nowhere_is_found() {
    for right in
        ["consume::lane", "kafka::Consumer", "consume::Lane", "Worker::step", "consume::order::ready"]
    {
        assert!(leads_somewhere(right), "{right}");
    }
    for wrong in ["consume::queue", "kafka::Consume", "nowhere::lane", "Labourer::step"] {
        assert!(!leads_somewhere(wrong), "{wrong}");
    }
    assert_eq!(rust_paths("by a::b, `c::D` ──> e::f: g").collect::<Vec<_>>(), ["a::b", "c::D", "e::f"]);
}

#[test]
fn the_changelog_has_a_place_for_what_is_new() {
    assert!(
        read(&root().join("CHANGELOG.md")).contains("\n## Unreleased\n"),
        "add `## Unreleased` to CHANGELOG.md"
    );
}
