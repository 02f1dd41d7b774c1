//! Changes that name their DCs: each DC by itself, and nothing of what it took is forgotten.

use std::sync::atomic::AtomicBool;

use directory::embedded::{Fault, FaultKind, OperationKind};

use super::*;

const HERE: &str = "dc1.contoso.com";
/// No such name is ever resolved (RFC 6761).
const AWAY: &str = "dc9.invalid";

/// Makes a group on the DC that is here, and for as long as it is hoped for on the one that is away.
struct Everywhere {
    hoped_for: Arc<AtomicBool>,
}

#[async_trait]
impl Step for Everywhere {
    type Observed = bool;

    fn name(&self) -> &'static str {
        "everywhere"
    }

    async fn check(&self, cx: &StepContext) -> Result<bool, StepError> {
        let dc = cx.forest()?.pin(Some(HERE)).await?;
        Ok(dc.read(&Base::from(&users("Wide")), &["objectGUID"]).await?.is_some())
    }

    fn plan(&self, _: &StepContext, there: &bool) -> Result<StepPlan, StepError> {
        let attributes = vec![
            AttributeChange::new("objectClass", ["group"]),
            AttributeChange::new("sAMAccountName", ["Wide"]),
            AttributeChange::new("groupType", ["-2147483646"]),
        ];
        let change = Change::add(users("Wide"), attributes);
        let here = (!there).then(|| change.clone().at(HERE));
        let away = self.hoped_for.load(Ordering::SeqCst).then(|| change.at(AWAY));
        Ok(StepPlan::new(away.into_iter().chain(here).collect(), "as planned", Value::Null))
    }

    async fn verify(&self, _: &StepContext, _: &StepPlan) -> Result<Verified, StepError> {
        Ok(Verified { output: Value::Null, detail: "done".into() })
    }
}

async fn world(hoped_for: bool) -> (World, Arc<AtomicBool>) {
    let hoped_for = Arc::new(AtomicBool::new(hoped_for));
    let step: Arc<dyn DynStep> = Arc::new(Everywhere { hoped_for: hoped_for.clone() });
    (World::with(registry(vec![step])).await, hoped_for)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_dc_is_done_while_another_is_away_and_what_it_took_stays_ours() {
    let (world, hoped_for) = world(true).await;
    let _worker = world.start_worker("one");
    let id = world.submit("scripted", Mode::Apply, json!({})).await;
    let waiting = waits_for(&world, id, WaitReason::Retry).await;
    let step = &waiting.steps[0];
    assert!(group(&world, "Wide").await.is_some(), "it did not wait for the other");
    let told = &waiting.waiting.as_ref().expect("a reason").detail;
    assert!(told.contains(AWAY), "{told}");
    let taken: Vec<_> = step.outcome.iter().flat_map(|outcome| &outcome.writes).collect();
    assert_eq!(taken.iter().map(|write| write.dc.as_str()).collect::<Vec<_>>(), [HERE]);
    assert_eq!(step.intent, None, "what never left is not in doubt");
    hoped_for.store(false, Ordering::SeqCst);
    let done = world.finishes(id).await;
    assert_eq!(done.state, WorkflowState::Succeeded, "{:?}", done.error);
    assert_eq!(done.steps[0].changed, Some(true));
    assert_eq!(done.steps[0].outcome.as_ref().map(|outcome| outcome.writes.len()), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_takes_back_what_one_dc_took() {
    let (world, _) = world(true).await;
    let _worker = world.start_worker("one");
    let id = world.submit("scripted", Mode::Apply, json!({})).await;
    waits_for(&world, id, WaitReason::Retry).await;
    act(&world, id, Action::Cancel).await;
    assert_eq!(world.finishes(id).await.state, WorkflowState::Cancelled);
    assert!(group(&world, "Wide").await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_looked_up_on_the_dc_that_the_change_names() {
    let (world, _) = world(false).await;
    world.faults.inject(Fault::once(OperationKind::Add, FaultKind::CutAfterEffect).on("CN=Wide"));
    let _worker = world.start_worker("one");
    let id = world.submit("scripted", Mode::Apply, json!({})).await;
    let done = world.finishes(id).await;
    assert_eq!(done.state, WorkflowState::Succeeded, "{:?}", done.error);
    let writes = done.steps[0].outcome.as_ref().map(|outcome| outcome.writes.clone()).unwrap_or_default();
    assert_eq!(writes.len(), 1);
    assert_eq!((writes[0].dc.as_str(), writes[0].change.dc.as_deref()), (HERE, Some(HERE)));
    assert_eq!(world.faults.writes().len(), 1, "it was not sent again");
}
