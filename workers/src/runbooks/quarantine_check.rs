//! `quarantine-check`: no host under quarantine can read anything again.
//!
//! On the checks lane, by the clock. What is found is contained anew at once, on the urgent lane.

use std::sync::Arc;

use domain::WorkflowKind;
use serde::Serialize;

use crate::runbook::{Replan, RunResult, Runbook};
use crate::steps::contain::reach::Away;
use crate::steps::outputs::{count, to_value};
use crate::steps::quarantine::{
    CHECK, CONTAIN_ANEW, CheckQuarantine, CheckedOutput, ContainAnew, ContainedOutput, HostChecked,
};
use crate::{StepContext, StepError};

pub fn runbook() -> Runbook {
    Runbook {
        kind: WorkflowKind::QUARANTINE_CHECK,
        needs_farm: false,
        replan: Replan::FromStart,
        steps: vec![Arc::new(CheckQuarantine), Arc::new(ContainAnew)],
        result,
    }
}

/// The workflow's `result`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Checked {
    /// One line for people.
    summary: String,
    /// Deny entries had to be put back.
    changed: bool,
    /// Every host under quarantine.
    hosts: Vec<HostChecked>,
    domain_controllers: Vec<String>,
    /// DCs that did not answer: what they would let in is not known.
    away: Vec<Away>,
    /// gMSAs that were looked at.
    swept: u64,
    warnings: Vec<String>,
    /// The directory is Farmhand's own small one, for trying out.
    embedded_directory: bool,
}

fn result(cx: &StepContext) -> Result<RunResult, StepError> {
    let checked: CheckedOutput = cx.output(CHECK)?;
    let hosts = cx.output::<ContainedOutput>(CONTAIN_ANEW)?.hosts;
    let result = Checked {
        summary: summary(&hosts, checked.away.len()),
        changed: cx.changed(),
        hosts,
        domain_controllers: checked.domain_controllers,
        away: checked.away,
        swept: checked.swept,
        warnings: checked.warnings,
        embedded_directory: cx.forest()?.is_embedded(),
    };
    Ok(RunResult { result: to_value(&result)?, farm: None })
}

fn summary(hosts: &[HostChecked], away: usize) -> String {
    let out = hosts.iter().filter(|host| host.got_out()).count();
    let mut text = match (hosts.len(), out) {
        (0, _) => return "no host is under quarantine".to_owned(),
        (all, 0) => format!("{} under quarantine, none of them can read anything", count(all, "host")),
        (all, out) => {
            format!("{out} of {} under quarantine got back in and is contained anew", count(all, "host"))
        }
    };
    if away > 0 {
        text.push_str(&format!("; {} did not answer", count(away, "DC")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::testing::sid;

    #[test]
    fn the_summary_says_who_got_out_and_what_was_not_looked_at() {
        let host = |enabled: &[&str]| HostChecked {
            name: "Host1".into(),
            sid: sid(1101),
            computer: None,
            enabled_again_on: enabled.iter().map(|dc| (*dc).to_owned()).collect(),
            let_in: vec![],
            denied_again: vec![],
            contained_by: None,
        };
        assert_eq!(summary(&[], 0), "no host is under quarantine");
        assert!(summary(&[host(&[])], 0).contains("none of them can read anything"));
        let out = summary(&[host(&["dc1"]), host(&[])], 1);
        assert!(out.starts_with("1 of 2 hosts") && out.ends_with("1 DC did not answer"), "{out}");
    }
}
