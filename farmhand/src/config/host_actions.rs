//! `[host_actions]`: what workers do on member hosts.

use std::path::Path;

use domain::HostAdapter;
use serde::Deserialize;

use super::Findings;

/// Several actions on one host follow one another within a step, whose limit is 300 s.
const LONGEST_TIMEOUT: u64 = 120;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HostActions {
    pub adapter: HostAdapter,
    /// Program and arguments; no shell.
    pub command: Vec<String>,
    /// Names of variables that the program gets from the worker's own environment.
    pub environment: Vec<String>,
    pub timeout_seconds: u64,
    pub wave: u16,
}

impl Default for HostActions {
    fn default() -> Self {
        Self {
            adapter: HostAdapter::None,
            command: Vec::new(),
            environment: vec!["PATH".to_owned()],
            timeout_seconds: 60,
            wave: 10,
        }
    }
}

impl HostActions {
    /// The program, where one is named.
    pub fn program(&self) -> Option<&Path> {
        self.command.first().map(Path::new)
    }

    pub fn validate(&self, findings: &mut Findings) {
        const EXAMPLE: &str = "e.g. [\"/usr/bin/python3\", \"/etc/farmhand/host-action.py\"]";
        match self.program() {
            None if self.adapter == HostAdapter::Command => {
                findings.add("host_actions.command", "is empty, and adapter is command", EXAMPLE);
            }
            // A name would be looked up in whatever PATH the worker happens to have.
            Some(program) if !program.is_absolute() => {
                findings.add(
                    "host_actions.command",
                    "must begin with the absolute path of a program",
                    EXAMPLE,
                );
            }
            _ => {}
        }
        if self.command.iter().any(|part| part.contains('\0')) {
            findings.add("host_actions.command", "holds a NUL character", EXAMPLE);
        }
        let wrong = |name: &&String| name.is_empty() || name.contains(['=', '\0']);
        if let Some(name) = self.environment.iter().find(wrong) {
            findings.add("host_actions.environment", format!("{name:?} is no name of a variable"), "");
        }
        // These hold the passwords of database, broker and directory.
        if let Some(name) = self.environment.iter().find(|name| name.starts_with("FARMHAND_")) {
            let hint = "the program must not see Farmhand's secrets";
            findings.add("host_actions.environment", format!("{name} is not handed on"), hint);
        }
        findings.range("host_actions.timeout_seconds", self.timeout_seconds, 1..=LONGEST_TIMEOUT);
        findings.range("host_actions.wave", self.wave.into(), 1..=1000);
    }
}
