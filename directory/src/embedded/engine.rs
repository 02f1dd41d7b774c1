//! The directory behind its listeners: reads from memory, writes through the disk.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use domain::{Clock, Dn, Rng};
use ldap3_proto::LdapResultCode;
use secrecy::{ExposeSecret, SecretString};

use super::add::{self, Given};
use super::draft::Context;
use super::forest::{Changes, Forest};
use super::names;
use super::object::{Object, ObjectId};
use super::rejection::Rejection;
use super::rights::Caller;
use super::store::{Loaded, Store, StoreError};
use super::{account, password, reference, seed};

pub struct Engine {
    forest: RwLock<Forest>,
    /// Held from planning a write to its being visible: what was checked still holds then.
    writer: tokio::sync::Mutex<()>,
    /// `None`: in memory only.
    store: Option<Arc<Store>>,
    /// Of the accounts that may log in. Never on disk.
    passwords: RwLock<HashMap<ObjectId, SecretString>>,
    pub clock: Arc<dyn Clock>,
    pub rng: Arc<dyn Rng>,
}

impl Engine {
    /// Loads what the store holds; a new one gets the first contents.
    pub fn open(store: Option<Store>, clock: Arc<dyn Clock>, rng: Arc<dyn Rng>) -> Result<Self, StoreError> {
        let Loaded { objects, links, counters } =
            store.as_ref().map_or(Ok(Loaded::default()), Store::load)?;
        let mut forest = Forest::default();
        match counters {
            Some(counters) => {
                forest.apply(Changes { put: objects, link: links, counters, ..Changes::default() });
            }
            None => {
                let changes = seed::first_contents(&mut forest, &*clock, &*rng)?;
                if let Some(store) = &store {
                    store.commit(&changes)?;
                }
            }
        }
        Ok(Self {
            forest: RwLock::new(forest),
            writer: tokio::sync::Mutex::default(),
            store: store.map(Arc::new),
            passwords: RwLock::default(),
            clock,
            rng,
        })
    }

    pub fn forest(&self) -> RwLockReadGuard<'_, Forest> {
        self.forest.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn apply(&self, changes: Changes) {
        self.forest.write().unwrap_or_else(PoisonError::into_inner).apply(changes);
    }

    fn plan<T>(&self, caller: Caller, plan: impl FnOnce(&Context<'_>) -> T) -> T {
        let forest = self.forest();
        plan(&Context { forest: &forest, caller, clock: &*self.clock, rng: &*self.rng })
    }

    /// Plans a write, makes it durable, then visible. On disk when this returns `Ok`.
    pub async fn write(
        &self,
        caller: Caller,
        plan: impl FnOnce(&Context<'_>) -> Result<Changes, Rejection>,
    ) -> Result<(), Rejection> {
        let _only_writer = self.writer.lock().await;
        let changes = self.plan(caller, plan)?;
        let changes = self.commit(changes).await?;
        self.apply(changes);
        Ok(())
    }

    async fn commit(&self, changes: Changes) -> Result<Changes, Rejection> {
        let Some(store) = self.store.clone() else { return Ok(changes) };
        let committed = tokio::task::spawn_blocking(move || store.commit(&changes).map(|()| changes)).await;
        let failed = |error: &(dyn std::error::Error + 'static)| {
            tracing::error!(error, "the embedded directory cannot write to its file");
            Rejection::new(
                LdapResultCode::Unavailable,
                "0000200F: the directory's disk does not take the write",
            )
        };
        match committed {
            Ok(Ok(changes)) => Ok(changes),
            Ok(Err(error)) => Err(failed(&error)),
            Err(error) => Err(failed(&error)),
        }
    }

    /// Adds many objects as the directory itself, in one commit.
    pub async fn seed(&self, objects: impl IntoIterator<Item = (Dn, Given)>) -> Result<(), Rejection> {
        let _only_writer = self.writer.lock().await;
        let mut sum = Changes { counters: self.forest().counters, ..Changes::default() };
        for (dn, given) in objects {
            let changes = self.plan(Caller::System, |context| add::add(context, dn.as_str(), given))?;
            // Later ones refer to earlier ones. Should the commit fail, memory is ahead of the
            // disk, and the caller has the error.
            self.apply(changes.clone());
            sum.append(changes);
        }
        self.commit(sum).await.map(drop)
    }

    /// What a host that fetches the password sets off: an overdue gMSA rolls to its new key.
    /// Whether it did.
    pub async fn fetch_password(&self, dn: &Dn) -> Result<bool, Rejection> {
        let now = self.clock.now();
        let mut rolled = false;
        let plan = |context: &Context<'_>| {
            let account = context.forest.by_dn(dn).ok_or_else(|| Rejection::missing(dn))?;
            let unchanged = Changes { counters: context.forest.counters, ..Changes::default() };
            let changes = password::roll(context.forest, account, now);
            rolled = changes.is_some();
            Ok(changes.unwrap_or(unchanged))
        };
        self.write(Caller::System, plan).await?;
        Ok(rolled)
    }

    pub fn set_password(&self, account: &Dn, password: SecretString) {
        if let Some(id) = self.forest().by_dn(account).map(|account| account.id) {
            self.passwords.write().unwrap_or_else(PoisonError::into_inner).insert(id, password);
        }
    }

    /// Simple bind. An unknown account gets the same answer as a wrong password.
    pub fn login(&self, name: &str, password: &str) -> Result<Caller, Rejection> {
        let refused = |data: &str| {
            let text = format!(
                "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data {data}, v1db1"
            );
            Rejection::new(LdapResultCode::InvalidCredentials, text)
        };
        let forest = self.forest();
        let account = find_account(&forest, name).ok_or_else(|| refused("52e"))?;
        let passwords = self.passwords.read().unwrap_or_else(PoisonError::into_inner);
        let known = passwords.get(&account.id).is_some_and(|own| own.expose_secret() == password);
        match known && !password.is_empty() {
            false => Err(refused("52e")),
            true if account::is_disabled(account) => Err(refused("533")),
            true => Ok(Caller::of(account)),
        }
    }
}

/// By DN, `name@contoso.com`, or `CONTOSO\name`.
fn find_account<'a>(forest: &'a Forest, name: &str) -> Option<&'a Object> {
    let suffix = |name: &str| -> Option<String> {
        let (name, domain) = name.split_once('@')?;
        domain.eq_ignore_ascii_case(names::DNS_DOMAIN).then(|| name.to_owned())
    };
    let prefix = |name: &str| -> Option<String> {
        let (domain, name) = name.split_once('\\')?;
        domain.eq_ignore_ascii_case(names::NETBIOS).then(|| name.to_owned())
    };
    if let Some(found) = reference::resolve(forest, name) {
        return Some(found);
    }
    let by_upn = forest.by_value("userPrincipalName", name.as_bytes()).next();
    let by_sam = || {
        let sam = suffix(name).or_else(|| prefix(name))?;
        forest.by_value("sAMAccountName", sam.as_bytes()).next()
    };
    by_upn.or_else(by_sam).map(AsRef::as_ref)
}
