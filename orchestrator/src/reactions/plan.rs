//! From an event and a rule to what is recorded of the two.

use domain::rule::{Condition, Filled, RuleEvent};
use domain::{FiringOutcome, ids};
use serde_json::{Value, json};
use store::{NewWorkflow, PlannedFiring, Rule, StoreError, Unfired};

use super::{PRINCIPAL, RuleTest, Rules};
use crate::requests::{self, Agent, Request, RequestError};

/// A rule that is ready to be asked.
#[derive(Debug)]
pub(super) struct ReadyRule {
    pub rule: Rule,
    /// `None`: every event that its trigger lets through.
    condition: Option<Result<Condition, String>>,
}

/// What a rule says of an event before anybody is asked.
#[derive(Debug, PartialEq)]
pub(super) enum Match {
    No(&'static str),
    Yes,
    /// The condition could not be told.
    Failed(String),
}

impl ReadyRule {
    pub(super) fn new(rule: Rule) -> Self {
        let compiled = rule.spec.when.as_deref().map(Condition::compile);
        // It did compile when it was made; another version may see it otherwise.
        let condition = compiled.map(|compiled| compiled.map_err(|error| error.to_string()));
        Self { rule, condition }
    }

    pub(super) fn matches(&self, event: &RuleEvent) -> Match {
        if !self.rule.spec.on.lets_through(event) {
            return Match::No("its trigger does not let the event through: type, source or publisher");
        }
        match &self.condition {
            None => Match::Yes,
            Some(Err(error)) => Match::Failed(error.clone()),
            Some(Ok(condition)) => match condition.holds(event) {
                Ok(true) => Match::Yes,
                Ok(false) => Match::No("its condition does not hold"),
                Err(error) => Match::Failed(error.to_string()),
            },
        }
    }
}

/// An event with what is not for conditions.
pub(super) struct Seen<'a> {
    pub event: &'a RuleEvent,
    pub traceparent: Option<&'a str>,
}

impl Rules {
    /// What the rule makes of the event; `None` where the event tells of the rule's own work: a rule
    /// that hears itself would never end.
    pub(super) async fn plan(
        &self,
        rule: &Rule,
        matched: &Match,
        seen: &Seen<'_>,
    ) -> Result<Option<PlannedFiring>, StoreError> {
        if let Some(workflow) = seen.event.workflow()
            && self.store().asked_by_rule(rule.id, workflow).await?
        {
            return Ok(None);
        }
        let asked = match matched {
            Match::Failed(detail) => Err(failed(detail)),
            _ => self.ask(rule, seen).await?,
        };
        let (asked, dedupe) = match (asked, dedupe_key(rule, seen.event)) {
            (asked, Ok(key)) => (asked, key),
            (Ok(_), Err(unfired)) => (Err(unfired), None),
            (Err(unfired), Err(_)) => (Err(unfired), None),
        };
        Ok(Some(PlannedFiring {
            id: ids::uuid_v7(self.now(), self.requests.rng.as_ref()),
            rule: rule.id,
            revision: rule.revision,
            owner: rule.owner.clone(),
            asked: asked.map(|(new, _)| Box::new(new)),
            dedupe: dedupe.zip(rule.spec.dedupe.as_ref().map(|dedupe| dedupe.within)),
            rate: rule.spec.rate,
            dry_run: rule.spec.dry_run,
        }))
    }

    /// The workflow that the rule asks for after this event, with the request that it is made of.
    async fn ask(
        &self,
        rule: &Rule,
        seen: &Seen<'_>,
    ) -> Result<Result<(NewWorkflow, Filled), Unfired>, StoreError> {
        let filled = match rule.spec.action.fill(seen.event) {
            Ok(filled) => filled,
            Err(error) => return Ok(Err(failed(&error.to_string()))),
        };
        let by = Agent {
            name: format!("{PRINCIPAL}{}", rule.spec.name),
            owner: &rule.owner,
            owner_roles: &rule.owner_roles,
        };
        let (farm, directory) = (filled.farm.as_deref(), filled.directory.as_deref());
        let request = Request::kept(&rule.spec.action.kind, farm, directory, &filled.input);
        let said = || format!("rule {}, event {} {}", rule.spec.name, seen.event.kind, seen.event.id);
        let reason = requests::reason(filled.reason.clone()).map(|reason| reason.unwrap_or_else(said));
        let request = request.and_then(|request| match &reason {
            Ok(_) => Ok(request),
            Err(refusal) => Err(RequestError::Refused(refusal.clone())),
        });
        let drafted = self.requests.draft_for(request, rule.spec.dry_run, &by).await?;
        Ok(match drafted {
            Ok(new) => {
                let trace = seen.traceparent.map(str::to_owned);
                let reason = reason.ok().map(|text| text.chars().take(MAX_SAID).collect());
                Ok((NewWorkflow { reason, traceparent: trace.or(new.traceparent), ..new }, filled))
            }
            Err(problem) => Err(Unfired {
                outcome: FiringOutcome::Refused,
                code: Some(problem.code),
                detail: format!("{}; {}", problem.message, problem.hint),
            }),
        })
    }
}

/// An event's id can have 64 KiB.
const MAX_SAID: usize = 1024;

fn failed(detail: &str) -> Unfired {
    Unfired { outcome: FiringOutcome::Failed, code: None, detail: detail.to_owned() }
}

fn dedupe_key(rule: &Rule, event: &RuleEvent) -> Result<Option<String>, Unfired> {
    let key = rule.spec.dedupe.as_ref().map(|dedupe| dedupe.key_for(event)).transpose();
    key.map_err(|error| failed(&error.to_string()))
}

/// For a person: what would become of the event, whether or not the rule is on.
pub(super) async fn test(rules: &Rules, rule: &Rule, event: &RuleEvent) -> Result<RuleTest, StoreError> {
    let ready = ReadyRule::new(rule.clone());
    let not = |why: &str| RuleTest {
        matched: false,
        why: Some(why.to_owned()),
        asks: None,
        dedupe_key: None,
        outcome: None,
        code: None,
        detail: None,
    };
    let matched = ready.matches(event);
    if let Match::No(why) = matched {
        return Ok(not(why));
    }
    let seen = Seen { event, traceparent: None };
    let Some(planned) = rules.plan(rule, &matched, &seen).await? else {
        return Ok(not("the event tells of work that this rule asked for itself"));
    };
    let asks = rule.spec.action.fill(event).ok().map(|filled| asks(rule, &filled));
    let settled = rules.store().outlook(&planned, rules.now()).await?;
    Ok(RuleTest {
        matched: true,
        why: None,
        asks,
        dedupe_key: planned.dedupe.map(|(key, _)| key),
        outcome: Some(settled.outcome),
        code: settled.code,
        detail: settled.detail,
    })
}

fn asks(rule: &Rule, filled: &Filled) -> Value {
    json!({
        "kind": rule.spec.action.kind, "plan": rule.spec.dry_run,
        "target": { "farm": filled.farm, "directory": filled.directory },
        "input": filled.input, "reason": filled.reason,
    })
}
