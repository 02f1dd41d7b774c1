//! Logins that fail.

use directory::Directory;
use directory::error::DirectoryErrorKind;
use directory::ldap::{LdapDirectory, LdapOptions};

use super::World;

async fn refusal(options: LdapOptions) -> (u32, Option<u32>, Option<u32>) {
    let error = LdapDirectory::new(options).expect("valid").pin(None).await.map(drop).expect_err("refused");
    match error.kind {
        DirectoryErrorKind::Result { code, extended, data, .. } => (code.0, extended, data),
        other => panic!("no answer: {other}"),
    }
}

pub async fn a_wrong_password(world: &World) {
    let mut options = world.options.clone();
    options.password = "wrong".to_owned().into();
    assert_eq!(refusal(options).await, (49, Some(0x8009_0308), Some(0x52E)));
}

pub async fn an_unknown_account(world: &World) {
    let mut options = world.options.clone();
    options.bind_dn = format!("CN={},CN=Users,DC=contoso,DC=com", world.name("none"));
    assert_eq!(refusal(options).await, (49, Some(0x8009_0308), Some(0x52E)));
}
