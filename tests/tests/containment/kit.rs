//! What these scenarios share: a world with gMSAs that a host reads in different ways.

use std::sync::Arc;

use directory::preflight::token_of;
use directory::security::Access;
use directory::{Attribute, Base, DirectoryWrite, Modification, ReaderDescriptor};
use domain::containment::Containment;
use domain::{Dn, Mode, Sid, StepRecord, Workflow, WorkflowId, WorkflowState};
use serde_json::{Value, json};
use tests::world::{RunningWorker, World};

pub const LIST: &str = "msDS-GroupMSAMembership";
pub const ACCOUNTS: &str = "CN=Managed Service Accounts,DC=contoso,DC=com";

pub fn dn(text: &str) -> Dn {
    Dn::parse(text).expect("a DN")
}
pub fn account(name: &str) -> Dn {
    dn(&format!("CN={name},{ACCOUNTS}"))
}
pub fn host_dn(name: &str) -> Dn {
    dn(&format!("CN={name},OU=Servers,DC=contoso,DC=com"))
}

/// A directory of this test's own, with a worker on it.
pub struct Contained {
    pub world: World,
    pub dc: Arc<dyn DirectoryWrite>,
    _worker: RunningWorker,
}

impl Contained {
    pub async fn new() -> Self {
        let world = World::new().await;
        let _worker = world.start_worker("one");
        let dc = world.directory.pin(None).await.expect("a DC");
        Self { world, dc, _worker }
    }

    /// A world that a test has prepared, with the worker that is left in it.
    pub fn with(world: World, dc: Arc<dyn DirectoryWrite>, worker: RunningWorker) -> Self {
        Self { world, dc, _worker: worker }
    }

    pub async fn deploy(&self, farm: Value) {
        let id = self.world.submit("deploy", Mode::Apply, farm).await;
        succeeded(&self.world.finishes(id).await);
    }

    /// A gMSA that nobody has on record.
    pub async fn wild(&self, name: &str, readers: &[&Sid]) {
        let list = ReaderDescriptor::allowing(readers.iter().copied()).to_bytes().expect("fits");
        self.world.embedded.seed_gmsas(&[name.to_owned()], Some(&list)).await.expect("a gMSA");
    }

    pub async fn ask(&self, input: Value) -> WorkflowId {
        self.world.submit_for("compromise-removal", Mode::Apply, None, input).await
    }

    /// Asks, and waits for the end.
    pub async fn run(&self, input: Value) -> Workflow {
        let id = self.ask(input).await;
        self.world.finishes(id).await
    }

    pub async fn contain(&self, host: &str) -> Containment {
        contained(&self.run(json!({ "host": host })).await)
    }

    pub async fn sid(&self, dn: &Dn) -> Sid {
        sid(self.dc.as_ref(), dn).await
    }

    pub async fn list(&self, name: &str) -> ReaderDescriptor {
        let entry =
            self.dc.read(&(&account(name)).into(), &[LIST]).await.expect("a read").expect("the account");
        ReaderDescriptor::from_bytes(entry.bytes(LIST).expect("a list")).expect("a descriptor")
    }

    pub async fn put_list(&self, name: &str, bytes: Vec<u8>) {
        let value = Attribute { name: LIST.to_owned(), values: vec![bytes] };
        self.dc.modify(&account(name), &[Modification::Replace(value)]).await.expect("written");
    }

    /// What the host's next logon may do.
    pub async fn reads(&self, host: &str, name: &str) -> bool {
        let token =
            token_of(self.dc.as_ref(), &(&host_dn(host)).into()).await.expect("a read").expect("a host");
        self.list(name).await.may_read(&token.sids) == Access::Granted
    }

    /// Whether a deny entry for the host stands first.
    pub async fn denied(&self, host: &str, name: &str) -> bool {
        let sid = self.sid(&host_dn(host)).await;
        !self.list(name).await.deny(&sid)
    }

    pub async fn members(&self, group: &Dn) -> Vec<Dn> {
        self.dc.read(&group.into(), &["member"]).await.expect("a read").expect("the group").dns("member")
    }

    pub async fn control(&self, host: &str) -> i64 {
        let entry = self.dc.read(&(&host_dn(host)).into(), &["userAccountControl"]).await.expect("a read");
        entry.expect("the host").int("userAccountControl").expect("a value")
    }
}

pub async fn sid(dc: &dyn DirectoryWrite, dn: &Dn) -> Sid {
    let entry = dc.read(&Base::from(dn), &["objectSid"]).await.expect("a read").expect("the object");
    entry.sid("objectSid").expect("a SID")
}

pub fn succeeded(done: &Workflow) {
    assert_eq!(done.state, WorkflowState::Succeeded, "{:#?} {:#?}", done.error, done.steps);
}

/// The result of a containment that is done.
pub fn contained(done: &Workflow) -> Containment {
    succeeded(done);
    serde_json::from_value(done.result.clone().expect("a result")).expect("a containment")
}

pub fn step<'a>(workflow: &'a Workflow, name: &str) -> &'a StepRecord {
    workflow.steps.iter().find(|step| step.name == name).expect("the step")
}

/// Of one gMSA, without its `$`.
pub fn paths(told: &Containment, name: &str) -> Vec<String> {
    let account = told.accounts.iter().find(|one| one.account.trim_end_matches('$') == name);
    account.unwrap_or_else(|| panic!("{name} in {:#?}", told.accounts)).paths.clone()
}
