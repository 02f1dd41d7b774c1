//! Reader lists that are written under trouble, on the embedded directory.

use std::sync::Arc;
use std::time::Duration;

use directory::embedded::{Fault, FaultKind, OperationKind};
use directory::{Attribute, Base, DirectoryWrite, Modification, ReaderDescriptor, ResultCode};
use domain::{Mode, Sid, Workflow};
use tests::wait::eventually;
use tests::world::{RunningWorker, World, direct_farm};

use super::{account_dn, host_dn, hosts, succeeded};

const FARM: &str = "Direct1";
const LIST: &str = "msDS-GroupMSAMembership";

struct Embedded {
    world: World,
    dc: Arc<dyn DirectoryWrite>,
    _worker: RunningWorker,
}

impl Embedded {
    async fn deployed() -> Self {
        let world = World::new().await;
        let _worker = world.start_worker("one");
        let id = world.submit("deploy", Mode::Apply, direct_farm(FARM, &["Host1"])).await;
        succeeded(&world.finishes(id).await);
        world.faults.forget();
        let dc = world.directory.pin(None).await.expect("a DC");
        Self { world, dc, _worker }
    }

    async fn run(&self, kind: &str, names: &[&str]) -> Workflow {
        let id = self.world.submit_for(kind, Mode::Apply, Some(FARM), hosts(names)).await;
        self.world.finishes(id).await
    }

    async fn sid(&self, host: &str) -> Sid {
        let base = Base::Dn(domain::Dn::parse(&host_dn(host)).expect("a DN"));
        let entry = self.dc.read(&base, &["objectSid"]).await.expect("a read").expect("the host");
        entry.sid("objectSid").expect("a SID")
    }

    async fn list(&self) -> Vec<u8> {
        let base = Base::Dn(domain::Dn::parse(&account_dn(FARM)).expect("a DN"));
        let entry = self.dc.read(&base, &[LIST]).await.expect("a read").expect("the account");
        entry.bytes(LIST).expect("a list").to_vec()
    }

    async fn readers(&self) -> Vec<Sid> {
        ReaderDescriptor::from_bytes(&self.list().await).expect("a descriptor").readers()
    }

    /// As another administrator's tool does that is careful: it too reads again when it came too late.
    async fn let_read(&self, sid: &Sid) {
        let dn = domain::Dn::parse(&account_dn(FARM)).expect("a DN");
        let value = |bytes: Vec<u8>| Attribute { name: LIST.to_owned(), values: vec![bytes] };
        eventually("the other tool's entry is in", Duration::from_secs(20), async || {
            let before = self.list().await;
            let mut list = ReaderDescriptor::from_bytes(&before).expect("a descriptor");
            list.allow(sid);
            let after = list.to_bytes().expect("fits");
            let swap = [Modification::Delete(value(before)), Modification::Add(value(after))];
            match self.dc.modify(&dn, &swap).await {
                Ok(()) => Some(()),
                Err(error) if error.is(ResultCode::NO_SUCH_ATTRIBUTE) => None,
                Err(error) => panic!("{error}"),
            }
        })
        .await;
    }
}

