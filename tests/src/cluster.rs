//! Farmhand as it runs in earnest: orchestrators and workers as processes of their own, on one
//! database, one broker and one directory.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use directory::embedded::{EmbeddedDirectory, EmbeddedOptions, Faults};
use domain::{Clock, StepRecord, SystemClock, Workflow, WorkflowState};
use messages::Topology;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use crate::amqp::TestTopology;
use crate::database::{self, PostgresDatabase};
use crate::lab::{Account, GROUP_CONTAINER, Lab};
use crate::ldap::Ldap;
use crate::process::{Farmhand, Spec, http_client};
use crate::wait::eventually;

/// The machine may be busy with builds and with other tests.
const START: Duration = Duration::from_secs(60);

/// Where a cluster's processes find the rest.
#[derive(Debug, Clone)]
pub struct Parts {
    pub database_url: String,
    pub amqp_url: String,
    /// First part of every name on the broker.
    pub prefix: String,
    /// `FARMHAND_DIRECTORY_*`: what the workers get; an orchestrator talks to no DC.
    pub directory: Vec<(String, String)>,
}

/// Processes that belong together. Killed with it.
#[derive(Debug)]
pub struct Cluster {
    pub orchestrators: Vec<Farmhand>,
    pub workers: Vec<Farmhand>,
    pub parts: Parts,
    pub token: String,
    /// Further environment of orchestrators and workers that are yet to be started.
    pub server_env: Vec<(String, String)>,
    http: reqwest::Client,
    files: tempfile::TempDir,
    // After the processes, which use them.
    _database: Option<PostgresDatabase>,
    _topology: Option<TestTopology>,
}

/// A client command that has ended.
#[derive(Debug)]
pub struct Ran {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// Standard output as the one JSON document that it must be.
    ///
    /// # Panics
    /// When it is anything else.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("not one JSON document: {e}: {self:#?}"))
    }

    /// # Panics
    /// When the document is no workflow.
    pub fn workflow(&self) -> Workflow {
        serde_json::from_value(self.json()).unwrap_or_else(|e| panic!("no workflow: {e}: {self:#?}"))
    }
}

impl Cluster {
    /// On a new database and new names on the broker of the lab; no server runs yet.
    pub async fn on_lab(lab: &Lab, directory: Vec<(String, String)>) -> Self {
        let (database, topology) = (PostgresDatabase::create(lab), TestTopology::new(lab));
        let parts = Parts {
            database_url: database.url.clone(),
            amqp_url: topology.url.clone(),
            prefix: topology.prefix.clone(),
            directory,
        };
        let mut cluster = Self::of(parts).await;
        (cluster._database, cluster._topology) = (Some(database), Some(topology));
        cluster
    }

    /// On a database that is empty so far: brings up its schema and takes its first token.
    ///
    /// # Panics
    /// When the database cannot be prepared.
    pub async fn of(parts: Parts) -> Self {
        let files = tempfile::tempdir().expect("a folder");
        let http = http_client();
        let (orchestrators, workers) = (Vec::new(), Vec::new());
        let mut cluster = Self {
            orchestrators,
            workers,
            parts,
            token: String::new(),
            server_env: Vec::new(),
            http,
            files,
            _database: None,
            _topology: None,
        };
        let migrated = cluster.cli(&["migrate", "up"]).await;
        assert_eq!(migrated.status, 0, "{migrated:#?}");
        let first = cluster.cli(&["token", "bootstrap", "-o", "json"]).await;
        assert_eq!(first.status, 0, "{first:#?}");
        first.json()["token"].as_str().expect("a token").clone_into(&mut cluster.token);
        cluster
    }

    /// `orchestrators` and `workers` more, ready.
    pub async fn start(mut self, orchestrators: usize, workers: usize) -> Self {
        for _ in 0..orchestrators {
            let spec = self.server(&["orchestrator"]);
            self.orchestrators.push(spec.spawn());
        }
        for _ in 0..workers {
            self.spawn_worker(&[]);
        }
        for orchestrator in &mut self.orchestrators {
            orchestrator.ready(START).await;
        }
        for worker in &mut self.workers {
            worker.logged("worker is ready", START).await;
        }
        self
    }

