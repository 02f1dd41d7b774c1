//! Webhooks: made and changed here; told of events by [`deliverer`], heard by [`receive`].

pub(crate) mod deliverer;
mod post;
pub(crate) mod receive;
mod signature;

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use domain::webhook::{Way, WebhookAuth, WebhookManifest};
use domain::{
    DeliveryId, ErrorCode, Principal, Problem, Violation, WebhookId, WebhookName, WebhookState, ids,
};
use messages::CloudEvent;
use reqwest::Url;
use secrecy::SecretString;
use serde_json::json;
use store::{HeardEvent, NewDelivery, Paused, Store, Webhook};

use crate::requests::{self, Refusal, RefusalKind, RequestError, Requests};
use crate::tokens;

const PREFIX: &str = "fhwh_";
const RANDOM_BYTES: usize = 32;
/// Not on `farmhand.events`: only the one webhook is told.
const PING: &str = "farmhand.ping.v1";

#[derive(Clone)]
pub(crate) struct Webhooks {
    pub(crate) requests: Requests,
    /// Whether events may be sent over plain HTTP to other machines.
    pub(crate) allow_http: bool,
}

impl Webhooks {
    fn store(&self) -> &Store {
        &self.requests.store
    }

    fn now(&self) -> DateTime<Utc> {
        self.requests.clock.now()
    }

    /// Puts a webhook on record, enabled. With its secret, which is shown this once.
    pub(crate) async fn create(
        &self,
        manifest: WebhookManifest,
        by: &Principal,
    ) -> Result<(Webhook, SecretString), RequestError> {
        let spec = manifest.validate()?;
        if let Way::Out { url, .. } = &spec.way {
            self.check(url)?;
        }
        let now = self.now();
        let secret = manifest.secret.unwrap_or_else(|| self.new_secret());
        let webhook = Webhook {
            id: WebhookId::new(now, self.requests.rng.as_ref()),
            spec,
            state: WebhookState::Enabled,
            paused: None,
            created_by: by.name.clone(),
            created_at: now,
            updated_at: now,
            revision: 1,
        };
        if self.store().create_webhook(&webhook, &kept(&webhook.spec.way, &secret)).await? {
            let direction = webhook.spec.direction();
            tracing::info!(webhook = %webhook.spec.name, %direction, by = by.name, "a webhook was made");
            return Ok((webhook, secret));
        }
        let name = &webhook.spec.name;
        let problem = Problem::new(
            ErrorCode::AlreadyExists,
            format!("there is a webhook {name} already"),
            format!("choose another name, or delete it first with `farmhand webhook delete {name}`"),
        );
        Err(Refusal { problem, kind: RefusalKind::Conflict }.into())
    }

    /// Nothing is sent, or nothing is taken, until it is resumed.
    pub(crate) async fn pause(
        &self,
        name: &WebhookName,
        reason: Option<String>,
        by: &Principal,
    ) -> Result<Webhook, RequestError> {
        let reason = requests::reason(reason)?;
        self.change(name, |webhook, now| {
            if webhook.state == WebhookState::Enabled {
                webhook.state = WebhookState::Paused;
                webhook.paused = Some(Paused { at: now, by: by.name.clone(), reason: reason.clone() });
            }
        })
        .await
    }

    pub(crate) async fn resume(&self, name: &WebhookName) -> Result<Webhook, RequestError> {
        self.change(name, |webhook, _| {
            webhook.state = WebhookState::Enabled;
            webhook.paused = None;
        })
        .await
    }

    pub(crate) async fn find(&self, name: &WebhookName) -> Result<Webhook, RequestError> {
        let found = self.store().webhook(name).await?;
        found.ok_or_else(|| not_found(format!("there is no webhook {name}"), "`farmhand webhook list`"))
    }

    /// One that is told of events.
    pub(crate) async fn find_out(&self, name: &WebhookName) -> Result<Webhook, RequestError> {
        let webhook = self.find(name).await?;
        match webhook.spec.way {
            Way::Out { .. } => Ok(webhook),
            Way::In { .. } => Err(Problem::new(
                ErrorCode::InvalidRequest,
                format!("nothing is sent to the webhook {name}: it is one that others call"),
                "`farmhand webhook list --direction out` shows those that are told of events",
            )
            .into()),
        }
    }

    /// Sends an event of no meaning, to see whether it arrives.
    pub(crate) async fn ping(&self, name: &WebhookName, by: &Principal) -> Result<DeliveryId, RequestError> {
        let webhook = self.find_out(name).await?;
        let now = self.now();
        let id = ids::uuid_v7(now, self.requests.rng.as_ref()).to_string();
        let event = CloudEvent {
            id: id.clone(),
            source: CloudEvent::SOURCE.to_owned(),
            kind: PING.to_owned(),
            subject: Some(webhook.spec.name.to_string()),
            time: Some(now),
            traceparent: messages::trace::current(),
            data: json!({ "webhook": webhook.spec.name, "askedBy": by.name }),
        };
        let delivery = DeliveryId::new(now, self.requests.rng.as_ref());
        let new = NewDelivery { id: delivery, webhook: webhook.id, body: event.to_bytes() };
        let heard = HeardEvent {
            key: id.clone(),
            id,
            source: event.source,
            kind: event.kind,
            subject: event.subject,
        };
        self.store().add_delivery(&heard, &new, now).await?;
        Ok(delivery)
    }