fn refused(code: u32) -> FaultKind {
    FaultKind::Refuse(ResultCode(code), "no matching attribute value".to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dc_that_does_not_take_the_swap_gets_the_list_as_a_replacement() {
    for code in [16, 18, 20] {
        let farm = Embedded::deployed().await;
        farm.world.faults.inject(Fault::once(OperationKind::Modify, refused(code)));
        let done = farm.run("add-host", &["Host2"]).await;
        succeeded(&done);
        assert_eq!(farm.readers().await, [farm.sid("Host1").await, farm.sid("Host2").await]);
        assert_eq!(farm.world.faults.writes().len(), 2, "the swap, then the replacement");
        let step = done.steps.iter().find(|step| step.name == "ensure-membership").expect("the step");
        assert_eq!((step.attempts, step.changed), (1, Some(true)), "result {code}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_another_changed_meanwhile_is_never_replaced() {
    let farm = Embedded::deployed().await;
    let (other, delay) = (farm.sid("Host3").await, FaultKind::Delay(Duration::from_secs(2)));
    farm.world.faults.inject(Fault::once(OperationKind::Modify, delay));
    let id = farm.world.submit_for("add-host", Mode::Apply, Some(FARM), hosts(&["Host2"])).await;
    eventually("the swap has arrived", Duration::from_secs(20), async || {
        (!farm.world.faults.writes().is_empty()).then_some(())
    })
    .await;
    farm.let_read(&other).await;
    succeeded(&farm.world.finishes(id).await);
    let mut readers = farm.readers().await;
    let mut expected = vec![farm.sid("Host1").await, farm.sid("Host2").await, other];
    readers.sort_by_key(ToString::to_string);
    expected.sort_by_key(ToString::to_string);
    assert_eq!(readers, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_somebody_contained_does_not_join() {
    let farm = Embedded::deployed().await;
    let (contained, before) = (farm.sid("Host4").await, farm.list().await);
    let mut list = ReaderDescriptor::from_bytes(&before).expect("a descriptor");
    assert!(list.deny(&contained));
    let value = Attribute { name: LIST.to_owned(), values: vec![list.to_bytes().expect("fits")] };
    let dn = domain::Dn::parse(&account_dn(FARM)).expect("a DN");
    farm.dc.modify(&dn, &[Modification::Replace(value)]).await.expect("contained");
    let denied = farm.list().await;

    let refused = farm.run("add-host", &["Host2", "Host4"]).await;
    let error = refused.error.expect("refused");
    assert_eq!((error.code, error.violations[0].field.as_str()), (domain::ErrorCode::HostDenied, "hosts[1]"));
    assert_eq!(farm.list().await, denied, "nothing was written");

    // Others come and go, and the denial stays in front with its bytes.
    succeeded(&farm.run("add-host", &["Host2"]).await);
    succeeded(&farm.run("remove-host", &["Host2"]).await);
    assert_eq!(farm.list().await, denied);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undo_leaves_what_others_have_let_in_since() {
    let farm = Embedded::deployed().await;
    let other = farm.sid("Host5").await;
    let done = farm.run("add-host", &["Host2"]).await;
    succeeded(&done);
    farm.let_read(&other).await;
    let runbook = farm.world.registry.get(&done.kind).expect("registered").clone();
    let (id, directory, input) = (done.id, done.directory.clone(), hosts(&["Host2"]));
    let cx = workers::StepContext::new(id, directory, Mode::Apply, farm.world.environment(), input, None);
    for (step, record) in runbook.steps.iter().zip(&done.steps).rev() {
        let writes = record.outcome.as_ref().map(|outcome| outcome.writes.clone()).unwrap_or_default();
        step.undo(&cx, &writes).await.expect("undone");
    }
    assert_eq!(farm.readers().await, [farm.sid("Host1").await, other]);
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_are_new_to_a_farm_are_asked_to_install_and_leaving_ones_to_uninstall_first() {
    let mut world = World::new().await;
    let worker = world.start_worker("without an adapter");
    let id = world.submit("deploy", Mode::Apply, direct_farm(FARM, &["Host1"])).await;
    succeeded(&world.finishes(id).await);
    worker.stop().await;
    world.hosts = workers::hosts::Hosts::new(domain::HostAdapter::Manual, 10);
    let _worker = world.start_worker("with people");
    for (kind, step, command) in [
        ("add-host", "install-on-hosts", "Install-ADServiceAccount -Identity Direct1"),
        ("remove-host", "uninstall-from-hosts", "Uninstall-ADServiceAccount -Identity Direct1"),
    ] {
        let id = world.submit_for(kind, Mode::Plan, Some(FARM), hosts(&["Host1", "Host2"])).await;
        let planned = world.finishes(id).await;
        let plan = planned.plan.expect("a plan");
        let asked: Vec<_> = plan.host_actions.iter().map(|work| work.host.name.as_str()).collect();
        let expected = if kind == "add-host" { ["Host2"] } else { ["Host1"] };
        assert_eq!(asked, expected, "{kind}: who is in and on record was seen to; who is not has nothing");
        let step = planned.steps.iter().find(|record| record.name == step).expect("the step");
        assert!(step.detail.as_deref().unwrap_or_default().contains(command), "{:?}", step.detail);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_hosts_are_looked_up_some_hundred_at_a_time() {
    let world = World::new().await;
    world.embedded.add_hosts(1..=2_100).await.expect("hosts");
    let _worker = world.start_worker("one");
    let farm = tests::world::farm("Many1", "Many1Hosts", &["Host1"]);
    let id = world.submit("deploy", Mode::Apply, farm).await;
    succeeded(&world.finishes(id).await);
    world.faults.forget();
    let names: Vec<_> = (1..=2_100).map(|number| format!("Host{number}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let id = world.submit_for("add-host", Mode::Apply, Some("Many1"), hosts(&names)).await;
    let done = world.finishes(id).await;
    succeeded(&done);
    assert_eq!(world.faults.writes().len(), 3, "2,099 values, a thousand in a write");
    let operations = world.faults.operations().len();
    assert!(operations < 100, "{operations} operations for 2,100 hosts");
}
