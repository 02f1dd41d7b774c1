//! Each URL by itself, step by step: what `doctor` shows.

use url::Url;

use super::connect::Connector;
use crate::entry::RootDse;
use crate::error::DirectoryError;

/// How far a URL leads. A step that was not reached is `None`.
#[derive(Debug)]
pub struct UrlProbe {
    pub url: Url,
    /// Name, TCP and TLS with a trusted certificate.
    pub encrypted: Result<(), DirectoryError>,
    pub logged_in: Option<Result<(), DirectoryError>>,
    pub root_dse: Option<Result<RootDse, DirectoryError>>,
}

pub(super) async fn probe(connector: &Connector, url: &Url) -> UrlProbe {
    let url = url.clone();
    let mut ldap = match connector.encrypt(&url).await {
        Ok(ldap) => ldap,
        Err(error) => return UrlProbe { url, encrypted: Err(error), logged_in: None, root_dse: None },
    };
    let logged_in = connector.bind(&url, &mut ldap).await;
    let root_dse = match logged_in {
        Ok(()) => Some(connector.root_dse(&url, &mut ldap).await),
        Err(_) => None,
    };
    UrlProbe { url, encrypted: Ok(()), logged_in: Some(logged_in), root_dse }
}
