//! Another system calls a webhook: who knows its secret has its say announced, once.
//!
//! Whoever does not know it learns nothing, not even whether there is a webhook of that name.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use domain::webhook::{Way, WebhookAuth};
use domain::{
    Announcement, AnnouncementKind, Clock, ErrorCode, Problem, WebhookId, WebhookName, WebhookState,
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use store::{Received, Store, StoreError, Webhook};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::signature;
use crate::tokens;

/// The largest body, as it is sent.
pub(crate) const MAX_BODY: usize = 64 * 1024;
/// What stands around a body in an announcement's data.
const AROUND: usize = 1024;
/// How far a caller's clock may be off, either way.
const TOLERANCE_SECONDS: i64 = 5 * 60;
const MAX_KEY: usize = 255;

/// How a caller proves what it is; what it did not send is empty.
#[derive(Default)]
pub(crate) struct Proof {
    pub bearer: Option<SecretString>,
    pub signature: String,
    pub timestamp: String,
    pub github_signature: String,
    /// The same key is the same call.
    pub idempotency_key: Option<String>,
}

/// A call that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken {
    pub event: Uuid,
    /// It was taken before.
    pub replayed: bool,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ReceiveError {
    #[error("the body is larger than {MAX_BODY} bytes")]
    TooLarge,
    /// No such webhook, or not its secret: nobody learns which.
    #[error("not authenticated")]
    Unauthenticated,
    #[error("{0}")]
    Refused(Problem),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How often each webhook was called of late, in this process.
#[derive(Debug, Default)]
pub(crate) struct Calls(Mutex<HashMap<WebhookId, (i64, u32)>>);

impl Calls {
    /// Counts a call. Whether it is one too many in its minute.
    fn too_many(&self, webhook: WebhookId, most: u32, now: DateTime<Utc>) -> bool {
        let minute = now.timestamp().div_euclid(60);
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Only webhooks that are there are counted, and only as long as their minute lasts.
        calls.retain(|_, (counted, _)| *counted == minute);
        let (_, count) = calls.entry(webhook).or_insert((minute, 0));
        *count = count.saturating_add(1);
        *count > most
    }
}

/// What is needed to take a call.
pub(crate) struct Receiver<'a> {
    pub store: &'a Store,
    pub clock: &'a dyn Clock,
    pub calls: &'a Calls,
    /// Calls of one webhook in a minute.
    pub most: u32,
}

impl Receiver<'_> {
    pub(crate) async fn receive(
        &self,
        name: &str,
        proof: &Proof,
        body: &[u8],
    ) -> Result<Taken, ReceiveError> {
        // Before anything else, so that it tells nothing of the name.
        if body.len() > MAX_BODY {
            return Err(ReceiveError::TooLarge);
        }
        let now = self.clock.now();
        let webhook = self.authenticated(name, proof, body, now).await?;
        if webhook.state == WebhookState::Paused {
            count("paused");
            return Err(ReceiveError::Refused(Problem::new(
                ErrorCode::WebhookPaused,
                format!("the webhook {} is paused", webhook.spec.name),
                "call again later; an admin resumes it with `farmhand webhook resume NAME`",
            )));
        }
        if self.calls.too_many(webhook.id, self.most, now) {
            count("rate-limited");
            return Err(ReceiveError::Refused(Problem::new(
                ErrorCode::RateLimited,
                format!("the webhook {} takes {} calls a minute", webhook.spec.name, self.most),
                "call again in a minute",
            )));
        }
        let announcement = announcement(&webhook, body).map_err(ReceiveError::Refused)?;
        let keys = replay_keys(&webhook, proof)?;
        match self.store.receive(webhook.id, &keys, &announcement, now).await? {
            Received::New(event) => {
                count("accepted");
                tracing::info!(webhook = %webhook.spec.name, %event, "a webhook was called");
                Ok(Taken { event, replayed: false })
            }
            Received::Replayed(event) => {
                count("replayed");
                Ok(Taken { event, replayed: true })
            }
            Received::Off => Err(ReceiveError::Refused(Problem::new(
                ErrorCode::AnnouncementsOff,
                "nothing is announced here, so nothing could follow from a call",
                "an administrator sets announcements.enabled = true",
            ))),
        }
    }

    /// The webhook, if the caller knows its secret. The same is done for a name that there is not.
    async fn authenticated(
        &self,
        name: &str,
        proof: &Proof,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Result<Webhook, ReceiveError> {
        let webhook = match WebhookName::parse(name) {
            Ok(name) => self.store.webhook(&name).await?,
            Err(_) => None,
        };
        let id = webhook.as_ref().map_or(WebhookId(Uuid::nil()), |webhook| webhook.id);
        let secret = self.store.webhook_secret(id).await?;
        let auth = webhook.as_ref().and_then(|webhook| match webhook.spec.way {
            Way::In { auth } => Some(auth),
            Way::Out { .. } => None,
        });
        // Of the length of a real one.
        let nobody = || SecretString::from(tokens::hash("nobody"));
        let known =
            knows(&secret.unwrap_or_else(nobody), auth.unwrap_or(WebhookAuth::Hmac), proof, body, now);
        match webhook {
            Some(webhook) if auth.is_some() && known => Ok(webhook),
            _ => {
                count("unauthenticated");
                Err(ReceiveError::Unauthenticated)
            }
        }
    }
}

fn knows(secret: &SecretString, auth: WebhookAuth, proof: &Proof, body: &[u8], now: DateTime<Utc>) -> bool {
    // All of them each time: how long it takes tells nothing of what is wanted.
    let given = proof.bearer.as_ref().map_or("", |bearer| bearer.expose_secret());
    let bearer: bool = tokens::hash(given).as_bytes().ct_eq(secret.expose_secret().as_bytes()).into();
    let signed = signature::is_signed(secret, &proof.timestamp, body, &proof.signature);
    let like_github = signature::is_signed_like_github(secret, body, &proof.github_signature);
    match auth {
        WebhookAuth::Bearer => bearer,
        WebhookAuth::Hmac => signed && is_recent(&proof.timestamp, now),
        WebhookAuth::Github => like_github,
    }
}

fn is_recent(timestamp: &str, now: DateTime<Utc>) -> bool {
    let seconds = timestamp.parse::<i64>().ok();
    seconds
        .and_then(|seconds| now.timestamp().checked_sub(seconds))
        .is_some_and(|age| (-TOLERANCE_SECONDS..=TOLERANCE_SECONDS).contains(&age))
}

/// What makes a call known again: its signature, which nobody can make for another one, and what the
/// caller itself says.
fn replay_keys(webhook: &Webhook, proof: &Proof) -> Result<Vec<String>, ReceiveError> {
    let mut keys = Vec::new();
    match webhook.spec.way {
        Way::In { auth: WebhookAuth::Hmac } => keys.push(hashed("signature", &proof.signature)),
        Way::In { auth: WebhookAuth::Github } => keys.push(hashed("signature", &proof.github_signature)),
        Way::In { auth: WebhookAuth::Bearer } | Way::Out { .. } => {}
    }
    if let Some(key) = &proof.idempotency_key {
        if !(1..=MAX_KEY).contains(&key.len()) || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ReceiveError::Refused(Problem::new(
                ErrorCode::InvalidRequest,
                format!("the Idempotency-Key is not 1 to {MAX_KEY} visible ASCII characters"),
                "use a fresh UUID for each new call, and the same one when you repeat it",
            )));
        }
        keys.push(hashed("key", key));
    }
    Ok(keys)
}

