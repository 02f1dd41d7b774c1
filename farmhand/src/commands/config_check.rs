//! `farmhand config check`.

use serde_json::json;

use crate::config::Sources;
use crate::config::explain::Explained;
use crate::failure::{Exit, Failure};
use crate::output::{Output, render, table};

pub fn run(sources: &Sources, output: Output) -> Result<Exit, Failure> {
    let loaded = sources.load()?;
    loaded.check_files()?;
    let rows = loaded.explain();
    let file = loaded.file.as_ref().map(|file| file.display().to_string());
    let document = json!({ "valid": true, "file": file, "settings": rows });
    output.answer(&document, || text(file.as_deref(), &rows))?;
    Ok(Exit::Done)
}

fn text(file: Option<&str>, rows: &[Explained]) -> String {
    let mut table = table(&["key", "value", "from", "meaning"]);
    for row in rows {
        table.add_row([row.key.as_str(), row.value.as_deref().unwrap_or("-"), &row.source, row.meaning]);
    }
    let file = file.unwrap_or("none (looked for farmhand.toml here and in the data folder)");
    format!("{}\nfile: {file}\nThe configuration is valid.", render(&table))
}
