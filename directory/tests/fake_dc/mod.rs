//! A server that misbehaves on purpose: what no real DC does when asked.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use directory::LdapOptions;
use futures::{SinkExt, StreamExt};
use ldap3_proto::LdapCodec;
use ldap3_proto::proto::{
    LdapBindCred, LdapBindResponse, LdapExtendedResponse, LdapMsg, LdapOp, LdapPartialAttribute, LdapResult,
    LdapResultCode, LdapSearchRequest, LdapSearchResultEntry,
};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_util::codec::Framed;

pub const PASSWORD: &str = "right";

/// What the next operation meets instead of an answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fault {
    /// The connection is closed.
    Cut,
    /// Nothing comes any more.
    Freeze,
}

#[derive(Debug, Default)]
pub struct State {
    pub name: Mutex<String>,
    pub connections: AtomicUsize,
    pub binds: AtomicUsize,
    pub writes: AtomicUsize,
    pub reads: AtomicUsize,
    /// Faults for operations other than login and rootDSE, in order.
    pub faults: Mutex<Vec<Fault>>,
    /// How many connections are up.
    pub open: AtomicUsize,
    /// Closes every connection when told.
    hang_up: tokio::sync::Notify,
}

pub struct FakeDc {
    pub state: Arc<State>,
    address: SocketAddr,
    pub ca_pem: String,
    tls: bool,
    accepting: tokio::task::JoinHandle<()>,
}

impl Drop for FakeDc {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl FakeDc {
    pub async fn start() -> Self {
        Self::listen(true).await
    }

    /// Speaks plain LDAP and refuses StartTLS.
    pub async fn without_tls() -> Self {
        Self::listen(false).await
    }

    async fn listen(tls: bool) -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("protocol versions")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .expect("a usable certificate");
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State::default());
        *state.name.lock().expect("unpoisoned") = "dc1.contoso.com".to_owned();
        let shared = state.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (state, acceptor) = (shared.clone(), acceptor.clone());
                tokio::spawn(async move {
                    state.connections.fetch_add(1, Ordering::SeqCst);
                    if !tls {
                        serve(tcp, state).await;
                    } else if let Ok(stream) = acceptor.accept(tcp).await {
                        serve(stream, state).await;
                    }
                });
            }
        });
        Self { state, address, ca_pem: made.cert.pem(), tls, accepting }
    }

    pub fn options(&self) -> LdapOptions {
        let scheme = if self.tls { "ldaps" } else { "ldap" };
        let url = format!("{scheme}://localhost:{}", self.address.port());
        let urls = directory::ldap::parse_urls(&url).expect("a URL");
        let mut options =
            LdapOptions::new(Default::default(), urls, "CN=svc,DC=contoso,DC=com", PASSWORD.into());
        options.ca_pem = Some(self.ca_pem.clone());
        options.connect_timeout = Duration::from_secs(2);
        options.operation_timeout = Duration::from_secs(1);
        options
    }

    pub fn next(&self, faults: &[Fault]) {
        *self.state.faults.lock().expect("unpoisoned") = faults.to_vec();
    }

    /// Closes what is open, and waits until it is.
    pub async fn hang_up(&self) {
        while self.state.open.load(Ordering::SeqCst) > 0 {
            self.state.hang_up.notify_waiters();
            tokio::task::yield_now().await;
        }
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, state: Arc<State>) {
    state.open.fetch_add(1, Ordering::SeqCst);
    let mut framed = Framed::new(stream, LdapCodec::default());
    loop {
        let told = state.hang_up.notified();
        let message = tokio::select! {
            () = told => break,
            message = framed.next() => message,
        };
        let Some(Ok(message)) = message else { break };
        match answer(&message, &state) {
            Ok(operations) => {
                for operation in operations {
                    if framed.send(LdapMsg::new(message.msgid, operation)).await.is_err() {
                        break;
                    }
                }
            }
            Err(Fault::Cut) => break,
            Err(Fault::Freeze) => state.hang_up.notified().await,
        }
    }
    state.open.fetch_sub(1, Ordering::SeqCst);
}

fn result(code: LdapResultCode, message: &str) -> LdapResult {
    LdapResult { code, matcheddn: String::new(), message: message.to_owned(), referral: Vec::new() }
}

