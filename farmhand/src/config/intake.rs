//! `[intake]`: who may ask for work over AMQP.

use std::collections::{BTreeMap, BTreeSet};

use domain::Role;
use serde::Deserialize;

use super::Findings;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Intake {
    /// `None`: wherever there is a broker and at least one user.
    pub enabled: Option<bool>,
    /// RabbitMQ's users with their roles.
    pub users: BTreeMap<String, BTreeSet<Role>>,
}

impl Intake {
    /// Whether requests are taken; `has_broker`: `[amqp]` names one.
    pub fn is_on(&self, has_broker: bool) -> bool {
        has_broker && self.enabled.unwrap_or(!self.users.is_empty())
    }

    pub fn validate(&self, has_broker: bool, findings: &mut Findings) {
        if self.enabled == Some(true) && self.users.is_empty() {
            let hint = "e.g. pipeline = [\"operator\"] under [intake.users]";
            findings.add("intake.users", "names nobody, and intake.enabled is true", hint);
        }
        if self.enabled == Some(true) && !has_broker {
            let hint = "set amqp.url: the in-process bus is closed to other systems";
            findings.add("intake.enabled", "is true, and no broker is configured", hint);
        }
        for (user, roles) in &self.users {
            if user.is_empty() || user.len() > 255 {
                findings.add("intake.users", format!("{user:?} is no name of a user"), "");
            }
            if roles.is_empty() {
                let hint = "viewer, operator, responder, approver or admin";
                findings.add(format!("intake.users.{user}"), "names no role", hint);
            }
        }
    }
}
