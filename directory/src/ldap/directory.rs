//! One configured directory: which URL leads to which DC, and what each is good for.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use domain::DirectoryName;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::time::Instant;
use url::Url;

use super::connect::Connector;
use super::dc::LdapDc;
use super::options::{LdapOptions, sibling};
use super::pool::Pool;
use super::probe::{UrlProbe, probe};
use super::servers::{Server, servers};
use crate::entry::RootDse;
use crate::error::{DirectoryError, DirectoryErrorKind, Refusal, ResultCode};
use crate::port::{Base, Directory, DirectoryRead, DirectoryWrite, DomainController};

type Result<T> = std::result::Result<T, DirectoryError>;

/// A URL that failed this recently is tried after the others.
const AVOID: Duration = Duration::from_secs(15);

/// A directory over LDAP.
pub struct LdapDirectory {
    connector: Arc<Connector>,
    /// By URL.
    pools: Mutex<HashMap<String, Arc<Pool>>>,
    /// The writable DCs, and when they were named.
    dcs: Mutex<Option<(Instant, Vec<DomainController>)>>,
}

impl fmt::Debug for LdapDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let urls: Vec<_> = self.connector.options.urls.iter().map(Url::as_str).collect();
        f.debug_struct("LdapDirectory")
            .field("name", self.name())
            .field("urls", &urls)
            .finish_non_exhaustive()
    }
}

impl LdapDirectory {
    /// Checks the options and loads what is trusted; connects nowhere yet.
    pub fn new(options: LdapOptions) -> Result<Self> {
        let name = options.name.to_string();
        let connector = Connector::new(options).map_err(|refusal| {
            DirectoryError::new(name, "configure", DirectoryErrorKind::Refused(refusal))
        })?;
        Ok(Self { connector: Arc::new(connector), pools: Mutex::default(), dcs: Mutex::default() })
    }

    /// The same directory over connections of its own, so that urgent work does not queue behind
    /// the rest. What is known of the login is shared: a wrong password is tried once.
    pub fn with_own_connections(&self) -> Self {
        Self { connector: self.connector.clone(), pools: Mutex::default(), dcs: Mutex::default() }
    }

    /// Tries every configured URL by itself, on a connection of its own.
    pub async fn probe(&self) -> Vec<UrlProbe> {
        let urls = &self.connector.options.urls;
        futures::future::join_all(urls.iter().map(|url| probe(&self.connector, url))).await
    }

    fn pool(&self, url: &Url) -> Arc<Pool> {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        let made = || Arc::new(Pool::new(self.connector.clone(), url.clone()));
        pools.entry(url.to_string()).or_insert_with(made).clone()
    }

    /// The DC behind a URL, connected.
    async fn reach(&self, url: &Url) -> Result<Reached> {
        let pool = self.pool(url);
        let root = pool.lease().await?.connection.root.clone();
        let name = pool.name().unwrap_or_else(|| root.dns_host_name.clone());
        Ok(Reached { dc: LdapDc::new(pool.clone(), name, root.clone()), pool, root })
    }

    async fn reach_writable(&self, url: &Url) -> Result<Reached> {
        let reached = self.reach(url).await?;
        let writable = reached.pool.writable.get_or_try_init(|| is_writable(&reached)).await?;
        if *writable {
            return Ok(reached);
        }
        let text = format!("{} is a read-only domain controller", reached.dc.dc());
        let refusal = DirectoryErrorKind::Refused(Refusal::Configuration(text));
        Err(DirectoryError::new(reached.dc.dc(), "connect", refusal))
    }

    /// The first configured DC that answers and may be written to.
    async fn first(&self) -> Result<Reached> {
        let mut urls: Vec<_> = self.connector.options.urls.iter().collect();
        urls.sort_by_key(|url| self.pool(url).failed_within(AVOID));
        let mut failures = Vec::new();
        for url in urls {
            match self.reach_writable(url).await {
                Ok(reached) => return Ok(reached),
                // The same login would be refused everywhere, and count towards a lockout.
                Err(error) if login_refused(&error) => return Err(error),
                Err(error) => failures.push(error),
            }
        }
        Err(summary(self.name(), failures))
    }

