//! `config check`: every value, where it came from and what it means.

use serde::Serialize;

use super::catalogue::{DIRECTORY_SETTINGS, SETTINGS};
use super::{ConfigError, Findings, Loaded};

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explained {
    pub key: String,
    /// Secrets as `***`; `None`: not set.
    pub value: Option<String>,
    pub source: String,
    pub environment: Option<&'static str>,
    pub meaning: &'static str,
}

impl Loaded {
    pub fn explain(&self) -> Vec<Explained> {
        let plain = SETTINGS.iter().map(|setting| Explained {
            key: setting.key.to_owned(),
            value: (setting.show)(&self.settings),
            source: self.origin(setting.key).to_string(),
            environment: Some(setting.env),
            meaning: setting.meaning,
        });
        let mut rows: Vec<Explained> = plain.collect();
        rows.extend(self.settings.intake.users.iter().map(|(user, roles)| {
            let key = format!("intake.users.{user}");
            Explained {
                value: Some(roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(",")),
                source: self.origin(&key).to_string(),
                environment: None,
                meaning: "what RabbitMQ's user of that name may ask for over AMQP",
                key,
            }
        }));
        for (name, directory) in &self.settings.directories {
            rows.extend(DIRECTORY_SETTINGS.iter().map(|setting| {
                let key = format!("directories.{name}.{}", setting.key);
                Explained {
                    value: (setting.show)(directory),
                    source: self.origin(&key).to_string(),
                    environment: (name == "default").then_some(setting.env),
                    meaning: setting.meaning,
                    key,
                }
            }));
        }
        rows
    }

    /// Looks at what the configuration names outside of itself: files of secrets and authorities.
    pub fn check_files(&self) -> Result<(), ConfigError> {
        let mut findings = Findings::default();
        let settings = &self.settings;
        findings.absorb(settings.database.url());
        findings.absorb(settings.amqp.url());
        findings.absorb(settings.client.token());
        let mut authorities = vec![
            ("amqp.ca_file".to_owned(), &settings.amqp.ca_file),
            ("client.ca_file".to_owned(), &settings.client.ca_file),
        ];
        for (name, directory) in &settings.directories {
            if !directory.is_name_only() {
                findings.absorb(directory.password(name));
            }
            authorities.push((format!("directories.{name}.ca_file"), &directory.ca_file));
        }
        for (key, path) in authorities {
            let Some(path) = path else { continue };
            let text = std::fs::read_to_string(path).unwrap_or_default();
            if !text.contains("-----BEGIN CERTIFICATE-----") {
                let message = format!("{} holds no PEM certificate that can be read", path.display());
                findings.add(key, message, "name the authority's certificate in PEM form");
            }
        }
        findings.into_result()
    }
}
