//! A small world for tests: SQLite in a folder of its own, a bus, a clock, and three callers.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, header};
use chrono::{DateTime, SubsecRound, Utc};
use domain::{
    AccountName, Approval, Clock, DirectoryName, Dn, FarmName, HostActionKind, HostTask, HostTaskState,
    HostWork, Lane, ManualClock, MemberHost, Mode, Plan, Role, StepOutcome, StepRecord, StepState, SystemRng,
    TokenId, Wait, WaitReason, WorkflowEvent, WorkflowId, WorkflowKind,
};
use messages::{Bus, BusError, BusHealth, Consumer, DeadLetter, MemoryBus};
use metrics_exporter_prometheus::PrometheusBuilder;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use store::{
    Claim, Claimed, Committed, FarmFacts, FarmRecord, Finish, JournalEntry, Lessee, NewWorkflow, Store,
    StoreOptions, Submitted, Token, WorkflowChange,
};
use tokio::sync::watch;
use tower::ServiceExt;

use super::Api;
use crate::{EnvelopeWriter, OrchestratorOptions, Settings, hash, new_secret};

pub(crate) const MANIFEST: &str = "\
apiVersion: farmhand/v1
kind: Farm
metadata:
  name: ITFarm1
spec:
  account:
    dnsHostName: ITFarm1.contoso.com
    servicePrincipalNames: [http/ITFarm1.contoso.com, http/ITFarm1]
  membership:
    group: ITFarmHosts
  hosts: [Host1, Host2]
";

pub(crate) const ACCOUNT_SID: &str = "S-1-5-21-1-2-3-1104";
pub(crate) const PLAN_HASH: &str = "5f1e";
pub(crate) const LEASE: Duration = Duration::from_secs(30);

pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) api: Arc<Api>,
    pub(crate) router: Router,
    secrets: Mutex<HashMap<String, SecretString>>,
    folder: tempfile::TempDir,
}

/// A store of its own, migrated.
pub(crate) async fn store(folder: &tempfile::TempDir) -> Store {
    let store = connect(folder).await;
    store.migrate_up().await.expect("migrates");
    store
}

async fn connect(folder: &tempfile::TempDir) -> Store {
    let url = format!("sqlite://{}", folder.path().join("farmhand.db").display());
    let options = StoreOptions {
        url: SecretString::from(url),
        max_connections: 4,
        acquire_timeout: Duration::from_secs(5),
    };
    let events = Arc::new(EnvelopeWriter::new(Arc::new(SystemRng)));
    Store::connect(&options, events).await.expect("connects")
}

/// Options as tests want them: nothing happens by itself but what a test asks for.
pub(crate) fn options(store: Store, clock: Arc<ManualClock>) -> OrchestratorOptions {
    let bus = Arc::new(MemoryBus::new());
    OrchestratorOptions {
        store,
        bus: bus.clone(),
        announcements: bus,
        clock,
        rng: Arc::new(SystemRng),
        prometheus: PrometheusBuilder::new().build_recorder().handle(),
        embedded: true,
        known_directories: vec![DirectoryName::default()],
        intake: None,
        settings: Settings { watch_every: Duration::from_millis(5), ..Settings::default() },
    }
}

