//! Rules: made and changed here, fired by [`reactor`] when something was heard on `farmhand.reactions`.
//!
//! What a rule asks for is judged like anybody's request (`requests/`): when it is made as far as its
//! templates let see, and again with each event.

mod plan;
pub(crate) mod reactor;

use chrono::{DateTime, Utc};
use domain::rule::{RuleEvent, RuleManifest, RuleSpec, RuleState};
use domain::{ErrorCode, FiringOutcome, Principal, Problem, Role, RuleId, RuleName, Violation};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{Paused, Rule, Store};
use utoipa::ToSchema;

use crate::requests::{self, Refusal, RefusalKind, Request, RequestError, Requests, require, require_any};

/// Workflows of a rule are asked for in its name.
pub(crate) const PRINCIPAL: &str = "rule:";

#[derive(Clone)]
pub(crate) struct Rules {
    pub(crate) requests: Requests,
}

/// What would become of an event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RuleTest {
    /// The rule is for this event.
    pub matched: bool,
    /// Why not.
    pub why: Option<String>,
    /// What would be asked for.
    #[schema(value_type = Option<Object>)]
    pub asks: Option<Value>,
    pub dedupe_key: Option<String>,
    /// What would be recorded.
    #[schema(value_type = Option<String>)]
    pub outcome: Option<FiringOutcome>,
    #[schema(value_type = Option<String>)]
    pub code: Option<ErrorCode>,
    pub detail: Option<String>,
}

impl Rules {
    fn store(&self) -> &Store {
        &self.requests.store
    }

    fn now(&self) -> DateTime<Utc> {
        self.requests.clock.now()
    }

    /// Puts a rule on record, enabled.
    pub(crate) async fn create(&self, manifest: &RuleManifest, by: &Principal) -> Result<Rule, RequestError> {
        let now = self.now();
        let spec = self.judge(manifest, by).await?;
        let rule = Rule {
            id: RuleId::new(now, self.requests.rng.as_ref()),
            spec,
            state: RuleState::Enabled,
            paused: None,
            last_fired_at: None,
            last_workflow: None,
            owner: by.name.clone(),
            owner_roles: by.roles.clone(),
            created_by: by.name.clone(),
            created_at: now,
            updated_at: now,
            revision: 1,
        };
        if self.store().create_rule(&rule).await? {
            tracing::info!(rule = %rule.spec.name, by = by.name, "a rule was made");
            return Ok(rule);
        }
        let name = &rule.spec.name;
        let problem = Problem::new(
            ErrorCode::AlreadyExists,
            format!("there is a rule {name} already"),
            format!(
                "choose another name, or change it: PUT /api/v1/rules/{name}, `farmhand rule update -f FILE`"
            ),
        );
        Err(Refusal { problem, kind: RefusalKind::Conflict }.into())
    }

    /// Puts another definition in a rule's place; from now on it is the caller's.
    pub(crate) async fn replace(
        &self,
        name: &RuleName,
        manifest: &RuleManifest,
        by: &Principal,
    ) -> Result<Rule, RequestError> {
        let spec = self.judge(manifest, by).await?;
        if spec.name != *name {
            let message = format!("the path names the rule {name}, the body {}", spec.name);
            return Err(
                Refusal::from(requests::violated(vec![Violation::new("name", "same", message)])).into()
            );
        }
        let changed = self.change(name, |rule, _| {
            rule.spec = spec.clone();
            rule.owner.clone_from(&by.name);
            rule.owner_roles.clone_from(&by.roles);
        });
        let rule = changed.await?;
        tracing::info!(rule = %rule.spec.name, by = by.name, "a rule was changed");
        Ok(rule)
    }

    /// It hears nothing until it is resumed.
    pub(crate) async fn pause(
        &self,
        name: &RuleName,
        reason: Option<String>,
        by: &Principal,
    ) -> Result<Rule, RequestError> {
        let reason = requests::reason(reason)?;
        self.change(name, |rule, now| {
            if rule.state == RuleState::Enabled {
                rule.state = RuleState::Paused;
                rule.paused = Some(Paused { at: now, by: by.name.clone(), reason: reason.clone() });
            }
        })
        .await
    }

    /// Events from now on count again; those of the pause are not made up for.
    pub(crate) async fn resume(&self, name: &RuleName) -> Result<Rule, RequestError> {
        self.change(name, |rule, _| {
            rule.state = RuleState::Enabled;
            rule.paused = None;
        })
        .await
    }

    pub(crate) async fn find(&self, name: &RuleName) -> Result<Rule, RequestError> {
        let found = self.store().rule(name).await?;
        found.ok_or_else(|| {
            let problem = Problem::new(
                ErrorCode::NotFound,
                format!("there is no rule {name}"),
                "`farmhand rule list` (GET /api/v1/rules) shows all",
            );
            Refusal { problem, kind: RefusalKind::NotFound }.into()
        })
    }

    /// What would become of an event; nothing is recorded and nothing asked for.
    pub(crate) async fn test(&self, name: &RuleName, event: &RuleEvent) -> Result<RuleTest, RequestError> {
        let rule = self.find(name).await?;
        Ok(plan::test(self, &rule, event).await?)
    }

    /// Reads, changes, writes; again where another was quicker.
    async fn change(
        &self,
        name: &RuleName,
        change: impl Fn(&mut Rule, DateTime<Utc>),
    ) -> Result<Rule, RequestError> {
        loop {
            let mut rule = self.find(name).await?;
            let now = self.now();
            change(&mut rule, now);
            rule.updated_at = now;
            if self.store().save_rule(&rule).await? {
                return Ok(rule);
            }
        }
    }

    /// The rule with everything that can be wrong with it before there is an event looked at.
    async fn judge(&self, manifest: &RuleManifest, by: &Principal) -> Result<RuleSpec, RequestError> {
        let spec = manifest.validate()?;
        require(by, Role::Operator)?;
        let action = &spec.action;
        let Some(roles) = Request::roles_of(action.kind.as_str()) else {
            let message = format!("{} is nothing that can be asked for", action.kind);
            let violation = Violation::new("do.kind", "value", message);
            return Err(Refusal::from(requests::violated(vec![violation])).into());
        };
        let (unfilled, templates) = action.unfilled();
        let (farm, directory) = (unfilled.farm.as_deref(), unfilled.directory.as_deref());
        let in_place = |error| requests::placed(error, "do.");
        match Request::kept(&action.kind, farm, directory, &unfilled.input) {
            Ok(request) if !action.has_templates() => {
                self.requests.draft(&request, spec.dry_run, by).await.map_err(in_place)?;
            }
            Ok(request) => require_any(by, request.roles())?,
            // What a template stands for is judged when there is an event.
            Err(RequestError::Refused(refusal)) if is_about(&refusal.problem, &templates) => {
                require_any(by, roles)?;
            }
            Err(error) => return Err(in_place(error)),
        }
        Ok(spec)
    }
}

/// Whether all that is wrong stands where a template stands.
fn is_about(problem: &Problem, templates: &[String]) -> bool {
    let at_template = |violation: &Violation| templates.contains(&violation.field);
    !problem.violations.is_empty() && problem.violations.iter().all(at_template)
}
