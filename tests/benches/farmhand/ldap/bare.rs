//! ldap3 with nothing around it but TLS with a checked certificate.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, ensure};
use directory::{Attribute, Modification, Scope};
use ldap3::adapters::{Adapter, EntriesOnly, PagedResults};
use ldap3::{Ldap, LdapConnAsync, LdapConnSettings, Mod, ResultEntry, SearchEntry, StdStream};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tests::lab::Lab;
use url::Url;

use super::record::{Call, Recorded};
use super::substitute::Substitute;

const CATALOG_PORT: u16 = 3269;
const NO_SUCH_OBJECT: u32 = 32;
/// Entries of a page, as the adapter asks for.
const PAGE: i32 = 500;

struct Slot {
    ldap: Ldap,
    load: AtomicUsize,
}

/// Connections, logged in, to a DC and its global catalogue.
pub struct Bare {
    dc: Vec<Slot>,
    catalog: Vec<Slot>,
}

/// What an operation brought.
pub struct Brought {
    pub entries: usize,
    pub sids: Vec<Vec<u8>>,
}

impl Bare {
    pub async fn connect(lab: &Lab, connections: usize) -> Result<Self> {
        let url = Url::parse(&lab.directory_url)?;
        let mut catalog_url = url.clone();
        ensure!(catalog_url.set_port(Some(CATALOG_PORT)).is_ok(), "{url} takes no port");
        let (mut dc, mut catalog) = (Vec::new(), Vec::new());
        for _ in 0..connections {
            dc.push(connect(lab, &url).await?);
            catalog.push(connect(lab, &catalog_url).await?);
        }
        Ok(Self { dc, catalog })
    }

    /// One member in one Modify.
    pub async fn add_member(&self, group: &str, member: &str) -> Result<()> {
        let mut ldap = self.dc.first().context("no connection")?.ldap.clone();
        let member = HashSet::from([member.as_bytes().to_vec()]);
        ldap.modify(group, vec![Mod::Add(b"member".to_vec(), member)]).await?.success()?;
        Ok(())
    }

    /// One Modify as it was seen elsewhere, e.g. a compare-and-swap of a value.
    pub async fn modify(&self, dn: &str, modifications: &[Modification]) -> Result<()> {
        let mut ldap = self.dc.first().context("no connection")?.ldap.clone();
        let names = Substitute::none();
        let modifications = modifications.iter().map(|one| wire_modification(one, &names)).collect();
        ldap.modify(dn, modifications).await?.success()?;
        Ok(())
    }

    /// Sends a recorded operation on the least loaded connection.
    pub async fn send(&self, recorded: &Recorded, names: &Substitute) -> Result<Brought> {
        let slots = if recorded.catalog { &self.catalog } else { &self.dc };
        let slot =
            slots.iter().min_by_key(|slot| slot.load.load(Ordering::Relaxed)).context("no connection")?;
        slot.load.fetch_add(1, Ordering::Relaxed);
        let brought = send(slot.ldap.clone(), recorded, names).await;
        slot.load.fetch_sub(1, Ordering::Relaxed);
        brought.with_context(|| format!("{:?}", recorded.call))
    }
}

