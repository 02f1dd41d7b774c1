//! `disable-computer`: the host's computer account is disabled on every DC.
//!
//! It keeps the host from new tickets; those that it holds, and its open sessions, live on.

use async_trait::async_trait;
use domain::containment::ComputerState;
use domain::request::CompromiseRequest;
use domain::{AttributeChange, Change, Write};
use serde::{Deserialize, Serialize};

use super::deny_on_record::{self, Case};
use super::host::Host;
use super::parsed;
use super::reach::{self, Away, SOON, Survey};
use super::token::{self, HostCopy};
use super::wrote::NotTaken;
use crate::steps::gmsa::fields::{CONTROL, DISABLED};
use crate::steps::outputs::{count, to_value};
use crate::{Step, StepContext, StepError, StepPlan, Verified};

pub const NAME: &str = "disable-computer";

/// Output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ComputerOutput {
    pub state: ComputerState,
    pub away: Vec<Away>,
    pub not_taken: Vec<NotTaken>,
    /// Why it is enabled still, where that was not asked for.
    pub why: Option<String>,
}

/// Sets the one bit, unless that is not wanted.
#[derive(Debug)]
pub struct DisableComputer;

pub struct Observed {
    host: Host,
    keep: Option<String>,
    seen: Survey<Option<HostCopy>>,
}

#[async_trait]
impl Step for DisableComputer {
    type Observed = Observed;

    fn name(&self) -> &'static str {
        NAME
    }

    fn is_kept(&self) -> bool {
        true
    }

    async fn check(&self, cx: &StepContext) -> Result<Observed, StepError> {
        let host = cx.output::<Case>(deny_on_record::NAME)?.host;
        let keep = keep(&cx.input()?, &host);
        let seen = match keep {
            Some(_) => Survey { seen: Vec::new(), away: Vec::new() },
            None => look(cx, &host).await?,
        };
        Ok(Observed { host, keep, seen })
    }

    fn plan(&self, _: &StepContext, observed: &Observed) -> Result<StepPlan, StepError> {
        plan(observed)
    }

    async fn verify(&self, cx: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        let mut output: ComputerOutput = parsed(&plan.expected)?;
        output.not_taken = cx.refused().iter().map(NotTaken::of).collect();
        let host = cx.output::<Case>(deny_on_record::NAME)?.host;
        let records = cx.records()?;
        if !cx.written().is_empty() {
            records.note_computer_disabled(&cx.directory, &host.sid).await?;
        }
        let quarantined = records.quarantined(&cx.directory).await?;
        let ours = quarantined.iter().any(|one| one.host_sid == host.sid && one.computer_disabled);
        output.state = match output.state {
            ComputerState::KeptEnabled => ComputerState::KeptEnabled,
            _ if ours => ComputerState::Disabled,
            _ if !output.not_taken.is_empty() => ComputerState::StillEnabled,
            // What this step put nothing into was so before.
            ComputerState::Disabled => ComputerState::DisabledBefore,
            other => other,
        };
        Ok(Verified { output: to_value(&output)?, detail: detail(&output, &plan.detail) })
    }

    async fn undo(&self, _: &StepContext, _: &[Write]) -> Result<(), StepError> {
        Ok(())
    }
}

fn detail(output: &ComputerOutput, planned: &str) -> String {
    match output.not_taken.as_slice() {
        [] => planned.to_owned(),
        [first, ..] => format!("it could not be disabled everywhere: {first}"),
    }
}

/// Why the account stays enabled.
fn keep(request: &CompromiseRequest, host: &Host) -> Option<String> {
    match (request.keep_computer_enabled, host.domain_controller) {
        (_, true) => Some(
            "the account of a domain controller is never disabled by Farmhand: it would stop replicating. Demote \
             or rebuild it"
                .to_owned(),
        ),
        (true, false) => Some("its computer account stays enabled, as asked".to_owned()),
        (false, false) => None,
    }
}

async fn look(cx: &StepContext, host: &Host) -> Result<Survey<Option<HostCopy>>, StepError> {
    reach::every_dc(cx, Some(SOON), |dc| {
        let sid = host.sid.clone();
        async move { token::read(dc.as_ref(), &sid).await }
    })
    .await
}

