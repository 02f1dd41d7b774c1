//! A DC that does not answer: named, insisted on, and no reason to leave the others open meanwhile.

use domain::containment::Containment;
use domain::{Workflow, WorkflowState};
use tests::session::Seen;
use tests::wait::{eventually, never};

use super::{LIMIT, Scene, containment, succeeded};

const DC2: &str = "dc2.contoso.com";

/// Whether it says why it does not come to its end.
fn names_dc2(workflow: &Workflow) -> bool {
    let steps = workflow.steps.iter().filter_map(|step| step.error.as_ref());
    steps.chain(&workflow.error).any(|problem| problem.message.contains(DC2))
}

async fn contained_without_dc2(take_down: impl Fn(&Scene)) -> Containment {
    let scene = Scene::new().await;
    let host = scene.twin.host();
    let farm = scene.farm(&[&host]).await;
    let [mut one, mut two] = scene.twin.sessions(&host, &farm.name).expect("sessions");
    assert_eq!(one.same_session(&farm.name).expect("an answer"), Seen::Password);
    assert_eq!(two.same_session(&farm.name).expect("an answer"), Seen::Password);

    take_down(&scene);
    let id = scene.contain(&host).await;
    eventually("dc1 denies", LIMIT, async || {
        (one.same_session(&farm.name).expect("an answer") == Seen::Denied).then_some(())
    })
    .await;
    let insisting = eventually("the workflow names dc2", LIMIT, async || {
        scene.cluster.workflow(&id).await.filter(names_dc2)
    })
    .await;
    assert!(!insisting.state.is_finished(), "{insisting:#?}");
    never("it is called done", std::time::Duration::from_secs(2), async || {
        scene.cluster.workflow(&id).await.filter(|workflow| workflow.state.is_finished())
    })
    .await;

    scene.twin.heal();
    let done = scene.cluster.finishes(&id, LIMIT).await;
    succeeded(&done);
    assert_eq!(done.state, WorkflowState::Succeeded);
    // Its session from before may have died with it; its ticket did not.
    assert_eq!(two.new_session(&farm.name).expect("an answer"), Seen::Denied);
    assert_eq!(one.same_session(&farm.name).expect("an answer"), Seen::Denied);
    containment(&done)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dc_out_of_reach_is_named_and_insisted_on_while_the_other_denies_at_once() {
    let contained = contained_without_dc2(|scene| scene.twin.cut("dc2")).await;
    assert!(contained.domain_controllers.iter().any(|dc| dc.name == DC2), "{contained:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dc_that_died_is_contained_when_it_is_back() {
    let contained = contained_without_dc2(|scene| scene.twin.kill("dc2")).await;
    assert!(contained.domain_controllers.iter().any(|dc| dc.name == DC2), "{contained:#?}");
}
