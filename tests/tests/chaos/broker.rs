//! The broker goes away, and forgets.

use std::time::Duration;

use directory::embedded::{Fault, FaultKind, OperationKind};
use domain::WorkflowState;
use tests::cluster::{Cluster, FaultyDirectory, Parts, deployed, manifest, whole};
use tests::database::PostgresDatabase;
use tests::lab::{Lab, unique_name};
use tests::private::PrivateRabbit;
use tests::wait::eventually;

use super::{LIMIT, SERVICES, succeeds};

const HOSTS: [&str; 2] = ["Host1", "Host2"];

/// The events that no broker has confirmed yet.
fn unsent(cluster: &Cluster) -> String {
    cluster.query("select count(*) from outbox where topic is null")[0][0].clone()
}

async fn sent(cluster: &Cluster) {
    eventually("the outbox is empty", LIMIT, async || (unsent(cluster) == "0").then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_restarts_or_comes_back_empty_in_mid_run_costs_no_farm() {
    let _turn = SERVICES.lock().await;
    let lab = Lab::from_env();
    let (broker, directory) = (PrivateRabbit::start(&lab).await, FaultyDirectory::start().await);
    let database = PostgresDatabase::create(&lab);
    let parts = Parts {
        database_url: database.url.clone(),
        amqp_url: broker.url.clone(),
        prefix: "chaos".to_owned(),
        directory: directory.env(),
    };
    let mut cluster = Cluster::of(parts).await.start(1, 1).await;
    let farms: Vec<_> = (0..4).map(|_| (unique_name("brk"), unique_name("brkg"))).collect();
    let wanted: Vec<_> = farms.iter().map(|(name, group)| manifest(name, group, &HOSTS)).collect();

    // One farm is under way when the broker dies, another is asked for while it is away.
    let held = Fault::once(OperationKind::Add, FaultKind::Delay(Duration::from_secs(3)))
        .on(&format!("CN={},", farms[0].0));
    directory.faults.inject(held);
    let first = cluster.submit(&wanted[0]).await;
    eventually("the account's Add is under way", LIMIT, async || {
        directory.faults.writes().iter().any(|write| write.dn.contains(&farms[0].0)).then_some(())
    })
    .await;
    broker.kill().await;
    let second = cluster.submit(&wanted[1]).await;
    let done = succeeds(&cluster, &first).await;
    assert!(done.steps.iter().all(|step| step.attempts == 1), "the run never needed the broker: {done:#?}");
    let waits = cluster.workflow(&second).await.expect("an answer");
    assert_eq!((waits.state, unsent(&cluster).as_str()), (WorkflowState::Queued, "1"), "{waits:#?}");
    broker.resume().await;
    succeeds(&cluster, &second).await;

    // Events of two farms are in the broker and nobody has taken them when it forgets everything.
    cluster.kill_workers();
    let third = cluster.submit(&wanted[2]).await;
    let fourth = cluster.submit(&wanted[3]).await;
    sent(&cluster).await;
    broker.wipe().await;
    cluster.start_worker().await;
    for id in [&third, &fourth] {
        succeeds(&cluster, id).await;
        assert_eq!(cluster.claims(id), "1");
    }
    for (name, group) in &farms {
        assert_eq!(deployed(&directory.witness(), name, group), whole(&HOSTS));
        let writes = directory.faults.writes();
        assert_eq!(
            writes.iter().filter(|write| write.dn.contains(name) || write.dn.contains(group)).count(),
            3
        );
    }
    drop(cluster);
}
