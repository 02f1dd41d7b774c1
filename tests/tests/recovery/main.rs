//! After a containment: a host leaves the quarantine or gets back in, an exposed password rolls, and a
//! whole domain moves off an exposed KDS root key.

mod check;
#[path = "../containment/kit.rs"]
#[expect(dead_code, reason = "shared with the scenarios of the containment")]
mod kit;
mod release;
mod roll;
mod root_key;

use std::sync::Arc;
use std::time::Duration;

use directory::{Attribute, Directory as _, DirectoryWrite, LdapDirectory, Modification};
use domain::{Clock as _, Dn, SystemClock, WaitReason, Workflow, WorkflowId};
use store::{Action, Ruling};
use tests::wait::eventually;
use tests::world::World;

const LIMIT: Duration = Duration::from_secs(90);

/// Until it waits for that.
async fn waits_for(world: &World, id: WorkflowId, reason: WaitReason) -> Workflow {
    eventually(&format!("{id} waits for {reason}"), LIMIT, async || {
        let workflow = world.workflow(id).await;
        assert!(!workflow.state.is_finished(), "{:#?} {:#?}", workflow.error, workflow.steps);
        workflow.waiting.as_ref().is_some_and(|wait| wait.reason == reason).then_some(workflow)
    })
    .await
}

/// Until it waits for people in that step.
async fn waits_in(world: &World, id: WorkflowId, step: &str) -> String {
    eventually(&format!("{id} waits for people in {step}"), LIMIT, async || {
        let workflow = world.workflow(id).await;
        assert!(!workflow.state.is_finished(), "{:#?} {:#?}", workflow.error, workflow.steps);
        let in_step = workflow
            .steps
            .iter()
            .any(|record| record.name == step && record.state == domain::StepState::Waiting);
        workflow.waiting.filter(|wait| in_step && wait.reason == WaitReason::Operator).map(|wait| wait.detail)
    })
    .await
}

async fn resume(world: &World, id: WorkflowId) {
    world.store.act(id, Action::Resume, "a test", SystemClock.now()).await.expect("resumed");
    world.signal.wake();
}

async fn reject(world: &World, id: WorkflowId) {
    let hash = world.workflow(id).await.plan.expect("a plan").hash;
    let ruling = Ruling { approve: false, plan_hash: hash, by: "a second person".into(), reason: None };
    world.store.decide(id, ruling, SystemClock.now()).await.expect("the store answers");
    world.signal.wake();
}

/// The DC as the domain's administrator reaches it.
async fn administrator(world: &World) -> Arc<dyn DirectoryWrite> {
    let options = world.embedded.admin_ldap_options(Default::default());
    LdapDirectory::new(options).expect("valid options").pin(None).await.expect("a DC")
}

async fn put(dc: &dyn DirectoryWrite, dn: &Dn, name: &str, value: &str) {
    let value = Attribute { name: name.to_owned(), values: vec![value.as_bytes().to_vec()] };
    dc.modify(dn, &[Modification::Replace(value)]).await.expect("written");
}