/// Whatever its letters' case: hexadecimal digits have two forms, and both are the same signature.
fn hashed(what: &str, text: &str) -> String {
    let text = if what == "signature" { text.to_ascii_lowercase() } else { text.to_owned() };
    format!("{what}:{}", hex::encode(Sha256::digest(text)))
}

fn announcement(webhook: &Webhook, body: &[u8]) -> Result<Announcement, Problem> {
    let body: Value = serde_json::from_slice(body).map_err(|error| {
        Problem::new(
            ErrorCode::InvalidRequest,
            format!("the body is no JSON: {error}"),
            "send a JSON document, e.g. {\"host\": \"Host1\"}",
        )
    })?;
    let length = serde_json::to_vec(&body).map_or(usize::MAX, |bytes| bytes.len());
    let most = Announcement::MAX_DATA_BYTES - AROUND;
    if length > most {
        return Err(Problem::new(
            ErrorCode::InvalidRequest,
            format!("the body has {length} bytes without white space, at most {most} can be announced"),
            "send what a rule needs, and where to find the rest",
        ));
    }
    let name = webhook.spec.name.to_string();
    let mut data = Map::new();
    data.insert("webhook".to_owned(), Value::from(name.clone()));
    data.insert("body".to_owned(), body);
    Ok(Announcement::new(AnnouncementKind::WebhookReceived, name, data).traced(messages::trace::current()))
}

fn count(outcome: &'static str) {
    metrics::counter!("farmhand_webhooks_received_total", "outcome" => outcome).increment(1);
}
