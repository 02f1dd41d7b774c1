//! What a RabbitMQ bus is told: where the broker is and how patient to be.

use std::path::PathBuf;
use std::time::Duration;

use domain::Lane;
use lapin::tcp::OwnedTLSConfig;
use lapin::uri::{AMQPScheme, AMQPUri};
use secrecy::{ExposeSecret, SecretString};

use crate::Topology;

/// Largest AMQP frame that we ask for, in bytes. lapin keeps two buffers of 32 frames for each
/// connection: the broker's default of 128 KiB would cost 8 MiB a connection.
const FRAME_MAX: u32 = 16 * 1024;
/// AMQP names are length-prefixed with one byte.
const LONGEST_NAME: usize = 255;

/// Options of [`crate::RabbitMqBus`]; [`RabbitMqOptions::new`] gives the defaults.
#[derive(Debug, Clone)]
pub struct RabbitMqOptions {
    /// `amqp://user:password@host:5672/vhost` or `amqps://`; the vhost is percent-encoded, none
    /// means `/`.
    pub url: SecretString,
    pub topology: Topology,
    /// Shown in RabbitMQ's management page, with the purpose of the connection behind it.
    pub connection_name: String,
    /// PEM certificates that are trusted for `amqps` besides those of the system.
    pub ca_file: Option<PathBuf>,
    /// After about twice this time without a sign of life a connection counts as lost.
    pub heartbeat: Duration,
    /// For TCP and TLS together. A first attempt holds publishers this long at most.
    pub connect_timeout: Duration,
    /// How long a publish waits for the broker's confirm.
    pub confirm_timeout: Duration,
    /// The longest pause between two attempts to connect; jitter may double it.
    pub max_backoff: Duration,
    /// The pause after the broker refused our login or topology: a person must mend that, and
    /// hammering fills its log.
    pub refused_backoff: Duration,
}

/// Options that can never work. No text quotes the URL, which holds the password.
#[derive(Debug, thiserror::Error)]
pub enum RabbitMqOptionsError {
    #[error("the AMQP URL is wrong: {0}")]
    Url(String),
    #[error("the CA file {} cannot be read", .path.display())]
    CaFile { path: PathBuf, source: std::io::Error },
    #[error("the CA file {} holds no PEM certificate", .0.display())]
    NoCertificate(PathBuf),
    #[error("the queue prefix is too long or empty: AMQP names have 1 to {LONGEST_NAME} bytes")]
    Prefix,
}

impl RabbitMqOptions {
    pub fn new(url: SecretString) -> Self {
        Self {
            url,
            topology: Topology::default(),
            connection_name: "farmhand".to_owned(),
            ca_file: None,
            heartbeat: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
            confirm_timeout: Duration::from_secs(10),
            max_backoff: Duration::from_secs(10),
            refused_backoff: Duration::from_secs(30),
        }
    }

    pub(super) fn settings(&self) -> Result<Settings, RabbitMqOptionsError> {
        let mut uri = parse_url(self.url.expose_secret())?;
        let heartbeat = u16::try_from(self.heartbeat.as_secs()).unwrap_or(u16::MAX).max(1);
        uri.query.heartbeat.get_or_insert(heartbeat);
        uri.query.frame_max.get_or_insert(FRAME_MAX);
        let queue = self.topology.queue(Lane::Lifecycle);
        if queue.len() > LONGEST_NAME || queue.starts_with('.') {
            return Err(RabbitMqOptionsError::Prefix);
        }
        Ok(Settings {
            uri,
            tls: OwnedTLSConfig { identity: None, cert_chain: self.ca_certificates()? },
            topology: self.topology.clone(),
            connection_name: self.connection_name.clone(),
            connect_timeout: self.connect_timeout,
            confirm_timeout: self.confirm_timeout,
            max_backoff: self.max_backoff,
            refused_backoff: self.refused_backoff,
        })
    }

    fn ca_certificates(&self) -> Result<Option<String>, RabbitMqOptionsError> {
        let Some(path) = &self.ca_file else { return Ok(None) };
        let pem = std::fs::read_to_string(path)
            .map_err(|source| RabbitMqOptionsError::CaFile { path: path.clone(), source })?;
        if !pem.contains("-----BEGIN CERTIFICATE-----") {
            return Err(RabbitMqOptionsError::NoCertificate(path.clone()));
        }
        Ok(Some(pem))
    }
}

