//! The whole containment on several DCs that no replication brings together.

use std::sync::Arc;

use directory::security::Access;
use directory::{Directories, Directory, Entry, ReaderDescriptor, ResultCode};
use domain::containment::{ComputerState, Containment};
use domain::{Dn, ErrorCode, Mode, Sid, SystemRng, WorkflowId, Write};
use serde_json::{Value, json};

use super::contain_everywhere;
use super::testing::{farm, listed};
use crate::engine::execute;
use crate::runbooks::compromise_removal;
use crate::step::DynStep;
use crate::steps::gmsa::READERS;
use crate::steps::testing::forest::{FakeDc, FakeForest, Trouble};
use crate::steps::testing::records::FakeRecords;
use crate::steps::testing::{context, dn, sid};
use crate::{Environment, StepContext, StepError};

const DCS: [&str; 3] = ["dc1.contoso.com", "dc2.contoso.com", "dc3.contoso.com"];
const GROUP: &str = "CN=ITFarmHosts,CN=Users,DC=contoso,DC=com";
const HOST: &str = "CN=Host1,OU=Servers,DC=contoso,DC=com";

/// Three DCs with a farm by group, a gMSA on nobody's record, and the host.
struct Domain {
    forest: Arc<FakeForest>,
    records: Arc<FakeRecords>,
    cx: StepContext,
}

impl Domain {
    fn new(input: &Value) -> Self {
        let forest = Arc::new(FakeForest::of(&DCS));
        for dc in &forest.dcs {
            filled(dc);
        }
        let records = Arc::new(FakeRecords::default());
        records.lock().farms.push(farm("One", 1301, &["Host1", "Host2"]));
        let known: Arc<dyn Directory> = forest.clone();
        let environment = Environment { directories: Directories::new([known]), ..context().environment };
        let id = WorkflowId::new(environment.clock.now(), &SystemRng);
        let cx = StepContext::new(id, Default::default(), Mode::Apply, environment, input.clone(), None);
        let cx = cx.among(records.clone()).asked_by("a responder", Some("seen in the logs"));
        Self { forest, records, cx }
    }

    /// As the engine carries a step: again at once where it has to be read again.
    async fn run(&mut self, step: &dyn DynStep, writes: &mut Vec<Write>) -> Result<(), StepError> {
        for _ in 0..3 {
            let plan = step.assess(&self.cx).await?;
            assert!(plan.changes.is_empty() || plan.independent, "{}", step.name());
            let carried = execute::carry_out_each(&self.cx, &plan.changes).await;
            writes.extend(carried.writes);
            self.cx.set_refused(carried.refused);
            self.cx.set_written(writes);
            match step.verify(&self.cx, &plan).await {
                Ok(verified) => {
                    self.cx.set_output(step.name(), verified.output);
                    return Ok(());
                }
                Err(StepError::ReadAgain(_)) => {}
                Err(error) => return Err(error),
            }
        }
        panic!("{} comes to no end", step.name())
    }

    /// Every step from the one that is next; the error of the first that does not get on.
    async fn go_on(&mut self, from: &str) -> Result<Containment, StepError> {
        let runbook = compromise_removal::runbook();
        let mut changed = Vec::new();
        for step in runbook.steps.iter().skip_while(|step| step.name() != from) {
            let mut writes = Vec::new();
            self.run(step.as_ref(), &mut writes).await?;
            changed.extend((!writes.is_empty()).then(|| step.name().to_owned()));
        }
        self.cx.set_changed(changed.into_iter());
        let result = (runbook.result)(&self.cx)?.result;
        Ok(serde_json::from_value(result).expect("a containment"))
    }

    async fn contain(&mut self) -> Result<Containment, StepError> {
        self.go_on("deny-on-record").await
    }

    fn is_denied(&self, dc: usize, name: &str) -> bool {
        let entry = self.forest.dcs[dc].get(&account(name)).expect("the account");
        let list = ReaderDescriptor::from_bytes(entry.bytes(READERS).expect("a list")).expect("a list");
        list.denies_first(&sid(1101)) && list.may_read(&[sid(1101), sid(1200)]) == Access::Denied
    }