fn plan(observed: &Observed) -> Result<StepPlan, StepError> {
    let Observed { host, keep, seen: Survey { seen, away } } = observed;
    let output = |state| ComputerOutput { state, away: away.clone(), not_taken: vec![], why: None };
    if let Some(why) = keep {
        let mut output = output(ComputerState::KeptEnabled);
        output.why = host.domain_controller.then(|| why.clone());
        return Ok(StepPlan::nothing(why.clone(), to_value(&output)?));
    }
    let changes: Vec<_> =
        seen.iter().filter_map(|(dc, copy)| copy.as_ref().and_then(|copy| disabled(dc, copy))).collect();
    let unseen = seen.iter().flat_map(|(_, copy)| copy).any(|copy| copy.control.is_none());
    if unseen {
        let why = format!("userAccountControl of {} is not to be read by Farmhand's account", host.dn);
        let output = ComputerOutput { why: Some(why.clone()), ..output(ComputerState::StillEnabled) };
        return Ok(StepPlan::new(changes, why, to_value(&output)?).independent());
    }
    let detail = match changes.len() {
        0 => format!("{} is disabled already", host.dn),
        number => format!("{} is disabled on {}", host.dn, count(number, "DC")),
    };
    Ok(StepPlan::new(changes, detail, to_value(&output(ComputerState::Disabled))?).independent())
}

/// Whole, with the value that was read: another bit that somebody sets meanwhile is not lost.
pub fn disabled(dc: &str, copy: &HostCopy) -> Option<Change> {
    let control = copy.control.filter(|control| control & DISABLED == 0)?;
    let (before, after) = (control.to_string(), (control | DISABLED).to_string());
    let change = AttributeChange::set(CONTROL, vec![before.into()], vec![after.into()]);
    Some(Change::modify(copy.dn.clone(), vec![change]).at(dc))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::contain::testing::host;

    fn observed(controls: &[Option<i64>]) -> Observed {
        let copy = |(index, control): (usize, &Option<i64>)| {
            let copy = HostCopy { dn: host().dn, control: *control, token: vec![], pieced_together: false };
            (format!("dc{index}"), Some(copy))
        };
        let seen = controls.iter().enumerate().map(copy).collect();
        Observed { host: host(), keep: None, seen: Survey { seen, away: vec![] } }
    }
    fn state(plan: &StepPlan) -> ComputerState {
        parsed::<ComputerOutput>(&plan.expected).expect("an output").state
    }

    #[test]
    fn each_dc_gets_the_bit_on_top_of_its_own_value() {
        let planned = plan(&observed(&[Some(4096), Some(4098), Some(69632)])).expect("a plan");
        let written: Vec<_> = planned
            .changes
            .iter()
            .map(|change| {
                (change.dc.clone().unwrap_or_default(), change.attributes[0].added()[0].to_string())
            })
            .collect();
        assert_eq!(written, [("dc0".to_owned(), "4098".to_owned()), ("dc2".into(), "69634".into())]);
        assert!(planned.independent);
    }

    #[test]
    fn what_is_disabled_is_left() {
        let planned = plan(&observed(&[Some(4098)])).expect("a plan");
        assert!(planned.changes.is_empty() && planned.detail.contains("already"), "{}", planned.detail);
    }

    #[test]
    fn a_value_that_cannot_be_read_is_not_guessed() {
        let planned = plan(&observed(&[None])).expect("a plan");
        assert_eq!((planned.changes.len(), state(&planned)), (0, ComputerState::StillEnabled));
    }

    #[test]
    fn it_stays_enabled_where_that_is_asked_and_where_it_is_a_domain_controllers() {
        let request = |keep_computer_enabled| CompromiseRequest {
            host: domain::PrincipalRef::Name("Host1".into()),
            farms: vec![],
            keep_computer_enabled,
            force: None,
        };
        let controller = Host { domain_controller: true, ..host() };
        assert_eq!(keep(&request(false), &host()), None);
        for (request, host, told) in [(request(true), host(), false), (request(false), controller, true)] {
            let observed = Observed { keep: keep(&request, &host), host, ..observed(&[Some(4096)]) };
            let planned = plan(&observed).expect("a plan");
            assert_eq!((planned.changes.len(), state(&planned)), (0, ComputerState::KeptEnabled));
            let output: ComputerOutput = parsed(&planned.expected).expect("an output");
            assert_eq!(output.why.is_some(), told, "what nobody asked for is told");
        }
    }
}
