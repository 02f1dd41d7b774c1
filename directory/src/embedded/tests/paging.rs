//! Searches page by page, through the product's own client.

use std::sync::Arc;

use domain::DirectoryName;
use futures::StreamExt;

use super::super::{
    EmbeddedDirectory, EmbeddedOptions, Fault, FaultKind, Faults, OperationKind, names, seed,
};
use crate::error::{DirectoryError, DirectoryErrorKind, Refusal};
use crate::ldap::LdapDirectory;
use crate::port::{Attribute, Directory, DirectoryRead, DirectoryWrite, Scope, Search};
use crate::read_only::ReadOnly;

const GMSAS: &str = "(objectClass=msDS-GroupManagedServiceAccount)";

async fn with_accounts(count: usize) -> (EmbeddedDirectory, Faults, Arc<dyn DirectoryWrite>) {
    let faults = Faults::new();
    let options = EmbeddedOptions { faults: Some(faults.clone()), ..EmbeddedOptions::default() };
    let directory = EmbeddedDirectory::start(options).await.expect("it starts");
    let accounts = (0..count).map(|number| seed::gmsa(&format!("Bulk{number:05}"), None));
    directory.engine.seed(accounts).await.expect("added");
    let client = LdapDirectory::new(directory.ldap_options(DirectoryName::default())).expect("valid");
    let dc = client.pin(None).await.expect("connects");
    (directory, faults, dc)
}

fn all_accounts(attributes: &[&str]) -> Search {
    Search::new(&names::known(names::MSA), Scope::Subtree, GMSAS, attributes)
}

/// What came: names by page, and the error at the end, if there is one.
async fn read(dc: &dyn DirectoryRead, search: &Search) -> (Vec<Vec<String>>, Option<DirectoryError>) {
    let (mut pages, mut error) = (Vec::new(), None);
    let mut stream = dc.pages(search);
    while let Some(page) = stream.next().await {
        assert!(error.is_none(), "an error is the end");
        match page {
            Ok(entries) => {
                pages.push(entries.iter().map(|entry| entry.dn.rdn().value.clone()).collect());
            }
            Err(found) => error = Some(found),
        }
    }
    (pages, error)
}

fn searches(faults: &Faults) -> usize {
    let below = names::known(names::MSA).to_string();
    faults.operations().iter().filter(|done| done.kind == OperationKind::Search && done.dn == below).count()
}

#[tokio::test]
async fn many_entries_come_in_several_pages_each_once() {
    let (directory, faults, dc) = with_accounts(2_500).await;
    let asked = all_accounts(&["cn"]);
    for dc in [dc.clone(), Arc::new(ReadOnly(dc.clone()))] {
        let before = searches(&faults);
        let (pages, error) = read(dc.as_ref(), &asked).await;
        assert!(error.is_none(), "{error:?}");
        assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [1000, 1000, 500]);
        assert_eq!(searches(&faults) - before, 3, "the server was asked for each");
        let mut names = pages.concat();
        names.sort();
        let expected: Vec<_> = (0..2_500).map(|number| format!("Bulk{number:05}")).collect();
        assert_eq!(names, expected);
    }
    directory.stop().await;
}

#[tokio::test]
async fn a_search_that_finds_nothing_has_one_empty_page() {
    let (directory, _, dc) = with_accounts(0).await;
    let (pages, error) = read(dc.as_ref(), &all_accounts(&["cn"])).await;
    assert_eq!((pages, error.is_none()), (vec![vec![]], true));
    directory.stop().await;
}

#[tokio::test]
async fn trouble_behind_the_first_page_ends_the_search_with_it() {
    let (directory, faults, dc) = with_accounts(2_500).await;
    let asked = all_accounts(&["cn"]);
    for (kind, unanswered) in [(FaultKind::CutBeforeEffect, true), (FaultKind::Busy, false)] {
        faults.inject(Fault::once(OperationKind::Search, kind).on("Managed Service Accounts").nth(2));
        let (pages, error) = read(dc.as_ref(), &asked).await;
        assert_eq!(pages.len(), 1);
        let error = error.expect("an error");
        assert_eq!(matches!(error.kind, DirectoryErrorKind::NoAnswer(_)), unanswered, "{error}");
    }
    let (pages, error) = read(dc.as_ref(), &asked).await;
    assert!(error.is_none() && pages.len() == 3, "and the next search is none the worse: {error:?}");
    directory.stop().await;
}

#[tokio::test]
async fn a_connection_that_had_died_before_the_first_page_is_replaced() {
    let (directory, faults, dc) = with_accounts(10).await;
    let cut = Fault::once(OperationKind::Search, FaultKind::CutBeforeEffect).on("Managed Service Accounts");
    faults.inject(cut);
    let (pages, error) = read(dc.as_ref(), &all_accounts(&["cn"])).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(pages.concat().len(), 10);
    directory.stop().await;
}

#[tokio::test]
async fn attributes_that_come_in_part_are_completed_on_every_page() {
    let (directory, _, dc) = with_accounts(1_600).await;
    let accounts = names::known(names::MSA);
    let members = (0..1_600).map(|number| accounts.child("CN", &format!("Bulk{number:05}")).to_string());
    let attribute = |name: &str, values: Vec<Vec<u8>>| Attribute { name: name.to_owned(), values };
    let group = [
        attribute("objectClass", vec![b"group".to_vec()]),
        attribute("member", members.map(String::into_bytes).collect()),
    ];
    let base = names::known(names::FARMS);
    dc.add(&base.child("CN", "Wide"), &group).await.expect("added");
    let asked = Search::new(&base, Scope::Subtree, "(cn=Wide)", &["member"]);
    let page = dc.pages(&asked).next().await.expect("a page").expect("read");
    assert_eq!(page[0].values("member").len(), 1_600);
    directory.stop().await;
}

#[tokio::test]
async fn who_looks_no_further_ends_the_search() {
    let (directory, faults, dc) = with_accounts(6_500).await;
    let asked = all_accounts(&["cn"]);
    drop(dc.pages(&asked));
    let mut stream = dc.pages(&asked);
    assert_eq!(searches(&faults), 0, "nothing is asked before somebody wants to know");
    stream.next().await.expect("a page").expect("read");
    drop(stream);
    // Seven pages there were: one in hand, one that waited, one under way.
    directory.stop().await;
    assert!(searches(&faults) <= 3, "{}", searches(&faults));
}

#[tokio::test]
async fn the_password_is_not_asked_for_page_by_page_either() {
    let (directory, faults, dc) = with_accounts(1).await;
    let (pages, error) = read(dc.as_ref(), &all_accounts(&["cn", "msDS-ManagedPassword"])).await;
    assert!(pages.is_empty());
    let kind = error.expect("refused").kind;
    assert_eq!(kind, DirectoryErrorKind::Refused(Refusal::ManagedPassword));
    assert_eq!(searches(&faults), 0);
    directory.stop().await;
}
