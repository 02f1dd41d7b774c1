//! Reads a document that somebody wrote, in YAML or JSON (which is YAML, too). Its form is judged
//! here, with line and column; its content by the server.

use std::io::Read;
use std::path::Path;

use serde::de::DeserializeOwned;

use crate::failure::Failure;

/// `-` is standard input. `code` and `hint` are for what cannot be understood.
pub fn read<T: DeserializeOwned>(path: &Path, code: &str, hint: &str) -> Result<T, Failure> {
    let (name, text) = if path == Path::new("-") {
        let mut text = String::new();
        let read = std::io::stdin().read_to_string(&mut text);
        read.map_err(|e| {
            Failure::usage(format!("standard input cannot be read: {e}"), "pipe the document into it")
        })?;
        ("standard input".to_owned(), text)
    } else {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|e| {
            Failure::usage(
                format!("{name} cannot be read: {e}"),
                "name a file with -f, or - for standard input",
            )
        })?;
        (name, text)
    };
    parse(&name, &text, code, hint)
}

pub fn parse<T: DeserializeOwned>(name: &str, text: &str, code: &str, hint: &str) -> Result<T, Failure> {
    serde_saphyr::from_str(text).map_err(|error| {
        let place = error.location().map(|at| format!(":{}:{}", at.line(), at.column())).unwrap_or_default();
        let message = error.without_snippet().to_string();
        let message = message.lines().map(str::trim).collect::<Vec<_>>().join(" ");
        Failure::refused(code, format!("{name}{place}: {message}"), hint)
    })
}
