//! Who already holds a service principal name, by itself or through an alias.

use std::collections::{BTreeSet, HashMap};

use domain::{Dn, ServicePrincipalName};

use super::contexts;
use crate::error::DirectoryError;
use crate::ldap::filter_value;
use crate::port::{Base, DirectoryRead, Scope, Search};

/// sPNMappings: which service classes a class stands for. `host/X` answers for `http/X`, `cifs/X`
/// and some fifty more, so whoever holds one of them is in the way of the other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpnAliases(HashMap<String, BTreeSet<String>>);

impl SpnAliases {
    /// Values of the form `host=alerter,appmgmt,...`; what is not is left out.
    pub fn parse<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let mut aliases: HashMap<String, BTreeSet<String>> = HashMap::new();
        for (class, list) in values.into_iter().filter_map(|value| value.split_once('=')) {
            let names =
                list.split(',').map(|name| name.trim().to_lowercase()).filter(|name| !name.is_empty());
            aliases.entry(class.trim().to_lowercase()).or_default().extend(names);
        }
        Self(aliases)
    }

    /// Every class whose SPN for the same host collides with one of `class`, itself first. Two
    /// aliases of one class (`http` and `cifs`) do not collide with each other.
    pub fn colliding(&self, class: &str) -> Vec<String> {
        let class = class.to_lowercase();
        let stands_for = self.0.get(&class).into_iter().flatten();
        let covered_by = self.0.iter().filter(|(_, names)| names.contains(&class)).map(|(base, _)| base);
        let mut found = vec![class.clone()];
        found.extend(stands_for.chain(covered_by).filter(|other| **other != class).cloned());
        found
    }
}

/// An object that holds an SPN in the way of one that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpnOwner {
    pub asked: ServicePrincipalName,
    /// As the owner has it.
    pub held: String,
    pub owner: Dn,
    /// Not the same SPN, but one that covers it or is covered by it.
    pub by_alias: bool,
}

pub async fn spn_aliases(dc: &dyn DirectoryRead) -> Result<SpnAliases, DirectoryError> {
    let services = contexts(dc).await?.configuration_naming_context.child("CN", "Services");
    let service = services.child("CN", "Windows NT").child("CN", "Directory Service");
    let entry = dc.read(&(&service).into(), &["sPNMappings"]).await?;
    let values = entry.map(|entry| entry.texts("sPNMappings")).unwrap_or_default();
    Ok(SpnAliases::parse(values.iter().map(String::as_str)))
}

/// Terms in one filter.
const CHUNK: usize = 60;

/// Objects other than `except` that hold one of `asked` or collide with it, in the whole forest
/// at `catalog`. The answer lags behind replication: a late refusal of the DC is the last word.
pub async fn spn_owners(
    catalog: &dyn DirectoryRead,
    aliases: &SpnAliases,
    asked: &[ServicePrincipalName],
    except: Option<&Dn>,
) -> Result<Vec<SpnOwner>, DirectoryError> {
    let mut wanted: HashMap<String, Vec<&ServicePrincipalName>> = HashMap::new();
    for spn in asked {
        for class in aliases.colliding(spn.class()) {
            wanted.entry(spn.with_class(&class).to_lowercase()).or_default().push(spn);
        }
    }
    let mut keys: Vec<_> = wanted.keys().collect();
    keys.sort();
    let mut owners = Vec::new();
    for chunk in keys.chunks(CHUNK) {
        let terms: String =
            chunk.iter().map(|key| format!("(servicePrincipalName={})", filter_value(key))).collect();
        let search =
            Search::new(Base::Root, Scope::Subtree, format!("(|{terms})"), &["servicePrincipalName"]);
        let found = catalog.search(&search).await?;
        let others = found.iter().filter(|entry| except.is_none_or(|except| entry.dn != *except));
        for entry in others {
            let held = entry.texts("servicePrincipalName");
            // An object comes back with all its SPNs, those of other chunks too.
            let here = held.iter().filter(|held| chunk.iter().any(|key| **key == held.to_lowercase()));
            for held in here {
                for spn in wanted.get(&held.to_lowercase()).into_iter().flatten() {
                    let by_alias = spn.key() != held.to_lowercase();
                    owners.push(SpnOwner {
                        asked: (*spn).clone(),
                        held: held.clone(),
                        owner: entry.dn.clone(),
                        by_alias,
                    });
                }
            }
        }
    }
    Ok(owners)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_collides_in_both_directions_and_not_with_its_siblings() {
        let aliases = SpnAliases::parse(["host=alerter,HTTP, cifs", "nonsense", "x="]);
        assert_eq!(aliases.colliding("http"), ["http", "host"]);
        assert_eq!(aliases.colliding("HOST"), ["host", "alerter", "cifs", "http"]);
        assert_eq!(aliases.colliding("MSSQLSvc"), ["mssqlsvc"]);
    }
}
