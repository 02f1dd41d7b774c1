//! `farmhand doctor`: each dependency and right: what was checked, the verdict, what to do.

mod directory;
mod parts;
mod server;

use serde::Serialize;
use serde_json::json;

use crate::config::{Loaded, Sources};
use crate::failure::{Exit, Failure};
use crate::output::{Output, render, table};
use crate::telemetry;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Ok,
    /// Works, and a person should know or look.
    Warn,
    Fail,
}

/// One row.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    pub check: String,
    pub verdict: Verdict,
    pub found: String,
    /// What to do; empty where all is well.
    pub fix: String,
    /// It failed because something does not answer, not because it refuses.
    #[serde(skip)]
    unreachable: bool,
}

impl Check {
    pub fn ok(check: impl Into<String>, found: impl Into<String>) -> Self {
        Self::new(check, Verdict::Ok, found, "")
    }

    pub fn warn(check: impl Into<String>, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::new(check, Verdict::Warn, found, fix)
    }

    pub fn fail(check: impl Into<String>, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::new(check, Verdict::Fail, found, fix)
    }

    pub fn failure(check: impl Into<String>, failure: &Failure) -> Self {
        let mut row = Self::fail(check, &failure.message, &failure.hint);
        row.unreachable = failure.exit == Exit::Unreachable;
        row
    }

    fn new(
        check: impl Into<String>,
        verdict: Verdict,
        found: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { check: check.into(), verdict, found: found.into(), fix: fix.into(), unreachable: false }
    }
}

pub fn run(sources: &Sources, output: Output) -> Result<Exit, Failure> {
    let loaded = sources.load()?;
    let _telemetry = telemetry::start(&super::quiet(&loaded.settings), "doctor")?;
    let checks = super::short_lived_value(examine(&loaded))?;
    let exit = exit(&checks);
    let document = json!({ "healthy": exit == Exit::Done, "checks": checks });
    output.answer(&document, || text(&checks))?;
    Ok(exit)
}

/// In the order in which a person would look.
async fn examine(loaded: &Loaded) -> Vec<Check> {
    let settings = &loaded.settings;
    let mut checks = vec![parts::configuration(loaded)];
    let (data, database, broker, server) = tokio::join!(
        async { parts::data_folder(settings) },
        parts::database(settings),
        parts::broker(settings),
        server::checks(settings),
    );
    checks.push(data);
    checks.extend(database);
    checks.extend(broker);
    checks.extend(directory::checks(settings).await);
    checks.extend(parts::host_actions(settings));
    checks.extend(server);
    checks
}

/// A refusal weighs more than silence: it does not go away by waiting.
fn exit(checks: &[Check]) -> Exit {
    let failed: Vec<_> = checks.iter().filter(|check| check.verdict == Verdict::Fail).collect();
    match failed.as_slice() {
        [] => Exit::Done,
        failed if failed.iter().all(|check| check.unreachable) => Exit::Unreachable,
        _ => Exit::Refused,
    }
}

fn text(checks: &[Check]) -> String {
    let mut table = table(&["checked", "verdict", "found", "what to do"]);
    for Check { check, verdict, found, fix, .. } in checks {
        let verdict = match verdict {
            Verdict::Ok => "ok",
            Verdict::Warn => "warn",
            Verdict::Fail => "FAIL",
        };
        table.add_row([check.as_str(), verdict, found, fix]);
    }
    render(&table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_weighs_more_than_silence() {
        let away = Check::failure("a", &Failure::unreachable("x", "away", "start it"));
        let refused = Check::fail("b", "no", "grant it");
        let fine = [Check::ok("c", "fine"), Check::warn("d", "hm", "look")];
        assert_eq!(exit(&fine), Exit::Done);
        assert_eq!(exit(std::slice::from_ref(&away)), Exit::Unreachable);
        assert_eq!(exit(&[away, refused]), Exit::Refused);
    }

    #[test]
    fn each_check_says_what_to_do() {
        insta::assert_snapshot!(text(&[
            Check::ok("database", "answers"),
            Check::fail("broker", "away", "start it")
        ]));
    }
}
