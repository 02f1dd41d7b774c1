//! An LDAP client that sends exactly what it is told.

use std::sync::Arc;

use futures::{SinkExt, StreamExt};
use ldap3_proto::control::LdapControl;
use ldap3_proto::parse_ldap_filter_str;
use ldap3_proto::proto::{
    LdapAddRequest, LdapBindCred, LdapBindRequest, LdapDerefAliases, LdapModify, LdapModifyRequest,
    LdapModifyType, LdapMsg, LdapOp, LdapPartialAttribute, LdapResult, LdapSearchRequest,
    LdapSearchResultEntry, LdapSearchScope,
};
use ldap3_proto::{LdapCodec, LdapResultCode};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use secrecy::ExposeSecret;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::codec::Framed;
use url::Url;

use super::super::{EmbeddedDirectory, EmbeddedOptions};

pub async fn start() -> EmbeddedDirectory {
    EmbeddedDirectory::start(EmbeddedOptions::default()).await.expect("it starts")
}

pub struct Client {
    framed: Framed<TlsStream<TcpStream>, LdapCodec>,
    next: i32,
}

/// What a search brought.
#[derive(Debug)]
pub struct Found {
    pub entries: Vec<LdapSearchResultEntry>,
    pub references: usize,
    pub result: LdapResult,
    pub cookie: Vec<u8>,
}

impl Found {
    pub fn values(&self, attribute: &str) -> Vec<Vec<u8>> {
        let attributes = self.entries.iter().flat_map(|entry| &entry.attributes);
        let named = attributes.filter(|found| found.atype.eq_ignore_ascii_case(attribute));
        named.flat_map(|found| found.vals.clone()).collect()
    }

    pub fn texts(&self, attribute: &str) -> Vec<String> {
        self.values(attribute).into_iter().map(|value| String::from_utf8(value).expect("text")).collect()
    }
}

/// A search to change where it differs.
pub fn search(base: &str, scope: LdapSearchScope, filter: &str, attributes: &[&str]) -> LdapSearchRequest {
    LdapSearchRequest {
        base: base.to_owned(),
        scope,
        aliases: LdapDerefAliases::Never,
        sizelimit: 0,
        timelimit: 0,
        typesonly: false,
        filter: parse_ldap_filter_str(filter).expect("a filter"),
        attrs: attributes.iter().map(|name| (*name).to_owned()).collect(),
    }
}

pub fn attribute(name: &str, values: &[&str]) -> LdapPartialAttribute {
    LdapPartialAttribute {
        atype: name.to_owned(),
        vals: values.iter().map(|value| value.as_bytes().to_vec()).collect(),
    }
}

pub fn change(operation: LdapModifyType, name: &str, values: &[&str]) -> LdapModify {
    LdapModify { operation, modification: attribute(name, values) }
}

