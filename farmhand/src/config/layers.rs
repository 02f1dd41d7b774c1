//! The layers above the compiled-in defaults: file, environment, flags.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use figment::providers::{Format, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use toml_edit::{ImDocument, TableLike};

use super::catalogue::{self, Kind};
use super::{ConfigError, Findings};

/// Where a value came from. Later variants win over earlier ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Default,
    File { path: PathBuf, line: usize },
    Environment(String),
    Flag(&'static str),
}

impl Origin {
    pub fn rank(&self) -> u8 {
        match self {
            Self::Default => 0,
            Self::File { .. } => 1,
            Self::Environment(_) => 2,
            Self::Flag(_) => 3,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// Values with their origin. No `Debug`: values may be secrets.
#[derive(Default)]
pub struct Layer(Vec<Single>);

impl Layer {
    fn insert(&mut self, key: &str, value: Value, origin: Origin) {
        let path = key.split('.').map(str::to_owned).collect();
        self.0.push(Single { path, value, origin });
    }

    pub fn origins(&self) -> impl Iterator<Item = (String, &Origin)> {
        self.0.iter().map(|single| (single.path.join("."), &single.origin))
    }

    pub fn merge_into(self, figment: Figment) -> Figment {
        self.0.into_iter().fold(figment, Figment::merge)
    }

    /// Reads `farmhand.toml`. A syntax error names line and column and never quotes the line,
    /// which may hold a secret.
    pub fn from_file(path: &Path) -> Result<Self, ConfigError> {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|e| {
            ConfigError::one(&shown, format!("cannot be read: {e}"), "name another file with --config")
        })?;
        let document = ImDocument::parse(text.as_str()).map_err(|error| {
            let (line, column) = position(&text, error.span().map_or(0, |span| span.start));
            ConfigError::one(format!("{shown}:{line}:{column}"), one_line(error.message()), "")
        })?;
        let mut layer = Self::default();
        let root: Dict = Toml::from_str(&text)
            .map_err(|_| ConfigError::one(&shown, "is no configuration that can be understood", ""))?;
        layer.flatten(&[], root, Some(document.as_table()), &|offset| Origin::File {
            path: path.to_owned(),
            line: position(&text, offset).0,
        });
        Ok(layer)
    }

    fn flatten(
        &mut self,
        above: &[String],
        values: Dict,
        spans: Option<&dyn TableLike>,
        origin: &dyn Fn(usize) -> Origin,
    ) {
        for (name, value) in values {
            let found = spans.and_then(|table| table.get_key_value(&name));
            let start =
                found.and_then(|(key, item)| key.span().or_else(|| item.span())).map_or(0, |s| s.start);
            let path: Vec<String> = above.iter().cloned().chain([name.clone()]).collect();
            match value {
                Value::Dict(_, inner) if !inner.is_empty() => {
                    self.flatten(&path, inner, found.and_then(|(_, item)| item.as_table_like()), origin);
                }
                value => self.0.push(Single { path, value, origin: origin(start) }),
            }
        }
    }

    /// Takes what concerns us out of the environment. A `FARMHAND_` variable that means nothing is
    /// an error: a typing mistake would otherwise silently leave the embedded part in use.
    pub fn from_environment(variables: &BTreeMap<String, String>) -> Result<Self, ConfigError> {
        let mut layer = Self::default();
        let mut findings = Findings::default();
        for (name, text) in variables {
            if name == "FARMHAND_CONFIG" || name.starts_with("FARMHAND_TEST_") {
                continue;
            }
            let Some((key, kind)) = catalogue::variable(name) else {
                if name.starts_with("FARMHAND_") {
                    let hint = format!("did you mean {}?", nearest(name, catalogue::variables()));
                    findings.add(name, "is no setting of Farmhand", hint);
                }
                continue;
            };
            // An empty variable is how compose files and shells say "not set".
            if text.is_empty() {
                continue;
            }
            let value = findings.absorb(parse(name, text, kind));
            if let Some(value) = value {
                layer.insert(&key, value, Origin::Environment(name.clone()));
            }
        }
        findings.into_result().map(|()| layer)
    }

    /// `flags`: dotted key, name of the flag, its text.
    pub fn from_flags(flags: &[(&str, &'static str, String)]) -> Result<Self, ConfigError> {
        let mut layer = Self::default();
        for (key, flag, text) in flags {
            let kind = catalogue::SETTINGS.iter().find(|s| s.key == *key).map_or(Kind::Text, |s| s.kind);
            layer.insert(key, parse(flag, text, kind)?, Origin::Flag(flag));
        }
        Ok(layer)
    }
}

fn parse(name: &str, text: &str, kind: Kind) -> Result<Value, ConfigError> {
    match kind {
        Kind::Text => Ok(Value::from(text)),
        Kind::Integer => text
            .trim()
            .parse::<u64>()
            .map(Value::from)
            .map_err(|_| ConfigError::one(name, format!("{text:?} is no whole number"), "")),
        Kind::Switch => text
            .trim()
            .parse::<bool>()
            .map(Value::from)
            .map_err(|_| ConfigError::one(name, format!("{text:?} is neither true nor false"), "")),
        Kind::List => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Ok(Value::from(items.map(Value::from).collect::<Vec<_>>()))
        }
    }
}

/// The known name that needs the fewest keystrokes from the given one.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> &'a str {
    known.min_by_key(|candidate| strsim::damerau_levenshtein(name, candidate)).unwrap_or_default()
}

fn one_line(message: &str) -> String {
    message.split('\n').map(str::trim).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ")
}

/// Line and column, from 1, of a byte offset.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// One value as a figment provider, so that an error about it knows its origin.
struct Single {
    /// Not a dotted text: a directory's name may hold a dot.
    path: Vec<String>,
    value: Value,
    origin: Origin,
}

impl Provider for Single {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.origin.to_string())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let nest = |value: Value, name: &String| Value::from(Dict::from([(name.clone(), value)]));
        match self.path.iter().rev().fold(self.value.clone(), nest) {
            Value::Dict(_, dict) => Ok(Profile::Default.collect(dict)),
            _ => Ok(Map::new()),
        }
    }
}
