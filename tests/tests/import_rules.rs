//! Who may import whom: the table of `docs/architecture.md`, held against the manifests and the
//! sources.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Crate → those of ours that it may depend on.
const MAY_IMPORT: [(&str, &[&str]); 8] = [
    ("domain", &[]),
    ("migrations", &[]),
    ("messages", &["domain"]),
    ("directory", &["domain"]),
    ("store", &["domain", "migrations"]),
    ("workers", &["domain", "messages", "directory", "store"]),
    ("orchestrator", &["domain", "messages", "store"]),
    ("farmhand", &["domain", "messages", "directory", "store", "migrations", "workers", "orchestrator"]),
];

/// Library → the only places that may name it. The benchmark's floors are bare loops over these
/// libraries, so they are the exception.
const NAMED_ONLY_IN: [(&str, &[&str]); 5] = [
    ("lapin", &["messages/src/rabbitmq/", "tests/benches/"]),
    ("ldap3", &["directory/src/ldap/", "tests/benches/"]),
    ("ldap3_proto", &["directory/src/embedded/", "directory/tests/"]),
    ("sea_orm", &["store/src/", "migrations/src/", "store/tests/"]),
    ("anyhow", &["farmhand/", "tests/"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

fn dependencies(member: &str, table: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(root().join(member).join("Cargo.toml")).expect("a manifest");
    let manifest: toml::Table = text.parse().expect("valid TOML");
    let table = manifest.get(table).and_then(toml::Value::as_table);
    table.map(|table| table.keys().cloned().collect()).unwrap_or_default()
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("target") && !path.ends_with(".git") {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn no_crate_depends_on_one_that_it_may_not_know() {
    let ours: BTreeSet<&str> = MAY_IMPORT.iter().map(|(name, _)| *name).chain(["tests"]).collect();
    for (member, allowed) in MAY_IMPORT {
        for table in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let all = dependencies(member, table);
            let forbidden: Vec<_> = all
                .iter()
                .filter(|name| ours.contains(name.as_str()) && !allowed.contains(&name.as_str()))
                .collect();
            assert!(forbidden.is_empty(), "{member} may not depend on {forbidden:?} ([{table}])");
        }
    }
}

#[test]
fn the_table_lists_every_crate_of_the_workspace() {
    let text = fs::read_to_string(root().join("Cargo.toml")).expect("a manifest");
    let manifest: toml::Table = text.parse().expect("valid TOML");
    let members = manifest["workspace"]["members"].as_array().expect("members");
    let members: BTreeSet<_> = members.iter().filter_map(toml::Value::as_str).collect();
    let listed: BTreeSet<_> = MAY_IMPORT.iter().map(|(name, _)| *name).chain(["tests"]).collect();
    assert_eq!(members, listed);
}

#[test]
fn a_library_is_named_only_by_its_adapter() {
    let root = root();
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut wrong: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for file in files {
        let relative = file.strip_prefix(&root).expect("below the root").display().to_string();
        let text = fs::read_to_string(&file).expect("a source file");
        for (library, places) in NAMED_ONLY_IN {
            let names_it = text.lines().any(|line| names(line, library));
            if names_it && !places.iter().any(|place| relative.starts_with(place)) {
                wrong.entry(library).or_default().push(relative.clone());
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Whether a line of code uses `library` as a path; comments and longer names do not count.
fn names(line: &str, library: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    code.match_indices(library).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = &code[at + library.len()..];
        let starts = !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '"');
        starts && (after.starts_with("::") || after.trim_start().starts_with("as ") || after.trim() == ";")
    })
}
