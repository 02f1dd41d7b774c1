//! The embedded directory: an LDAP server inside the process, holding a small forest.
//!
//! For trying, rehearsal and fault injection. The program reaches it through the same client and
//! with the same checked certificate as a real DC, and one conformance suite holds both to the
//! same answers. Where Samba and Windows differ, it takes the stricter side, so that nothing
//! passes here that a Windows DC would refuse.
//!
//! Reading order: [`server`] takes connections, [`session`] answers one of them, [`add`],
//! [`modify`], [`delete`] plan writes against the [`forest`], [`engine`] makes them durable
//! through the [`store`], [`search`] answers questions. [`rights`] says who may do what.

mod account;
mod add;
mod classes;
mod computed;
mod delete;
mod draft;
mod engine;
pub mod faults;
mod filter;
mod forest;
mod matching;
mod modify;
mod names;
mod object;
mod password;
mod protocol;
mod reference;
mod rejection;
mod rename;
mod rights;
mod rootdse;
mod schema;
mod search;
mod seed;
mod server;
mod session;
mod spn;
mod store;
#[cfg(test)]
mod tests;
mod tls;
mod values;
mod wire;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use domain::{Clock, DirectoryName, Dn, Rng, SystemClock, SystemRng};
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use engine::Engine;
pub use faults::{Fault, FaultKind, Faults, Operation, OperationKind};
use rejection::Rejection;
use server::Server;
use store::{Store, StoreError};
use tls::TlsError;

use crate::ldap::LdapOptions;

/// The file in the data folder.
pub const FILE_NAME: &str = "directory.redb";