impl Client {
    pub async fn connect(url: &Url, ca_pem: &str) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca_pem.as_bytes()).expect("PEM")).expect("a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let (host, port) = (url.host_str().expect("a host").to_owned(), url.port().expect("a port"));
        let stream = TcpStream::connect((host.as_str(), port)).await.expect("connects");
        let name = ServerName::try_from(host).expect("a name");
        let connector = TlsConnector::from(Arc::new(config));
        let stream = connector.connect(name, stream).await.expect("the certificate is good");
        Self { framed: Framed::new(stream, LdapCodec::new(Some(1 << 24), None)), next: 1 }
    }

    pub async fn anonymous(directory: &EmbeddedDirectory) -> Self {
        Self::connect(directory.url(), directory.ca_pem()).await
    }

    pub async fn admin(directory: &EmbeddedDirectory) -> Self {
        let mut client = Self::anonymous(directory).await;
        let password = directory.admin_password().expose_secret().to_owned();
        assert_eq!(client.bind(directory.admin_dn(), &password).await.code, LdapResultCode::Success);
        client
    }

    pub async fn service(directory: &EmbeddedDirectory) -> Self {
        let mut client = Self::anonymous(directory).await;
        let password = directory.password().expose_secret().to_owned();
        assert_eq!(client.bind(directory.bind_dn(), &password).await.code, LdapResultCode::Success);
        client
    }

    /// Every message of the answer; without its last one where the connection breaks before.
    pub async fn ask(&mut self, op: LdapOp, ctrl: Vec<LdapControl>) -> Vec<LdapMsg> {
        let msgid = self.next;
        self.next += 1;
        self.framed.send(LdapMsg { msgid, op, ctrl }).await.expect("sends");
        let mut answer = Vec::new();
        while let Some(Ok(message)) = self.framed.next().await {
            assert_eq!(message.msgid, msgid);
            let more = matches!(message.op, LdapOp::SearchResultEntry(_) | LdapOp::SearchResultReference(_));
            answer.push(message);
            if !more {
                break;
            }
        }
        answer
    }

    /// `None` where the connection breaks instead of an answer.
    pub async fn result(&mut self, op: LdapOp) -> Option<LdapResult> {
        let answer = self.ask(op, Vec::new()).await.pop()?;
        Some(match answer.op {
            LdapOp::BindResponse(response) => response.res,
            LdapOp::ExtendedResponse(response) => response.res,
            LdapOp::AddResponse(result)
            | LdapOp::ModifyResponse(result)
            | LdapOp::DelResponse(result)
            | LdapOp::CompareResult(result)
            | LdapOp::SearchResultDone(result) => result,
            other => panic!("no result: {other:?}"),
        })
    }

    pub async fn bind(&mut self, dn: &str, password: &str) -> LdapResult {
        let cred = LdapBindCred::Simple(password.to_owned());
        let bind = LdapBindRequest { version: 3, dn: dn.to_owned(), cred };
        self.result(LdapOp::BindRequest(bind)).await.expect("an answer")
    }

    pub async fn add(&mut self, dn: &str, attributes: Vec<LdapPartialAttribute>) -> LdapResult {
        let add = LdapAddRequest { dn: dn.to_owned(), attributes };
        self.result(LdapOp::AddRequest(add)).await.expect("an answer")
    }

    pub async fn modify(&mut self, dn: &str, changes: Vec<LdapModify>) -> LdapResult {
        let modify = LdapModifyRequest { dn: dn.to_owned(), changes };
        self.result(LdapOp::ModifyRequest(modify)).await.expect("an answer")
    }

    pub async fn delete(&mut self, dn: &str) -> LdapResult {
        self.result(LdapOp::DelRequest(dn.to_owned())).await.expect("an answer")
    }

    pub async fn search_with(&mut self, request: LdapSearchRequest, controls: Vec<LdapControl>) -> Found {
        let (mut entries, mut references) = (Vec::new(), 0);
        for LdapMsg { op, ctrl, .. } in self.ask(LdapOp::SearchRequest(request), controls).await {
            match op {
                LdapOp::SearchResultEntry(entry) => entries.push(entry),
                LdapOp::SearchResultReference(_) => references += 1,
                LdapOp::SearchResultDone(result) => {
                    let cookie = ctrl.into_iter().find_map(|control| match control {
                        LdapControl::SimplePagedResults { cookie, .. } => Some(cookie),
                        _ => None,
                    });
                    return Found { entries, references, result, cookie: cookie.unwrap_or_default() };
                }
                other => panic!("not of a search: {other:?}"),
            }
        }
        panic!("the connection broke");
    }

    pub async fn search(&mut self, request: LdapSearchRequest) -> Found {
        self.search_with(request, Vec::new()).await
    }

    /// One object by DN, with the attributes named.
    pub async fn read(&mut self, dn: &str, attributes: &[&str]) -> Found {
        self.search(search(dn, LdapSearchScope::Base, "(objectClass=*)", attributes)).await
    }
}