    /// Sends a delivery again, whatever became of it.
    pub(crate) async fn redeliver(&self, name: &WebhookName, id: DeliveryId) -> Result<(), RequestError> {
        let webhook = self.find_out(name).await?;
        if self.store().redeliver(webhook.id, id, self.now()).await? {
            return Ok(());
        }
        let message = format!("the webhook {name} has no delivery {id}");
        Err(not_found(message, &format!("`farmhand webhook deliveries {name}`")))
    }

    /// Reads, changes, writes; again where another was quicker.
    async fn change(
        &self,
        name: &WebhookName,
        change: impl Fn(&mut Webhook, DateTime<Utc>),
    ) -> Result<Webhook, RequestError> {
        loop {
            let mut webhook = self.find(name).await?;
            let now = self.now();
            change(&mut webhook, now);
            webhook.updated_at = now;
            if self.store().save_webhook(&webhook).await? {
                return Ok(webhook);
            }
        }
    }

    fn new_secret(&self) -> SecretString {
        let mut bytes = [0; RANDOM_BYTES];
        self.requests.rng.fill(&mut bytes);
        SecretString::from(format!("{PREFIX}{}", hex::encode(bytes)))
    }

    /// What a URL must be for events to be sent there.
    fn check(&self, text: &str) -> Result<(), Problem> {
        let refuse =
            |rule, message: String| Err(requests::violated(vec![Violation::new("url", rule, message)]));
        let url = match Url::parse(text) {
            Ok(url) => url,
            Err(error) => return refuse("url", format!("no URL: {error}")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return refuse(
                "user",
                "a URL is shown to every admin: what we send is signed with the secret".to_owned(),
            );
        }
        if url.fragment().is_some() {
            return refuse("url", "what stands behind a # is never sent".to_owned());
        }
        match url.scheme() {
            "https" => Ok(()),
            "http" if self.allow_http || is_loopback(&url) => Ok(()),
            "http" => refuse(
                "tls",
                "https, or http to this machine itself; reactions.allow_http = true allows more".to_owned(),
            ),
            other => refuse("scheme", format!("https, this is {other}")),
        }
    }
}

/// What has to be known of a secret: to see whether somebody else knows it, its hash will do.
fn kept(way: &Way, secret: &SecretString) -> SecretString {
    use secrecy::ExposeSecret;
    match way {
        Way::In { auth: WebhookAuth::Bearer } => SecretString::from(tokens::hash(secret.expose_secret())),
        Way::In { .. } | Way::Out { .. } => secret.clone(),
    }
}

fn is_loopback(url: &Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn not_found(message: String, hint: &str) -> RequestError {
    let problem = Problem::new(ErrorCode::NotFound, message, format!("{hint} shows all"));
    Refusal { problem, kind: RefusalKind::NotFound }.into()
}

#[cfg(test)]
mod tests {
    use domain::{Clock, Role, SystemRng};
    use secrecy::ExposeSecret;

    use super::*;
    use crate::http::testing::World;

    async fn webhooks(allow_http: bool) -> (World, Webhooks) {
        let world = World::new().await;
        let webhooks = Webhooks { requests: world.api.requests.clone(), allow_http };
        (world, webhooks)
    }

    #[tokio::test]
    async fn events_leave_over_tls_unless_they_stay_on_this_machine_or_it_is_configured() {
        let (_world, strict) = webhooks(false).await;
        for good in ["https://siem/x", "http://127.0.0.1:9/x", "http://[::1]/x", "http://localhost/x"] {
            assert_eq!(strict.check(good), Ok(()), "{good}");
        }
        let (_world, open) = webhooks(true).await;
        assert_eq!(open.check("http://siem/x"), Ok(()));
        for (bad, rule) in [
            ("http://siem/x", "tls"),
            ("http://127.0.0.1.example.com/", "tls"),
            ("https://user:pass@siem/", "user"),
            ("ftp://siem/", "scheme"),
            ("siem", "url"),
            ("https://siem/#x", "url"),
        ] {
            let problem = strict.check(bad).expect_err(bad);
            assert_eq!(problem.violations[0].rule, rule, "{bad}");
        }
    }

    #[tokio::test]
    async fn of_a_secret_that_only_others_send_nothing_but_its_hash_is_kept() {
        let (world, webhooks) = webhooks(false).await;
        let by = Principal { name: "ann".to_owned(), roles: [Role::Admin].into() };
        for (auth, hashed) in [("bearer", true), ("hmac", false), ("github", false)] {
            let manifest = json!({"name": auth, "direction": "in", "auth": auth});
            let manifest = serde_json::from_value(manifest).expect("well formed");
            let (webhook, secret) = webhooks.create(manifest, &by).await.expect("made");
            let kept = world.store.webhook_secret(webhook.id).await.expect("works").expect("kept");
            assert_eq!(kept.expose_secret() != secret.expose_secret(), hashed, "{auth}");
            assert!(secret.expose_secret().starts_with(PREFIX) && secret.expose_secret().len() == 69);
        }
        let unknown = WebhookId::new(world.clock.now(), &SystemRng);
        assert!(world.store.webhook_secret(unknown).await.expect("works").is_none());
    }
}
