//! One attempt to send an event.

use std::error::Error;
use std::time::Duration;

use reqwest::redirect::Policy;
use secrecy::SecretString;
use store::ClaimedDelivery;
use tokio::time::Instant;

use super::signature;

const MAX_ANSWER: usize = 4 * 1024;

/// How an attempt went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Posted {
    pub answer: Result<u16, &'static str>,
    pub took: Duration,
}

/// One that follows no redirect: what is signed for one receiver is not for another.
pub(super) fn client(timeout: Duration) -> Result<reqwest::Client, reqwest::Error> {
    // Without one there is no TLS; the one that the composition has set is as good, and stays.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .redirect(Policy::none())
        .timeout(timeout)
        .user_agent(concat!("farmhand/", env!("CARGO_PKG_VERSION")))
        .build()
}

pub(super) async fn post(
    client: &reqwest::Client,
    url: &str,
    secret: &SecretString,
    delivery: &ClaimedDelivery,
    timestamp: i64,
) -> Posted {
    let started = Instant::now();
    let timestamp = timestamp.to_string();
    let signature = signature::sign(secret, &timestamp, &delivery.body);
    let request = client
        .post(url)
        .header("content-type", messages::envelope::CONTENT_TYPE)
        .header("x-farmhand-delivery", delivery.id.to_string())
        .header("x-farmhand-event", &delivery.event_type)
        .header("x-farmhand-timestamp", timestamp)
        .header("x-farmhand-signature", signature)
        .body(delivery.body.clone());
    let answer = match request.send().await {
        Ok(response) => {
            let status = response.status().as_u16();
            drain(response).await;
            Ok(status)
        }
        Err(error) => Err(class(&error)),
    };
    Posted { answer, took: started.elapsed() }
}

/// A short answer is read so that its connection can be used again; nobody looks at it. A long one is
/// cut off.
async fn drain(mut response: reqwest::Response) {
    let mut read = 0;
    while let Ok(Some(chunk)) = response.chunk().await {
        read += chunk.len();
        if read > MAX_ANSWER {
            return;
        }
    }
}

/// In a word: an error's own text may hold the URL, and that a secret.
fn class(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        return "timeout";
    }
    if error.is_builder() {
        return "url";
    }
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(this) = cause {
        // rustls is not named here; its errors say what they are.
        let text = this.to_string();
        if text.contains("certificate") || text.contains("tls") || text.contains("TLS") {
            return "tls";
        }
        cause = this.source();
    }
    if error.is_connect() { "connect" } else { "connection lost" }
}