    /// One more worker, with further environment; does not wait for it.
    pub fn spawn_worker(&mut self, env: &[(&str, &str)]) {
        let spec = self.server(&["worker"]).envs(self.parts.directory.clone());
        let spec = env.iter().fold(spec, |spec, (name, value)| spec.env(name, *value));
        self.workers.push(spec.spawn());
    }

    /// One more worker that takes over five seconds after another's death; ready when this returns.
    pub async fn start_worker(&mut self) {
        self.spawn_worker(&[("FARMHAND_WORKER_LEASE_SECONDS", "5")]);
        if let Some(worker) = self.workers.last_mut() {
            worker.logged("worker is ready", START).await;
        }
    }

    /// SIGKILL to every worker.
    pub fn kill_workers(&mut self) {
        self.workers.iter_mut().for_each(Farmhand::kill);
        self.workers.clear();
    }

    fn server(&self, arguments: &[&str]) -> Spec {
        Spec::new(arguments)
            .env("FARMHAND_DATABASE_URL", &self.parts.database_url)
            .env("FARMHAND_DATABASE_MAX_CONNECTIONS", "5")
            .env("FARMHAND_DATABASE_URGENT_CONNECTIONS", "1")
            .env("FARMHAND_AMQP_URL", &self.parts.amqp_url)
            .env("FARMHAND_AMQP_PREFIX", &self.parts.prefix)
            .envs(self.server_env.clone())
    }

    /// A command as a person with the admin's token gives it.
    pub async fn cli(&self, arguments: &[&str]) -> Ran {
        self.cli_as(arguments, &[("FARMHAND_TOKEN", &self.token)]).await
    }

    /// As [`Self::cli`] with other environment than the token; a later value of a name wins.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn cli_as(&self, arguments: &[&str], env: &[(&str, &str)]) -> Ran {
        let url = self.orchestrators.first().map_or_else(|| "http://127.0.0.1:1".to_owned(), Farmhand::url);
        let spec = Spec::new(arguments)
            .env("FARMHAND_DATABASE_URL", &self.parts.database_url)
            .env("FARMHAND_DATA_DIR", self.files.path().display().to_string())
            .env("FARMHAND_URL", url);
        let given = env.iter().filter(|(_, value)| !value.is_empty());
        let spec = given.fold(spec, |spec, (name, value)| spec.env(name, *value));
        let output = spec.run().await.expect("the command starts");
        Ran {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// `farmhand deploy -f MANIFEST` with further arguments.
    pub async fn deploy(&self, manifest: &Value, arguments: &[&str]) -> Ran {
        let file = self.write(manifest);
        let path = file.path().display().to_string();
        self.cli(&[&["deploy", "-f", &path], arguments].concat()).await
    }

    /// A manifest as a file.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, manifest: &Value) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new_in(self.files.path()).expect("a file");
        file.write_all(manifest.to_string().as_bytes()).expect("written");
        file
    }

    /// Asks one orchestrator over HTTP for a deploy; gives the workflow's id.
    ///
    /// # Panics
    /// When it is not accepted.
    pub async fn submit_to(&self, orchestrator: usize, manifest: &Value) -> String {
        self.ask_at(orchestrator, "farms", manifest).await
    }

    /// Asks over HTTP for any workflow, at a path below `/api/v1`; gives its id.
    ///
    /// # Panics
    /// When it is not accepted.
    pub async fn ask(&self, path: &str, body: &Value) -> String {
        self.ask_at(0, path, body).await
    }

    async fn ask_at(&self, orchestrator: usize, path: &str, body: &Value) -> String {
        let url = format!("{}/api/v1/{path}", self.orchestrators[orchestrator].url());
        let sent = self.http.post(url).bearer_auth(&self.token).json(body).send().await.expect("an answer");
        let (status, body) = (sent.status(), sent.text().await.expect("a body"));
        assert_eq!(status.as_u16(), 202, "{body}");
        let body: Value = serde_json::from_str(&body).expect("JSON");
        body["id"].as_str().expect("an id").to_owned()
    }

