//! What goes to standard output: tables for people, one JSON document for programs.

pub mod drift;
pub mod incident;
pub mod inspection;
pub mod person;
pub mod plan;
pub mod progress;
pub mod quarantine;
pub mod report;
pub mod rotation;
pub mod rule;
pub mod schedule;
pub mod time;
pub mod webhook;
pub mod workflow;

use std::io::{IsTerminal, Write};

use comfy_table::{ContentArrangement, LineStyle, Table, presets};
use serde::Serialize;

use crate::cli::Format;
use crate::failure::{Exit, Failure};

/// Where a command's answer goes.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    format: Format,
}

impl Output {
    pub fn new(format: Format) -> Self {
        Self { format }
    }

    /// The answer: a document, or the text that says the same.
    pub fn answer<T: Serialize>(self, document: &T, text: impl FnOnce() -> String) -> Result<(), Failure> {
        let text = match self.format {
            Format::Table => text(),
            Format::Json => serde_json::to_string_pretty(document)
                .map_err(|e| Failure::internal(format!("the answer cannot be written as JSON: {e}")))?,
        };
        print(&text)
    }

    pub fn is_json(self) -> bool {
        self.format == Format::Json
    }

    /// A text that is the answer as it is, in either form.
    pub fn raw(self, text: &str) -> Result<(), Failure> {
        print(text)
    }

    /// A failure: for people on standard error; as the one document where JSON was asked for.
    pub fn failure(self, failure: &Failure) -> Exit {
        match self.format {
            Format::Table => eprintln!("{failure}"),
            Format::Json => {
                // Nobody reads a closed pipe; the exit status still says what happened.
                let _ = print(&format!("{:#}", failure.to_document()));
            }
        }
        failure.exit
    }
}

/// Standard output; a reader that went away (`| head`) is no error of ours.
fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    let newline = if text.ends_with('\n') { "" } else { "\n" };
    match write!(stdout, "{text}{newline}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::internal(format!("standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// A plain table that fits the terminal; unbounded where the output is no terminal, so that a
/// script's `grep` meets whole lines.
pub fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    // One line below the header: with one below each row, a plan of thirty attributes fills screens.
    table.load_style(presets::NOTHING.header_separator(LineStyle::new('─', '─', '─', '─')));
    table.set_header(header.iter().copied());
    let arrangement = if std::io::stdout().is_terminal() {
        ContentArrangement::Dynamic
    } else {
        ContentArrangement::Disabled
    };
    table.set_content_arrangement(arrangement);
    table
}

/// Trailing blanks of comfy-table's last column are noise in files and tests.
pub fn render(table: &Table) -> String {
    table.to_string().lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}
