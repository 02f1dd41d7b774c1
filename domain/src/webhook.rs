//! Webhooks: other systems that are told of events, and other systems that tell of theirs.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::rule::TextPattern;
use crate::schedule::Findings;
use crate::workflow::text_enum;
use crate::{AnnouncementKind, Problem, WebhookName};

const MAX_EVENTS: usize = 20;
const MAX_URL: usize = 2048;
/// Shorter ones could be guessed.
const MIN_SECRET: usize = 20;
const MAX_SECRET: usize = 256;

/// How long a delivery is tried.
pub const GIVE_UP_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

text_enum! {
    /// Who calls whom.
    Direction, "direction" {
        /// Another system calls us.
        In = "in",
        /// We call another system.
        Out = "out",
    }
}

text_enum! {
    /// How a caller proves that it knows the secret.
    WebhookAuth, "webhook authentication" {
        /// `Authorization: Bearer SECRET`.
        Bearer = "bearer",
        /// `X-Farmhand-Signature` over the timestamp and the body.
        Hmac = "hmac",
        /// `X-Hub-Signature-256` over the body, as GitHub and others send it.
        Github = "github",
    }
}

text_enum! {
    /// Where a webhook stands.
    WebhookState, "webhook state" {
        Enabled = "enabled",
        /// Nothing is sent, or nothing is taken, until it is resumed.
        Paused = "paused",
    }
}

text_enum! {
    /// Where a delivery stands.
    DeliveryState, "delivery state" {
        /// To be sent, or to be sent again.
        Pending = "pending",
        Delivered = "delivered",
        /// Tried for [`GIVE_UP_AFTER`] in vain.
        GivenUp = "given-up",
    }
}

/// A webhook, judged; its secret stands elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WebhookSpec {
    pub name: WebhookName,
    pub description: Option<String>,
    #[serde(flatten)]
    pub way: Way,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "direction", rename_all = "lowercase")]
pub enum Way {
    In { auth: WebhookAuth },
    Out { url: String, events: Vec<TextPattern> },
}

impl WebhookSpec {
    pub fn direction(&self) -> Direction {
        match self.way {
            Way::In { .. } => Direction::In,
            Way::Out { .. } => Direction::Out,
        }
    }

    /// Whether an event of ours is sent there. What came in by a webhook goes out again only where
    /// it is named in full: `*` is no wish to forward what others sent, and two Farmhands that
    /// forward to each other would never stop.
    pub fn wants(&self, event_type: &str) -> bool {
        let Way::Out { events, .. } = &self.way else { return false };
        let received = event_type == AnnouncementKind::WebhookReceived.event_type();
        events.iter().any(
            |pattern| {
                if received { pattern.names(event_type) } else { pattern.matches(event_type) }
            },
        )
    }
}

/// A webhook as people write it. What is said of the URL's form is judged by whoever calls it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct WebhookManifest {
    pub name: String,
    pub description: Option<String>,
    pub direction: String,
    pub auth: Option<String>,
    pub url: Option<String>,
    pub events: Vec<String>,
    /// Left out: one is made.
    pub secret: Option<SecretString>,
}

impl WebhookManifest {
    /// The webhook, or everything that is wrong with it.
    pub fn validate(&self) -> Result<WebhookSpec, Problem> {
        let mut found = Findings::default();
        let name = found.name("name", WebhookName::parse(&self.name));
        let description = found.text("description", self.description.as_ref());
        let way = match found.parsed("direction", "value", self.direction.parse()) {
            Some(Direction::In) => self.inward(&mut found),
            Some(Direction::Out) => self.outward(&mut found),
            None => None,
        };
        if let Some(secret) = &self.secret {
            let secret = secret.expose_secret();
            let visible = secret.bytes().all(|byte| byte.is_ascii_graphic());
            if !(MIN_SECRET..=MAX_SECRET).contains(&secret.len()) || !visible {
                let message =
                    format!("{MIN_SECRET} to {MAX_SECRET} visible ASCII characters; left out, one is made");
                found.add("secret", "form", message);
            }
        }
        match (name, way) {
            (Some(name), Some(way)) if found.0.is_empty() => Ok(WebhookSpec { name, description, way }),
            _ => Err(found.problem("webhook")),
        }
    }

