//! A world with a database of its own, and short words for what the cases do.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::{
    Announcement, AnnouncementKind, Cause, DirectoryName, FarmManifest, FarmName, FarmSpec, Lane, Mode,
    Problem, StepOutcome, StepRecord, StepState, SystemRng, Wait, WaitReason, Workflow, WorkflowEvent,
    WorkflowId, WorkflowKind, WorkflowState, Write,
};
use serde_json::json;
use store::{
    AnnouncementRow, Claim, Claimed, Committed, EventWriter, Finish, JournalEntry, Lessee, NewEvent,
    NewWorkflow, OutboxRow, Store, StoreOptions, WorkflowChange,
};
use tests::database::{SqliteDatabase, query};

pub const LEASE: Duration = Duration::from_secs(60);

/// Some moment, `seconds` after the beginning of the test's time.
pub fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + seconds, 0).expect("a time")
}

pub enum Database {
    Postgresql(ServerDatabase),
    Sqlite(SqliteDatabase),
}

/// An empty database, dropped with this guard.
///
/// Not the kit's own, which wants a whole lab: this suite needs only a PostgreSQL.
pub struct ServerDatabase {
    url: String,
    server: String,
    name: String,
}

impl ServerDatabase {
    fn create() -> Self {
        let server = std::env::var("FARMHAND_TEST_DATABASE_URL")
            .unwrap_or_else(|_| "postgres://postgres@127.0.0.1:5432/postgres".to_owned());
        let name = format!("farmhand_test_{}", WorkflowId::new(at(0), &SystemRng).0.simple());
        query(&server, &format!("create database {name}")).expect("a PostgreSQL that lets us make databases");
        let mut url: url::Url = server.parse().expect("a URL");
        url.set_path(&name);
        Self { url: url.to_string(), server, name }
    }

    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for ServerDatabase {
    fn drop(&mut self) {
        let dropped = query(&self.server, &format!("drop database {} with (force)", self.name));
        // A second panic while a case fails would hide the first.
        if let Err(error) = dropped {
            eprintln!("{} is left behind: {error:#}", self.name);
        }
    }
}

pub struct World {
    pub store: Store,
    pub database: Database,
}

/// An announcement as it lay in the outbox.
#[derive(Debug, Clone, PartialEq)]
pub struct Announced {
    pub kind: AnnouncementKind,
    pub subject: String,
    pub data: serde_json::Value,
    pub traceparent: Option<String>,
    /// By its id: seconds after the beginning of the test's time.
    pub at: Option<i64>,
}

impl Announced {
    fn read(row: &AnnouncementRow) -> Self {
        let body: serde_json::Value = serde_json::from_slice(&row.body).expect("the body that was written");
        let moment = row.id.get_timestamp().map(|moment| moment.to_unix().0);
        Self {
            kind: AnnouncementKind::of_event_type(&row.topic).expect("a type of ours"),
            subject: body["subject"].as_str().expect("a subject").to_owned(),
            data: body["data"].clone(),
            traceparent: body["traceparent"].as_str().map(str::to_owned),
            at: moment
                .and_then(|seconds| i64::try_from(seconds).ok())
                .map(|seconds| seconds - at(0).timestamp()),
        }
    }
}

/// Events as short JSON, so that a case can read what was written.
pub struct ShortEvents;

impl EventWriter for ShortEvents {
    fn write(&self, event: &NewEvent) -> OutboxRow {
        let body = json!({ "workflow": event.workflow_id, "cause": event.cause, "lane": event.lane });
        OutboxRow {
            id: domain::ids::uuid_v7(event.now, &SystemRng),
            lane: event.lane,
            body: body.to_string().into_bytes(),
        }
    }

    fn announce(&self, announcement: &Announcement, now: DateTime<Utc>) -> Option<AnnouncementRow> {
        let Announcement { kind, subject, data, traceparent } = announcement;
        let body = json!({ "subject": subject, "data": data, "traceparent": traceparent });
        Some(AnnouncementRow {
            id: domain::ids::uuid_v7(now, &SystemRng),
            topic: kind.event_type(),
            body: body.to_string().into_bytes(),
        })
    }
}

impl World {
    pub async fn on_postgresql() -> Self {
        Self::migrated(Database::Postgresql(ServerDatabase::create())).await
    }

    pub async fn on_sqlite() -> Self {
        Self::migrated(Database::Sqlite(SqliteDatabase::new())).await
    }

