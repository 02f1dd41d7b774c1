//! The two sides and what the cases need of them.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use directory::embedded::{EmbeddedDirectory, EmbeddedOptions};
use directory::error::DirectoryErrorKind;
use directory::ldap::{LdapDirectory, LdapOptions};
use directory::{
    Attribute, Base, Directory, DirectoryError, DirectoryWrite, Entry, Modification, Scope, Search,
};
use domain::{DirectoryName, Dn, Rng, SystemRng};
use futures::FutureExt;

pub mod changes;
pub mod gmsa;
pub mod groups;
pub mod login;
pub mod names;
pub mod rights;
pub mod search;
pub mod spn;
pub mod topology;

pub const DOMAIN: &str = "DC=contoso,DC=com";
pub const MSA: &str = "CN=Managed Service Accounts,DC=contoso,DC=com";
pub const FARMS: &str = "OU=Farms,DC=contoso,DC=com";
pub const HOSTS: &str = "OU=Servers,DC=contoso,DC=com";
pub const USERS: &str = "CN=Users,DC=contoso,DC=com";

/// One side, with the names of one case.
pub struct World {
    /// As the delegated service account, which is what Farmhand is.
    pub service: Arc<dyn Directory>,
    pub admin: Arc<dyn Directory>,
    /// How either account is reached; for logins that go wrong.
    pub options: LdapOptions,
    prefix: String,
    embedded: Option<EmbeddedDirectory>,
}

impl World {
    pub async fn embedded() -> Self {
        let embedded = EmbeddedDirectory::start(EmbeddedOptions::default()).await.expect("it starts");
        let (options, admin) = (
            embedded.ldap_options(DirectoryName::default()),
            embedded.admin_ldap_options(DirectoryName::default()),
        );
        Self { embedded: Some(embedded), ..Self::new(options, admin) }
    }

    pub fn real() -> Self {
        let options = |dn: &str, password: &str| {
            let url = variable("FARMHAND_TEST_DIRECTORY_URL").parse().expect("a URL");
            let (dn, password) = (variable(dn), variable(password));
            let mut options = LdapOptions::new(DirectoryName::default(), vec![url], dn, password.into());
            options.ca_file = Some(variable("FARMHAND_TEST_DIRECTORY_CA_FILE").into());
            options
        };
        let service = options("FARMHAND_TEST_DIRECTORY_BIND_DN", "FARMHAND_TEST_DIRECTORY_PASSWORD");
        let admin = options("FARMHAND_TEST_DIRECTORY_ADMIN_DN", "FARMHAND_TEST_DIRECTORY_ADMIN_PASSWORD");
        Self::new(service, admin)
    }

    fn new(service: LdapOptions, admin: LdapOptions) -> Self {
        let directory = |options| Arc::new(LdapDirectory::new(options).expect("valid options"));
        let mut random = [0; 3];
        SystemRng.fill(&mut random);
        let [a, b, c] = random;
        Self {
            options: service.clone(),
            service: directory(service),
            admin: directory(admin),
            prefix: format!("cf{a:02x}{b:02x}{c:02x}"),
            embedded: None,
        }
    }

    /// A Samba DC: some rules of Windows it does not have.
    pub fn is_real(&self) -> bool {
        self.embedded.is_none()
    }

    /// Runs the case, then deletes what it made, whatever became of it.
    pub async fn run(self, case: impl AsyncFn(&World)) {
        let outcome = AssertUnwindSafe(case(&self)).catch_unwind().await;
        self.sweep().await;
        if let Some(embedded) = self.embedded {
            embedded.stop().await;
        }
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    }

    async fn sweep(&self) {
        let filter = format!("(|(cn={0}*)(ou={0}*)(sAMAccountName={0}*))", self.prefix);
        let admin = self.as_admin().await;
        let mut found = find(&*admin, DOMAIN, &filter).await;
        // Children before parents.
        found.sort_by_key(|entry| std::cmp::Reverse(entry.dn.rdns().len()));
        for entry in found {
            admin.delete(&entry.dn).await.expect("deleted");
        }
    }

    pub async fn as_service(&self) -> Arc<dyn DirectoryWrite> {
        self.service.pin(None).await.expect("connects")
    }

    pub async fn as_admin(&self) -> Arc<dyn DirectoryWrite> {
        self.admin.pin(None).await.expect("connects")
    }

    /// A name that only this case has, at most 15 characters long.
    pub fn name(&self, suffix: &str) -> String {
        format!("{}{suffix}", self.prefix)
    }

