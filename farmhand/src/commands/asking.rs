//! Commands that ask for work: `deploy`, `add-host`, `remove-host`, `update`, `decommission`,
//! `replace`, `farm import`, `rotation-check`, `drift-check`.

use std::path::Path;

use domain::FarmManifest;
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::Context;
use crate::cli::{Ask, Decommission, DriftCheck, FromManifest, Hosts, Import, Replace, RotationCheck};
use crate::client::{manifest, query, segment};
use crate::failure::{Exit, Failure};

pub async fn deploy(cx: Context, args: FromManifest) -> Result<Exit, Failure> {
    let manifest = read_manifest(&args)?;
    // The body says which directory.
    let ask = Ask { directory: None, ..args.ask };
    cx.ask(Method::POST, "/api/v1/farms", document(&manifest)?, ask).await
}

pub async fn update(cx: Context, args: FromManifest) -> Result<Exit, Failure> {
    let manifest = read_manifest(&args)?;
    let ask = Ask { directory: manifest.spec.directory.clone(), ..args.ask };
    cx.ask(Method::PUT, &farm_path(&manifest.metadata.name), document(&manifest)?, ask).await
}

pub async fn add_host(cx: Context, args: Hosts) -> Result<Exit, Failure> {
    let path = format!("{}/hosts", farm_path(&args.farm));
    let body = json!({ "hosts": hosts(&args)? });
    cx.ask(Method::POST, &path, body, args.ask).await
}

pub async fn remove_host(cx: Context, args: Hosts) -> Result<Exit, Failure> {
    let path = format!("{}/host-removals", farm_path(&args.farm));
    let body = json!({ "hosts": hosts(&args)? });
    cx.ask(Method::POST, &path, body, args.ask).await
}

pub async fn decommission(cx: Context, args: Decommission) -> Result<Exit, Failure> {
    let path = format!("{}/decommission", farm_path(&args.farm));
    let body = given([("coolDown", args.cool_down.map(Value::from))]);
    cx.ask(Method::POST, &path, body, args.ask).await
}

pub async fn replace(cx: Context, args: Replace) -> Result<Exit, Failure> {
    let path = format!("{}/replace", farm_path(&args.farm));
    let body = given([
        ("newAccount", args.new_account.map(Value::from)),
        ("managedPasswordIntervalInDays", args.interval.map(Value::from)),
        ("coolDown", args.cool_down.map(Value::from)),
    ]);
    cx.ask(Method::POST, &path, body, args.ask).await
}

pub async fn import(cx: Context, args: Import) -> Result<Exit, Failure> {
    let path = format!("{}/import", farm_path(&args.farm));
    let body = given([("account", args.account.map(Value::from)), ("group", args.group.map(Value::from))]);
    cx.ask(Method::POST, &path, body, args.ask).await
}

pub async fn rotation_check(cx: Context, args: RotationCheck) -> Result<Exit, Failure> {
    let body = given([
        ("farm", args.farm.map(Value::from)),
        ("directory", args.ask.directory.map(Value::from)),
        ("everyDc", args.every_dc.then_some(true.into())),
    ]);
    // The body says which directory.
    let ask = Ask { directory: None, ..args.ask };
    cx.ask(Method::POST, "/api/v1/rotation-checks", body, ask).await
}

pub async fn drift_check(cx: Context, args: DriftCheck) -> Result<Exit, Failure> {
    let body = given([
        ("farm", args.farm.map(Value::from)),
        ("directory", args.ask.directory.map(Value::from)),
        ("full", args.full.then_some(true.into())),
    ]);
    // The body says which directory.
    let ask = Ask { directory: None, ..args.ask };
    cx.ask(Method::POST, "/api/v1/drift-checks", body, ask).await
}

