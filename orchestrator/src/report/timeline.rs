//! When what happened, to the millisecond.

use chrono::{DateTime, Utc};
use domain::containment::Containment;
use domain::{Mode, StepRecord, StepState, Workflow};
use serde::Serialize;

/// One moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Event {
    pub at: DateTime<Utc>,
    /// Since the request.
    pub after_ms: i64,
    pub what: What,
    /// For people.
    pub text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dc: Option<String>,
    /// Who did it, where a person or another program did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// In the order in which things of one moment are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum What {
    Asked,
    /// A worker took it for the first time.
    Claimed,
    StepStarted,
    /// What was about to be written was made durable; the first write leaves after it.
    Intended,
    Written,
    HostAnswered,
    /// A domain controller had acknowledged the last deny entry.
    Denied,
    /// A domain controller was read back with the host denied everywhere.
    Verified,
    StepEnded,
    ApprovalAsked,
    ApprovalVoid,
    Approved,
    Rejected,
    ChildAsked,
    ChildEnded,
    Ended,
}

impl What {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Claimed => "claimed",
            Self::StepStarted => "step started",
            Self::Intended => "intended",
            Self::Written => "written",
            Self::HostAnswered => "host answered",
            Self::Denied => "denied",
            Self::Verified => "verified",
            Self::StepEnded => "step ended",
            Self::ApprovalAsked => "approval asked",
            Self::ApprovalVoid => "approval void",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::ChildAsked => "child asked",
            Self::ChildEnded => "child ended",
            Self::Ended => "ended",
        }
    }
}

/// Collects events of one workflow.
struct Events {
    since: DateTime<Utc>,
    all: Vec<Event>,
}

impl Events {
    fn add(&mut self, at: Option<DateTime<Utc>>, what: What, text: impl Into<String>) -> Option<&mut Event> {
        let at = at?;
        let after_ms = (at - self.since).num_milliseconds();
        self.all.push(Event { at, after_ms, what, text: text.into(), step: None, dc: None, by: None });
        self.all.last_mut()
    }

    fn by(&mut self, at: DateTime<Utc>, what: What, text: impl Into<String>, by: &str) {
        if let Some(event) = self.add(Some(at), what, text) {
            event.by = Some(by.to_owned());
        }
    }

    /// Those of a step carry its name.
    fn of_step(&mut self, step: &StepRecord) {
        let first = self.all.len();
        let name = &step.name;
        self.add(step.started_at, What::StepStarted, format!("step {name} was begun"));
        if let Some(intent) = &step.intent {
            let number = intent.changes.len();
            let text = format!("{number} write(s) of step {name} were made durable before the first left");
            self.add(Some(intent.at), What::Intended, text);
        }
        self.of_outcome(step);
        self.add(step.finished_at, What::StepEnded, ended(step));
        for event in &mut self.all[first..] {
            event.step = Some(name.clone());
        }
    }

    fn of_outcome(&mut self, step: &StepRecord) {
        let Some(outcome) = &step.outcome else { return };
        for write in &outcome.writes {
            let attributes: Vec<_> =
                write.change.attributes.iter().map(|change| change.attribute.as_str()).collect();
            let text =
                format!("{} took the write of {} {}", write.dc, write.change.dn, attributes.join(", "));
            if let Some(event) = self.add(Some(write.at), What::Written, text) {
                event.dc = Some(write.dc.clone());
            }
        }
        for task in &outcome.hosts {
            let detail = task.detail.as_ref().map(|text| format!(": {text}")).unwrap_or_default();
            let state = format!("{:?}", task.state).to_lowercase();
            let text = format!("host {} {state}{detail}", task.work.host.name);
            if let Some(event) = self.add(task.at, What::HostAnswered, text) {
                event.by.clone_from(&task.by);
            }
        }
        let Some(approval) = &outcome.approval else { return };
        for void in &approval.voided {
            if let Some(verdict) = &void.decision {
                self.decided(verdict, &void.plan_hash);
            }
            let text = format!("the plan {} is another by now: its approval counts no more", void.plan_hash);
            self.add(Some(void.at), What::ApprovalVoid, text);
        }
        let text = format!("the approval of plan {} was asked for", approval.plan_hash);
        self.add(Some(approval.requested_at), What::ApprovalAsked, text);
        if let Some(verdict) = &approval.decision {
            self.decided(verdict, &approval.plan_hash);
        }
    }

    fn decided(&mut self, verdict: &domain::Verdict, hash: &str) {
        let (what, word) = match verdict.approved {
            true => (What::Approved, "approved"),
            false => (What::Rejected, "rejected"),
        };
        let why = verdict.reason.as_ref().map(|text| format!(": {text}")).unwrap_or_default();
        self.by(verdict.at, what, format!("plan {hash} was {word}{why}"), &verdict.by);
    }

    /// Of a containment: when each DC was through.
    fn of_containment(&mut self, contained: &Containment) {
        for dc in &contained.domain_controllers {
            let denied = format!("{} had acknowledged the last deny entry", dc.name);
            let verified = format!("{} was read back: the host is denied on every account", dc.name);
            for (at, what, text) in
                [(dc.denied_at, What::Denied, denied), (Some(dc.verified_at), What::Verified, verified)]
            {
                if let Some(event) = self.add(at, what, text) {
                    event.dc = Some(dc.name.clone());
                }
            }
        }
    }
}

pub(super) fn timeline(workflow: &Workflow, children: &[Workflow]) -> Vec<Event> {
    let mut events = Events { since: workflow.created_at, all: Vec::new() };
    let dry = if workflow.mode == Mode::Plan { " as a dry run" } else { "" };
    let why = workflow.reason.as_ref().map(|text| format!(": {text}")).unwrap_or_default();
    let asked = format!("{} was asked for{dry}{why}", workflow.kind);
    events.by(workflow.created_at, What::Asked, asked, &workflow.requested_by);
    events.add(workflow.started_at, What::Claimed, "a worker took it");
    for step in &workflow.steps {
        events.of_step(step);
    }
    let contained = workflow.result.clone().and_then(|result| serde_json::from_value(result).ok());
    if let Some(contained) = &contained {
        events.of_containment(contained);
    }
    for child in children {
        let farm = child.farm.as_ref().map(|farm| format!(" of {farm}")).unwrap_or_default();
        let name = format!("{}{farm} ({})", child.kind, child.id);
        events.by(child.created_at, What::ChildAsked, format!("{name} was asked for"), &child.requested_by);
        events.add(child.finished_at, What::ChildEnded, format!("{name} ended: {}", child.state));
    }
    events.add(workflow.finished_at, What::Ended, format!("it ended: {}", workflow.state));
    // Stable: those of one moment and kind stay in the order of the steps.
    events.all.sort_by_key(|event| (event.at, event.what));
    events.all
}

fn ended(step: &StepRecord) -> String {
    let detail = step.detail.as_ref().map(|text| format!(": {text}")).unwrap_or_default();
    match &step.error {
        Some(error) if step.state != StepState::Succeeded => {
            format!("step {} {}: {}", step.name, step.state, error.message)
        }
        _ => format!("step {} {}{detail}", step.name, step.state),
    }
}