    pub fn gmsa_dn(&self, suffix: &str) -> Dn {
        dn(MSA).child("CN", &self.name(suffix))
    }

    pub fn group_dn(&self, suffix: &str) -> Dn {
        dn(FARMS).child("CN", &self.name(suffix))
    }

    /// What a gMSA needs, and no more.
    pub fn gmsa(&self, suffix: &str) -> Vec<Attribute> {
        vec![
            attribute("objectClass", &["msDS-GroupManagedServiceAccount"]),
            attribute("sAMAccountName", &[&format!("{}$", self.name(suffix))]),
            attribute("userAccountControl", &["4096"]),
            attribute("msDS-ManagedPasswordInterval", &["30"]),
        ]
    }

    pub fn group(&self, suffix: &str) -> Vec<Attribute> {
        vec![attribute("objectClass", &["group"]), attribute("sAMAccountName", &[&self.name(suffix)])]
    }

    /// Adds a gMSA as the service account.
    pub async fn add_gmsa(&self, suffix: &str, more: &[Attribute]) -> Dn {
        let dn = self.gmsa_dn(suffix);
        self.as_service().await.add(&dn, &[&self.gmsa(suffix), more].concat()).await.expect("added");
        dn
    }

    pub async fn add_group(&self, suffix: &str, members: &[&Dn]) -> Dn {
        let mut attributes = self.group(suffix);
        if !members.is_empty() {
            attributes.push(dns("member", members));
        }
        let dn = self.group_dn(suffix);
        self.as_service().await.add(&dn, &attributes).await.expect("added");
        dn
    }

    /// The object as the service account sees it.
    pub async fn read(&self, dn: &Dn, attributes: &[&str]) -> Entry {
        self.as_service().await.read(&Base::from(dn), attributes).await.expect("read").expect("there")
    }

    pub async fn modify(&self, dn: &Dn, modifications: &[Modification]) -> u32 {
        code(&self.as_service().await.modify(dn, modifications).await)
    }
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run deploy/lab/up and source its env"))
}

pub fn dn(text: &str) -> Dn {
    Dn::parse(text).expect("a DN")
}

pub fn host(number: u32) -> Dn {
    dn(HOSTS).child("CN", &format!("Host{number}"))
}

pub fn attribute(name: &str, values: &[&str]) -> Attribute {
    let values = values.iter().map(|value| value.as_bytes().to_vec()).collect();
    Attribute { name: name.to_owned(), values }
}

pub fn bytes(name: &str, value: &[u8]) -> Attribute {
    Attribute { name: name.to_owned(), values: vec![value.to_vec()] }
}

pub fn dns(name: &str, values: &[&Dn]) -> Attribute {
    attribute(name, &values.iter().map(|dn| dn.as_str()).collect::<Vec<_>>())
}

pub fn add(name: &str, values: &[&str]) -> Modification {
    Modification::Add(attribute(name, values))
}

pub fn delete(name: &str, values: &[&str]) -> Modification {
    Modification::Delete(attribute(name, values))
}

pub fn replace(name: &str, values: &[&str]) -> Modification {
    Modification::Replace(attribute(name, values))
}

/// The result code, 0 for success.
///
/// # Panics
/// Where there was no answer at all: then there is nothing to compare.
pub fn code<T>(result: &Result<T, DirectoryError>) -> u32 {
    match result {
        Ok(_) => 0,
        Err(error) => error.code().unwrap_or_else(|| panic!("no answer: {error}")).0,
    }
}

/// The code at the start of the diagnostic text.
pub fn extended<T>(result: &Result<T, DirectoryError>) -> Option<u32> {
    match result {
        Err(DirectoryError { kind: DirectoryErrorKind::Result { extended, .. }, .. }) => *extended,
        _ => None,
    }
}

pub async fn find(dc: &dyn DirectoryWrite, base: &str, filter: &str) -> Vec<Entry> {
    let search = Search::new(&dn(base), Scope::Subtree, filter, &["cn"]);
    dc.search(&search).await.expect("searched")
}

/// CNs that a search finds, sorted.
pub async fn cns(dc: &dyn DirectoryWrite, base: &str, filter: &str) -> Vec<String> {
    let found = find(dc, base, filter).await;
    let mut names: Vec<_> = found.iter().map(|entry| entry.dn.rdn().value.clone()).collect();
    names.sort();
    names
}
