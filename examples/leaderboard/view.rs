//! The boards in the terminal: refreshed in place, or as plain lines where the output is piped.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Stdout, Write, stdout};

use crossterm::{cursor, queue, style, terminal};

use crate::Fallible;
use crate::model::{Board, Category, PLACES, Row, Span};
use crate::utc;

/// A board's name: kind, category, origin, start, end.
type Name = (Span, Category, Option<String>, i64, i64);

/// The last state of every board, and what of it is shown.
pub(crate) struct View {
    boards: BTreeMap<Name, Vec<Row>>,
    changes: u64,
    in_place: bool,
    /// What a spectator can do meanwhile.
    hint: Option<String>,
    /// Start of the newest window of each kind.
    newest: BTreeMap<Span, i64>,
    /// Where output is piped: the last hour that was printed.
    printed: i64,
}

impl View {
    /// An empty view on standard output. What a spectator can do meanwhile stands below the boards; piped, it comes first.
    pub(crate) fn new(hint: Option<String>) -> Fallible<Self> {
        let in_place = stdout().is_terminal();
        if let (false, Some(hint)) = (in_place, &hint) {
            writeln!(stdout(), "{hint}")?;
        }
        Ok(Self { boards: BTreeMap::new(), changes: 0, in_place, hint, newest: BTreeMap::new(), printed: 0 })
    }

    /// Takes a change of a board.
    pub(crate) fn take(&mut self, board: Board) {
        self.changes += 1;
        let newest = self.newest.entry(board.board).or_insert(board.start);
        *newest = board.start.max(*newest);
        let name = (board.board, board.category, board.origin, board.start, board.end);
        match board.rows {
            Some(rows) if !rows.is_empty() => self.boards.insert(name, rows),
            _ => self.boards.remove(&name),
        };
    }

    /// Number of changes taken.
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    /// Shows the newest boards; piped, the boards of an hour once the next one has begun.
    pub(crate) fn show(&mut self, status: &str) -> Fallible<()> {
        if self.in_place { self.redraw(status) } else { self.print_finished_hours() }
    }

    fn redraw(&self, status: &str) -> Fallible<()> {
        let mut out = stdout();
        queue!(
            out,
            terminal::BeginSynchronizedUpdate,
            cursor::MoveTo(0, 0),
            terminal::Clear(terminal::ClearType::All)
        )?;
        line(
            &mut out,
            &format!("Most delayed flights out of New York: minutes of arrival delay        {status}"),
        )?;
        for span in [Span::Hour, Span::Day, Span::Session] {
            let Some(start) = self.newest.get(&span) else { continue };
            let columns: Vec<_> =
                self.boards.iter().filter(|(name, _)| name.0 == span && name.3 == *start).collect();
            let Some((first, _)) = columns.first() else { continue };
            line(&mut out, "")?;
            line(&mut out, &title(span, first))?;
            for place in 0..PLACES {
                let cells = columns.iter().take(3).map(|(_, rows)| cell(rows.get(place)));
                line(&mut out, &cells.collect::<Vec<_>>().join("   "))?;
            }
        }
        if let Some(hint) = &self.hint {
            line(&mut out, "")?;
            line(&mut out, hint)?;
        }
        queue!(out, terminal::EndSynchronizedUpdate)?;
        Ok(out.flush()?)
    }

    fn print_finished_hours(&mut self) -> Fallible<()> {
        let newest = self.newest.get(&Span::Hour).copied().unwrap_or(0);
        let mut out = stdout();
        for (name, rows) in &self.boards {
            let (span, category, _, start, _) = name;
            if *span != Span::Hour
                || *category != Category::Carrier
                || *start <= self.printed
                || *start >= newest
            {
                continue;
            }
            let best: Vec<_> =
                rows.iter().take(3).map(|(name, minutes)| format!("{name} {minutes}")).collect();
            writeln!(out, "{} most delayed carriers: {}", utc::format(*start), best.join(", "))?;
        }
        self.printed = self.printed.max(newest - 1);
        Ok(out.flush()?)
    }

    /// The boards as JSON lines, in the form that `examples/check` reads.
    pub(crate) fn write(&self, out: &mut impl Write) -> Fallible<()> {
        for ((board, category, origin, start, end), rows) in &self.boards {
            let rows = Some(rows.clone());
            let board = Board {
                board: *board,
                category: *category,
                origin: origin.clone(),
                start: *start,
                end: *end,
                rows,
            };
            serde_json::to_writer(&mut *out, &board)?;
            writeln!(out)?;
        }
        Ok(())
    }

    /// The last day's boards as text, whole: what a demo ends with.
    pub(crate) fn print_last(&self) -> Fallible<()> {
        let mut out = stdout();
        for span in [Span::Day, Span::Session] {
            // The busiest of its kind says more than the last, which has hardly begun.
            let busiest =
                self.boards.iter().filter(|(name, _)| name.0 == span && name.1 == Category::Carrier);
            let Some((name, _)) = busiest.max_by_key(|(_, rows)| rows.iter().map(|row| row.1).sum::<i64>())
            else {
                continue;
            };
            writeln!(out, "\n{}", title(span, name))?;
            let same = |other: &Name| other.0 == span && other.3 == name.3 && other.2 == name.2;
            let columns: Vec<_> = self.boards.iter().filter(|(other, _)| same(other)).collect();
            for place in 0..PLACES {
                let cells: Vec<_> = columns.iter().map(|(_, rows)| cell(rows.get(place))).collect();
                writeln!(out, "{}", cells.join("   "))?;
            }
        }
        Ok(())
    }
}

fn title(span: Span, name: &Name) -> String {
    let from = utc::format(name.3);
    match span {
        Span::Hour => format!("hour from {from} UTC"),
        Span::Day => format!("day {} UTC", &from[..10]),
        Span::Session => {
            let airport = name.2.as_deref().unwrap_or_default();
            format!("bad weather at {airport}, {from} to {} UTC", utc::format(name.4))
        }
    }
}

fn cell(row: Option<&Row>) -> String {
    row.map_or_else(|| " ".repeat(34), |(name, minutes)| format!("{name:<26.26} {minutes:>7}"))
}

fn line(out: &mut Stdout, text: &str) -> Fallible<()> {
    queue!(out, style::Print(text), style::Print("\r\n"))?;
    Ok(())
}