    fn inward(&self, found: &mut Findings) -> Option<Way> {
        for (field, given) in [("url", self.url.is_some()), ("events", !self.events.is_empty())] {
            if given {
                found.add(field, "exclusive", "goes with direction out");
            }
        }
        let auth = self.auth.as_deref().unwrap_or("hmac").parse();
        found.parsed("auth", "value", auth).map(|auth| Way::In { auth })
    }

    fn outward(&self, found: &mut Findings) -> Option<Way> {
        if self.auth.is_some() {
            found.add("auth", "exclusive", "goes with direction in: what we send is always signed");
        }
        if !(1..=MAX_EVENTS).contains(&self.events.len()) {
            let message = format!("1 to {MAX_EVENTS} types of events, these are {}", self.events.len());
            found.add("events", "length", message);
        }
        let events = self.events.iter().take(MAX_EVENTS).enumerate();
        let events = events.filter_map(|(at, text)| {
            found.parsed(&format!("events[{at}]"), "pattern", TextPattern::parse(text))
        });
        let events = events.collect();
        match &self.url {
            Some(url) if url.len() <= MAX_URL => Some(Way::Out { url: url.clone(), events }),
            Some(_) => {
                found.add("url", "length", format!("at most {MAX_URL} bytes"));
                None
            }
            None => {
                found.add("url", "required", "says where events are sent");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn validate(document: Value) -> Result<WebhookSpec, Problem> {
        serde_json::from_value::<WebhookManifest>(document).expect("well formed").validate()
    }

    fn out(events: &[&str]) -> WebhookSpec {
        validate(json!({"name": "siem", "direction": "out", "url": "https://siem/", "events": events}))
            .expect("valid")
    }

    #[test]
    fn every_broken_rule_is_named_at_once() {
        for (document, expected) in [
            (json!({}), vec!["name", "direction"]),
            (
                json!({"name": "a", "direction": "in", "auth": "x", "url": "u", "events": ["*"]}),
                vec!["url", "events", "auth"],
            ),
            (json!({"name": "a", "direction": "out", "auth": "hmac"}), vec!["auth", "events", "url"]),
            (json!({"name": "a", "direction": "in", "secret": "short"}), vec!["secret"]),
            (json!({"name": "a", "direction": "out", "url": "u", "events": ["a*b"]}), vec!["events[0]"]),
        ] {
            let problem = validate(document.clone()).expect_err("refused");
            let fields: Vec<_> = problem.violations.iter().map(|v| v.field.as_str()).collect();
            assert_eq!(fields, expected, "{document}");
        }
    }

    #[test]
    fn a_webhook_survives_its_way_through_the_database() {
        for spec in
            [out(&["farmhand.event.*"]), validate(json!({"name": "cmdb", "direction": "in"})).expect("valid")]
        {
            let stored = serde_json::to_value(&spec).expect("serialises");
            assert_eq!(serde_json::from_value::<WebhookSpec>(stored).expect("the same"), spec);
        }
        let stored = serde_json::to_value(validate(json!({"name": "a", "direction": "in"})).expect("valid"));
        assert_eq!(stored.expect("serialises")["auth"], "hmac");
    }

    #[test]
    fn what_came_in_goes_out_only_where_it_is_named_in_full() {
        let received = "farmhand.event.webhook-received.v1";
        assert!(out(&["*"]).wants("farmhand.event.verdict-changed.v1"));
        for pattern in ["*", "farmhand.event.*"] {
            assert!(!out(&[pattern]).wants(received), "{pattern}");
        }
        assert!(out(&["x", received]).wants(received));
        assert!(!validate(json!({"name": "a", "direction": "in"})).expect("valid").wants(received));
    }

    #[test]
    fn a_secret_does_not_print() {
        let manifest: WebhookManifest =
            serde_json::from_value(json!({"name": "a", "secret": "hunter2hunter2hunter2"}))
                .expect("well formed");
        assert!(!format!("{manifest:?}").contains("hunter2"));
    }
}