    fn members(&self, dc: usize) -> Vec<String> {
        self.forest.dcs[dc].get(&dn(GROUP)).expect("the group").texts("member")
    }

    fn control(&self, dc: usize) -> i64 {
        self.forest.dcs[dc].get(&dn(HOST)).expect("the host").int("userAccountControl").expect("a value")
    }
}

fn account(name: &str) -> Dn {
    dn(&format!("CN={name},CN=Managed Service Accounts,DC=contoso,DC=com"))
}

fn gmsa(name: &str, rid: u32, readers: &[Sid]) -> Entry {
    let entry = listed(name, rid, &ReaderDescriptor::allowing(readers));
    let class = ("objectClass".to_owned(), vec![b"msDS-GroupManagedServiceAccount".to_vec()]);
    let others = entry.names().map(|name| (name.to_owned(), entry.values(name).to_vec()));
    Entry::new(entry.dn.clone(), others.chain([class]))
}

fn filled(dc: &FakeDc) {
    let text = |text: &str| vec![text.as_bytes().to_vec()];
    let host = [
        ("objectClass", vec![b"user".to_vec(), b"computer".to_vec()]),
        ("objectSid", vec![sid(1101).to_bytes()]),
        ("sAMAccountName", text("Host1$")),
        ("primaryGroupID", text("515")),
        ("userAccountControl", text("4096")),
        ("tokenGroups", vec![sid(1200).to_bytes(), sid(515).to_bytes()]),
        ("memberOf", text(GROUP)),
    ];
    let group = [
        ("objectClass", text("group")),
        ("objectSid", vec![sid(1200).to_bytes()]),
        ("member", vec![HOST.as_bytes().to_vec(), b"CN=Host2,OU=Servers,DC=contoso,DC=com".to_vec()]),
    ];
    let named = |list: Vec<(&str, Vec<Vec<u8>>)>| {
        list.into_iter().map(|(name, values)| (name.to_owned(), values)).collect::<Vec<_>>()
    };
    dc.put(&Entry::new(dn(HOST), named(host.to_vec())));
    dc.put(&Entry::new(dn(GROUP), named(group.to_vec())));
    dc.put(&gmsa("One", 1301, &[sid(1200)]));
    dc.put(&gmsa("Wild", 1400, &[sid(515), sid(9)]));
    dc.put(&gmsa("Others", 1401, &[sid(9)]));
}

fn input() -> Value {
    json!({ "host": "Host1" })
}

#[tokio::test]
async fn every_dc_is_written_to_by_itself_and_nothing_waits_for_replication() {
    let mut domain = Domain::new(&input());
    let told = domain.contain().await.expect("contained");
    for dc in 0..DCS.len() {
        assert!(
            domain.is_denied(dc, "One") && domain.is_denied(dc, "Wild") && !domain.is_denied(dc, "Others")
        );
        assert_eq!(domain.members(dc), ["CN=Host2,OU=Servers,DC=contoso,DC=com"]);
        assert_eq!(domain.control(dc), 4098);
    }
    let dcs: Vec<_> =
        told.domain_controllers.iter().map(|dc| (dc.name.as_str(), dc.denied_at.is_some())).collect();
    assert_eq!(dcs, DCS.map(|dc| (dc, true)));
    assert_eq!((told.accounts.len(), told.host.computer), (2, ComputerState::Disabled));
    let records = domain.records.lock();
    assert_eq!(records.denials.len(), 2, "a release knows both entries");
    assert!(records.quarantines[0].computer_disabled);
    assert_eq!(records.preemptions[0].farms.len(), 1);
    assert!(records.preemptions[0].hosts.contains(&"Host1$".to_owned()));
}

