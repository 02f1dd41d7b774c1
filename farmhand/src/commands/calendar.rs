//! `farmhand calendar`.

use domain::calendar::CalendarManifest;
use serde_json::json;
use store::{CalendarRecord, Page};

use super::Context;
use super::farm::parse;
use crate::cli::Calendar;
use crate::client::{document, segment};
use crate::failure::{Exit, Failure};
use crate::output::schedule;

const PATH: &str = "/api/v1/calendars";

pub async fn run(cx: Context, command: Calendar) -> Result<Exit, Failure> {
    match command {
        Calendar::List => {
            let document = cx.client.get(PATH).await?.document;
            let page: Page<CalendarRecord> = parse(&document)?;
            cx.output.answer(&document, || schedule::calendars(&page.items))?;
        }
        Calendar::Create { file } => {
            let manifest: CalendarManifest =
                document::read(&file, "invalid-request", "see docs/schedules.md")?;
            let body = serde_json::to_value(manifest).map_err(|e| Failure::internal(e.to_string()))?;
            let document = cx.client.post(PATH, &body).await?.document;
            let record: CalendarRecord = parse(&document)?;
            cx.output.answer(&document, || schedule::calendars(&[record]))?;
        }
        Calendar::Delete { name } => {
            cx.client.delete(&format!("{PATH}/{}", segment(&name))).await?;
            cx.output.answer(&json!({ "name": name, "deleted": true }), || {
                format!("calendar {name} is deleted")
            })?;
        }
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_is_a_valid_calendar() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/samples/calendars");
        let now = chrono::DateTime::from_timestamp(1_790_000_000, 0).expect("a time");
        let mut seen = 0;
        for file in std::fs::read_dir(folder).expect("samples") {
            let path = file.expect("a file").path();
            let manifest: CalendarManifest =
                document::read(&path, "invalid-request", "").expect("a calendar");
            manifest.validate(now).unwrap_or_else(|problem| panic!("{}: {problem}", path.display()));
            seen += 1;
        }
        assert!(seen >= 2);
    }
}
