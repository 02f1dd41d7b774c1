//! All gMSAs of a DC's copy by the root key that their password is made from.

use std::collections::BTreeMap;

use directory::{DirectoryRead, Entry, ManagedPasswordId, Scope, Search};
use domain::{Dn, Sid};
use futures::TryStreamExt as _;
use uuid::Uuid;

use crate::StepError;
use crate::steps::contain::accounts;
use crate::steps::ways::domain_of;

const ATTRIBUTES: [&str; 3] = ["objectSid", "sAMAccountName", "msDS-ManagedPasswordId"];
/// Accounts without a key id of which a person hears the name.
const NAMED: usize = 20;

/// An account whose password the exposed key gives away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnKey {
    pub sid: Sid,
    pub dn: Dn,
    /// With its `$`.
    pub account: String,
}

/// What a sweep saw. Of accounts on other keys only their number is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    pub looked_at: u64,
    pub keys: BTreeMap<Uuid, u64>,
    pub on_key: Vec<OnKey>,
    /// Accounts whose key id is absent or cannot be read, the first few by name.
    pub unreadable: u64,
    pub named: Vec<Dn>,
}

impl Swept {
    fn take(&mut self, key: Uuid, entry: &Entry) {
        self.looked_at += 1;
        let id = entry.bytes("msDS-ManagedPasswordId").and_then(|id| ManagedPasswordId::parse(id).ok());
        let Some((id, sid)) = id.zip(entry.sid("objectSid")) else {
            self.unreadable += 1;
            if self.named.len() < NAMED {
                self.named.push(entry.dn.clone());
            }
            return;
        };
        *self.keys.entry(id.root_key).or_default() += 1;
        if id.root_key == key {
            let account = entry.text("sAMAccountName").unwrap_or(&entry.dn.rdn().value).to_owned();
            self.on_key.push(OnKey { sid, dn: entry.dn.clone(), account });
        }
    }
}

/// Page by page.
pub async fn sweep(dc: &dyn DirectoryRead, key: Uuid) -> Result<Swept, StepError> {
    let domain = domain_of(dc).await?;
    let search = Search::new(&domain, Scope::Subtree, accounts::all(), &ATTRIBUTES);
    let mut swept = Swept::default();
    let mut pages = dc.pages(&search);
    while let Some(page) = pages.try_next().await? {
        page.iter().for_each(|entry| swept.take(key, entry));
    }
    drop(pages);
    swept.on_key.sort_by(|a, b| a.sid.cmp(&b.sid));
    Ok(swept)
}

#[cfg(test)]
mod tests {
    use directory::password_id::Slot;

    use super::*;
    use crate::steps::testing::{dn, sid};

    fn gmsa(name: &str, rid: u32, key: Option<u128>) -> Entry {
        let id = key.map(|key| {
            let (slot, root_key) = (Slot::new(361, 26, 24).expect("valid"), Uuid::from_u128(key));
            let name = || "contoso.com".to_owned();
            ManagedPasswordId { slot, root_key, domain: name(), forest: name(), flags: 2, additional: vec![] }
        });
        let mut attributes = vec![
            ("objectSid".to_owned(), vec![sid(rid).to_bytes()]),
            ("sAMAccountName".to_owned(), vec![format!("{name}$").into_bytes()]),
        ];
        attributes.extend(id.map(|id| ("msDS-ManagedPasswordId".to_owned(), vec![id.to_bytes()])));
        Entry::new(dn(&format!("CN={name},DC=contoso,DC=com")), attributes)
    }

    #[test]
    fn accounts_on_the_key_are_kept_and_others_counted() {
        let mut swept = Swept::default();
        let found = [gmsa("A", 1, Some(7)), gmsa("B", 2, Some(8)), gmsa("C", 3, Some(8)), gmsa("D", 4, None)];
        found.iter().for_each(|entry| swept.take(Uuid::from_u128(7), entry));
        assert_eq!(swept.on_key.iter().map(|one| one.account.as_str()).collect::<Vec<_>>(), ["A$"]);
        let keys: Vec<_> = swept.keys.values().copied().collect();
        assert_eq!((swept.looked_at, keys, swept.unreadable), (4, vec![1, 2], 1));
        assert_eq!(swept.named[0].to_string(), "CN=D,DC=contoso,DC=com");
    }
}
