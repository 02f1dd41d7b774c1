use ldap3_proto::LdapResultCode as Code;
use ldap3_proto::control::LdapControl;
use ldap3_proto::proto::{LdapBindCred, LdapBindRequest, LdapOp, LdapSearchScope as Scope, SaslCredentials};

use super::super::names;
use super::client::{Client, search, start};

#[tokio::test]
async fn without_a_login_only_the_root_is_shown() {
    let directory = start().await;
    let mut client = Client::anonymous(&directory).await;
    let root = client.read("", &["defaultNamingContext", "dnsHostName"]).await;
    assert_eq!(root.texts("defaultNamingContext"), [names::DOMAIN]);
    assert_eq!(root.texts("dnsHostName"), [names::DC_HOST]);
    assert_eq!(root.entries[0].attributes.len(), 2);

    let refused = client.read(names::DOMAIN, &[]).await;
    assert_eq!((refused.result.code, refused.entries.len()), (Code::OperationsError, 0));
    assert!(refused.result.message.starts_with("00002020: "), "{}", refused.result.message);
    assert_eq!(client.delete("CN=Host1,OU=Servers,DC=contoso,DC=com").await.code, Code::OperationsError);
    directory.stop().await;
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_account_get_the_same_answer() {
    let directory = start().await;
    let mut client = Client::anonymous(&directory).await;
    let wrong = client.bind(directory.bind_dn(), "guess").await;
    assert_eq!(wrong.code, Code::InvalidCredentials);
    assert!(
        wrong.message.starts_with("80090308: ") && wrong.message.contains("data 52e"),
        "{}",
        wrong.message
    );
    assert_eq!(client.bind("CN=Nobody,CN=Users,DC=contoso,DC=com", "guess").await, wrong);
    // With a name but no password, nobody is let in (RFC 4513, 5.1.2).
    assert_eq!(client.bind(directory.bind_dn(), "").await, wrong);
    assert_eq!(client.bind("", "").await.code, Code::Success);
    directory.stop().await;
}

#[tokio::test]
async fn people_log_in_by_dn_or_by_either_kind_of_name() {
    let directory = start().await;
    directory.seed_user("anna", "s3cret".to_owned().into()).await.expect("added");
    let mut client = Client::anonymous(&directory).await;
    for name in ["CN=anna,CN=Users,DC=contoso,DC=com", "anna@contoso.com", r"CONTOSO\ANNA"] {
        assert_eq!(client.bind(name, "s3cret").await.code, Code::Success, "{name}");
    }
    assert_eq!(client.bind("anna@elsewhere.com", "s3cret").await.code, Code::InvalidCredentials);
    // A login without rights reads, and no more.
    client.bind("anna@contoso.com", "s3cret").await;
    assert_eq!(client.read(names::USERS, &["cn"]).await.texts("cn"), ["Users"]);
    let denied = client.delete("CN=Host1,OU=Servers,DC=contoso,DC=com").await;
    assert_eq!(denied.code, Code::InsufficentAccessRights);
    directory.stop().await;
}

#[tokio::test]
async fn a_disabled_account_is_told_so_and_an_open_session_goes_on() {
    use super::client::change;
    use ldap3_proto::proto::LdapModifyType::Replace;
    let directory = start().await;
    let dn = directory.seed_user("anna", "s3cret".to_owned().into()).await.expect("added").to_string();
    let mut open = Client::anonymous(&directory).await;
    open.bind(&dn, "s3cret").await;
    let mut admin = Client::admin(&directory).await;
    admin.modify(&dn, vec![change(Replace, "userAccountControl", &["514"])]).await;
    let refused = Client::anonymous(&directory).await.bind(&dn, "s3cret").await;
    assert!(refused.message.contains("data 533"), "{}", refused.message);
    assert_eq!(open.read(&dn, &["cn"]).await.texts("cn"), ["anna"]);
    directory.stop().await;
}

#[tokio::test]
async fn what_is_not_understood_is_refused_and_not_ignored() {
    let directory = start().await;
    let mut client = Client::service(&directory).await;
    let unknown = |criticality| LdapControl::Unknown { oid: "1.2.3.4".to_owned(), criticality, value: None };
    let request = || search(names::DOMAIN, Scope::Base, "(objectClass=*)", &["1.1"]);
    let refused = client.search_with(request(), vec![unknown(true)]).await;
    assert_eq!(refused.result.code, Code::UnavailableCriticalExtension);
    let answered = client.search_with(request(), vec![unknown(false)]).await;
    assert_eq!((answered.result.code, answered.entries.len()), (Code::Success, 1));
    let flags = LdapControl::SdFlags { criticality: true, flags: 7 };
    assert_eq!(client.search_with(request(), vec![flags]).await.result.code, Code::Success);

    let credentials = SaslCredentials { mechanism: "GSSAPI".to_owned(), credentials: Vec::new() };
    let bind = LdapBindRequest { version: 3, dn: String::new(), cred: LdapBindCred::SASL(credentials) };
    let refused = client.result(LdapOp::BindRequest(bind)).await.expect("an answer");
    assert_eq!(refused.code, Code::AuthMethodNotSupported);
    // A failed login leaves nobody logged in.
    assert_eq!(client.read(names::DOMAIN, &[]).await.result.code, Code::OperationsError);
    directory.stop().await;
}

#[tokio::test]
async fn bytes_in_a_filter_are_understood() {
    let directory = start().await;
    let mut client = Client::service(&directory).await;
    let host = "CN=Host1,OU=Servers,DC=contoso,DC=com";
    let found = client.read(host, &["objectSid", "objectGUID"]).await;
    let (sid, guid) = (found.values("objectSid").remove(0), found.values("objectGUID").remove(0));
    // The test's codec cannot send bytes that are no text, so the forms that are text go here,
    // and bytes in the filter's own test.
    let sid = domain::Sid::from_bytes(&sid).expect("a SID");
    for base in [format!("<SID={sid}>"), format!("<GUID={}>", hex::encode(guid))] {
        assert_eq!(client.read(&base, &["cn"]).await.texts("cn"), ["Host1"], "{base}");
    }
    let request = search(names::DOMAIN, Scope::Subtree, &format!("(objectSid={sid})"), &["cn"]);
    assert_eq!(client.search(request).await.texts("cn"), ["Host1"]);
    directory.stop().await;
}

#[tokio::test]
async fn the_global_catalogue_holds_the_forest_and_takes_no_write() {
    let directory = start().await;
    let mut client = Client::connect(directory.catalog_url(), directory.ca_pem()).await;
    let password = secrecy::ExposeSecret::expose_secret(directory.admin_password()).to_owned();
    client.bind(directory.admin_dn(), &password).await;
    let filter = "(|(sAMAccountName=Host1$)(lDAPDisplayName=msDS-GroupManagedServiceAccount))";
    let found = client.search(search("", Scope::Subtree, filter, &["cn"])).await;
    assert_eq!((found.entries.len(), found.references), (2, 0));
    let refused = client.delete("CN=Host1,OU=Servers,DC=contoso,DC=com").await;
    assert_eq!(refused.code, Code::UnwillingToPerform);

    // At the other port the empty name is nothing to search below.
    let mut domain = Client::admin(&directory).await;
    let refused = domain.search(search("", Scope::Subtree, filter, &["cn"])).await;
    assert_eq!(refused.result.code, Code::NoSuchObject);
    // And the domain says where the rest of the forest is.
    let found = domain.search(search(names::DOMAIN, Scope::Subtree, filter, &["cn"])).await;
    assert_eq!((found.texts("cn"), found.references), (vec!["Host1".to_owned()], 1));
    directory.stop().await;
}

#[tokio::test]
async fn compare_and_whoami_answer() {
    use ldap3_proto::proto::{LdapCompareRequest, LdapExtendedRequest, OID_WHOAMI};
    let directory = start().await;
    let mut client = Client::service(&directory).await;
    let compare = |value: &str| {
        LdapOp::CompareRequest(LdapCompareRequest {
            dn: "CN=Host1,OU=Servers,DC=contoso,DC=com".to_owned(),
            atype: "dNSHostName".to_owned(),
            val: value.as_bytes().to_vec(),
        })
    };
    assert_eq!(client.result(compare("HOST1.contoso.com")).await.expect("an answer").code, Code::CompareTrue);
    assert_eq!(client.result(compare("host2")).await.expect("an answer").code, Code::CompareFalse);
    let who = LdapExtendedRequest { name: OID_WHOAMI.to_owned(), value: None };
    let answer = client.ask(LdapOp::ExtendedRequest(who), Vec::new()).await.remove(0);
    let LdapOp::ExtendedResponse(answer) = answer.op else { panic!("no answer") };
    assert_eq!(answer.value.as_deref(), Some(&b"u:CONTOSO\\svc-orchestrator"[..]));
    directory.stop().await;
}
