//! What was heard has work asked for, and what happened is told: from another system's call to the
//! directory, and from the directory to another system.

mod calls;
mod deliveries;
mod lab;
mod receiver;

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tests::process::http_client;
use tests::wait::eventually;
use tests::world::World;

const PATIENCE: Duration = Duration::from_secs(60);

/// A person or program at the API.
struct Person {
    http: reqwest::Client,
    url: String,
    token: String,
}

impl Person {
    /// With every role.
    async fn admin(world: &World) -> Self {
        let token = world.token("ann", &[domain::Role::Admin]).await;
        Self::new(world.url.clone(), token)
    }

    fn new(url: String, token: String) -> Self {
        Self { http: http_client(), url, token }
    }

    async fn send(&self, method: Method, path: &str, body: &Value) -> (u16, Value) {
        let url = format!("{}/api/v1/{path}", self.url);
        let request = self.http.request(method, url).bearer_auth(&self.token).json(body);
        let answer = request.send().await.expect("an answer");
        let (status, text) = (answer.status().as_u16(), answer.text().await.expect("a body"));
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    async fn get(&self, path: &str) -> Value {
        let (status, document) = self.send(Method::GET, path, &json!({})).await;
        assert_eq!(status, 200, "{path}: {document}");
        document
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        let (status, document) = self.send(Method::POST, path, body).await;
        assert!((200..300).contains(&status), "{path}: {status} {document}");
        document
    }

    /// A rule as a sample says, with its name's `.yaml`.
    async fn sample_rule(&self, name: &str) -> Value {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/samples/rules");
        let text = std::fs::read_to_string(format!("{folder}/{name}.yaml")).expect("a sample");
        // The command line reads it; here Python does.
        let program =
            "import sys, json, yaml; print(json.dumps(yaml.load(sys.stdin, Loader=yaml.BaseLoader)))";
        let mut rule: Value =
            serde_json::from_slice(&run("python3", &["-c", program], text.as_bytes())).expect("JSON");
        if let Some(most) = rule["rate"]["most"].as_str() {
            rule["rate"]["most"] = most.parse().expect("a number");
        }
        self.post("rules", &rule).await
    }

    /// A webhook that others call; its secret.
    async fn inbound(&self, name: &str) -> String {
        let made = self.post("webhooks", &json!({"name": name, "direction": "in", "auth": "hmac"})).await;
        made["secret"].as_str().expect("a secret").to_owned()
    }

    /// What became of the events that a rule was for, once there are so many.
    async fn firings(&self, rule: &str, count: usize) -> Vec<Value> {
        let path = format!("rules/{rule}/firings");
        eventually(&format!("{count} firings of {rule}"), PATIENCE, async || {
            let items = self.get(&path).await["items"].as_array().cloned().unwrap_or_default();
            (items.len() >= count).then_some(items)
        })
        .await
    }
}

/// Another system that calls a webhook, signed by another program than ours.
async fn call(url: &str, name: &str, secret: &str, body: &Value) -> (u16, Value) {
    let body = body.to_string();
    let timestamp = run("date", &["+%s"], b"");
    let timestamp = String::from_utf8(timestamp).expect("digits").trim().to_owned();
    let signature = format!("v1={}", hmac(secret, format!("{timestamp}.{body}").as_bytes()));
    let request = http_client()
        .post(format!("{url}/api/v1/webhooks/{name}"))
        .header("content-type", "application/json")
        .header("x-farmhand-timestamp", timestamp)
        .header("x-farmhand-signature", signature)
        .body(body);
    let answer = request.send().await.expect("an answer");
    let status = answer.status().as_u16();
    (status, answer.json().await.expect("JSON"))
}

/// HMAC-SHA256 in hexadecimal, by OpenSSL.
fn hmac(secret: &str, text: &[u8]) -> String {
    let output = run("openssl", &["dgst", "-sha256", "-hmac", secret], text);
    let text = String::from_utf8(output).expect("text");
    text.rsplit(' ').next().expect("digits").trim().to_owned()
}

fn run(program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{program}: {error}"));
    child.stdin.take().expect("its input").write_all(input).expect("written");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{program}: {:?}", output.status);
    output.stdout
}
