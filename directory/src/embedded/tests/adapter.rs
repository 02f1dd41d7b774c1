//! What the product's own client makes of a directory that misbehaves.

use std::time::Duration;

use domain::DirectoryName;

use super::super::{EmbeddedDirectory, EmbeddedOptions, Fault, FaultKind, Faults, OperationKind, names};
use crate::error::{DirectoryErrorKind, ResultCode};
use crate::ldap::{LdapDirectory, LdapOptions};
use crate::port::{Attribute, Base, Directory};

async fn start() -> (EmbeddedDirectory, Faults, LdapOptions) {
    let faults = Faults::new();
    let options = EmbeddedOptions { faults: Some(faults.clone()), ..EmbeddedOptions::default() };
    let directory = EmbeddedDirectory::start(options).await.expect("it starts");
    let options = directory.ldap_options(DirectoryName::default());
    (directory, faults, options)
}

fn group() -> Vec<Attribute> {
    vec![Attribute { name: "objectClass".to_owned(), values: vec![b"group".to_vec()] }]
}

#[tokio::test]
async fn a_write_without_an_answer_is_of_unknown_outcome_whichever_way_it_went() {
    let (directory, faults, options) = start().await;
    let client = LdapDirectory::new(options).expect("valid");
    for (kind, name, there) in
        [(FaultKind::CutBeforeEffect, "Before", false), (FaultKind::CutAfterEffect, "After", true)]
    {
        faults.inject(Fault::once(OperationKind::Add, kind));
        let dn = names::known(names::FARMS).child("CN", name);
        let dc = client.pin(None).await.expect("connects");
        let error = dc.add(&dn, &group()).await.expect_err("cut");
        assert!(error.outcome_unknown(), "{error}");
        let found = dc.read(&Base::from(&dn), &["cn"]).await.expect("connects anew");
        assert_eq!(found.is_some(), there, "{name}");
    }
    // The client repeated neither.
    assert_eq!(faults.writes().len(), 2);
    directory.stop().await;
}

#[tokio::test]
async fn a_late_answer_is_no_answer_and_a_refusal_is_passed_on() {
    let (directory, faults, mut options) = start().await;
    options.operation_timeout = Duration::from_millis(200);
    let client = LdapDirectory::new(options).expect("valid");
    let dc = client.pin(None).await.expect("connects");
    let dn = names::known(names::FARMS).child("CN", "Late");
    faults.inject(Fault::once(OperationKind::Add, FaultKind::Delay(Duration::from_secs(3600))));
    assert!(dc.add(&dn, &group()).await.expect_err("late").outcome_unknown());
    faults.inject(Fault::once(OperationKind::Modify, FaultKind::Busy));
    assert!(dc.modify(&dn, &[]).await.expect_err("busy").is(ResultCode::BUSY));
    directory.stop().await;
}

#[tokio::test]
async fn the_certificate_is_checked() {
    let (directory, _, options) = start().await;
    let other = EmbeddedDirectory::start(EmbeddedOptions::default()).await.expect("it starts");
    let foreign = LdapOptions { ca_pem: Some(other.ca_pem().to_owned()), ..options };
    let error = LdapDirectory::new(foreign).expect("valid").pin(None).await.map(drop).expect_err("refused");
    assert!(matches!(error.kind, DirectoryErrorKind::Untrusted(_)), "{error}");
    other.stop().await;
    directory.stop().await;
}