    async fn migrated(database: Database) -> Self {
        let store = connect(&database).await;
        store.migrate_up().await.expect("migrated");
        Self { store, database }
    }

    /// As another process would have it.
    pub async fn another_store(&self) -> Store {
        connect(&self.database).await
    }

    pub fn is_postgresql(&self) -> bool {
        matches!(self.database, Database::Postgresql(_))
    }

    pub async fn submit(&self, new: NewWorkflow) -> WorkflowId {
        let id = new.id;
        self.store.submit(new, None).await.expect("submitted");
        id
    }

    /// A workflow that needs no lock.
    pub async fn check(&self, seconds: i64) -> WorkflowId {
        self.submit(check(seconds)).await
    }

    pub async fn deploy(&self, farm: &str, seconds: i64) -> WorkflowId {
        self.submit(deploy(farm, seconds)).await
    }

    pub async fn claim(&self, id: WorkflowId, seconds: i64) -> Claim {
        let claims = self.store.claim(&[id], &worker("w1"), at(seconds)).await.expect("an answer");
        claims.into_iter().next().expect("one answer")
    }

    pub async fn claimed(&self, id: WorkflowId, seconds: i64) -> Claimed {
        match self.claim(id, seconds).await {
            Claim::Claimed(claimed) => *claimed,
            other => panic!("not claimed: {other:?}"),
        }
    }

    pub async fn commit(&self, entry: JournalEntry) -> Committed {
        self.store.commit(&[entry]).await.expect("committed")[0]
    }

    pub async fn finish(&self, claimed: &Claimed, seconds: i64) {
        let entry = entry(claimed, seconds, finish(WorkflowEvent::Succeed));
        assert!(matches!(self.commit(entry).await, Committed::Yes { .. }));
    }

    pub async fn workflow(&self, id: WorkflowId) -> Workflow {
        self.store.workflow(id).await.expect("an answer").expect("a workflow")
    }

    pub async fn state(&self, id: WorkflowId) -> WorkflowState {
        self.workflow(id).await.state
    }

    /// Takes all events out of the outbox.
    pub async fn events(&self) -> Vec<(WorkflowId, Cause)> {
        let mut events = Vec::new();
        let publish = async |rows: Vec<OutboxRow>| {
            let ids = rows.iter().map(|row| row.id).collect();
            events.extend(rows.iter().map(read_event));
            ids
        };
        self.store.relay(10_000, publish).await.expect("relayed");
        events
    }

    /// Takes all announcements out of the outbox.
    pub async fn announced(&self) -> Vec<Announced> {
        let mut announced = Vec::new();
        let publish = async |rows: Vec<AnnouncementRow>| {
            let ids = rows.iter().map(|row| row.id).collect();
            announced.extend(rows.iter().map(Announced::read));
            ids
        };
        self.store.relay_announcements(10_000, publish).await.expect("relayed");
        announced
    }

    pub async fn announced_subjects(&self) -> Vec<String> {
        self.announced().await.into_iter().map(|one| one.subject).collect()
    }

    pub async fn rows(&self, table: &str) -> i64 {
        self.store.number(&format!("select count(*) from {table}")).await.expect("a number")
    }