    /// The named DC: by a configured URL that leads to it, else by its own name.
    async fn named(&self, name: &str) -> Result<Reached> {
        let urls = &self.connector.options.urls;
        let known = urls.iter().find(|url| is_named(self.pool(url).name(), name));
        if let Some(url) = known {
            return self.reach_writable(url).await;
        }
        // A URL that has not answered yet may be the one: ask all at once, so that one that does
        // not answer holds up nothing if another does.
        let unknown = urls.iter().filter(|url| self.pool(url).name().is_none());
        let mut asked: FuturesUnordered<_> = unknown.map(|url| self.reach(url)).collect();
        while let Some(answer) = asked.next().await {
            match answer {
                Ok(reached) if reached.dc.dc().eq_ignore_ascii_case(name) => {
                    return self.reach_writable(&reached.pool.url).await;
                }
                Err(error) if login_refused(&error) => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
        drop(asked);
        self.by_own_name(name).await
    }

    async fn by_own_name(&self, name: &str) -> Result<Reached> {
        let wrong = |text: String| {
            DirectoryError::new(name, "connect", DirectoryErrorKind::Refused(Refusal::Configuration(text)))
        };
        let url = self.connector.options.urls.first().and_then(|url| sibling(url, name, (636, 389)));
        let url = url.ok_or_else(|| wrong(format!("{name:?} is no name of a domain controller")))?;
        let reached = self.reach_writable(&url).await?;
        match reached.dc.dc().eq_ignore_ascii_case(name) {
            true => Ok(reached),
            false => Err(wrong(format!("{url} leads to {} instead", reached.dc.dc()))),
        }
    }

    async fn servers(&self, reached: &Reached) -> Result<Vec<Server>> {
        servers(&reached.dc, &reached.root).await
    }

    /// Where a global catalogue may answer, the likeliest first.
    async fn catalog_urls(&self) -> Result<Vec<Url>> {
        let options = &self.connector.options;
        if let Some(url) = &options.global_catalog_url {
            return Ok(vec![url.clone()]);
        }
        let reached = self.first().await?;
        if options.embedded {
            return Ok(vec![reached.pool.url.clone()]);
        }
        let here = &reached.pool.url;
        let catalog = |host: &str| sibling(here, host, (3269, 3268));
        if reached.root.is_global_catalog_ready {
            return Ok(here.host_str().and_then(catalog).into_iter().collect());
        }
        let mut others = self.servers(&reached).await?;
        others.retain(|server| server.controller.is_global_catalog);
        others.sort_by_key(|server| !server.writes_domain);
        Ok(others.iter().filter_map(|server| catalog(&server.controller.name)).collect())
    }
}

struct Reached {
    pool: Arc<Pool>,
    dc: LdapDc,
    /// As it was when the connection was opened.
    root: Arc<RootDse>,
}

fn is_named(known: Option<String>, name: &str) -> bool {
    known.is_some_and(|known| known.eq_ignore_ascii_case(name))
}

/// A read-only DC's NTDS Settings are of a class of their own; its writes would be referred.
async fn is_writable(reached: &Reached) -> Result<bool> {
    let settings = Base::from(&reached.root.ds_service_name);
    let settings = reached.dc.read(&settings, &["objectClass"]).await?;
    Ok(!settings.is_some_and(|settings| settings.is_class("nTDSDSARO")))
}

fn login_refused(error: &DirectoryError) -> bool {
    let before = DirectoryErrorKind::Refused(Refusal::LoginRefusedBefore);
    error.is(ResultCode::INVALID_CREDENTIALS) || error.kind == before
}

/// One error for several URLs: distrust says more than silence.
fn summary(name: &DirectoryName, mut failures: Vec<DirectoryError>) -> DirectoryError {
    if failures.len() == 1 {
        return failures.remove(0);
    }
    let texts: Vec<_> = failures.iter().map(|error| format!("{}: {}", error.dc, error.kind)).collect();
    let texts = texts.join("; ");
    let silent = |error: &DirectoryError| matches!(error.kind, DirectoryErrorKind::Unreachable(_));
    let kind = match failures.iter().find(|error| !silent(error)).map(|error| error.kind.clone()) {
        Some(DirectoryErrorKind::Untrusted(_)) => DirectoryErrorKind::Untrusted(texts),
        Some(DirectoryErrorKind::Refused(_)) if !failures.iter().any(silent) => {
            DirectoryErrorKind::Refused(Refusal::Configuration(texts))
        }
        _ => DirectoryErrorKind::Unreachable(texts),
    };
    DirectoryError::new(name.as_str(), "connect", kind)
}

#[async_trait]
impl Directory for LdapDirectory {
    fn name(&self) -> &DirectoryName {
        &self.connector.options.name
    }

    fn is_embedded(&self) -> bool {
        self.connector.options.embedded
    }

    async fn pin(&self, dc: Option<&str>) -> Result<Arc<dyn DirectoryWrite>> {
        let reached = match dc {
            None => self.first().await?,
            Some(name) => self.named(name).await?,
        };
        Ok(Arc::new(reached.dc))
    }

    async fn writable_dcs(&self) -> Result<Vec<DomainController>> {
        let found = self.servers(&self.first().await?).await?;
        let mut found: Vec<_> =
            found.into_iter().filter(|server| server.writes_domain).map(|server| server.controller).collect();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        *self.dcs.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), found.clone()));
        Ok(found)
    }

    fn known_writable_dcs(&self, at_most: Duration) -> Option<Vec<DomainController>> {
        let known = self.dcs.lock().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().filter(|(at, _)| at.elapsed() <= at_most).map(|(_, dcs)| dcs.clone())
    }

    async fn global_catalog(&self) -> Result<Arc<dyn DirectoryRead>> {
        let mut failures = Vec::new();
        for url in self.catalog_urls().await? {
            match self.reach(&url).await {
                Ok(reached) => return Ok(Arc::new(reached.dc)),
                Err(error) if login_refused(&error) => return Err(error),
                Err(error) => failures.push(error),
            }
        }
        if failures.is_empty() {
            let text = "no domain controller of the forest is a global catalogue".to_owned();
            let refusal = DirectoryErrorKind::Refused(Refusal::Configuration(text));
            return Err(DirectoryError::new(self.name().as_str(), "find a global catalogue", refusal));
        }
        Err(summary(self.name(), failures))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distrust_says_more_than_silence() {
        let error = |kind| DirectoryError::new("dc", "connect", kind);
        let silent = || error(DirectoryErrorKind::Unreachable("refused".to_owned()));
        let untrusted = || error(DirectoryErrorKind::Untrusted("unknown issuer".to_owned()));
        let name = DirectoryName::default();
        let both = summary(&name, vec![silent(), untrusted()]);
        assert!(
            matches!(&both.kind, DirectoryErrorKind::Untrusted(text) if text.contains("refused")),
            "{both}"
        );
        assert!(matches!(summary(&name, vec![silent(), silent()]).kind, DirectoryErrorKind::Unreachable(_)));
    }
}
