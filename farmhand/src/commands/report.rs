//! `farmhand workflow report`: evidence for people, programs and paper.

use super::Context;
use super::farm::parse;
use super::workflow::path;
use crate::cli::Report;
use crate::failure::{Exit, Failure};
use crate::output::report;

pub async fn run(cx: &Context, args: Report) -> Result<Exit, Failure> {
    if args.html && cx.output.is_json() {
        return Err(Failure::usage("--html and --output json ask for two forms", "leave one of them out"));
    }
    let path = format!("{}/report", path(args.id));
    if args.html {
        let page = cx.client.get_html(&path).await?;
        match &args.file {
            Some(file) => write(file, &page)?,
            None => cx.output.raw(&page)?,
        }
        return Ok(Exit::Done);
    }
    let document = cx.client.get(&path).await?.document;
    match &args.file {
        Some(file) => write(file, &format!("{document:#}\n"))?,
        None => {
            let read: report::Report = parse(&document)?;
            cx.output.answer(&document, || report::text(&read))?;
        }
    }
    Ok(Exit::Done)
}

fn write(file: &std::path::Path, text: &str) -> Result<(), Failure> {
    let name = file.display();
    std::fs::write(file, text).map_err(|e| {
        Failure::usage(format!("{name} cannot be written: {e}"), "name a file that can be written")
    })?;
    // On standard error: standard output is the answer's, and there is none.
    eprintln!("written to {name}");
    Ok(())
}
