//! A rule as people write it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::template;
use super::{Action, Condition, Dedupe, Rate, RuleSpec, TextPattern, Trigger};
use crate::schedule::{Findings, TargetManifest};
use crate::{Problem, RuleName, WorkflowKind};

const MAX_TYPES: usize = 20;
const MAX_PUBLISHERS: usize = 20;
const MAX_WITHIN: Duration = Duration::from_secs(30 * 24 * 60 * 60);
const MAX_PER: Duration = Duration::from_secs(7 * 24 * 60 * 60);
const MAX_MOST: u32 = 10_000;
/// More than a person would ask for in an hour, less than what hurts.
const DEFAULT_RATE: Rate = Rate { most: 30, per: Duration::from_secs(60 * 60) };

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RuleManifest {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    pub on: TriggerManifest,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    #[serde(rename = "do")]
    pub action: ActionManifest,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dedupe: Option<DedupeManifest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<RateManifest>,
    pub dry_run: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct TriggerManifest {
    pub types: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    pub publishers: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ActionManifest {
    pub kind: String,
    pub target: TargetManifest,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct DedupeManifest {
    pub key: String,
    pub within: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RateManifest {
    pub most: u32,
    pub per: String,
}

impl RuleManifest {
    /// The rule, or everything that is wrong with it.
    pub fn validate(&self) -> Result<RuleSpec, Problem> {
        let mut found = Findings::default();
        let name = found.name("name", RuleName::parse(&self.name));
        let description = found.text("description", self.description.as_ref());
        let on = self.on.read(&mut found);
        let when = self.when.as_ref().filter(|text| !text.trim().is_empty());
        if let Some(Err(error)) = when.map(|text| Condition::compile(text)) {
            found.add("when", "expression", error.message);
        }
        let action = self.action.read(&mut found);
        let dedupe = self.dedupe.as_ref().map(|dedupe| dedupe.read(&mut found));
        let rate = self.rate.as_ref().map_or(DEFAULT_RATE, |rate| rate.read(&mut found));
        match (name, action) {
            (Some(name), Some(action)) if found.0.is_empty() => Ok(RuleSpec {
                name,
                description,
                on,
                when: when.cloned(),
                action,
                dedupe: dedupe.flatten(),
                rate,
                dry_run: self.dry_run,
            }),
            _ => Err(found.problem("rule")),
        }
    }
}

impl TriggerManifest {
    fn read(&self, found: &mut Findings) -> Trigger {
        if !(1..=MAX_TYPES).contains(&self.types.len()) {
            let message = format!("1 to {MAX_TYPES} types of events, these are {}", self.types.len());
            found.add("on.types", "length", message);
        }
        if self.publishers.len() > MAX_PUBLISHERS {
            let message = format!("at most {MAX_PUBLISHERS} users, these are {}", self.publishers.len());
            found.add("on.publishers", "length", message);
        }
        if let Some(at) = self.publishers.iter().position(|name| name.trim().is_empty() || name.contains('*'))
        {
            found.add(&format!("on.publishers[{at}]"), "form", "names one user of the broker");
        }
        let types = self.types.iter().take(MAX_TYPES).enumerate();
        let types = types.filter_map(|(at, text)| {
            found.parsed(&format!("on.types[{at}]"), "pattern", TextPattern::parse(text))
        });
        let types = types.collect();
        let source = self.source.as_ref();
        let source = source.and_then(|text| found.parsed("on.source", "pattern", TextPattern::parse(text)));
        Trigger { types, source, publishers: self.publishers.clone() }
    }
}

impl ActionManifest {
    fn read(&self, found: &mut Findings) -> Option<Action> {
        let kind = found.parsed("do.kind", "value", WorkflowKind::parse(&self.kind));
        let input = self.input.clone().unwrap_or_else(|| Value::Object(serde_json::Map::new()));
        if !input.is_object() {
            found.add("do.input", "form", "an object: what the HTTP request of this kind has as its body");
        }
        let mut check = |place: &str, text: &str| {
            if let Err(error) = template::check(text) {
                found.add(place, "template", error.message);
            }
        };
        template::templates_of(&input, "do.input", &mut check);
        let TargetManifest { farm, directory } = &self.target;
        for (place, text) in
            [("do.target.farm", farm), ("do.target.directory", directory), ("do.reason", &self.reason)]
        {
            if let Some(text) = text {
                check(place, text);
            }
        }
        let reason = found.text("do.reason", self.reason.as_ref());
        Some(Action { kind: kind?, target: self.target.clone(), input, reason })
    }
}

impl DedupeManifest {
    fn read(&self, found: &mut Findings) -> Option<Dedupe> {
        if self.key.trim().is_empty() {
            found.add("dedupe.key", "required", "says what is the same, e.g. {{ event.data.host }}");
        }
        if let Err(error) = template::check(&self.key) {
            found.add("dedupe.key", "template", error.message);
        }
        let within = found.duration("dedupe.within", Some(&self.within), MAX_WITHIN)?;
        if within.is_zero() {
            found.add("dedupe.within", "range", "longer than nothing");
        }
        Some(Dedupe { key: self.key.clone(), within })
    }
}

impl RateManifest {
    fn read(&self, found: &mut Findings) -> Rate {
        if !(1..=MAX_MOST).contains(&self.most) {
            found.add("rate.most", "range", format!("1 to {MAX_MOST}, this is {}", self.most));
        }
        let per = found.duration("rate.per", Some(&self.per), MAX_PER).unwrap_or(DEFAULT_RATE.per);
        if per < Duration::from_secs(1) {
            found.add("rate.per", "range", "at least 1s");
        }
        Rate { most: self.most, per }
    }
}
