//! Configuration: compiled-in documented defaults, then `farmhand.toml`, then the environment,
//! then flags. Unknown keys are errors in every layer.
//!
//! To add a setting: a field with its default in its section's file, a line in
//! [`catalogue`], a row in `docs/configuration.md` (a test holds that) and, where it helps, the
//! sample in `deploy/samples/farmhand.toml`.

pub mod amqp;
pub mod announcements;
pub mod catalogue;
pub mod client;
pub mod database;
pub mod directory;
pub mod drift;
mod error;
pub mod explain;
pub mod host_actions;
pub mod intake;
pub mod layers;
pub mod lifecycle;
pub mod log;
pub mod quarantine;
pub mod reactions;
pub mod rotation;
pub mod scheduler;
mod secret;
pub mod server;
mod settings;
pub mod telemetry;
#[cfg(test)]
mod tests;
pub mod worker;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::error::Kind;

pub use error::{ConfigError, Findings};
pub use layers::Origin;
pub use secret::{Secret, SecretUrl};
pub use settings::Settings;

use layers::Layer;

/// Everything that a configuration is made from; explicit, so that a test needs no process
/// environment.
#[derive(Debug, Default, Clone)]
pub struct Sources {
    pub environment: BTreeMap<String, String>,
    /// `--config`.
    pub file: Option<PathBuf>,
    /// Dotted key, name of the flag, its text.
    pub flags: Vec<(&'static str, &'static str, String)>,
    /// Where `./farmhand.toml` is looked for.
    pub working_dir: PathBuf,
}

/// A configuration with the origin of each value.
pub struct Loaded {
    pub settings: Settings,
    pub file: Option<PathBuf>,
    origins: BTreeMap<String, Origin>,
}

impl Loaded {
    pub fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).cloned().unwrap_or(Origin::Default)
    }
}

impl Sources {
    pub fn load(&self) -> Result<Loaded, ConfigError> {
        let environment = Layer::from_environment(&self.environment)?;
        let flags = Layer::from_flags(&self.flags)?;
        let default_data_dir = self.default_data_dir();
        let file = self.find_file(default_data_dir.as_deref());
        let in_file = file.as_deref().map(Layer::from_file).transpose()?.unwrap_or_default();

        let mut origins = BTreeMap::new();
        for layer in [&in_file, &environment, &flags] {
            origins.extend(layer.origins().map(|(key, origin)| (key, origin.clone())));
        }
        let mut figment = Figment::new();
        for layer in [in_file, environment, flags] {
            figment = layer.merge_into(figment);
        }
        let mut settings: Settings = figment.extract().map_err(readable)?;
        if settings.data_dir.as_os_str().is_empty() {
            settings.data_dir = default_data_dir.ok_or_else(|| {
                ConfigError::one("data_dir", "there is no home folder to put it in", "set FARMHAND_DATA_DIR")
            })?;
        }
        one_of_value_and_file(&mut settings, &origins)?;
        settings.validate()?;
        Ok(Loaded { settings, file, origins })
    }

    /// `--config`, `FARMHAND_CONFIG`, `./farmhand.toml`, the data folder's, or none.
    fn find_file(&self, default_data_dir: Option<&Path>) -> Option<PathBuf> {
        // A file that was asked for and is missing is an error later; one that was not is none.
        let asked = self.file.clone().or_else(|| self.variable("FARMHAND_CONFIG").map(PathBuf::from));
        let flag = self.flags.iter().find(|(key, ..)| *key == "data_dir").map(|(.., text)| text.as_str());
        let data_dir = flag
            .or_else(|| self.variable("FARMHAND_DATA_DIR"))
            .map(PathBuf::from)
            .or_else(|| default_data_dir.map(Path::to_owned));
        let beside = [Some(self.working_dir.clone()), data_dir];
        asked.or_else(|| {
            beside
                .into_iter()
                .flatten()
                .map(|folder| folder.join("farmhand.toml"))
                .find(|file| file.is_file())
        })
    }

    /// The platform's folder for state (XDG Base Directory Specification).
    fn default_data_dir(&self) -> Option<PathBuf> {
        let state = self.variable("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let home = || self.variable("HOME").map(|home| Path::new(home).join(".local/state"));
        state.or_else(home).map(|state| state.join("farmhand"))
    }

    fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }
}

/// figment's errors in words of ours. What was found is left out of errors about secrets.
fn readable(errors: figment::Error) -> ConfigError {
    let mut findings = Findings::default();
    for error in errors {
        let key = error.path.join(".");
        let origin = error.metadata.as_ref().map(|metadata| metadata.name.to_string()).unwrap_or_default();
        match &error.kind {
            Kind::UnknownField(field, known) => {
                let mut parts = error.path.clone();
                // figment ends the path with the field in some cases and with its section in others.
                if parts.last() != Some(field) {
                    parts.push(field.clone());
                }
                let hint = format!("did you mean {}?", layers::nearest(field, known.iter().copied()));
                findings.add(parts.join("."), format!("is no setting of Farmhand, in {origin}"), hint);
            }
            Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected)
                if catalogue::is_secret(&key) =>
            {
                findings.add(key, format!("must be {expected}, in {origin}"), "");
            }
            kind => findings.add(key, format!("{kind}, in {origin}"), ""),
        }
    }
    ConfigError(findings.into_result().err().map(|error| error.0).unwrap_or_default())
}

/// A secret is given as itself or as a file. The one from the higher layer counts; both in one
/// layer contradict each other.
fn one_of_value_and_file(
    settings: &mut Settings,
    origins: &BTreeMap<String, Origin>,
) -> Result<(), ConfigError> {
    let mut findings = Findings::default();
    let mut settle = |key: &str, clear_value: &mut dyn FnMut(), clear_file: &mut dyn FnMut()| {
        let file_key = format!("{key}_file");
        if let (Some(value), Some(file)) = (origins.get(key), origins.get(&file_key)) {
            match value.rank().cmp(&file.rank()) {
                std::cmp::Ordering::Less => clear_value(),
                std::cmp::Ordering::Greater => clear_file(),
                std::cmp::Ordering::Equal => {
                    findings.add(
                        key,
                        format!("is set, and {file_key} as well ({value}, {file})"),
                        "set one of them",
                    );
                }
            }
        }
    };
    let Settings { database, amqp, client, directories, .. } = settings;
    settle("database.url", &mut || database.url = None, &mut || database.url_file = None);
    settle("amqp.url", &mut || amqp.url = None, &mut || amqp.url_file = None);
    settle("client.token", &mut || client.token = None, &mut || client.token_file = None);
    for (name, directory) in directories {
        let (password, file) = (&mut directory.password, &mut directory.password_file);
        settle(&format!("directories.{name}.password"), &mut || *password = None, &mut || *file = None);
    }
    findings.into_result()
}