/// Checked options. No `Debug`: the URI holds the password.
pub(super) struct Settings {
    pub uri: AMQPUri,
    pub tls: OwnedTLSConfig,
    pub topology: Topology,
    pub connection_name: String,
    pub connect_timeout: Duration,
    pub confirm_timeout: Duration,
    pub max_backoff: Duration,
    pub refused_backoff: Duration,
}

impl Settings {
    /// Who we are on the broker.
    pub fn user(&self) -> &str {
        &self.uri.authority.userinfo.username
    }
}

fn parse_url(text: &str) -> Result<AMQPUri, RabbitMqOptionsError> {
    let wrong = |problem: &str| RabbitMqOptionsError::Url(problem.to_owned());
    let url = url::Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
    if !matches!(url.scheme(), "amqp" | "amqps") {
        return Err(wrong("it must begin with amqp:// or amqps://"));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(wrong("it names no host"));
    }
    // The parser's own text would quote the URL.
    let mut uri: AMQPUri = text
        .parse()
        .map_err(|_: String| wrong("its user, vhost or parameters are not what AMQP URLs allow"))?;
    if let Some(url::Host::Ipv6(address)) = url.host() {
        // The AMQP parser knows domain names only and falls back to localhost.
        uri.authority.host = address.to_string();
    }
    if uri.vhost.is_empty() {
        // "amqp://host/" is an empty vhost to the letter, and "/" to everybody who writes it.
        "/".clone_into(&mut uri.vhost);
    }
    if uri.scheme == AMQPScheme::AMQPS && url.port().is_none() {
        uri.authority.port = AMQPScheme::AMQPS.default_port();
    }
    Ok(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(url: &str) -> RabbitMqOptions {
        RabbitMqOptions::new(url.to_owned().into())
    }

    #[test]
    fn a_wrong_url_is_refused_without_repeating_the_password() {
        for url in [
            "",
            "amqp:",
            "http://u:s3cret@h/",
            "amqp://u:s3cret@/",
            "amqp://u:s3cret@h/?heartbeat=x",
            "s3cret",
        ] {
            let error = options(url).settings().err().unwrap_or_else(|| panic!("{url} was taken"));
            assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
        }
        assert!(!format!("{:?}", options("amqp://u:s3cret@h/")).contains("s3cret"));
    }

    #[test]
    fn a_url_gives_host_port_vhost_and_user() {
        let uri = options("amqps://us%40er:p%2fw@rabbit.contoso.com/%2ffarm").settings().expect("fine").uri;
        assert_eq!((uri.authority.host.as_str(), uri.authority.port), ("rabbit.contoso.com", 5671));
        assert_eq!((uri.vhost.as_str(), uri.authority.userinfo.username.as_str()), ("/farm", "us@er"));
        assert_eq!(uri.authority.userinfo.password, "p/w");
        assert_eq!(uri.query.heartbeat, Some(10));
        for plain in ["amqp://rabbit", "amqp://rabbit/", "amqp://rabbit/%2f"] {
            assert_eq!(options(plain).settings().expect("fine").uri.vhost, "/");
        }
    }

    #[test]
    fn an_address_of_ipv6_is_not_mistaken_for_localhost() {
        let uri = options("amqp://[2001:db8::7]:5673/").settings().expect("fine").uri;
        assert_eq!((uri.authority.host.as_str(), uri.authority.port), ("2001:db8::7", 5673));
    }

    #[test]
    fn a_prefix_that_makes_no_amqp_name_is_refused() {
        let mut long = options("amqp://h");
        long.topology = Topology::new("x".repeat(250));
        assert!(matches!(long.settings().err(), Some(RabbitMqOptionsError::Prefix)));
        long.topology = Topology::new("");
        assert!(matches!(long.settings().err(), Some(RabbitMqOptionsError::Prefix)));
    }

    #[test]
    fn a_ca_file_must_hold_a_certificate() {
        let mut with_ca = options("amqps://h");
        with_ca.ca_file = Some("/nonexistent/ca.pem".into());
        assert!(matches!(with_ca.settings().err(), Some(RabbitMqOptionsError::CaFile { .. })));
        with_ca.ca_file = Some(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml").into());
        assert!(matches!(with_ca.settings().err(), Some(RabbitMqOptionsError::NoCertificate(_))));
    }
}
