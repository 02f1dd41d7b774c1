//! Others who would let the very same host in, at the same moment.

use domain::{ErrorCode, Workflow, WorkflowState};
use serde_json::json;
use tests::cluster::manifest;
use tests::lab::unique_name;
use tests::objects::account_dn;
use tests::session::Seen;
use tests::twin::DCS;
use tests::wait::eventually;

use super::{Farm, LIMIT, Scene, succeeded};

/// When the containment is asked for, measured by the deploy beside it.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// Before it; it must not get through.
    Before,
    With,
    /// When the deploy has put the host into its group.
    AfterMembers,
}

/// A deploy or an add-host that met the quarantine, or was through before it.
fn ended_well(done: &Workflow, must_be_refused: bool) {
    match done.state {
        WorkflowState::Succeeded if !must_be_refused => {}
        _ => {
            let code = done.error.as_ref().map(|error| error.code);
            assert_eq!(code, Some(ErrorCode::HostQuarantined), "{:#?} {:#?}", done.error, done.steps);
            assert!(
                matches!(done.state, WorkflowState::Failed | WorkflowState::Unwound),
                "{} {:#?}",
                done.state,
                done.steps
            );
        }
    }
}

async fn let_in_and_cut_off(scene: &Scene, moment: Moment) {
    let (host, other) = (scene.twin.host(), scene.twin.host());
    let standing: Farm = scene.farm(&[&other]).await;
    let (name, group) = (unique_name("cmp"), unique_name("cmpg"));
    let wanted = manifest(&name, &group, &[&other, &host]);
    let hosts = format!("farms/{}/hosts", standing.name);
    let hosts_body = json!({ "hosts": [host] });
    // Enabled still, so that new tickets are put to the test too.
    let compromise = json!({ "host": host, "keepComputerEnabled": true });
    let contain = || scene.cluster.ask("compromises", &compromise);
    let let_in = async || tokio::join!(scene.cluster.submit(&wanted), scene.cluster.ask(&hosts, &hosts_body));
    let (id, (deploy, add)) = match moment {
        Moment::Before => {
            let id = contain().await;
            succeeded(&scene.cluster.finishes(&id, LIMIT).await);
            (id, let_in().await)
        }
        Moment::With => tokio::join!(contain(), let_in()),
        Moment::AfterMembers => {
            let asked = let_in().await;
            eventually("the deploy has its members", LIMIT, async || {
                let workflow = scene.cluster.workflow(&asked.0).await?;
                let step = workflow.steps.iter().find(|step| step.name == "ensure-members")?;
                step.state.is_done().then_some(())
            })
            .await;
            (contain().await, asked)
        }
    };
    succeeded(&scene.cluster.finishes(&id, LIMIT).await);
    let must_be_refused = matches!(moment, Moment::Before);
    for id in [&deploy, &add] {
        ended_well(&scene.cluster.finishes(id, LIMIT).await, must_be_refused);
    }
    for dc in DCS {
        let admin = scene.twin.admin(dc);
        for gmsa in [&standing.name, &name] {
            if admin.read(&account_dn(gmsa), &["1.1"]).expect("the DC answers").is_none() {
                continue;
            }
            let mut session =
                tests::session::HostSession::new(scene.twin.lab(dc), &host, dc, gmsa).expect("a session");
            assert_eq!(
                session.same_session(gmsa).expect("an answer"),
                Seen::Denied,
                "{moment:?}: {gmsa} on {dc}"
            );
        }
    }
    // Whoever is no part of it reads on.
    let standing = &standing.name;
    assert!(scene.twin.lab("dc1").host_reads_password_by_new_ticket(&other, standing).expect("an answer"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_and_an_add_host_of_that_very_host_do_not_let_it_in_whenever_the_containment_comes() {
    let scene = Scene::new().await;
    let moments = [Moment::Before, Moment::With, Moment::AfterMembers];
    futures::future::join_all(moments.map(|moment| let_in_and_cut_off(&scene, moment))).await;
}
