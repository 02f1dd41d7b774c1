//! A host of fifty farms among many gMSAs.

use domain::FarmName;
use futures::future::join_all;
use serde_json::json;
use tests::world::farm;

use crate::kit::{Contained, contained, host_dn, step};

const FARMS: usize = 50;
const OTHERS: usize = 2_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_host_of_fifty_farms_among_two_thousand_gmsas_is_cut_off_from_each_and_from_no_other() {
    let there = Contained::new().await;
    let names: Vec<_> = (0..FARMS).map(|number| format!("Many{number}")).collect();
    let deploys =
        names.iter().map(|name| there.deploy(farm(name, &format!("{name}Hosts"), &["Host1", "Host2"])));
    join_all(deploys).await;
    let (me, other) = (there.sid(&host_dn("Host1")).await, there.sid(&host_dn("Host2")).await);
    let list = directory::ReaderDescriptor::allowing([&other]).to_bytes().expect("fits");
    let others: Vec<_> = (0..OTHERS).map(|number| format!("Other{number}")).collect();
    there.world.embedded.seed_gmsas(&others, Some(&list)).await.expect("gMSAs");
    there.wild("Wild1", &[&me, &other]).await;
    there.world.faults.forget();

    let done = there.run(json!({ "host": "Host1" })).await;
    let told = contained(&done);

    assert_eq!(told.accounts.len(), FARMS + 1);
    assert_eq!(told.swept, (FARMS + OTHERS + 1) as u64);
    let farms = told.accounts.iter().filter_map(|one| one.farm.as_ref().map(FarmName::as_str));
    assert_eq!(farms.count(), FARMS);
    for name in names.iter().map(String::as_str).chain(["Wild1"]) {
        assert!(there.denied("Host1", name).await && there.reads("Host2", name).await, "{name}");
    }
    let on_record = step(&done, "deny-on-record").outcome.as_ref().expect("an outcome");
    assert_eq!(on_record.writes.len(), FARMS, "one write each, in the first step");
    // A deny entry each, a group each, the wild one, the computer.
    assert_eq!(there.world.faults.writes().len(), 2 * FARMS + 2);
    let others: Vec<_> =
        there.world.faults.writes().into_iter().filter(|write| write.dn.contains("Other")).collect();
    assert!(others.is_empty(), "{others:?}");
}
