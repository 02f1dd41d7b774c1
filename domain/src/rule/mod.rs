//! Rules: what is asked for when something was heard.
//!
//! * [`event`]: what a rule sees of an event.
//! * [`template`]: conditions, and values that are made of an event.
//! * [`manifest`]: a rule as people write it.

mod event;
mod manifest;
mod pattern;
mod template;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use event::RuleEvent;
pub use manifest::{ActionManifest, DedupeManifest, RateManifest, RuleManifest, TriggerManifest};
pub use pattern::{PatternError, TextPattern};
pub use template::{Condition, TemplateError};

use crate::schedule::{TargetManifest, duration_text};
use crate::workflow::text_enum;
use crate::{RuleName, WorkflowKind};

text_enum! {
    /// Where a rule stands.
    RuleState, "rule state" {
        Enabled = "enabled",
        /// It hears nothing until it is resumed.
        Paused = "paused",
    }
}

text_enum! {
    /// What became of an event that a rule was for.
    FiringOutcome, "outcome of a firing" {
        /// A workflow was asked for.
        Fired = "fired",
        /// A dry run was asked for: the rule only rehearses.
        DryRun = "dry-run",
        /// The same was asked for a short while ago, or goes on.
        Deduplicated = "deduplicated",
        /// The rule has asked for as much as it may for now.
        RateLimited = "rate-limited",
        /// What it asks for is not allowed, or not possible.
        Refused = "refused",
        /// The event did not give what a condition or a template needs.
        Failed = "failed",
    }
}

impl FiringOutcome {
    /// Something was asked for: these count for rate and deduplication.
    pub fn asked(self) -> bool {
        matches!(self, Self::Fired | Self::DryRun)
    }
}

/// A rule, judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleSpec {
    pub name: RuleName,
    pub description: Option<String>,
    pub on: Trigger,
    /// An expression over `event`; none: every event that `on` lets through.
    pub when: Option<String>,
    #[serde(rename = "do")]
    pub action: Action,
    pub dedupe: Option<Dedupe>,
    pub rate: Rate,
    /// Each run is a dry run.
    pub dry_run: bool,
}

/// Which events a rule looks at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trigger {
    pub types: Vec<TextPattern>,
    pub source: Option<TextPattern>,
    /// Users of the broker whose events count. Farmhand's own always do.
    pub publishers: Vec<String>,
}

impl Trigger {
    pub fn lets_through(&self, event: &RuleEvent) -> bool {
        let named = |publisher: &String| self.publishers.iter().any(|name| name == publisher);
        (event.own || event.publisher.as_ref().is_some_and(named))
            && self.types.iter().any(|pattern| pattern.matches(&event.kind))
            && self.source.as_ref().is_none_or(|pattern| pattern.matches(&event.source))
    }
}

/// What is asked for: texts within `target`, `input` and `reason` are templates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Action {
    pub kind: WorkflowKind,
    pub target: TargetManifest,
    /// What the HTTP request of that kind has as its body.
    pub input: Value,
    pub reason: Option<String>,
}

/// The same key does not fire again for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dedupe {
    /// A template.
    pub key: String,
    #[serde(with = "duration_text")]
    pub within: Duration,
}

/// How often a rule may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    pub most: u32,
    #[serde(with = "duration_text")]
    pub per: Duration,
}

/// What a rule asks for after an event: an action with its templates filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct Filled {
    pub farm: Option<String>,
    pub directory: Option<String>,
    pub input: Value,
    pub reason: Option<String>,
}

impl Action {
    /// Fills in the templates. What comes out is judged as any request: a value of the event is only
    /// ever a value.
    pub fn fill(&self, event: &RuleEvent) -> Result<Filled, TemplateError> {
        let text = |place: &str, template: &Option<String>| match template {
            Some(template) => template::text_or_null(template, event).map_err(|error| error.at(place)),
            None => Ok(None),
        };
        Ok(Filled {
            farm: text("do.target.farm", &self.target.farm)?,
            directory: text("do.target.directory", &self.target.directory)?,
            input: template::fill(&self.input, event, "do.input")?,
            reason: text("do.reason", &self.reason)?,
        })
    }

    /// The action as it would be for some event: each text that is a template stands for itself. With
    /// the places of the templates within `input`.
    pub fn unfilled(&self) -> (Filled, Vec<String>) {
        let mut places = Vec::new();
        template::templates_of(&self.input, "", &mut |place, _| places.push(place.to_owned()));
        let filled = Filled {
            farm: self.target.farm.clone(),
            directory: self.target.directory.clone(),
            input: self.input.clone(),
            reason: self.reason.clone(),
        };
        (filled, places)
    }

    pub fn has_templates(&self) -> bool {
        let TargetManifest { farm, directory } = &self.target;
        let texts = [farm, directory, &self.reason];
        let (_, places) = self.unfilled();
        !places.is_empty() || texts.into_iter().flatten().any(|text| template::is_template(text))
    }
}

impl Dedupe {
    pub fn key_for(&self, event: &RuleEvent) -> Result<String, TemplateError> {
        let key = template::text(&self.key, event).map_err(|error| error.at("dedupe.key"))?;
        if key.chars().count() > MAX_KEY {
            let message = format!("the key has more than {MAX_KEY} characters");
            return Err(TemplateError::new(message).at("dedupe.key"));
        }
        Ok(key)
    }
}

const MAX_KEY: usize = 256;

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
