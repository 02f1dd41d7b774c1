//! `replace`: a gMSA is rebuilt with a new SID, because its password may be known or its interval is
//! to be another one. Neither can be changed on an account that stands.
//!
//! Under the same name, the old account is parked, the new one takes its place in the next write, and
//! the hosts install it. Side by side under a new name, the new account is made and installed first;
//! then the SPNs move and the services restart. Either way the old account stays, disabled, through a
//! cool-down: until it is deleted, cancelling puts it back as it was.

use std::sync::Arc;

use domain::request::ReplaceRequest;
use domain::{AccountName, Dn, ErrorCode, Sid, WorkflowKind};
use serde::Serialize;
use store::{FarmFacts, FarmRecord};

use crate::runbook::{Replan, RunResult, Runbook};
use crate::steps::approval::Approval;
use crate::steps::find_farm::FindFarm;
use crate::steps::outputs::to_value;
use crate::steps::preflight::HostTarget;
use crate::steps::replace::{
    AFRESH, BEFORE_APPROVAL, CREATE, CarryMemberships, CoolDown, CreateAccount, DeleteOld, DisableOld,
    EverywhereOutput, MoveNames, NewOutput, ParkOld, PreflightReplace, Survey, SurveyAccount, VERIFY,
    VerifyReplacement, hosts, surveyed,
};
use crate::{StepContext, StepError};

pub fn runbook() -> Runbook {
    Runbook {
        kind: WorkflowKind::REPLACE,
        needs_farm: true,
        replan: Replan::FromLastChange,
        steps: vec![
            Arc::new(FindFarm),
            Arc::new(SurveyAccount { name: BEFORE_APPROVAL }),
            Arc::new(PreflightReplace),
            Arc::new(Approval),
            Arc::new(SurveyAccount { name: AFRESH }),
            // Between these two the farm has no account: nothing that waits stands between them.
            Arc::new(ParkOld),
            Arc::new(CreateAccount),
            Arc::new(CarryMemberships),
            Arc::new(VerifyReplacement { name: VERIFY, switched: false }),
            Arc::new(hosts::reinstall()),
            Arc::new(hosts::install()),
            Arc::new(MoveNames),
            Arc::new(hosts::restart()),
            Arc::new(VerifyReplacement { name: "verify-switch", switched: true }),
            Arc::new(hosts::uninstall()),
            Arc::new(DisableOld),
            Arc::new(CoolDown),
            Arc::new(DeleteOld),
        ],
        result,
    }
}

/// The workflow's `result`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Replaced {
    /// One line for people.
    summary: String,
    changed: bool,
    /// Deleted.
    old_account: Account,
    account: NewOutput,
    /// Attributes, by name.
    carried_over: Vec<String>,
    groups: Vec<Dn>,
    not_carried_over: Vec<String>,
    managed_password_interval_in_days: i64,
    hosts: Vec<HostTarget>,
    domain_controllers: Vec<String>,
    old_password: &'static str,
    tickets: &'static str,
    embedded_directory: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Account {
    sam_account_name: String,
    sid: Sid,
}

/// Where there was nothing to do.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ReplacedBefore {
    summary: String,
    changed: bool,
    account: Account,
}

const OLD_PASSWORD: &str = "it died with the old account, and so did every key that was ever derived for its SID: who \
                            knows them can log on as nobody";
const TICKETS: &str = "service tickets that clients hold for the old account fail until they are renewed (at most 10 \
                       hours, or `klist purge` on the client)";

fn result(cx: &StepContext) -> Result<RunResult, StepError> {
    let facts = cx.facts()?;
    let Some(survey) = surveyed(cx)? else { return nothing_to_do(facts) };
    let account: NewOutput = cx.output(CREATE)?;
    let everywhere: EverywhereOutput = cx.output(VERIFY)?;
    let record = record(facts, &cx.input()?, &account)?;
    let sid = record.account_sid.to_string();
    let replaced = Replaced {
        summary: format!(
            "{} ({}) is replaced by {} ({sid}), whose password no one can know",
            survey.old.sam_account_name, survey.old.sid, account.sam_account_name
        ),
        changed: cx.changed(),
        old_account: Account {
            sam_account_name: survey.old.sam_account_name.clone(),
            sid: survey.old.sid.clone(),
        },
        carried_over: carried_over(&survey),
        groups: survey.groups,
        not_carried_over: survey.not_carried_over,
        managed_password_interval_in_days: survey.new.managed_password_interval_in_days,
        hosts: survey.hosts,
        domain_controllers: everywhere.domain_controllers,
        old_password: OLD_PASSWORD,
        tickets: TICKETS,
        embedded_directory: cx.forest()?.is_embedded(),
        account,
    };
    Ok(RunResult { result: to_value(&replaced)?, farm: Some(FarmRecord::Deployed(record)) })
}

fn nothing_to_do(facts: &FarmFacts) -> Result<RunResult, StepError> {
    let account = Account {
        sam_account_name: facts.spec.account.sam_account_name.sam_account_name(),
        sid: facts.account_sid.clone(),
    };
    let summary =
        format!("nothing to do: it has been replaced already, the farm's account is {}", account.sid);
    let result = ReplacedBefore { summary, changed: false, account };
    Ok(RunResult { result: to_value(&result)?, farm: None })
}

fn carried_over(survey: &Survey) -> Vec<String> {
    let mut names: Vec<_> =
        survey.carried.iter().chain(&survey.names).map(|attribute| attribute.attribute.clone()).collect();
    names.retain(|name| name != "objectClass");
    names.sort();
    names
}

/// The farm as it was on record, with the other account.
fn record(facts: &FarmFacts, request: &ReplaceRequest, account: &NewOutput) -> Result<FarmFacts, StepError> {
    let mut record = facts.clone();
    record.account_dn = account.dn.clone();
    record.account_sid = account.sid.clone().ok_or_else(|| unknown("its SID is not known"))?;
    if let Some(days) = request.managed_password_interval_in_days {
        record.spec.account.managed_password_interval_in_days = days;
    }
    if request.new_account.is_some() {
        let name = AccountName::parse(&account.sam_account_name);
        record.spec.account.sam_account_name = name.map_err(|error| unknown(&error.to_string()))?;
    }
    Ok(record)
}

fn unknown(what: &str) -> StepError {
    StepError::park(
        ErrorCode::StepFault,
        format!("the new account cannot go on record: {what}"),
        "this is a defect of Farmhand: report it with the workflow's id",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_new_account_comes_right_behind_the_parking_and_the_deletion_last() {
        let names: Vec<_> = runbook().steps.iter().map(|step| step.name()).collect();
        let at = |name: &str| names.iter().position(|known| *known == name).expect("a step");
        assert_eq!(at("create-new-account"), at("park-old-account") + 1);
        assert_eq!(at("delete-old-account"), names.len() - 1);
        assert!(at("survey-account") < at("approval") && at("approval") < at("survey-again"));
        assert_eq!(at("survey-again") + 1, at("park-old-account"), "nothing may change in between");
        let mut unique = names.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), names.len());
    }
}