fn answer(message: &LdapMsg, state: &State) -> Result<Vec<LdapOp>, Fault> {
    let ok = || result(LdapResultCode::Success, "");
    Ok(vec![match &message.op {
        LdapOp::BindRequest(bind) => {
            state.binds.fetch_add(1, Ordering::SeqCst);
            let right = matches!(&bind.cred, LdapBindCred::Simple(password) if password == PASSWORD);
            let wrong =
                "80090308: LdapErr: DSID-0C09044E, comment: AcceptSecurityContext error, data 52e, v4563\0";
            let res = if right { ok() } else { result(LdapResultCode::InvalidCredentials, wrong) };
            LdapOp::BindResponse(LdapBindResponse { res, saslcreds: None })
        }
        LdapOp::SearchRequest(search) => return read(search, state),
        LdapOp::ExtendedRequest(_) => {
            let res = result(LdapResultCode::Unavailable, "StartTLS is not available");
            LdapOp::ExtendedResponse(LdapExtendedResponse { res, name: None, value: None })
        }
        LdapOp::ModifyRequest(_) => {
            state.writes.fetch_add(1, Ordering::SeqCst);
            fault(state)?;
            LdapOp::ModifyResponse(ok())
        }
        LdapOp::DelRequest(_) => {
            state.writes.fetch_add(1, Ordering::SeqCst);
            fault(state)?;
            LdapOp::DelResponse(ok())
        }
        _ => return Err(Fault::Cut),
    }])
}

fn fault(state: &State) -> Result<(), Fault> {
    let mut faults = state.faults.lock().expect("unpoisoned");
    if faults.is_empty() { Ok(()) } else { Err(faults.remove(0)) }
}

fn entry(dn: &str, attributes: &[(&str, &[&str])]) -> LdapOp {
    let attribute = |(name, values): &(&str, &[&str])| LdapPartialAttribute {
        atype: (*name).to_owned(),
        vals: values.iter().map(|value| value.as_bytes().to_vec()).collect(),
    };
    let attributes = attributes.iter().map(attribute).collect();
    LdapOp::SearchResultEntry(LdapSearchResultEntry { dn: dn.to_owned(), attributes })
}

const SETTINGS: &str =
    "CN=NTDS Settings,CN=DC1,CN=Servers,CN=Here,CN=Sites,CN=Configuration,DC=contoso,DC=com";

fn read(search: &LdapSearchRequest, state: &State) -> Result<Vec<LdapOp>, Fault> {
    let done = || LdapOp::SearchResultDone(result(LdapResultCode::Success, ""));
    if search.base.is_empty() {
        let name = state.name.lock().expect("unpoisoned").clone();
        let root = entry(
            "",
            &[
                ("dnsHostName", &[name.as_str()]),
                ("defaultNamingContext", &["DC=contoso,DC=com"]),
                ("rootDomainNamingContext", &["DC=contoso,DC=com"]),
                ("configurationNamingContext", &["CN=Configuration,DC=contoso,DC=com"]),
                ("schemaNamingContext", &["CN=Schema,CN=Configuration,DC=contoso,DC=com"]),
                ("dsServiceName", &[SETTINGS]),
                ("isGlobalCatalogReady", &["TRUE"]),
            ],
        );
        return Ok(vec![root, done()]);
    }
    if search.base == SETTINGS {
        let class =
            if state.name.lock().expect("unpoisoned").starts_with("rodc") { "nTDSDSARO" } else { "nTDSDSA" };
        return Ok(vec![entry(SETTINGS, &[("objectClass", &["top", class])]), done()]);
    }
    state.reads.fetch_add(1, Ordering::SeqCst);
    fault(state)?;
    let found = match search.attrs.first().map(String::as_str) {
        Some("member") => entry(&search.base, &[("member", &[]), ("member;range=0-1", &["CN=a", "CN=b"])]),
        Some("member;range=2-*") => entry(&search.base, &[("member;range=2-2", &["CN=c"])]),
        Some("member;range=3-*") => entry(&search.base, &[("member;range=3-*", &["CN=d"])]),
        _ => entry(&search.base, &[("cn", &["x"]), ("msDS-ManagedPassword", &["leaked"])]),
    };
    Ok(vec![found, done()])
}
