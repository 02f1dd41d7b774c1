use std::path::Path;

use ldap3_proto::LdapResultCode as Code;
use ldap3_proto::proto::LdapModifyType::{Add, Replace};
use ldap3_proto::proto::{LdapAddRequest, LdapOp};

use super::super::{
    EmbeddedDirectory, EmbeddedError, EmbeddedOptions, FILE_NAME, Fault, FaultKind, Faults, OperationKind,
    names,
};
use super::client::{Client, attribute, change};

async fn open(folder: &Path, faults: Option<Faults>) -> Result<EmbeddedDirectory, EmbeddedError> {
    let path = Some(folder.join(FILE_NAME));
    EmbeddedDirectory::start(EmbeddedOptions { path, faults, ..EmbeddedOptions::default() }).await
}

const HOST: &str = "CN=Host1,OU=Servers,DC=contoso,DC=com";
const KEPT: [&str; 7] =
    ["objectGUID", "objectSid", "member", "description", "whenCreated", "uSNChanged", "sAMAccountName"];

#[tokio::test]
async fn a_restart_keeps_everything_but_the_passwords() {
    let folder = tempfile::tempdir().expect("a folder");
    let directory = open(folder.path(), None).await.expect("it starts");
    let group = directory.seed_group("Kept", &[]).await.expect("added").to_string();
    let mut client = Client::service(&directory).await;
    let changes = vec![change(Add, "member", &[HOST]), change(Replace, "description", &["a farm"])];
    assert_eq!(client.modify(&group, changes).await.code, Code::Success);
    let before = client.read(&group, &KEPT).await.entries;
    let usn = client.read("", &["highestCommittedUSN"]).await.texts("highestCommittedUSN");
    let (count, password) = (directory.object_count(), directory.password().clone());
    directory.stop().await;

    let directory = open(folder.path(), None).await.expect("it starts again");
    assert_eq!(directory.object_count(), count);
    let mut client = Client::service(&directory).await;
    assert_eq!(client.read(&group, &KEPT).await.entries, before);
    assert_eq!(client.read(HOST, &["memberOf"]).await.texts("memberOf"), [group]);
    assert_eq!(client.read("", &["highestCommittedUSN"]).await.texts("highestCommittedUSN"), usn);
    let old = secrecy::ExposeSecret::expose_secret(&password).to_owned();
    assert_eq!(client.bind(directory.bind_dn(), &old).await.code, Code::InvalidCredentials);
    // No RID and no id is given twice.
    let sid = |found: &super::client::Found| found.values("objectSid").remove(0);
    let new = directory.seed_group("New", &[]).await.expect("added").to_string();
    let mut client = Client::service(&directory).await;
    let (one, other) = (client.read(&new, &["objectSid"]).await, client.read(HOST, &["objectSid"]).await);
    assert_ne!(sid(&one), sid(&other));
    directory.stop().await;
}

#[tokio::test]
async fn a_write_cut_before_its_effect_is_not_there_after_a_restart_and_one_cut_after_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let faults = Faults::new();
    let directory = open(folder.path(), Some(faults.clone())).await.expect("it starts");
    faults.inject(Fault::once(OperationKind::Add, FaultKind::CutBeforeEffect));
    faults.inject(Fault::once(OperationKind::Add, FaultKind::CutAfterEffect).nth(1));
    for name in ["Lost", "Found"] {
        let add = LdapAddRequest {
            dn: format!("CN={name},{}", names::FARMS),
            attributes: vec![attribute("objectClass", &["group"])],
        };
        assert_eq!(Client::service(&directory).await.result(LdapOp::AddRequest(add)).await, None);
    }
    directory.stop().await;
    let directory = open(folder.path(), None).await.expect("it starts again");
    let mut client = Client::service(&directory).await;
    let code = async |client: &mut Client, name: &str| {
        client.read(&format!("CN={name},{}", names::FARMS), &["1.1"]).await.result.code
    };
    assert_eq!(code(&mut client, "Lost").await, Code::NoSuchObject);
    assert_eq!(code(&mut client, "Found").await, Code::Success);
    directory.stop().await;
}

#[tokio::test]
async fn a_file_in_use_is_not_opened_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let directory = open(folder.path(), None).await.expect("it starts");
    let second = open(folder.path(), None).await.map(drop);
    let Err(EmbeddedError::Store(source)) = second else { panic!("opened twice") };
    assert!(source.to_string().contains("in use"), "{source}");
    directory.stop().await;
}

#[tokio::test]
async fn a_file_of_another_layout_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    open(folder.path(), None).await.expect("it starts").stop().await;
    {
        let database = redb::Database::open(folder.path().join(FILE_NAME)).expect("opens");
        let transaction = database.begin_write().expect("begins");
        let meta = redb::TableDefinition::<&str, u64>::new("meta");
        transaction.open_table(meta).expect("a table").insert("layout", 99).expect("written");
        transaction.commit().expect("commits");
    }
    let Err(EmbeddedError::Store(source)) = open(folder.path(), None).await.map(drop) else {
        panic!("opened")
    };
    assert!(source.to_string().contains("layout 99"), "{source}");
}

#[tokio::test]
async fn a_file_that_is_something_else_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join(FILE_NAME), b"not a database at all").expect("written");
    assert!(matches!(open(folder.path(), None).await.map(drop), Err(EmbeddedError::Store(_))));
}