impl Context {
    pub async fn ask(&self, method: Method, path: &str, body: Value, ask: Ask) -> Result<Exit, Failure> {
        let plan = ask.plan.then(|| "true".to_owned());
        let query = query(&[("directory", ask.directory), ("plan", plan), ("reason", ask.reason)]);
        let key = ask.idempotency_key.as_deref();
        let answer = self.client.ask(method, &format!("{path}{query}"), &body, key).await?;
        self.conclude(answer.document, answer.embedded, ask.wait).await
    }
}

fn farm_path(farm: &str) -> String {
    format!("/api/v1/farms/{}", segment(farm))
}

/// What was said; what was not is the server's to fill in.
pub fn given<const N: usize>(fields: [(&str, Option<Value>); N]) -> Value {
    let fields = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(fields.collect::<Map<_, _>>())
}

/// With the directory of `--directory`, which may fill in what the manifest leaves out and not
/// contradict it.
fn read_manifest(args: &FromManifest) -> Result<FarmManifest, Failure> {
    let mut manifest = manifest::read(&args.file)?;
    let named = manifest.spec.directory.as_deref();
    match (&args.ask.directory, named) {
        (Some(asked), Some(named)) if !asked.eq_ignore_ascii_case(named) => {
            let message = format!("--directory is {asked} and the manifest's spec.directory is {named}");
            return Err(Failure::usage(message, "leave one of them out"));
        }
        (Some(asked), _) => manifest.spec.directory = Some(asked.clone()),
        (None, _) => {}
    }
    Ok(manifest)
}

fn document(manifest: &FarmManifest) -> Result<Value, Failure> {
    serde_json::to_value(manifest)
        .map_err(|e| Failure::internal(format!("the manifest cannot be written as JSON: {e}")))
}

/// Of the command line, then of the file.
fn hosts(args: &Hosts) -> Result<Vec<String>, Failure> {
    let mut hosts = args.hosts.clone();
    if let Some(file) = &args.hosts_file {
        hosts.extend(lines(&read_text(file)?));
    }
    if hosts.is_empty() {
        return Err(Failure::usage("the file names no host", "one host on each line"));
    }
    Ok(hosts)
}

fn lines(text: &str) -> impl Iterator<Item = String> {
    // A DN may hold a `#`, so a comment is a line of its own.
    let names = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    names.map(str::to_owned)
}

fn read_text(file: &Path) -> Result<String, Failure> {
    let (name, read) = if file == Path::new("-") {
        ("standard input".to_owned(), std::io::read_to_string(std::io::stdin()))
    } else {
        (file.display().to_string(), std::fs::read_to_string(file))
    };
    read.map_err(|e| Failure::usage(format!("{name} cannot be read: {e}"), "one host on each line, in UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_hosts_has_one_on_each_line_and_may_hold_comments() {
        let text = "# web\nHost1\r\n  Host2$\n\n  # db\nCN=Host3,OU=C# Builders,DC=contoso,DC=com\n";
        let hosts: Vec<_> = lines(text).collect();
        assert_eq!(hosts, ["Host1", "Host2$", "CN=Host3,OU=C# Builders,DC=contoso,DC=com"]);
    }

    #[test]
    fn what_was_not_said_is_not_sent() {
        let body = given([("coolDown", None), ("newAccount", Some("x".into()))]);
        assert_eq!(body, json!({"newAccount": "x"}));
    }

    #[test]
    fn a_directory_fills_in_what_the_manifest_leaves_out_and_contradicts_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("farm.yaml");
        let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/samples/itfarm1.yaml");
        std::fs::copy(sample, &file).expect("copied");
        let read = |directory: Option<&str>| {
            let ask = Ask { directory: directory.map(str::to_owned), ..Ask::default() };
            read_manifest(&FromManifest { file: file.clone(), ask })
        };
        let named = read(None).expect("valid").spec.directory;
        match named {
            None => assert_eq!(read(Some("lab")).expect("valid").spec.directory.as_deref(), Some("lab")),
            Some(named) => {
                assert_eq!(read(Some(&named)).expect("valid").spec.directory, Some(named));
                assert_eq!(read(Some("other")).expect_err("contradicts").exit, Exit::Usage);
            }
        }
    }
}
