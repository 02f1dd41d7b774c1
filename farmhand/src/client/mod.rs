//! Talks to a server's HTTP API.

mod answer;
pub mod follow;
pub mod manifest;

use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response, Url};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::config::Settings;
use crate::failure::Failure;

/// Set on every answer while the embedded directory is in use.
const EMBEDDED: &str = "farmhand-embedded-directory";

/// A server, and who we are to it.
pub struct Client {
    http: reqwest::Client,
    base: Url,
    token: Option<SecretString>,
    /// Of one answer; event streams have none.
    timeout: Duration,
}

/// An answer that was not a refusal.
pub struct Answer {
    pub document: Value,
    /// The server works on the embedded directory: nothing that it reports is real.
    pub embedded: bool,
}

impl Client {
    pub fn new(settings: &Settings) -> Result<Self, Failure> {
        let base = settings.api_url();
        let timeout = Duration::from_secs(settings.client.timeout_seconds);
        let mut builder = reqwest::Client::builder().connect_timeout(timeout).user_agent("farmhand");
        if base.scheme() == "http" {
            // Nothing to verify: reading the system's authorities would cost every command time.
            builder = builder.tls_certs_only([]);
        } else if let Some(path) = &settings.client.ca_file {
            builder = builder.tls_certs_merge(authorities(path)?);
        }
        let http = builder.build().map_err(|e| Failure::internal(format!("no HTTP client: {e}")))?;
        Ok(Self { http, base, token: token(settings)?, timeout })
    }

    pub fn base(&self) -> &Url {
        &self.base
    }

    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    pub async fn get(&self, path: &str) -> Result<Answer, Failure> {
        self.send(self.request(Method::GET, path)?).await
    }

    /// The same address as a page.
    pub async fn get_html(&self, path: &str) -> Result<String, Failure> {
        let request = self.request(Method::GET, path)?.header("accept", "text/html").timeout(self.timeout);
        let response = request.send().await.map_err(|error| self.away(&error))?;
        if !response.status().is_success() {
            return Err(self.refusal(response).await);
        }
        let kind = response.headers().get("content-type").and_then(|value| value.to_str().ok());
        if !kind.is_some_and(|kind| kind.starts_with("text/html")) {
            return Err(self.foreign("it sent no HTML"));
        }
        response.text().await.map_err(|error| self.away(&error))
    }

    pub async fn delete(&self, path: &str) -> Result<Answer, Failure> {
        self.send(self.request(Method::DELETE, path)?).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Result<Answer, Failure> {
        self.send(self.request(Method::POST, path)?.json(body)).await
    }

    /// Asks for work. The key makes it safe to send the same again.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        body: &Value,
        idempotency_key: Option<&str>,
    ) -> Result<Answer, Failure> {
        let mut request = self.request(method, path)?.json(body);
        if let Some(key) = idempotency_key {
            request = request.header("idempotency-key", key);
        }
        self.send(request).await
    }

    /// `/readyz`, which answers 503 with the same document when something is not ready.
    pub async fn readiness(&self) -> Result<Value, Failure> {
        let sent = self.request(Method::GET, "/readyz")?.timeout(self.timeout).send().await;
        let response = sent.map_err(|error| self.away(&error))?;
        let status = response.status();
        let document: Value = response.json().await.map_err(|_| self.foreign(&format!("status {status}")))?;
        if document.get("checks").is_none() {
            return Err(self.foreign(&format!("status {status}")));
        }
        Ok(document)
    }

    /// An answer that goes on and on; only its beginning is waited for.
    async fn stream(&self, path: &str, last_event_id: Option<&str>) -> Result<Response, Failure> {
        let mut request = self.request(Method::GET, path)?.header("accept", "text/event-stream");
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let sent = tokio::time::timeout(self.timeout, request.send()).await;
        let response = sent.map_err(|_| self.silent())?.map_err(|error| self.away(&error))?;
        if response.status().is_success() { Ok(response) } else { Err(self.refusal(response).await) }
    }

    fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, Failure> {
        let base = self.base.as_str().trim_end_matches('/');
        let url = Url::parse(&format!("{base}{path}"))
            .map_err(|e| Failure::usage(format!("{base}{path} is no URL: {e}"), "check --url"))?;
        let request = self.http.request(method, url);
        Ok(match &self.token {
            Some(token) => request.bearer_auth(token.expose_secret()),
            None => request,
        })
    }

    async fn send(&self, request: RequestBuilder) -> Result<Answer, Failure> {
        let sent = request.timeout(self.timeout).send().await;
        let response = sent.map_err(|error| self.away(&error))?;
        if !response.status().is_success() {
            return Err(self.refusal(response).await);
        }
        let embedded = response.headers().contains_key(EMBEDDED);
        let bytes = response.bytes().await.map_err(|error| self.away(&error))?;
        if bytes.is_empty() {
            return Ok(Answer { document: Value::Null, embedded });
        }
        let document = serde_json::from_slice(&bytes).map_err(|e| self.foreign(&e.to_string()))?;
        Ok(Answer { document, embedded })
    }
}

/// A part of a path that somebody typed.
pub fn segment(text: &str) -> String {
    const KEPT: &[u8] = b"-._~";
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || KEPT.contains(&byte);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// `?a=b&c=d` of what is there.
pub fn query(pairs: &[(&str, Option<String>)]) -> String {
    let given = pairs.iter().filter_map(|(name, value)| Some(format!("{name}={}", segment(value.as_ref()?))));
    let text = given.collect::<Vec<_>>().join("&");
    if text.is_empty() { text } else { format!("?{text}") }
}

/// The configured token, else the one that `up` left in the data folder.
fn token(settings: &Settings) -> Result<Option<SecretString>, Failure> {
    if let Some(token) = settings.client.token()? {
        return Ok(Some(token.into_inner()));
    }
    let left = settings.admin_token_file();
    if !left.is_file() {
        return Ok(None);
    }
    Ok(Some(crate::config::Secret::from_file("admin-token", &left)?.into_inner()))
}

fn authorities(path: &std::path::Path) -> Result<Vec<reqwest::Certificate>, Failure> {
    let shown = path.display();
    let hint = "name the authority's certificate in PEM form";
    let refuse = |problem: String| Failure::refused("invalid-configuration", problem, hint);
    let pem = std::fs::read(path).map_err(|e| refuse(format!("client.ca_file {shown}: {e}")))?;
    reqwest::Certificate::from_pem_bundle(&pem).map_err(|e| refuse(format!("client.ca_file {shown}: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_typed_cannot_leave_its_place_in_the_path() {
        assert_eq!(segment("ITFarm1"), "ITFarm1");
        assert_eq!(segment("../x?y=ü"), "..%2Fx%3Fy%3D%C3%BC");
        assert_eq!(query(&[("a", Some("1 2".into())), ("b", None)]), "?a=1%202");
        assert_eq!(query(&[("a", None)]), "");
    }
}
