//! The server, as commands reach it.

use serde_json::Value;

use super::Check;
use crate::client::Client;
use crate::config::Settings;

pub async fn checks(settings: &Settings) -> Vec<Check> {
    let client = match Client::new(settings) {
        Ok(client) => client,
        Err(failure) => return vec![Check::failure("server", &failure)],
    };
    let base = client.base().to_string();
    let mut checks = Vec::new();
    match client.readiness().await {
        Ok(document) => checks.push(judge(&base, &document)),
        Err(failure) => return vec![Check::failure("server", &failure)],
    }
    checks.push(match client.get("/api/v1/whoami").await {
        Ok(answer) => Check::ok("token", who(&answer.document)),
        Err(failure) => Check::failure("token", &failure),
    });
    checks
}

fn judge(base: &str, readiness: &Value) -> Check {
    let details = readiness.get("checks").and_then(Value::as_object).into_iter().flatten();
    let wrong: Vec<String> = details
        .filter(|(_, check)| check.get("ready") != Some(&Value::Bool(true)))
        .map(|(name, check)| {
            format!("{name} {}", check.get("detail").and_then(Value::as_str).unwrap_or_default())
        })
        .collect();
    if !wrong.is_empty() {
        return Check::fail(
            "server",
            format!("{base} is not ready: {}", wrong.join("; ")),
            "mend what it names",
        );
    }
    if readiness.get("embeddedDirectory") == Some(&Value::Bool(true)) {
        let fix = "fine for trying; set FARMHAND_DIRECTORY_URL for a real domain";
        return Check::warn("server", format!("{base} is ready, on its embedded directory"), fix);
    }
    Check::ok("server", format!("{base} is ready"))
}

fn who(document: &Value) -> String {
    let name = document.get("name").and_then(Value::as_str).unwrap_or_default();
    let roles = document.get("roles").and_then(Value::as_array).into_iter().flatten();
    let roles: Vec<_> = roles.filter_map(Value::as_str).collect();
    format!("valid: {name} ({})", roles.join(", "))
}
