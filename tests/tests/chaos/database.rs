//! PostgreSQL goes away in mid-run.

use std::time::Duration;

use directory::embedded::{Fault, FaultKind, OperationKind};
use tests::amqp::TestTopology;
use tests::cluster::{Cluster, FaultyDirectory, Parts, deployed, manifest, whole};
use tests::lab::{Lab, unique_name};
use tests::private::PrivatePostgres;
use tests::wait::eventually;

use super::{LIMIT, SERVICES, succeeds};

const HOSTS: [&str; 2] = ["Host1", "Host2"];

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_restarts_or_crashes_in_mid_run_costs_no_farm_and_no_write_is_made_twice() {
    let _turn = SERVICES.lock().await;
    let lab = Lab::from_env();
    let (postgres, directory) = (PrivatePostgres::start(&lab).await, FaultyDirectory::start().await);
    let topology = TestTopology::new(&lab);
    let parts = Parts {
        database_url: postgres.url.clone(),
        amqp_url: topology.url.clone(),
        prefix: topology.prefix.clone(),
        directory: directory.env(),
    };
    let cluster = Cluster::of(parts).await.start(1, 1).await;
    // The outcome of each write comes while the database is away: of the group's after a clean
    // stop, of the account's after a crash.
    for crash in [false, true] {
        let (name, group) = (unique_name("pgd"), unique_name("pgdg"));
        let target = if crash { &name } else { &group };
        let slow = Fault::once(OperationKind::Add, FaultKind::Delay(Duration::from_secs(2)));
        directory.faults.inject(slow.on(&format!("CN={target},")));
        let id = cluster.submit(&manifest(&name, &group, &HOSTS)).await;
        let written = || {
            directory
                .faults
                .writes()
                .into_iter()
                .filter(|write| write.dn.contains(&name) || write.dn.contains(&group))
        };
        eventually("the write is under way", LIMIT, async || {
            written().find(|write| write.dn.contains(target))
        })
        .await;
        if crash {
            postgres.kill().await
        } else {
            postgres.stop().await
        }
        eventually("the write is in effect", LIMIT, async || {
            let seen = deployed(&directory.witness(), &name, &group)?;
            (!crash || seen.account_objects == 1).then_some(())
        })
        .await;
        postgres.resume().await;
        let done = succeeds(&cluster, &id).await;
        assert_eq!(deployed(&directory.witness(), &name, &group), whole(&HOSTS));
        assert_eq!(written().count(), 3, "no write was made twice");
        assert!(done.steps.iter().all(|step| step.attempts == 1), "{done:#?}");
        assert_eq!(cluster.claims(&id), "1", "the lease outlived the outage");
    }
    drop(cluster);
    drop((topology, postgres));
}