#[tokio::test]
async fn a_dc_that_is_down_holds_up_no_other_and_is_named_until_it_is_back() {
    let mut domain = Domain::new(&input());
    domain.forest.dcs[2].set_down(true);
    let error = domain.contain().await.expect_err("not everywhere");
    let StepError::Wait(wait) = &error else { panic!("{error:?}") };
    assert_eq!(wait.problem.code, ErrorCode::NotContained);
    assert!(wait.problem.message.contains(DCS[2]) && !wait.problem.message.contains(DCS[0]), "{error:?}");
    for dc in 0..2 {
        assert!(domain.is_denied(dc, "One") && domain.is_denied(dc, "Wild"));
        assert_eq!((domain.members(dc).len(), domain.control(dc)), (1, 4098));
    }
    domain.forest.dcs[2].set_down(false);
    assert!(!domain.is_denied(2, "One"), "it still lets the host in");
    let told = domain.go_on(contain_everywhere::NAME).await.expect("contained");
    assert!(domain.is_denied(2, "One") && domain.is_denied(2, "Wild"));
    assert_eq!((domain.members(2).len(), domain.control(2)), (1, 4098));
    assert_eq!(told.domain_controllers.len(), 3);
}

#[tokio::test]
async fn what_only_one_dc_shows_is_found_there_and_denied_on_all() {
    let mut domain = Domain::new(&input());
    // Somebody let the host in a moment ago, and only the last DC knows.
    domain.forest.dcs[2].put(&gmsa("Others", 1401, &[sid(9), sid(1101)]));
    let told = domain.contain().await.expect("contained");
    assert!((0..3).all(|dc| domain.is_denied(dc, "Others")), "{told:#?}");
    assert!(told.accounts.iter().any(|one| one.account == "Others$"), "{told:#?}");
}

#[tokio::test]
async fn one_dc_that_refuses_one_account_takes_the_next_and_the_rest_goes_on() {
    let mut domain = Domain::new(&input());
    domain.records.lock().farms.insert(0, farm("Zero", 1300, &["Host1"]));
    for dc in &domain.forest.dcs {
        dc.put(&gmsa("Zero", 1300, &[sid(1200)]));
    }
    for _ in 0..4 {
        domain.forest.dcs[1].trouble("CN=Zero", Trouble::Refused(ResultCode::INSUFFICIENT_ACCESS_RIGHTS));
    }
    let error = domain.contain().await.expect_err("a right is missing");
    assert!(matches!(&error, StepError::Park(problem) if problem.message.contains(DCS[1])), "{error:?}");
    assert!(!domain.is_denied(1, "Zero") && domain.is_denied(1, "One"), "the next one was sent all the same");
    assert!(domain.is_denied(0, "Zero") && domain.is_denied(2, "Zero"));
    assert_eq!(domain.control(1), 4098);
}

#[tokio::test]
async fn a_list_that_another_changes_at_the_same_moment_is_read_and_written_again() {
    let mut domain = Domain::new(&input());
    domain.forest.dcs[0].trouble("CN=One", Trouble::Refused(ResultCode::NO_SUCH_ATTRIBUTE));
    domain.contain().await.expect("contained");
    assert!((0..3).all(|dc| domain.is_denied(dc, "One")));
}

#[tokio::test]
async fn of_a_second_run_no_dc_hears_a_write() {
    let mut domain = Domain::new(&input());
    domain.contain().await.expect("contained");
    let written = || domain.forest.dcs.iter().map(|dc| dc.written().len()).collect::<Vec<_>>();
    let before = written();
    let mut again = Domain { forest: domain.forest.clone(), ..Domain::new(&input()) };
    let known: Arc<dyn Directory> = again.forest.clone();
    let environment = Environment { directories: Directories::new([known]), ..context().environment };
    let id = WorkflowId::new(environment.clock.now(), &SystemRng);
    again.cx = StepContext::new(id, Default::default(), Mode::Apply, environment, input(), None)
        .among(domain.records.clone());
    let told = again.contain().await.expect("contained");
    assert_eq!((written(), told.changed), (before, false));
    assert_eq!(told.accounts.len(), 2);
    assert_eq!(told.host.computer, ComputerState::Disabled, "by us, the first time");
}