    pub async fn submit(&self, manifest: &Value) -> String {
        self.submit_to(0, manifest).await
    }

    /// `None` while the server or its database is away.
    pub async fn workflow(&self, id: &str) -> Option<Workflow> {
        let url = format!("{}/api/v1/workflows/{id}", self.orchestrators[0].url());
        let answer = self.http.get(url).bearer_auth(&self.token).send().await.ok()?;
        if !answer.status().is_success() {
            return None;
        }
        Some(answer.json().await.expect("a workflow"))
    }

    /// # Panics
    /// When it does not get there within `limit`.
    pub async fn reaches(&self, id: &str, states: &[WorkflowState], limit: Duration) -> Workflow {
        let mut last = None;
        let seen = tokio::time::timeout(
            limit,
            eventually("the state", limit * 2, async || {
                last = self.workflow(id).await.or(last.take());
                last.clone().filter(|workflow| states.contains(&workflow.state))
            }),
        )
        .await;
        seen.unwrap_or_else(|_| panic!("workflow {id} did not get to {states:?} within {limit:?}: {last:#?}"))
    }

    pub async fn finishes(&self, id: &str, limit: Duration) -> Workflow {
        let finished: Vec<_> =
            WorkflowState::ALL.iter().copied().filter(|state| state.is_finished()).collect();
        self.reaches(id, &finished, limit).await
    }

    /// Rows of the cluster's database.
    ///
    /// # Panics
    /// When the query fails.
    pub fn query(&self, sql: &str) -> Vec<Vec<String>> {
        database::query(&self.parts.database_url, sql).expect("a query")
    }

    /// How often a workflow was claimed.
    pub fn claims(&self, id: &str) -> String {
        self.query(&format!("select fencing_token from workflows where id = '{id}'"))[0][0].clone()
    }

    pub fn topology(&self) -> Topology {
        Topology::new(self.parts.prefix.clone())
    }

    /// Publishes past the product, to the lane of deploys.
    ///
    /// # Panics
    /// When there is none, or the broker does not take it.
    pub fn publish(&self, body: &[u8]) {
        let topology = self._topology.as_ref().expect("a topology of its own");
        let content_type = ("content-type", messages::envelope::CONTENT_TYPE);
        topology
            .publish(&self.topology().workflows_exchange(), "workflow.lifecycle", &[content_type], body)
            .expect("published");
    }
}

/// The farm of Microsoft's guide under names of a test's own, its group in the lab's container.
pub fn manifest(name: &str, group: &str, hosts: &[&str]) -> Value {
    json!({
        "apiVersion": "farmhand/v1", "kind": "Farm", "metadata": {"name": name},
        "spec": {
            "account": {
                "dnsHostName": format!("{name}.contoso.com"),
                "displayName": "IT farm 1",
                "description": "Web tier of the IT department",
                "servicePrincipalNames": [
                    format!("http/{name}.contoso.com/contoso.com"), format!("http/{name}.contoso.com/contoso"),
                    format!("http/{name}/contoso.com"), format!("http/{name}/contoso"),
                ],
                "kerberosEncryptionTypes": ["RC4", "AES128", "AES256"],
                "managedPasswordIntervalInDays": 30,
            },
            "membership": {"mode": "group", "group": group, "groupContainer": GROUP_CONTAINER},
            "hosts": hosts,
        },
    })
}

/// A step by its name.
///
/// # Panics
/// When there is none.
pub fn step<'a>(workflow: &'a Workflow, name: &str) -> &'a StepRecord {
    let found = workflow.steps.iter().find(|step| step.name == name);
    found.unwrap_or_else(|| panic!("no step {name}: {workflow:#?}"))
}

/// Names of the steps that changed the directory.
pub fn changed(workflow: &Workflow) -> Vec<&str> {
    let changed = workflow.steps.iter().filter(|step| step.changed == Some(true));
    changed.map(|step| step.name.as_str()).collect()
}

/// The embedded directory in the test's process, where its faults are within reach, for processes
/// that know it as a DC like any other.
#[derive(Debug)]
pub struct FaultyDirectory {
    pub embedded: EmbeddedDirectory,
    pub faults: Faults,
    ca: tempfile::NamedTempFile,
}

