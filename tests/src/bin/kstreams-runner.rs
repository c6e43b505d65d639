//! `kstreams-runner --cases FILE_OR_DIR --out RESULTS.jsonl`: runs cases that tell what Kafka Streams does, and writes
//! one result a line, for a judge.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use headwater_tests::kstreams;

const USAGE: &str = "usage: kstreams-runner --cases FILE_OR_DIR --out RESULTS.jsonl";

fn main() -> ExitCode {
    if std::env::args().skip(1).any(|argument| argument == "--help" || argument == "-h") {
        println!("{USAGE}\n\nRuns the cases and writes one result a line.");
        return ExitCode::SUCCESS;
    }
    match arguments(std::env::args().skip(1)).and_then(|(cases, out)| run(&cases, &out)) {
        Ok(summary) => {
            println!("{summary}");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

fn arguments(mut given: impl Iterator<Item = String>) -> Result<(PathBuf, PathBuf), String> {
    let (mut cases, mut out) = (None, None);
    while let Some(name) = given.next() {
        let value = given.next().map(PathBuf::from);
        match name.as_str() {
            "--cases" => cases = value,
            "--out" => out = value,
            _ => return Err(format!("unknown argument `{name}`\n{USAGE}")),
        }
    }
    cases.zip(out).ok_or_else(|| USAGE.to_owned())
}

fn run(cases: &Path, out: &Path) -> Result<String, String> {
    let shown = cases.display();
    let results =
        kstreams::run(cases).map_err(|error| format!("cannot read the cases of {shown}: {error}"))?;
    if results.is_empty() {
        return Err(format!(
            "there are no cases in {shown}: a file of them, or a folder of such files, is needed"
        ));
    }
    let written = File::create(out).and_then(|file| {
        let mut file = BufWriter::new(file);
        results.iter().try_for_each(|result| writeln!(file, "{result}"))?;
        file.flush()
    });
    written.map_err(|error| format!("cannot write {}: {error}", out.display()))?;
    let of = |field: &str| results.iter().filter(|result| result.get(field).is_some()).count();
    let (unsupported, errors) = (of("unsupported"), of("error"));
    let ran = results.len() - unsupported - errors;
    Ok(format!("{ran} cases ran, {unsupported} are unsupported, {errors} failed"))
}