pub(crate) fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(
        DateTime::from_timestamp(1_790_000_000, 0).expect("a valid time").trunc_subsecs(0),
    ))
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut OrchestratorOptions)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(&folder).await;
        let clock = clock();
        let mut options = options(store.clone(), clock.clone());
        change(&mut options);
        let api = Arc::new(Api::new(options));
        let router = super::router(api.clone());
        let world = Self { store, clock, api, router, secrets: Mutex::default(), folder };
        for role in Role::ALL {
            world.add_token(role.as_str(), &[role], None).await;
        }
        world
    }

    /// A token of the principal `name`; the other helpers know it by that name.
    pub(crate) async fn add_token(&self, name: &str, roles: &[Role], expires_after: Option<Duration>) {
        let now = self.clock.now();
        let secret = new_secret(&SystemRng);
        let token = Token {
            id: TokenId::new(now, &SystemRng),
            principal: name.to_owned(),
            roles: roles.iter().copied().collect(),
            created_at: now,
            expires_at: expires_after.map(|after| now + after),
            revoked_at: None,
            last_used_at: None,
        };
        self.store.create_token(&token, &hash(secret.expose_secret())).await.expect("creates");
        self.secrets.lock().expect("no panic").insert(name.to_owned(), secret);
    }

    pub(crate) fn secret(&self, name: &str) -> SecretString {
        self.secrets.lock().expect("no panic")[name].clone()
    }

    pub(crate) async fn token_id(&self, name: &str) -> TokenId {
        let tokens = self.store.tokens().await.expect("works");
        tokens.iter().find(|token| token.principal == name).expect("is there").id
    }

    pub(crate) fn authorised(&self, name: &str, mut request: Request) -> Request {
        let value = format!("Bearer {}", self.secret(name).expose_secret());
        request.headers_mut().insert(header::AUTHORIZATION, value.parse().expect("a header"));
        request
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path).await
    }

    pub(crate) async fn send(&self, method: Method, path: &str) -> Answer {
        call(&self.router, request(method, path)).await
    }

    pub(crate) async fn get_as(&self, name: &str, path: &str) -> Answer {
        self.send_as(name, Method::GET, path).await
    }

    pub(crate) async fn send_as(&self, name: &str, method: Method, path: &str) -> Answer {
        call(&self.router, self.authorised(name, request(method, path))).await
    }

    pub(crate) async fn post_as(
        &self,
        name: &str,
        path: &str,
        media_type: &str,
        body: &str,
        headers: &[(&'static str, &str)],
    ) -> Answer {
        self.send_body(name, Method::POST, path, (media_type, body), headers).await
    }

    pub(crate) async fn send_body(
        &self,
        name: &str,
        method: Method,
        path: &str,
        (media_type, body): (&str, &str),
        headers: &[(&'static str, &str)],
    ) -> Answer {
        let mut request = self.authorised(name, request(method, path));
        if !media_type.is_empty() {
            request.headers_mut().insert(header::CONTENT_TYPE, media_type.parse().expect("a header"));
        }
        for (key, value) in headers {
            request.headers_mut().insert(*key, value.parse().expect("a header"));
        }
        *request.body_mut() = Body::from(body.to_owned());
        call(&self.router, request).await
    }

    pub(crate) async fn deploy(&self, name: &str, query: &str, manifest: &str) -> Answer {
        self.post_as(name, &format!("/api/v1/farms{query}"), "application/yaml", manifest, &[]).await
    }

    /// A farm whose deploy has succeeded, as a worker leaves it.
    pub(crate) async fn deployed(&self, name: &str) {
        let manifest = MANIFEST.replace("name: ITFarm1", &format!("name: {name}"));
        let answer = self.deploy("operator", "", &manifest).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
        let farm = self.get_as("viewer", &format!("/api/v1/farms/{name}")).await;
        let facts = FarmFacts {
            spec: serde_json::from_value(farm.json["spec"].clone()).expect("a specification"),
            account_dn: Dn::parse("CN=a,DC=contoso,DC=com").expect("a DN"),
            account_sid: ACCOUNT_SID.parse().expect("a SID"),
            group_dn: None,
            group_sid: None,
            group_made: false,
            foreign_readers: vec![],
        };
        let id = answer.json["id"].as_str().expect("an id").to_owned();
        self.end(&id, FarmRecord::Deployed(facts)).await;
    }

    pub(crate) async fn decommissioned(&self, name: &str) {
        self.deployed(name).await;
        let path = format!("/api/v1/farms/{name}/decommission");
        let answer = self.post_as("operator", &path, "", "", &[]).await;
        let id = answer.json["id"].as_str().expect("an id").to_owned();
        let farm = FarmName::parse(name).expect("a name");
        self.end(&id, FarmRecord::Decommissioned { directory: DirectoryName::default(), farm }).await;
    }

    /// The workflow succeeds.
    pub(crate) async fn end(&self, id: &str, farm: FarmRecord) {
        let finish =
            Finish { event: WorkflowEvent::Succeed, error: None, result: None, plan: None, farm: Some(farm) };
        self.commit(id, Vec::new(), WorkflowChange::Finish(finish)).await;
    }

    /// A containment of Host1 that has succeeded, as a worker leaves it; ITFarm1 is on record. Its id.
    pub(crate) async fn contained(&self) -> String {
        self.deployed("ITFarm1").await;
        let body = r#"{"host": "Host1"}"#;
        let answer = self.post_as("responder", "/api/v1/compromises", "application/json", body, &[]).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
        let id = answer.json["id"].as_str().expect("an id").to_owned();
        self.succeed(&id, containment(self.clock.now() + Duration::from_secs(3600))).await;
        id
    }

    /// The workflow succeeds with that result.
    pub(crate) async fn succeed(&self, id: &str, result: Value) {
        let event = WorkflowEvent::Succeed;
        let finish = Finish { event, error: None, result: Some(result), plan: None, farm: None };
        self.commit(id, Vec::new(), WorkflowChange::Finish(finish)).await;
    }

    /// Puts a host under quarantine, as a containment does.
    pub(crate) async fn quarantine(&self, name: &str, sid: &str, by: &str) -> store::Quarantined {
        let new = store::NewQuarantine {
            directory: DirectoryName::default(),
            host_sid: sid.parse().expect("a SID"),
            host_name: name.to_owned(),
            computer_dn: Dn::parse(&format!("CN={name},CN=Computers,DC=contoso,DC=com")).expect("a DN"),
            workflow: by.parse().expect("an id"),
            placed_by: "responder".to_owned(),
            reason: Some("beacon seen".to_owned()),
        };
        self.store.quarantine(&new, self.clock.now()).await.expect("works")
    }

    /// Claims the workflow and writes to it as a worker does.
    pub(crate) async fn commit(&self, id: &str, steps: Vec<StepRecord>, change: WorkflowChange) {
        let claimed = self.claim(id).await;
        self.write(&claimed, steps, change).await;
    }

    pub(crate) async fn write(&self, claimed: &Claimed, steps: Vec<StepRecord>, change: WorkflowChange) {
        let now = self.clock.now();
        let entry = |steps, change| JournalEntry {
            workflow_id: claimed.workflow.id,
            fencing_token: claimed.fencing_token,
            lease_until: now + LEASE,
            steps,
            change,
            announcements: Vec::new(),
            now,
        };
        let step_names = steps.iter().map(|step: &StepRecord| step.name.clone()).collect();
        for entry in [entry(Vec::new(), WorkflowChange::Begin { step_names }), entry(steps, change)] {
            let committed = self.store.commit(&[entry]).await.expect("works");
            assert!(matches!(committed[..], [Committed::Yes { .. }]), "{committed:?}");
        }
    }

    /// Asks for a decommission of `farm` and brings it to where it waits for the approval of the
    /// plan of [`PLAN_HASH`]; its id.
    pub(crate) async fn awaits_approval(&self, farm: &str) -> String {
        self.deployed(farm).await;
        let path = format!("/api/v1/farms/{farm}/decommission");
        let answer = self.post_as("operator", &path, "", "", &[]).await;
        let id = answer.json["id"].as_str().expect("an id").to_owned();
        self.shows_plan(&id).await;
        id
    }

    /// Brings a workflow to where it waits for the approval of the plan of [`PLAN_HASH`].
    pub(crate) async fn shows_plan(&self, id: &str) {
        let now = self.clock.now();
        let approval = Approval::asked(PLAN_HASH.to_owned(), now, now + Duration::from_secs(3600));
        let step = StepRecord {
            state: StepState::Waiting,
            outcome: Some(StepOutcome { approval: Some(approval), ..StepOutcome::default() }),
            ..StepRecord::pending(0, "approval")
        };
        let plan = Plan { hash: PLAN_HASH.to_owned(), ..Plan::new(Vec::new(), Vec::new()) };
        let wait = Wait { reason: WaitReason::Approval, until: None, detail: String::new() };
        self.commit(id, vec![step], WorkflowChange::AwaitApproval { wait, plan }).await;
    }

    /// A removal of hosts that waits for the word of people about Host1 and Host2; its id.
    pub(crate) async fn awaits_hosts(&self, farm: &str) -> String {
        self.deployed(farm).await;
        let path = format!("/api/v1/farms/{farm}/host-removals");
        let body = r#"{"hosts": ["Host1", "Host2"]}"#;
        let answer = self.post_as("operator", &path, "application/json", body, &[]).await;
        let id = answer.json["id"].as_str().expect("an id").to_owned();
        let task = |name: &str| {
            let host = MemberHost {
                name: name.to_owned(),
                sid: ACCOUNT_SID.parse().expect("a SID"),
                dns_host_name: None,
            };
            let account = AccountName::parse(farm).expect("a name");
            let work = HostWork { host, account, actions: vec![HostActionKind::Uninstall] };
            HostTask { state: HostTaskState::Asked, ..HostTask::pending(work) }
        };
        let hosts = vec![task("Host1"), task("Host2")];
        let step = StepRecord {
            state: StepState::Waiting,
            outcome: Some(StepOutcome { hosts, ..StepOutcome::default() }),
            ..StepRecord::pending(1, "uninstall")
        };
        let wait = Wait { reason: WaitReason::Host, until: None, detail: String::new() };
        let first = StepRecord { state: StepState::Succeeded, ..StepRecord::pending(0, "find-farm") };
        self.commit(&id, vec![first, step], WorkflowChange::Wait(wait)).await;
        id
    }

    /// The same database, as another process has it.
    pub(crate) async fn another_store(&self) -> Store {
        connect(&self.folder).await
    }

    /// Submits past HTTP.
    pub(crate) async fn submit(&self, lane: Lane) -> WorkflowId {
        submit(&self.store, self.clock.as_ref(), lane).await
    }

    /// Takes the lease as a worker would.
    pub(crate) async fn claim(&self, id: &str) -> Claimed {
        let id: WorkflowId = id.parse().expect("an id");
        let lessee = Lessee { worker: "w1".to_owned(), lease: LEASE };
        let mut claims = self.store.claim(&[id], &lessee, self.clock.now()).await.expect("works");
        match claims.remove(0) {
            Claim::Claimed(claimed) => *claimed,
            other => unreachable!("not claimed: {other:?}"),
        }
    }
}

/// The result of a containment of Host1: it could read ITFarm1's account, whose password ends then,
/// and one that is no farm, of which nothing is known.
pub(crate) fn containment(ends_at: DateTime<Utc>) -> Value {
    let account = |name: &str, sid: &str, farm: Option<&str>, exposure: Value| {
        json!({
            "account": format!("{name}$"), "sid": sid, "farm": farm,
            "dn": format!("CN={name},CN=Managed Service Accounts,DC=contoso,DC=com"),
            "paths": ["as a member of CN=ITFarmHosts,CN=Users,DC=contoso,DC=com"],
            "servicePrincipalNames": [format!("http/{name}.contoso.com")], "delegation": [],
            "memberOf": ["CN=Readers,DC=contoso,DC=com"], "otherHosts": ["Host2"], "exposure": exposure,
        })
    };
    let open = json!({
        "keyId": {"l0": 361, "l1": 26, "l2": 24, "rootKey": "7dc95c96-fa85-183a-dff5-f70696bf0b11"},
        "exposedKeyId": "AQAAAEtEU0s=", "intervalDays": 30, "slotStart": ends_at - chrono::TimeDelta::days(30),
        "known": ["previous", "current"], "endsAt": ends_at, "assumptions": ["rolling is lazy"],
    });
    let untold = json!({
        "keyId": null, "exposedKeyId": null, "intervalDays": null, "slotStart": null, "known": ["current"],
        "endsAt": null, "assumptions": ["its key id cannot be read"],
    });
    let at = ends_at - chrono::TimeDelta::hours(1);
    json!({
        "summary": "Host1 is cut off from 2 gMSAs on 1 domain controller", "changed": true,
        "host": {
            "name": "Host1", "dn": "CN=Host1,CN=Computers,DC=contoso,DC=com", "sid": "S-1-5-21-1-2-3-1601",
            "dnsHostName": "host1.contoso.com", "computer": "disabled", "rebuiltFrom": null,
        },
        "accounts": [
            account("ITFarm1", ACCOUNT_SID, Some("ITFarm1"), open),
            account("svc-other", "S-1-5-21-1-2-3-1700", None, untold),
        ],
        "domainControllers": [{
            "name": "dc1.contoso.com", "deniedAt": at, "verifiedAt": at + chrono::TimeDelta::milliseconds(40),
        }],
        "preempted": [], "swept": 12,
        "notDone": ["the host stays in CN=All Servers,DC=contoso,DC=com: it is in it by another group"],
        "warnings": [], "next": ["take the host off the network"], "embeddedDirectory": false,
    })
}

pub(crate) async fn submit(store: &Store, clock: &dyn Clock, lane: Lane) -> WorkflowId {
    let now = clock.now();
    let id = WorkflowId::new(now, &SystemRng);
    let new = NewWorkflow {
        id,
        kind: WorkflowKind::DEPLOY,
        directory: DirectoryName::default(),
        // Of its own, so that no two wait for one lock.
        farm: Some(FarmName::parse(&format!("f-{id}")).expect("a name")),
        hosts: Vec::new(),
        lane,
        mode: Mode::Apply,
        requested_by: "test".to_owned(),
        reason: None,
        input: Value::Null,
        traceparent: None,
        parent: None,
        farm_spec: None,
        now,
    };
    let submitted = store.submit(new, None).await.expect("works");
    assert!(matches!(submitted, Submitted::New(_)));
    id
}

pub(crate) fn request(method: Method, path: &str) -> Request {
    Request::builder().method(method).uri(path).body(Body::empty()).expect("a request")
}

pub(crate) async fn call(router: &Router, request: Request) -> Answer {
    let response = router.clone().oneshot(request).await.expect("infallible");
    let (status, headers) = (response.status(), response.headers().clone());
    let bytes = to_bytes(response.into_body(), usize::MAX).await.expect("a body");
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let json = serde_json::from_str(&text).unwrap_or(Value::Null);
    Answer { status, headers, text, json }
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    headers: HeaderMap,
    pub(crate) text: String,
    pub(crate) json: Value,
}

impl Answer {
    pub(crate) fn code(&self) -> &str {
        self.json["code"].as_str().unwrap_or_default()
    }

    /// Empty when there is none.
    pub(crate) fn header(&self, name: &str) -> String {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    }

    pub(crate) fn content_type(&self) -> String {
        self.header("content-type")
    }
}

/// Waits for a condition that another task brings about.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait)
        .await
        .unwrap_or_else(|_| unreachable!("never: {what}"));
}

/// What a [`FlakyBus`] does with what is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Mood {
    #[default]
    Well,
    Unreachable,
    /// It has no queue for this lane.
    Unroutable(Lane),
    /// It never confirms.
    Silent,
}

/// A broker with moods.
pub(crate) struct FlakyBus {
    mood: Mutex<Mood>,
    published: Mutex<Vec<(Lane, String)>>,
    attempts: AtomicUsize,
    health: watch::Sender<BusHealth>,
}

impl Default for FlakyBus {
    fn default() -> Self {
        let health = watch::Sender::new(BusHealth::Connected);
        Self { mood: Mutex::default(), published: Mutex::default(), attempts: AtomicUsize::new(0), health }
    }
}

impl FlakyBus {
    pub(crate) fn set(&self, mood: Mood) {
        *self.mood.lock().expect("no panic") = mood;
    }

    pub(crate) fn set_health(&self, health: BusHealth) {
        self.health.send_replace(health);
    }

    pub(crate) fn attempts(&self) -> usize {
        self.attempts.load(Ordering::SeqCst)
    }

    pub(crate) fn published(&self) -> Vec<(Lane, String)> {
        self.published.lock().expect("no panic").clone()
    }
}

impl fmt::Debug for FlakyBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FlakyBus")
    }
}

#[async_trait]
impl Bus for FlakyBus {
    async fn publish(&self, lane: Lane, event_id: &str, _body: &[u8]) -> Result<(), BusError> {
        self.attempts.fetch_add(1, Ordering::SeqCst);
        let mood = *self.mood.lock().expect("no panic");
        match mood {
            Mood::Unreachable => Err(BusError::Unreachable(None)),
            Mood::Unroutable(at) if at == lane => Err(BusError::Unroutable(lane.to_string())),
            Mood::Silent => std::future::pending().await,
            Mood::Well | Mood::Unroutable(_) => {
                self.published.lock().expect("no panic").push((lane, event_id.to_owned()));
                Ok(())
            }
        }
    }

    async fn consume(&self, _: Lane, _: u16) -> Result<Box<dyn Consumer>, BusError> {
        Err(BusError::Closed)
    }

    async fn depth(&self, _: Lane) -> Result<u64, BusError> {
        Ok(0)
    }

    async fn dead_letters(&self, _: usize) -> Result<Vec<DeadLetter>, BusError> {
        Ok(Vec::new())
    }

    fn health(&self) -> watch::Receiver<BusHealth> {
        self.health.subscribe()
    }

    async fn close(&self) {}
}
