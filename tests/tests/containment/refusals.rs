//! Who is no host, and what a slip of the pen leads to: nothing is written.

use domain::containment::ComputerState;
use domain::{ErrorCode, WorkflowState};
use serde_json::json;
use tests::world::farm;

use crate::kit::{Contained, contained, dn};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_host_is_refused_before_anything_is_written() {
    let there = Contained::new().await;
    there.deploy(farm("Safe1", "Safe1Hosts", &["Host1"])).await;
    let writes = there.world.faults.writes().len();
    for (host, code) in [
        ("Host4711", ErrorCode::HostNotFound),
        ("S-1-5-21-1-2-3-4711", ErrorCode::HostNotFound),
        ("CN=Host1,DC=elsewhere,DC=com", ErrorCode::HostNotFound),
        ("Administrator", ErrorCode::HostNotComputer),
        ("Safe1Hosts", ErrorCode::HostNotComputer),
        ("Safe1$", ErrorCode::HostNotComputer),
        ("DC1", ErrorCode::HostIsDomainController),
        ("CN=DC1,OU=Domain Controllers,DC=contoso,DC=com", ErrorCode::HostIsDomainController),
    ] {
        let done = there.run(json!({ "host": host })).await;
        let error = done.error.unwrap_or_else(|| panic!("{host} was contained"));
        assert_eq!((done.state, error.code), (WorkflowState::Failed, code), "{host}");
        assert!(error.hint.contains("Nothing was written"), "{host}: {}", error.hint);
    }
    let done = there.run(json!({ "host": "Host1", "farms": ["Saef1"] })).await;
    assert_eq!(done.error.map(|error| error.code), Some(ErrorCode::FarmNotDeployed));
    assert_eq!(there.world.faults.writes().len(), writes);
    assert!(there.world.store.quarantined(&Default::default()).await.expect("an answer").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_controller_is_cut_off_for_a_reason_and_stays_enabled() {
    let there = Contained::new().await;
    let account = dn("CN=DC1,OU=Domain Controllers,DC=contoso,DC=com");
    let sid = there.sid(&account).await;
    there.wild("Wild1", &[&sid]).await;
    let done = there.run(json!({ "host": "DC1", "force": "it is being taken down" })).await;
    let told = contained(&done);
    assert!(!there.list("Wild1").await.deny(&sid), "denied");
    assert_eq!(told.host.computer, ComputerState::KeptEnabled);
    assert!(told.not_done.iter().any(|text| text.contains("never disabled")), "{:?}", told.not_done);
    let entry =
        there.dc.read(&(&account).into(), &["userAccountControl"]).await.expect("a read").expect("DC1");
    assert_eq!(entry.int("userAccountControl").map(|control| control & 2), Some(0));
}
