use std::time::Duration;

use ldap3_proto::LdapResultCode as Code;
use ldap3_proto::proto::{LdapAddRequest, LdapOp};

use super::super::{EmbeddedDirectory, EmbeddedOptions, Fault, FaultKind, Faults, OperationKind, names};
use super::client::{Client, attribute};
use crate::error::ResultCode;

async fn start() -> (EmbeddedDirectory, Faults) {
    let faults = Faults::new();
    let options = EmbeddedOptions { faults: Some(faults.clone()), ..EmbeddedOptions::default() };
    (EmbeddedDirectory::start(options).await.expect("it starts"), faults)
}

fn dn(name: &str) -> String {
    format!("CN={name},{}", names::FARMS)
}

fn add(name: &str) -> LdapOp {
    LdapOp::AddRequest(LdapAddRequest {
        dn: dn(name),
        attributes: vec![attribute("objectClass", &["group"])],
    })
}

#[tokio::test]
async fn a_connection_cut_before_the_effect_leaves_nothing_and_after_it_everything() {
    let (directory, faults) = start().await;
    for (kind, name, there) in
        [(FaultKind::CutBeforeEffect, "Before", false), (FaultKind::CutAfterEffect, "After", true)]
    {
        faults.inject(Fault::once(OperationKind::Add, kind).on(name));
        let mut client = Client::service(&directory).await;
        assert_eq!(client.result(add(name)).await, None, "the connection breaks");
        let mut fresh = Client::service(&directory).await;
        let found = fresh.read(&dn(name), &["1.1"]).await;
        assert_eq!(found.result.code == Code::Success, there, "{name}");
        // The fault was for one operation.
        let expected = if there { Code::EntryAlreadyExists } else { Code::Success };
        assert_eq!(fresh.result(add(name)).await.expect("an answer").code, expected);
    }
    let written: Vec<_> = faults.writes().into_iter().map(|operation| operation.dn).collect();
    assert_eq!(written, [dn("Before"), dn("Before"), dn("After"), dn("After")]);
    directory.stop().await;
}

#[tokio::test]
async fn refusals_come_with_their_code_and_nothing_is_done() {
    let (directory, faults) = start().await;
    let text = "00002098: by order".to_owned();
    for (kind, code) in [
        (FaultKind::Busy, Code::Busy),
        (FaultKind::Unavailable, Code::Unavailable),
        (FaultKind::Refuse(ResultCode::INSUFFICIENT_ACCESS_RIGHTS, text), Code::InsufficentAccessRights),
    ] {
        faults.inject(Fault::once(OperationKind::Add, kind));
        let mut client = Client::service(&directory).await;
        assert_eq!(client.result(add("Refused")).await.expect("an answer").code, code);
        assert_eq!(client.read(&dn("Refused"), &["1.1"]).await.result.code, Code::NoSuchObject);
    }
    directory.stop().await;
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_delay_and_finishes_what_is_under_way() {
    let (directory, faults) = start().await;
    faults.inject(Fault::once(OperationKind::Add, FaultKind::Delay(Duration::from_secs(3600))));
    let mut client = Client::service(&directory).await;
    let (answer, ()) = tokio::join!(client.result(add("Slow")), async {
        while faults.writes().is_empty() {
            tokio::task::yield_now().await;
        }
        directory.stop().await;
    });
    assert_eq!(answer.expect("an answer").code, Code::Success);
}

#[tokio::test]
async fn logins_and_searches_can_fail_too() {
    let (directory, faults) = start().await;
    faults.inject(Fault::once(OperationKind::Bind, FaultKind::Unavailable));
    assert_eq!(Client::anonymous(&directory).await.bind("", "").await.code, Code::Unavailable);
    let mut client = Client::service(&directory).await;
    faults.inject(Fault::once(OperationKind::Search, FaultKind::Busy).on("ou=servers").nth(2));
    let mut codes = Vec::new();
    for _ in 0..3 {
        codes.push(client.read(names::HOSTS, &["1.1"]).await.result.code);
    }
    assert_eq!(codes, [Code::Success, Code::Busy, Code::Success]);
    directory.stop().await;
}