impl FaultyDirectory {
    /// # Panics
    /// When it does not start.
    pub async fn start() -> Self {
        Self::at(Arc::new(SystemClock)).await
    }

    /// With a time of its own.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn at(clock: Arc<dyn Clock>) -> Self {
        let faults = Faults::new();
        let options = EmbeddedOptions { faults: Some(faults.clone()), clock, ..EmbeddedOptions::default() };
        let embedded = EmbeddedDirectory::start(options).await.expect("an embedded directory");
        let mut ca = tempfile::NamedTempFile::new().expect("a file");
        ca.write_all(embedded.ca_pem().as_bytes()).expect("written");
        Self { embedded, faults, ca }
    }

    /// What points a worker at it. Many connections: one that is held must not hold up others.
    pub fn env(&self) -> Vec<(String, String)> {
        let pairs = [
            ("FARMHAND_DIRECTORY_URL", self.embedded.url().to_string()),
            ("FARMHAND_DIRECTORY_GLOBAL_CATALOG_URL", self.embedded.catalog_url().to_string()),
            ("FARMHAND_DIRECTORY_CA_FILE", self.ca.path().display().to_string()),
            ("FARMHAND_DIRECTORY_BIND_DN", self.embedded.bind_dn().to_owned()),
            ("FARMHAND_DIRECTORY_PASSWORD", self.embedded.password().expose_secret().to_owned()),
            ("FARMHAND_DIRECTORY_CONNECTIONS", "50".to_owned()),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value)).to_vec()
    }

    /// The same as a section of a configuration file, for servers that know several.
    pub fn section(&self, name: &str) -> String {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let (url, catalog) =
            (quoted(self.embedded.url().as_str()), quoted(self.embedded.catalog_url().as_str()));
        format!(
            "[directories.{name}]\nurls = [{url}]\nglobal_catalog_url = {catalog}\nca_file = {}\nbind_dn = {}\n\
             password = {}\nconnections = 8\noperation_timeout_seconds = 300\n",
            quoted(&self.ca.path().display().to_string()),
            quoted(self.embedded.bind_dn()),
            quoted(self.embedded.password().expose_secret()),
        )
    }

    /// It, seen as its administrator.
    pub fn witness(&self) -> Ldap {
        let password = self.embedded.admin_password().expose_secret().to_owned();
        let account = Account { dn: self.embedded.admin_dn().to_owned(), password };
        Ldap::new(self.embedded.url().as_str(), self.ca.path(), account)
    }
}

/// What the directory shows of a farm that [`manifest`] describes.
#[derive(Debug, PartialEq, Eq)]
pub struct Deployed {
    pub members: Vec<String>,
    pub account_objects: usize,
    pub spns: usize,
    pub interval: Option<String>,
}

/// Reads a farm through the witness: by names, wherever its objects are.
///
/// # Panics
/// When the directory does not answer.
pub fn deployed(witness: &Ldap, name: &str, group: &str) -> Option<Deployed> {
    let find = |name: &str, attributes: &[&str]| {
        let found = witness.search(crate::lab::BASE_DN, &format!("(sAMAccountName={name})"), attributes);
        found.expect("the directory answers")
    };
    let group = find(group, &["member"]).pop();
    let accounts = find(&format!("{name}$"), &["servicePrincipalName", "msDS-ManagedPasswordInterval"]);
    let account = accounts.first();
    if group.is_none() && account.is_none() {
        return None;
    }
    Some(Deployed {
        members: group.map(|group| group.texts("member")).unwrap_or_default(),
        account_objects: accounts.len(),
        spns: account.map_or(0, |account| account.texts("servicePrincipalName").len()),
        interval: account.and_then(|account| account.text("msDS-ManagedPasswordInterval")),
    })
}

/// What [`deployed`] gives of a farm that stands as asked, with these hosts.
pub fn whole(hosts: &[&str]) -> Option<Deployed> {
    let members = hosts.iter().map(|host| format!("CN={host},{}", crate::lab::HOST_CONTAINER)).collect();
    Some(Deployed { members, account_objects: 1, spns: 4, interval: Some("30".to_owned()) })
}
