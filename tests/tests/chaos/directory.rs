//! The DC goes away in mid-operation.

use domain::WorkflowState;
use tests::cluster::{Cluster, deployed, manifest, whole};
use tests::lab::{Lab, unique_name};
use tests::private::PrivateDc;
use tests::wait::eventually;

use super::{LIMIT, SERVICES, succeeds};

const HOSTS: [&str; 2] = ["Host1", "Host2"];

#[tokio::test(flavor = "multi_thread")]
async fn a_dc_that_dies_or_freezes_in_mid_operation_and_comes_back_gets_every_farm_once() {
    let _turn = SERVICES.lock().await;
    let lab = Lab::from_env();
    let dc = PrivateDc::start(&lab).await;
    let mut env = dc.lab.directory_env(&dc.lab.service);
    env.extend([
        ("FARMHAND_DIRECTORY_CONNECT_TIMEOUT_SECONDS".to_owned(), "2".to_owned()),
        ("FARMHAND_DIRECTORY_OPERATION_TIMEOUT_SECONDS".to_owned(), "2".to_owned()),
    ]);
    let cluster = Cluster::on_lab(&lab, env).await.start(1, 2).await;
    let witness = dc.lab.as_admin();
    for freeze in [false, true] {
        // Several at once, so that whenever it happens some are in the middle of something; and one
        // that comes when the DC is gone, since on a fast machine the others may be through by then.
        let farms: Vec<_> = (0..9).map(|_| (unique_name("dcd"), unique_name("dcdg"))).collect();
        let (late, early) = farms.split_last().expect("nine farms");
        let mut ids = Vec::new();
        for (name, group) in early {
            ids.push(cluster.submit(&manifest(name, group, &HOSTS)).await);
        }
        let (name, group) = &farms[0];
        eventually("the first farm's group", LIMIT, async || deployed(&witness, name, group)).await;
        if freeze {
            dc.freeze().await
        } else {
            dc.kill().await
        }
        ids.push(cluster.submit(&manifest(&late.0, &late.1, &HOSTS)).await);
        eventually("a workflow notices", LIMIT, async || {
            for id in &ids {
                let workflow = cluster.workflow(id).await?;
                if workflow.state == WorkflowState::Waiting {
                    let wait = workflow.waiting?;
                    assert!(wait.until.is_some(), "it goes on by itself: {wait:?}");
                    return Some(());
                }
            }
            None
        })
        .await;
        if freeze {
            dc.thaw().await
        } else {
            dc.resume().await
        }
        for (id, (name, group)) in ids.iter().zip(&farms) {
            succeeds(&cluster, id).await;
            assert_eq!(deployed(&witness, name, group), whole(&HOSTS));
        }
    }
}
