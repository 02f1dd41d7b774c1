//! A directory that refuses every write: what a dry run works with.

use std::sync::Arc;

use async_trait::async_trait;
use domain::Dn;
use futures::stream::BoxStream;

use crate::entry::{Entry, RootDse};
use crate::error::{DirectoryError, DirectoryErrorKind, Refusal};
use crate::port::{Attribute, Base, DirectoryRead, DirectoryWrite, Modification, Search};

pub struct ReadOnly(pub Arc<dyn DirectoryWrite>);

impl ReadOnly {
    fn refuse(&self, operation: &str, dn: &Dn) -> DirectoryError {
        DirectoryError::new(
            self.dc(),
            format!("{operation} {dn}"),
            DirectoryErrorKind::Refused(Refusal::DryRun),
        )
    }
}

#[async_trait]
impl DirectoryRead for ReadOnly {
    fn dc(&self) -> &str {
        self.0.dc()
    }
    async fn root_dse(&self) -> Result<RootDse, DirectoryError> {
        self.0.root_dse().await
    }
    fn known_root_dse(&self) -> Option<Arc<RootDse>> {
        self.0.known_root_dse()
    }
    async fn read(&self, base: &Base, attributes: &[&str]) -> Result<Option<Entry>, DirectoryError> {
        self.0.read(base, attributes).await
    }
    async fn search(&self, search: &Search) -> Result<Vec<Entry>, DirectoryError> {
        self.0.search(search).await
    }
    fn pages<'a>(&'a self, search: &'a Search) -> BoxStream<'a, Result<Vec<Entry>, DirectoryError>> {
        self.0.pages(search)
    }
}

#[async_trait]
impl DirectoryWrite for ReadOnly {
    async fn add(&self, dn: &Dn, _: &[Attribute]) -> Result<(), DirectoryError> {
        Err(self.refuse("add", dn))
    }
    async fn modify(&self, dn: &Dn, _: &[Modification]) -> Result<(), DirectoryError> {
        Err(self.refuse("modify", dn))
    }
    async fn delete(&self, dn: &Dn) -> Result<(), DirectoryError> {
        Err(self.refuse("delete", dn))
    }
    async fn rename(&self, dn: &Dn, _: &str) -> Result<(), DirectoryError> {
        Err(self.refuse("rename", dn))
    }
}
