//! From what the server (or the network) said to how the command ends.

use std::error::Error;

use reqwest::{Response, StatusCode};
use serde_json::Value;

use super::Client;
use crate::failure::{Exit, Failure};

impl Client {
    /// No answer came.
    pub(super) fn away(&self, error: &reqwest::Error) -> Failure {
        let mut cause = error.source();
        let mut text = String::new();
        while let Some(inner) = cause {
            text = inner.to_string();
            cause = inner.source();
        }
        let reason = if text.is_empty() { String::new() } else { format!(" ({text})") };
        Failure::unreachable(
            "server-unreachable",
            format!("no server answers at {}{reason}", self.base),
            "start one with `farmhand up`, or name another with --url or FARMHAND_URL",
        )
    }

    pub(super) fn silent(&self) -> Failure {
        Failure::unreachable(
            "server-unreachable",
            format!("{} did not answer in {:?}", self.base, self.timeout),
            "try again; client.timeout_seconds allows more time",
        )
    }

    /// Something answered that is not Farmhand.
    pub(super) fn foreign(&self, what: &str) -> Failure {
        Failure::unreachable(
            "not-farmhand",
            format!("{} answers, but not like a Farmhand server: {what}", self.base),
            "check --url and FARMHAND_URL; is there a proxy in between?",
        )
    }

    /// From a status that is no success.
    pub(super) async fn refusal(&self, response: Response) -> Failure {
        let status = response.status();
        let bytes = response.bytes().await.unwrap_or_default();
        let Ok(document) = serde_json::from_slice::<Value>(&bytes) else {
            return self.foreign(&format!("status {status}"));
        };
        if document.get("code").is_none() {
            return self.foreign(&format!("status {status}"));
        }
        let mut failure = from_problem(status, document);
        if status == StatusCode::UNAUTHORIZED && !self.has_token() {
            failure.message = "no token was given".to_owned();
            failure.hint = "set FARMHAND_TOKEN or --token-file; `farmhand up` leaves the first token in \
                            admin-token of its data folder, `farmhand token bootstrap` prints one for a new database"
                .to_owned();
        }
        failure
    }
}

fn from_problem(status: StatusCode, document: Value) -> Failure {
    let text = |name: &str| document.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let exit = match status {
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            Exit::Unreachable
        }
        status if status.is_client_error() => Exit::Refused,
        _ => Exit::Unsuccessful,
    };
    let mut failure = Failure::new(exit, &text("code"), text("detail"), text("hint"));
    let errors = document.get("errors").and_then(Value::as_array).cloned().unwrap_or_default();
    failure.details = errors.iter().map(violation).collect();
    if exit == Exit::Unsuccessful {
        failure.details.push(format!("request id {}", text("requestId")));
    }
    failure.document = Some(Box::new(document));
    failure
}

fn violation(error: &Value) -> String {
    let text = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
    format!("{}: {}", text("field"), text("message"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_status_decides_the_exit() {
        let exit = |status: u16| {
            from_problem(StatusCode::from_u16(status).expect("a status"), json!({"code": "x"})).exit
        };
        assert_eq!(exit(400), Exit::Refused);
        assert_eq!(exit(403), Exit::Refused);
        assert_eq!(exit(404), Exit::Refused);
        assert_eq!(exit(409), Exit::Refused);
        assert_eq!(exit(422), Exit::Refused);
        assert_eq!(exit(500), Exit::Unsuccessful);
        assert_eq!(exit(503), Exit::Unreachable);
    }

    #[test]
    fn each_broken_rule_is_a_line() {
        let document = json!({
            "code": "invalid-manifest", "detail": "2 rules are broken", "hint": "mend them",
            "errors": [{"field": "spec.account.dnsHostName", "rule": "required", "message": "is required"}]
        });
        let failure = from_problem(StatusCode::UNPROCESSABLE_ENTITY, document.clone());
        assert_eq!(failure.details, ["spec.account.dnsHostName: is required"]);
        assert_eq!(failure.to_document(), document);
    }
}
