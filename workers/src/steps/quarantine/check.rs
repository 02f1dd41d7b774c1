//! `check-quarantine`: can a host under quarantine read anything again, on any DC?
//!
//! Judged by each DC's own copy and the host's whole token there. A deny entry of ours that is gone is
//! put back at once: also where the host's next token would not be let in, a ticket that it holds may be.

use async_trait::async_trait;
use domain::Write;
use serde::{Deserialize, Serialize};

use super::watch::{HostChecked, OnDc, Watched, denials, judged, look};
use crate::steps::contain::reach::{self, Away, Survey};
use crate::steps::contain::token::as_token;
use crate::steps::outputs::{count, list, to_value};
use crate::steps::ways::Ways;
use crate::{Step, StepContext, StepError, StepPlan, Verified};

pub const NAME: &str = "check-quarantine";

/// Output.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CheckedOutput {
    pub hosts: Vec<HostChecked>,
    pub domain_controllers: Vec<String>,
    /// DCs that were not looked at: they did not answer.
    pub away: Vec<Away>,
    /// The most gMSAs that any DC showed.
    pub swept: u64,
    pub warnings: Vec<String>,
}

#[derive(Debug)]
pub struct CheckQuarantine;

pub struct Observed {
    watched: Vec<Watched>,
    seen: Survey<OnDc>,
    hosts: Vec<HostChecked>,
}

#[async_trait]
impl Step for CheckQuarantine {
    type Observed = Observed;

    fn name(&self) -> &'static str {
        NAME
    }

    /// A deny entry that is put back stays.
    fn is_kept(&self) -> bool {
        true
    }

    async fn check(&self, cx: &StepContext) -> Result<Observed, StepError> {
        let watched = watched(cx).await?;
        if watched.is_empty() {
            let seen = Survey { seen: Vec::new(), away: Vec::new() };
            return Ok(Observed { watched, seen, hosts: Vec::new() });
        }
        let mut seen = every_dc(cx, &watched).await?;
        let let_go = let_go(cx, &watched).await?;
        seen.seen.iter_mut().for_each(|(_, on)| on.forget(&let_go));
        let mut hosts = judged(&seen.seen, &watched);
        tell_paths(cx, &seen, &mut hosts).await?;
        hosts.retain(|host| {
            watched.iter().zip(&let_go).all(|(one, go)| !go || one.quarantine.host_sid != host.sid)
        });
        Ok(Observed { watched, seen, hosts })
    }

    fn plan(&self, _: &StepContext, observed: &Observed) -> Result<StepPlan, StepError> {
        plan(observed)
    }

    async fn verify(&self, cx: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        let mut output: CheckedOutput = serde_json::from_value(plan.expected.clone()).unwrap_or_default();
        let not_taken = cx.refused().iter().map(|refused| {
            let dc = refused.change.dc.as_deref().unwrap_or_default();
            format!("{} on {dc} could not be denied again: {}", refused.change.dn, refused.problem.message)
        });
        output.warnings.extend(not_taken);
        Ok(Verified { output: to_value(&output)?, detail: plan.detail.clone() })
    }

    async fn undo(&self, _: &StepContext, _: &[Write]) -> Result<(), StepError> {
        Ok(())
    }
}

async fn watched(cx: &StepContext) -> Result<Vec<Watched>, StepError> {
    let records = cx.records()?;
    let mut watched = Vec::new();
    for quarantine in records.quarantined(&cx.directory).await? {
        let denials = records.denials(&cx.directory, &quarantine.host_sid).await?;
        let denied_by = denials.into_iter().map(|denial| denial.account_sid).collect();
        watched.push(Watched { quarantine, denied_by });
    }
    Ok(watched)
}

/// Which of them are to be left alone: a release has let go of the host meanwhile, or is at it. Asked
/// after the DCs, so that a deny entry which a release has taken is never seen without the release:
/// that begins on record before its first write.
async fn let_go(cx: &StepContext, watched: &[Watched]) -> Result<Vec<bool>, StepError> {
    let records = cx.records()?;
    let releasing = records.hosts_being_released(&cx.directory).await?;
    let open = records.quarantined(&cx.directory).await?;
    let stands = |one: &Watched| open.iter().any(|open| open.id == one.quarantine.id);
    Ok(watched.iter().map(|one| !stands(one) || releasing.contains(&one.quarantine.host_sid)).collect())
}

async fn every_dc(cx: &StepContext, watched: &[Watched]) -> Result<Survey<OnDc>, StepError> {
    reach::every_dc(cx, None, |dc| {
        let watched = watched.to_vec();
        async move { look(dc.as_ref(), &watched).await }
    })
    .await
}

/// How each host is let in, by the groups of the DC that shows it.
async fn tell_paths(
    cx: &StepContext,
    seen: &Survey<OnDc>,
    hosts: &mut [HostChecked],
) -> Result<(), StepError> {
    for (at, host) in hosts.iter_mut().enumerate().filter(|(_, host)| !host.let_in.is_empty()) {
        let copies = seen.seen.iter().filter_map(|(dc, on)| Some((dc, on.hosts.get(at)?.as_ref()?)));
        let shown = host.let_in.iter().flat_map(|one| &one.domain_controllers);
        let Some(name) = shown.clone().next() else { continue };
        let Some((_, copy)) = copies.into_iter().find(|(dc, _)| *dc == name) else { continue };
        let dc = cx.forest()?.pin(Some(name)).await?;
        let ways = Ways::read(dc.as_ref(), &as_token(&host.sid, &copy.token)).await?;
        for one in &mut host.let_in {
            one.paths = one.by.iter().map(|sid| ways.of(sid)).collect();
        }
    }
    Ok(())
}

fn plan(observed: &Observed) -> Result<StepPlan, StepError> {
    let Observed { watched, seen: Survey { seen, away }, hosts } = observed;
    let (changes, mut warnings) = denials(seen, watched);
    if let Some(worst) = seen.iter().map(|(_, on)| on.unreadable).max().filter(|number| *number > 0) {
        warnings.push(format!("{worst} reader lists cannot be read: a DC gives nobody those passwords"));
    }
    let output = CheckedOutput {
        hosts: hosts.clone(),
        domain_controllers: seen.iter().map(|(dc, _)| dc.clone()).collect(),
        away: away.clone(),
        swept: seen.iter().map(|(_, on)| on.looked_at).max().unwrap_or(0),
        warnings,
    };
    Ok(StepPlan::new(changes, detail(&output), to_value(&output)?).independent())
}

fn detail(output: &CheckedOutput) -> String {
    let out: Vec<_> = output.hosts.iter().filter(|host| host.got_out()).map(|host| &host.name).collect();
    let again = output.hosts.iter().filter(|host| !host.denied_again.is_empty()).count();
    let mut text = match (output.hosts.len(), out.len()) {
        (0, _) => return "no host is under quarantine".to_owned(),
        (hosts, 0) => format!("{} kept out", count(hosts, "host")),
        (hosts, number) => format!("{number} of {} got back in: {}", count(hosts, "host"), list(&out)),
    };
    if again > 0 {
        text.push_str(&format!("; deny entries put back for {}", count(again, "host")));
    }
    if !output.away.is_empty() {
        let away: Vec<_> = output.away.iter().map(|away| &away.dc).collect();
        text.push_str(&format!("; not looked at, since they do not answer: {}", list(&away)));
    }
    text
}
