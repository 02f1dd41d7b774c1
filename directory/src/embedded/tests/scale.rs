use std::sync::Arc;

use domain::{SystemClock, SystemRng};

use super::super::engine::Engine;
use super::super::filter::Filter;
use super::super::rights::Caller;
use super::super::{matching, names, seed};

fn equal(name: &str, value: &[u8]) -> Filter {
    Filter::Equal(name.to_owned(), value.to_vec())
}

#[tokio::test]
async fn equality_on_identifying_attributes_never_looks_at_every_object() {
    let engine = Engine::open(None, Arc::new(SystemClock), Arc::new(SystemRng)).expect("opens");
    let accounts = (1..=10_000).map(|number| seed::gmsa(&format!("Bulk{number:05}"), None));
    engine.seed(accounts).await.expect("added");
    let forest = engine.forest();
    let account = forest.by_dn(&names::known(names::MSA).child("CN", "Bulk07777")).expect("there").clone();
    let bytes = |name: &str| account.values(name)[0].clone();
    let filters = [
        equal("sAMAccountName", b"bulk07777$"),
        equal("servicePrincipalName", b"HTTP/bulk07777"),
        equal("objectSid", &bytes("objectSid")),
        equal("objectSid", account.sid().expect("a SID").to_string().as_bytes()),
        equal("objectGUID", &bytes("objectGUID")),
        equal("distinguishedName", account.dn.as_str().as_bytes()),
        equal("dNSHostName", b"bulk07777.contoso.com"),
        Filter::And(vec![
            equal("objectClass", b"msDS-GroupManagedServiceAccount"),
            Filter::Or(vec![equal("servicePrincipalName", b"http/bulk07777"), equal("cn", b"nobody")]),
        ]),
    ];
    for filter in filters {
        let test = matching::compile(&forest, Caller::System, &filter);
        let candidates = test.candidates(&forest).expect("an index");
        assert_eq!(candidates.into_iter().collect::<Vec<_>>(), [account.id], "{filter:?}");
        assert!(test.selects(&forest, &account), "{filter:?}");
    }
}
