//! Word count, on the in-process broker: what the README begins with.

use headwater::testkit::Testkit;
use headwater::{Materialized, Result, StreamsBuilder};

fn main() -> Result<()> {
    let builder = StreamsBuilder::new();
    builder
        .stream::<String, String>("lines")
        .flat_map_values(|line| line.to_lowercase().split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .group_by(|_, word| word.clone())
        .count_with(Materialized::named("words"))
        .to_stream()
        .to("counts");

    let mut kit = Testkit::new(&builder.build()?)?;
    kit.pipe("lines", &"a".to_owned(), &"The road goes on".to_owned(), 0)?;
    kit.pipe("lines", &"b".to_owned(), &"On and on the road".to_owned(), 1)?;
    for record in kit.read::<String, i64>("counts")? {
        println!("{}: {}", record.key, record.value);
    }
    Ok(())
}