async fn connect(lab: &Lab, url: &Url) -> Result<Slot> {
    let mut trusted = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(&lab.ca_file)? {
        trusted.add(certificate?)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let tls = tls.with_root_certificates(trusted).with_no_client_auth();
    let host = url.host_str().context("the directory's URL names no host")?;
    let tcp = tokio::net::TcpStream::connect((host, url.port().unwrap_or(636))).await?;
    // As the adapter does; without it small requests would wait for one another.
    tcp.set_nodelay(true)?;
    let settings =
        LdapConnSettings::new().set_config(Arc::new(tls)).set_std_stream(StdStream::Tcp(tcp.into_std()?));
    let (driver, mut ldap) = LdapConnAsync::from_url_with_settings(settings, url).await?;
    tokio::spawn(driver.drive());
    ldap.simple_bind(&lab.service.dn, &lab.service.password).await?.success()?;
    Ok(Slot { ldap, load: AtomicUsize::new(0) })
}

async fn send(mut ldap: Ldap, recorded: &Recorded, names: &Substitute) -> Result<Brought> {
    let written = match &recorded.call {
        Call::Read { base, attributes } => {
            let (base, any) = (names.text(base), "(objectClass=*)");
            let found = ldap.search(&base, ldap3::Scope::Base, any, attributes.clone()).await?;
            let ldap3::SearchResult(entries, result) = found;
            ensure!(result.rc == 0 || result.rc == NO_SUCH_OBJECT, "{result}");
            return Ok(brought(entries, recorded));
        }
        Call::Search { base, scope, filter, attributes } => {
            let entries =
                search(ldap, &names.text(base), *scope, &names.text(filter), attributes.clone()).await?;
            return Ok(brought(entries, recorded));
        }
        Call::Add { dn, attributes } => {
            let attributes = attributes.iter().map(|attribute| wire(attribute, names)).collect();
            ldap.add(&names.text(dn), attributes).await?
        }
        Call::Modify { dn, modifications } => {
            let modifications = modifications.iter().map(|one| wire_modification(one, names)).collect();
            ldap.modify(&names.text(dn), modifications).await?
        }
        Call::Delete { dn } => ldap.delete(&names.text(dn)).await?,
        Call::Rename { dn, name } => {
            let rdn = domain::Rdn { attribute: "CN".to_owned(), value: names.text(name) }.to_string();
            ldap.modifydn(&names.text(dn), &rdn, true, None).await?
        }
    };
    written.success()?;
    Ok(Brought { entries: 0, sids: Vec::new() })
}

async fn search(
    mut ldap: Ldap,
    base: &str,
    scope: Scope,
    filter: &str,
    attributes: Vec<String>,
) -> Result<Vec<ResultEntry>> {
    let mut adapters: Vec<Box<dyn Adapter<'static, String, Vec<String>>>> =
        vec![Box::new(EntriesOnly::new())];
    let scope = match scope {
        Scope::Base => ldap3::Scope::Base,
        Scope::One => ldap3::Scope::OneLevel,
        Scope::Subtree => ldap3::Scope::Subtree,
    };
    if scope != ldap3::Scope::Base {
        adapters.push(Box::new(PagedResults::new(PAGE)));
    }
    let mut stream = ldap.streaming_search_with(adapters, base, scope, filter, attributes).await?;
    let mut entries = Vec::new();
    while let Some(entry) = stream.next().await? {
        entries.push(entry);
    }
    stream.finish().await.success()?;
    Ok(entries)
}

/// Reads SIDs only where the recording has some: a floor does no work that is not needed.
fn brought(entries: Vec<ResultEntry>, recorded: &Recorded) -> Brought {
    let entries: Vec<_> = entries.into_iter().filter(|entry| !entry.is_ref()).collect();
    let count = entries.len();
    if recorded.sids.is_empty() {
        return Brought { entries: count, sids: Vec::new() };
    }
    let sid = |entry: ResultEntry| {
        let SearchEntry { mut attrs, mut bin_attrs, .. } = SearchEntry::construct(entry);
        // ldap3 sorts values by whether their bytes happen to be text.
        let text =
            attrs.remove("objectSid").map(|values| values.into_iter().map(String::into_bytes).collect());
        bin_attrs.remove("objectSid").or(text).and_then(|values: Vec<Vec<u8>>| values.into_iter().next())
    };
    Brought { entries: count, sids: entries.into_iter().filter_map(sid).collect() }
}

fn wire(attribute: &Attribute, names: &Substitute) -> (Vec<u8>, HashSet<Vec<u8>>) {
    let values = attribute.values.iter().map(|value| names.bytes(value)).collect();
    (attribute.name.clone().into_bytes(), values)
}

fn wire_modification(modification: &Modification, names: &Substitute) -> Mod<Vec<u8>> {
    let (Modification::Add(attribute) | Modification::Delete(attribute) | Modification::Replace(attribute)) =
        modification;
    let (name, values) = wire(attribute, names);
    match modification {
        Modification::Add(_) => Mod::Add(name, values),
        Modification::Delete(_) => Mod::Delete(name, values),
        Modification::Replace(_) => Mod::Replace(name, values),
    }
}
