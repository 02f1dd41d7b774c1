//! Opens the configured directories, or the embedded one where none is configured.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use directory::embedded::{EmbeddedDirectory, EmbeddedOptions, FILE_NAME};
use directory::ldap::parse_urls;
use directory::{Decision, Directories, Directory as _, DirectoryError, LdapDirectory, LdapOptions, decide};
use domain::{DirectoryName, ErrorCode, Problem};
use secrecy::SecretString;

use super::store::chain;
use crate::config::Settings;
use crate::config::directory::Directory as Section;
use crate::failure::{Exit, Failure};

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What workflows reach, with connections of its own for urgent work.
pub struct Opened {
    pub all: Vec<Arc<LdapDirectory>>,
    urgent: Vec<Arc<LdapDirectory>>,
    /// Runs as long as this is held.
    embedded: Option<EmbeddedDirectory>,
}

impl Opened {
    /// Those of the configuration, else the embedded one in the data folder.
    pub async fn open(settings: &Settings) -> Result<Self, Failure> {
        if !settings.directories.is_empty() {
            return Self::configured(settings);
        }
        let embedded = start_embedded(&settings.data_dir).await?;
        let directory = LdapDirectory::new(embedded_options(&embedded)).map_err(|e| refused(&e))?;
        Ok(Self::with(vec![directory], Some(embedded)))
    }

    /// Those of the configuration; an error where there is none. Connects nowhere yet.
    pub fn configured(settings: &Settings) -> Result<Self, Failure> {
        if settings.directories.is_empty() {
            return Err(Failure::refused(
                "invalid-configuration",
                "`farmhand worker` needs a directory to work in",
                "set FARMHAND_DIRECTORY_URL, _BIND_DN and _PASSWORD_FILE, or run `farmhand up` with its embedded one",
            ));
        }
        let opened = settings.directories.iter().map(|(name, section)| {
            LdapDirectory::new(options(name, section)?).map_err(|error| refused(&error))
        });
        Ok(Self::with(opened.collect::<Result<_, Failure>>()?, None))
    }

    fn with(directories: Vec<LdapDirectory>, embedded: Option<EmbeddedDirectory>) -> Self {
        let urgent = directories.iter().map(|directory| Arc::new(directory.with_own_connections())).collect();
        Self { all: directories.into_iter().map(Arc::new).collect(), urgent, embedded }
    }

    pub fn is_embedded(&self) -> bool {
        self.embedded.is_some()
    }

    pub fn names(&self) -> Vec<DirectoryName> {
        self.all.iter().map(|directory| directory.name().clone()).collect()
    }

    pub fn directories(&self) -> Directories {
        Directories::new(self.all.iter().cloned().map(|directory| directory as Arc<dyn directory::Directory>))
    }

    pub fn urgent_directories(&self) -> Directories {
        Directories::new(
            self.urgent.iter().cloned().map(|directory| directory as Arc<dyn directory::Directory>),
        )
    }

    /// Stops the embedded directory, if it is ours.
    pub async fn close(self) {
        if let Some(embedded) = self.embedded {
            embedded.stop().await;
        }
    }
}

async fn start_embedded(data_dir: &Path) -> Result<EmbeddedDirectory, Failure> {
    let path = Some(data_dir.join(FILE_NAME));
    let started = EmbeddedDirectory::start(EmbeddedOptions { path, ..EmbeddedOptions::default() }).await;
    started.map_err(|error| {
        Failure::refused(
            "embedded-directory",
            chain(&error),
            format!("{FILE_NAME} in the data folder holds it; moved away, it is made anew (and empty)"),
        )
    })
}

fn embedded_options(embedded: &EmbeddedDirectory) -> LdapOptions {
    let name = DirectoryName::default();
    let urls = vec![embedded.url().clone()];
    LdapOptions {
        ca_pem: Some(embedded.ca_pem().to_owned()),
        global_catalog_url: Some(embedded.catalog_url().clone()),
        embedded: true,
        ..LdapOptions::new(name, urls, embedded.bind_dn(), embedded.password().clone())
    }
}

fn options(name: &str, section: &Section) -> Result<LdapOptions, Failure> {
    let wrong = |problem: String| {
        Failure::refused("invalid-configuration", format!("directories.{name}: {problem}"), "")
    };
    if section.is_name_only() {
        return Err(wrong(
            "only its name is configured; a worker needs urls, bind_dn and password".to_owned(),
        ));
    }
    let parse = |list: &str| parse_urls(list).map_err(|refusal| wrong(refusal.to_string()));
    let urls = parse(&section.urls.join(","))?;
    let catalog = section.global_catalog_url.as_deref().map(parse).transpose()?;
    let name = DirectoryName::parse(name).map_err(|error| wrong(error.to_string()))?;
    let password = SecretString::from(section.password(name.as_str())?.expose());
    Ok(LdapOptions {
        ca_file: section.ca_file.clone(),
        global_catalog_url: catalog.and_then(|urls| urls.into_iter().next()),
        connect_timeout: Duration::from_secs(section.connect_timeout_seconds),
        operation_timeout: Duration::from_secs(section.operation_timeout_seconds),
        connections: section.connections as usize,
        ..LdapOptions::new(name, urls, section.bind_dn.clone().unwrap_or_default(), password)
    })
}

/// What went wrong with a directory and what to do, from the one table of decisions.
pub fn problem(error: &DirectoryError) -> Problem {
    match decide(error) {
        Decision::Retry { problem, .. }
        | Decision::ReadAgain(problem)
        | Decision::Park(problem)
        | Decision::Fail(problem) => problem,
    }
}

fn refused(error: &DirectoryError) -> Failure {
    let Problem { code, message, hint, .. } = problem(error);
    let exit = if code == ErrorCode::DirectoryUnreachable { Exit::Unreachable } else { Exit::Refused };
    Failure::new(exit, code.as_str(), message, hint)
}

/// Says in the log whether a directory can be worked in. One that is away is tried again; a login
/// that was refused never is, since each try counts towards the account's lockout.
pub async fn report_health(directory: Arc<LdapDirectory>) {
    let name = directory.name().clone();
    let mut pause = FIRST_PAUSE;
    loop {
        let error = match directory.pin(None).await {
            Ok(dc) => return tracing::info!(directory = %name, dc = dc.dc(), "the directory answers"),
            Err(error) => error,
        };
        let Problem { code, message, hint, .. } = problem(&error);
        if !matches!(decide(&error), Decision::Retry { .. } | Decision::ReadAgain(_)) {
            return tracing::error!(directory = %name, %code, message, hint, "the directory cannot be worked in");
        }
        tracing::warn!(directory = %name, %code, message, hint, again_in = ?pause, "the directory is away");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
