//! `contain-anew`: a host that got back in is cut off again, by a containment of its own.

use async_trait::async_trait;
use domain::announcement::{LetIn, QuarantinedHost};
use domain::request::CompromiseRequest;
use domain::{Announcement, Lane, Mode, PrincipalRef, WorkflowKind, Write};
use serde::{Deserialize, Serialize};
use store::Quarantined;

use super::check::{self, CheckedOutput};
use super::watch::HostChecked;
use crate::steps::children::{Child, ask_again};
use crate::steps::outputs::{count, to_value};
use crate::{Step, StepContext, StepError, StepPlan, Verified};

pub const NAME: &str = "contain-anew";

/// Output: the hosts of the check, with the containments that were asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainedOutput {
    pub hosts: Vec<HostChecked>,
}

#[derive(Debug)]
pub struct ContainAnew;

#[async_trait]
impl Step for ContainAnew {
    type Observed = Vec<HostChecked>;

    fn name(&self) -> &'static str {
        NAME
    }

    fn is_kept(&self) -> bool {
        true
    }

    async fn check(&self, cx: &StepContext) -> Result<Vec<HostChecked>, StepError> {
        Ok(cx.output::<CheckedOutput>(check::NAME)?.hosts)
    }

    fn plan(&self, cx: &StepContext, hosts: &Vec<HostChecked>) -> Result<StepPlan, StepError> {
        let out = hosts.iter().filter(|host| host.got_out()).count();
        let would = if cx.mode == Mode::Plan { " would be" } else { "" };
        let detail = match out {
            0 => "there is nothing to contain".to_owned(),
            number => format!("{}{would} contained anew", count(number, "host")),
        };
        Ok(StepPlan::nothing(detail, to_value(&ContainedOutput { hosts: hosts.clone() })?))
    }

    /// Here, since a dry run asks for nothing.
    async fn verify(&self, cx: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        let mut output: ContainedOutput = serde_json::from_value(plan.expected.clone()).unwrap_or_default();
        // Read again: who was released since the check began may read what it likes.
        let open = match output.hosts.iter().any(HostChecked::got_out) {
            true => cx.records()?.quarantined(&cx.directory).await?,
            false => Vec::new(),
        };
        for host in output.hosts.iter_mut().filter(|host| host.got_out()) {
            let Some(quarantine) = open.iter().find(|one| one.host_sid == host.sid) else { continue };
            // One that is under way will do; those that are over have not been enough.
            let series = format!("quarantine-check/{}", quarantine.id);
            let is_over = |earlier: &domain::Workflow| {
                earlier.state.is_finished() && earlier.parent != Some(cx.workflow_id)
            };
            let containment = ask_again(cx, &containment(quarantine)?, &series, is_over).await?;
            host.contained_by = Some(containment.id);
            metrics::counter!("farmhand_quarantined_hosts_back_total", "directory" => cx.directory.to_string())
                .increment(1);
            cx.announce(news(cx, host));
        }
        Ok(Verified { output: to_value(&output)?, detail: plan.detail.clone() })
    }

    async fn undo(&self, _: &StepContext, _: &[Write]) -> Result<(), StepError> {
        Ok(())
    }
}

fn news(cx: &StepContext, host: &HostChecked) -> Announcement {
    let let_in: Vec<_> = host
        .let_in
        .iter()
        .map(|one| LetIn {
            account: &one.account,
            domain_controllers: &one.domain_controllers,
            paths: &one.paths,
        })
        .collect();
    let about = QuarantinedHost { directory: &cx.directory, host: &host.name, sid: &host.sid };
    let (again, by) = (&host.enabled_again_on, host.contained_by);
    Announcement::quarantined_host_can_read(&about, cx.workflow_id, &let_in, again, by)
}

/// As it was asked for the first time.
fn containment(quarantine: &Quarantined) -> Result<Child, StepError> {
    let why = format!("it is under quarantine since {}", quarantine.placed_at.to_rfc3339());
    let input = CompromiseRequest {
        host: PrincipalRef::Sid(quarantine.host_sid.clone()),
        farms: Vec::new(),
        keep_computer_enabled: !quarantine.computer_disabled,
        // A domain controller's account is here only because a person insisted.
        force: Some(why.clone()),
    };
    Ok(Child {
        kind: WorkflowKind::COMPROMISE_REMOVAL,
        lane: Lane::Urgent,
        farm: None,
        hosts: vec![quarantine.host_name.clone()],
        input: to_value(&input)?,
        reason: format!("{why}, and was seen to have got back in"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::quarantine::find::tests::quarantine;

    #[test]
    fn it_is_cut_off_as_before_and_by_its_sid() {
        let child = containment(&quarantine()).expect("a containment");
        assert_eq!((child.lane, child.hosts.as_slice()), (Lane::Urgent, &["Host1".to_owned()][..]));
        assert_eq!(child.input["host"], serde_json::json!("S-1-5-21-1-2-3-1101"));
        assert_eq!(child.input["keepComputerEnabled"], serde_json::json!(false));
        let kept = containment(&Quarantined { computer_disabled: false, ..quarantine() }).expect("one");
        assert_eq!(kept.input["keepComputerEnabled"], serde_json::json!(true), "as the responders wanted it");
    }
}