    /// A workflow in the state, with lock and steps as it would have come there.
    pub async fn in_state(&self, state: WorkflowState) -> WorkflowId {
        let id = self.check(0).await;
        let change = match state {
            WorkflowState::Queued => return id,
            WorkflowState::Running => WorkflowChange::None,
            WorkflowState::Waiting => WorkflowChange::Wait(wait(WaitReason::Operator, None)),
            WorkflowState::Paused => WorkflowChange::Pause,
            WorkflowState::Succeeded => finish(WorkflowEvent::Succeed),
            WorkflowState::Failed => finish(WorkflowEvent::Fail),
            WorkflowState::Unwound => finish(WorkflowEvent::Unwind),
            WorkflowState::Cancelled => finish(WorkflowEvent::Cancel),
        };
        let claimed = self.claimed(id, 0).await;
        self.commit(entry(&claimed, 0, change)).await;
        assert_eq!(self.state(id).await, state);
        id
    }
}

async fn connect(database: &Database) -> Store {
    let url = match database {
        Database::Postgresql(database) => &database.url,
        Database::Sqlite(database) => &database.url,
    };
    let options = StoreOptions {
        url: url.as_str().into(),
        max_connections: 8,
        acquire_timeout: Duration::from_secs(30),
    };
    Store::connect(&options, Arc::new(ShortEvents)).await.expect("connected")
}

pub fn read_event(row: &OutboxRow) -> (WorkflowId, Cause) {
    let body: serde_json::Value = serde_json::from_slice(&row.body).expect("the body that was written");
    let read = |name: &str| body[name].clone();
    (
        serde_json::from_value(read("workflow")).expect("an id"),
        serde_json::from_value(read("cause")).expect("a cause"),
    )
}

pub fn directory() -> DirectoryName {
    DirectoryName::default()
}

pub fn farm_name(name: &str) -> FarmName {
    FarmName::parse(name).expect("a name")
}

pub fn farm_spec(name: &str) -> FarmSpec {
    let manifest = json!({
        "apiVersion": "farmhand/v1", "kind": "Farm", "metadata": { "name": name },
        "spec": { "account": { "dnsHostName": "farm.contoso.com" }, "hosts": ["Host1"],
                  "membership": { "group": "ITFarmHosts" } }
    });
    let manifest: FarmManifest = serde_json::from_value(manifest).expect("a manifest");
    manifest.validate().expect("valid")
}

pub fn check(seconds: i64) -> NewWorkflow {
    NewWorkflow {
        id: WorkflowId::new(at(seconds), &SystemRng),
        kind: WorkflowKind::known("rotation-check"),
        directory: directory(),
        farm: None,
        hosts: Vec::new(),
        lane: Lane::Checks,
        mode: Mode::Apply,
        requested_by: "ann".to_owned(),
        reason: None,
        input: json!({ "n": 1 }),
        traceparent: None,
        parent: None,
        farm_spec: None,
        now: at(seconds),
    }
}

pub fn deploy(farm: &str, seconds: i64) -> NewWorkflow {
    NewWorkflow {
        kind: WorkflowKind::DEPLOY,
        farm: Some(farm_name(farm)),
        lane: Lane::Lifecycle,
        farm_spec: Some(farm_spec(farm)),
        ..check(seconds)
    }
}

pub fn worker(name: &str) -> Lessee {
    Lessee { worker: name.to_owned(), lease: LEASE }
}

pub fn entry(claimed: &Claimed, seconds: i64, change: WorkflowChange) -> JournalEntry {
    JournalEntry {
        workflow_id: claimed.workflow.id,
        fencing_token: claimed.fencing_token,
        lease_until: at(seconds) + LEASE,
        steps: Vec::new(),
        change,
        announcements: Vec::new(),
        now: at(seconds),
    }
}

pub fn with_steps(mut entry: JournalEntry, steps: Vec<StepRecord>) -> JournalEntry {
    entry.steps = steps;
    entry
}

pub fn begin(names: &[&str]) -> WorkflowChange {
    WorkflowChange::Begin { step_names: names.iter().map(|name| (*name).to_owned()).collect() }
}

pub fn finish(event: WorkflowEvent) -> WorkflowChange {
    WorkflowChange::Finish(Finish { event, error: None, result: None, plan: None, farm: None })
}

pub fn wait(reason: WaitReason, until: Option<DateTime<Utc>>) -> Wait {
    Wait { reason, until, detail: "for the case".to_owned() }
}

pub fn problem(message: &str) -> Problem {
    Problem::new(domain::ErrorCode::StepFault, message, "look at it")
}

/// A step that is done, as full as steps get.
pub fn done(index: u16, name: &str) -> StepRecord {
    StepRecord {
        state: StepState::Succeeded,
        changed: Some(false),
        attempts: 2,
        started_at: Some(at(1)),
        finished_at: Some(at(2) + chrono::Duration::microseconds(123_456)),
        detail: Some("nothing to do".to_owned()),
        outcome: Some(StepOutcome {
            output: json!({ "sid": "S-1-5-21-1-2-3-1104" }),
            writes: Vec::new(),
            ..StepOutcome::default()
        }),
        ..StepRecord::pending(index, name)
    }
}

/// A step that wrote to the directory.
pub fn wrote(index: u16, name: &str) -> StepRecord {
    let dn = domain::Dn::parse("CN=G,DC=contoso,DC=com").expect("a DN");
    let write = Write {
        dc: "dc1.contoso.com".to_owned(),
        change: domain::Change::add(dn, Vec::new()),
        usn: Some(4711),
        object_guid: None,
        at: at(2),
    };
    let outcome = StepOutcome { output: json!(null), writes: vec![write], ..StepOutcome::default() };
    StepRecord { changed: Some(true), outcome: Some(outcome), ..done(index, name) }
}