pub struct EmbeddedOptions {
    /// The file to keep the directory in, usually [`FILE_NAME`] in the data folder; `None`: in
    /// memory only, gone at the end.
    pub path: Option<PathBuf>,
    /// Port 0 takes any free one.
    pub listen: SocketAddr,
    pub clock: Arc<dyn Clock>,
    pub rng: Arc<dyn Rng>,
    /// For tests and rehearsals: makes operations fail, and logs them.
    pub faults: Option<Faults>,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        Self {
            path: None,
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
            clock: Arc::new(SystemClock),
            rng: Arc::new(SystemRng),
            faults: None,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    #[error("the embedded directory cannot be opened")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the embedded directory cannot make its certificate")]
    Certificate(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the embedded directory cannot listen on {address}")]
    Listen { address: SocketAddr, source: std::io::Error },
    /// A seed that the directory refuses, in its own words.
    #[error("the embedded directory refuses: {code} {text}")]
    Refused { code: u32, text: String },
}

impl From<StoreError> for EmbeddedError {
    fn from(error: StoreError) -> Self {
        Self::Store(Box::new(error))
    }
}
impl From<TlsError> for EmbeddedError {
    fn from(error: TlsError) -> Self {
        Self::Certificate(Box::new(error))
    }
}
impl From<Rejection> for EmbeddedError {
    fn from(rejection: Rejection) -> Self {
        Self::Refused { code: rejection.code as u32, text: rejection.text }
    }
}

/// A running embedded directory. Dropping it stops it without waiting; [`Self::stop`] waits.
pub struct EmbeddedDirectory {
    engine: Arc<Engine>,
    url: Url,
    catalog_url: Url,
    ca_pem: String,
    password: SecretString,
    admin_password: SecretString,
    faults: Faults,
    stopping: CancellationToken,
    tasks: TaskTracker,
}

impl fmt::Debug for EmbeddedDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedDirectory").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

impl EmbeddedDirectory {
    /// Opens or makes the directory and listens. Ready when this returns.
    pub async fn start(options: EmbeddedOptions) -> Result<Self, EmbeddedError> {
        let EmbeddedOptions { path, listen, clock, rng, faults } = options;
        let (password, admin_password) = (random_password(&*rng), random_password(&*rng));
        // Opening a file waits for the disk.
        let opened = tokio::task::spawn_blocking(move || {
            let store = path.as_deref().map(Store::open).transpose()?;
            Engine::open(store, clock, rng)
        });
        let tls = tls::make(listen.ip())?;
        let (listener, url) = bind(listen).await?;
        let (catalog, catalog_url) = bind(SocketAddr::new(listen.ip(), 0)).await?;
        let engine = opened.await.map_err(|error| EmbeddedError::Store(Box::new(error)))??;
        let engine = Arc::new(engine);
        engine.set_password(&names::known(names::SERVICE_ACCOUNT), password.clone());
        engine.set_password(&names::known(names::ADMINISTRATOR), admin_password.clone());

        let (stopping, tasks) = (CancellationToken::new(), TaskTracker::new());
        let server = Server {
            engine: Arc::clone(&engine),
            acceptor: tls.acceptor,
            faults: faults.clone(),
            stopping: stopping.clone(),
            tasks: tasks.clone(),
        };
        server.serve(listener, false);
        server.serve(catalog, true);
        let (ca_pem, faults) = (tls.ca_pem, faults.unwrap_or_default());
        Ok(Self { engine, url, catalog_url, ca_pem, password, admin_password, faults, stopping, tasks })
    }

    /// `ldaps://127.0.0.1:PORT`.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The same forest as a global catalogue: base "" means everything, and writes are refused.
    pub fn catalog_url(&self) -> &Url {
        &self.catalog_url
    }

    /// The authority that a client has to trust, as PEM.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The delegated service account, which is what the program logs in as.
    pub fn bind_dn(&self) -> &str {
        names::SERVICE_ACCOUNT
    }

    /// New at every start, never on disk.
    pub fn password(&self) -> &SecretString {
        &self.password
    }

    /// An account with every right, for tests.
    pub fn admin_dn(&self) -> &str {
        names::ADMINISTRATOR
    }

    pub fn admin_password(&self) -> &SecretString {
        &self.admin_password
    }

    /// What was injected at the start; strikes nothing where nothing was.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// What the LDAP adapter needs to work with this directory as the service account.
    pub fn ldap_options(&self, name: DirectoryName) -> LdapOptions {
        self.options_of(name, self.bind_dn(), &self.password)
    }

    /// The same as the administrator, for tests.
    pub fn admin_ldap_options(&self, name: DirectoryName) -> LdapOptions {
        self.options_of(name, self.admin_dn(), &self.admin_password)
    }

    fn options_of(&self, name: DirectoryName, dn: &str, password: &SecretString) -> LdapOptions {
        LdapOptions {
            ca_pem: Some(self.ca_pem.clone()),
            global_catalog_url: Some(self.catalog_url.clone()),
            embedded: true,
            ..LdapOptions::new(name, vec![self.url.clone()], dn, password.clone())
        }
    }

    /// Finishes what is under way, closes every connection and the file.
    pub async fn stop(self) {
        self.stopping.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Makes sure that there are `HostFROM` to `HostTO` in OU=Servers; those that exist stay.
    pub async fn add_hosts(&self, numbers: std::ops::RangeInclusive<usize>) -> Result<(), EmbeddedError> {
        let hosts = seed::hosts(numbers);
        let missing: Vec<_> = {
            let forest = self.engine.forest();
            hosts.into_iter().filter(|(dn, _)| forest.by_dn(dn).is_none()).collect()
        };
        Ok(self.engine.seed(missing).await?)
    }

    /// A member server in OU=Servers.
    pub async fn seed_computer(&self, name: &str) -> Result<Dn, EmbeddedError> {
        self.seed_one(seed::computer(name)).await
    }

    /// A person in CN=Users who may log in, and read.
    pub async fn seed_user(&self, name: &str, password: SecretString) -> Result<Dn, EmbeddedError> {
        let dn = self.seed_one(seed::user(name)).await?;
        self.engine.set_password(&dn, password);
        Ok(dn)
    }

    /// A global security group in OU=Farms.
    pub async fn seed_group(&self, name: &str, members: &[Dn]) -> Result<Dn, EmbeddedError> {
        self.seed_one(seed::group(name, members)).await
    }

    /// gMSAs in their container, in one commit. `readers`: a security descriptor.
    pub async fn seed_gmsas(&self, names: &[String], readers: Option<&[u8]>) -> Result<(), EmbeddedError> {
        Ok(self.engine.seed(names.iter().map(|name| seed::gmsa(name, readers))).await?)
    }

    async fn seed_one(&self, object: (Dn, add::Given)) -> Result<Dn, EmbeddedError> {
        let dn = object.0.clone();
        self.engine.seed([object]).await?;
        Ok(dn)
    }

    /// Does to a gMSA what an allowed host's fetch of the password does: once its interval is over
    /// it rolls to a new key (there is no schedule; that is AD's way). Whether it rolled.
    pub async fn fetch_password_as_host(&self, gmsa: &Dn) -> Result<bool, EmbeddedError> {
        Ok(self.engine.fetch_password(gmsa).await?)
    }

    /// How many objects there are.
    pub fn object_count(&self) -> usize {
        self.engine.forest().len()
    }
}

impl Drop for EmbeddedDirectory {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, Url), EmbeddedError> {
    let refused = |source| EmbeddedError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(refused)?;
    let bound = listener.local_addr().map_err(refused)?;
    let url = Url::parse(&format!("ldaps://{bound}"));
    let url = url.map_err(|error| refused(std::io::Error::new(std::io::ErrorKind::InvalidInput, error)))?;
    Ok((listener, url))
}

fn random_password(rng: &dyn Rng) -> SecretString {
    let mut bytes = [0; 24];
    rng.fill(&mut bytes);
    hex::encode(bytes).into()
}
