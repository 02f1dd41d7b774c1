//! Computers of a test's own on the lab's DC, in numbers that the lab does not seed.

use anyhow::Result;

use crate::lab::{HOST_CONTAINER, Lab, unique_name};
use crate::ldap::Ldap;
use crate::script::report_drop;

/// Member servers that never log on; deleted when dropped.
#[derive(Debug)]
pub struct Computers {
    witness: Ldap,
    /// sAMAccountName without its `$`.
    pub names: Vec<String>,
}

impl Computers {
    /// Written so many at a time: a busy DC must be done with each lot within the client's limit.
    const LOT: usize = 100;

    /// # Errors
    /// When the DC does not take one of them; those before it are deleted again.
    pub fn new(lab: &Lab, prefix: &str, number: usize) -> Result<Self> {
        let prefix = unique_name(prefix);
        let names = (0..number).map(|n| format!("{prefix}{n}")).collect();
        let computers = Self { witness: lab.as_admin(), names };
        computers.each(|name| {
            format!(
                "changetype: add\nobjectClass: computer\nsAMAccountName: {name}$\nuserAccountControl: 4096\n"
            )
        })?;
        Ok(computers)
    }

    pub fn dn(name: &str) -> String {
        format!("CN={name},{HOST_CONTAINER}")
    }

    fn each(&self, record: impl Fn(&str) -> String) -> Result<()> {
        for lot in self.names.chunks(Self::LOT) {
            let record = |name: &String| format!("dn: {}\n{}\n", Self::dn(name), record(name));
            self.witness.apply(&lot.iter().map(record).collect::<String>())?;
        }
        Ok(())
    }
}

impl Drop for Computers {
    fn drop(&mut self) {
        let deleted = self.each(|_| "changetype: delete\n".to_owned());
        report_drop(&format!("{} computers {:?}...", self.names.len(), self.names.first()), deleted);
    }
}
