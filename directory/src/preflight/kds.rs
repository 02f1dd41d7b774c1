//! Whether the forest has a KDS root key that a new gMSA's password can be made from.

use chrono::{DateTime, TimeDelta, Utc};
use domain::Dn;
use uuid::Uuid;

use super::contexts;
use crate::entry::{Entry, RootDse};
use crate::error::DirectoryError;
use crate::password_id::ManagedPasswordId;
use crate::port::{DirectoryRead, Scope, Search};

/// What can be seen of the forest's root keys. Their attributes are confidential: an account
/// without special rights sees that keys are there, not since when, so silence is no "none".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KdsRootKey {
    /// This key can be used: its times say so, or an account's password is made from it.
    Usable { key: Uuid },
    /// There are keys, and the earliest can be used from then on.
    NotYetUsable { usable_at: DateTime<Utc> },
    /// The container is there to be listed and is empty.
    None,
    /// Keys are there, or may be, and nothing shows whether one can be used.
    CannotSee { keys: Vec<Uuid> },
}

/// A root key as far as it can be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootKey {
    pub id: Uuid,
    pub created: Option<DateTime<Utc>>,
    pub use_from: Option<DateTime<Utc>>,
}

/// A DC uses a key once this long has passed since its msKds-UseStartTime, so that every other DC
/// has it by then: ten hours and five minutes.
pub const ROOT_KEY_SETTLING: TimeDelta = TimeDelta::minutes(10 * 60 + 5);

impl RootKey {
    /// When passwords are made from it; `None` where its times cannot be seen.
    pub fn usable_at(&self) -> Option<DateTime<Utc>> {
        self.use_from.map(|from| from + ROOT_KEY_SETTLING)
    }
}

/// `now` by the DC's clock (rootDSE currentTime) or ours.
pub async fn kds_root_key(dc: &dyn DirectoryRead, now: DateTime<Utc>) -> Result<KdsRootKey, DirectoryError> {
    let root = contexts(dc).await?;
    let Some(keys) = keys_in(dc, &root).await? else {
        return Ok(in_use(dc, &root, now, None).await?.unwrap_or(KdsRootKey::CannotSee { keys: Vec::new() }));
    };
    if let Some(judged) = judge(&keys, now) {
        return Ok(judged);
    }
    let ids: Vec<_> = keys.iter().map(|key| key.id).collect();
    let shown = in_use(dc, &root, now, Some(&ids)).await?;
    Ok(shown.unwrap_or(KdsRootKey::CannotSee { keys: ids }))
}

impl KdsRootKey {
    /// By the keys' own times; `None` where those cannot be seen.
    pub fn by_times(keys: &[RootKey], now: DateTime<Utc>) -> Option<Self> {
        judge(keys, now)
    }
}

/// By the keys' own times; `None` where those cannot be seen.
fn judge(keys: &[RootKey], now: DateTime<Utc>) -> Option<KdsRootKey> {
    if keys.is_empty() {
        return Some(KdsRootKey::None);
    }
    let usable = |key: &&RootKey| key.usable_at().is_some_and(|at| at <= now);
    // Among several the DC takes the one that was made last.
    if let Some(key) = keys.iter().filter(usable).max_by_key(|key| key.created) {
        return Some(KdsRootKey::Usable { key: key.id });
    }
    let moments: Option<Vec<_>> = keys.iter().map(RootKey::usable_at).collect();
    let usable_at = moments?.into_iter().min()?;
    Some(KdsRootKey::NotYetUsable { usable_at })
}

/// The forest's root keys by this DC's copy; `None` where not even their container is to be seen.
pub async fn root_keys(dc: &dyn DirectoryRead) -> Result<Option<Vec<RootKey>>, DirectoryError> {
    keys_in(dc, contexts(dc).await?.as_ref()).await
}

/// The object of a root key.
pub async fn root_key_dn(dc: &dyn DirectoryRead, key: Uuid) -> Result<Dn, DirectoryError> {
    Ok(container(contexts(dc).await?.as_ref()).child("CN", &key.to_string()))
}

fn container(root: &RootDse) -> Dn {
    let services = root.configuration_naming_context.child("CN", "Services");
    services.child("CN", "Group Key Distribution Service").child("CN", "Master Root Keys")
}

async fn keys_in(dc: &dyn DirectoryRead, root: &RootDse) -> Result<Option<Vec<RootKey>>, DirectoryError> {
    let container = container(root);
    if dc.read(&(&container).into(), &["cn"]).await?.is_none() {
        return Ok(None);
    }
    // Only this filter finds objects of which no attribute may be read.
    let attributes = ["msKds-CreateTime", "msKds-UseStartTime"];
    let found = dc.search(&Search::new(&container, Scope::One, "(objectClass=*)", &attributes)).await?;
    Ok(Some(found.iter().filter_map(root_key).collect()))
}

fn root_key(entry: &Entry) -> Option<RootKey> {
    let id = entry.dn.rdn().value.parse().ok()?;
    let (created, use_from) = (entry.file_time("msKds-CreateTime"), entry.file_time("msKds-UseStartTime"));
    Some(RootKey { id, created, use_from })
}

/// A key that a gMSA's password is made from has been usable. `among`: only those count, where
/// the keys are known; one that was deleted is of no use any more.
async fn in_use(
    dc: &dyn DirectoryRead,
    root: &RootDse,
    now: DateTime<Utc>,
    among: Option<&[Uuid]>,
) -> Result<Option<KdsRootKey>, DirectoryError> {
    // A large domain has thousands; those made lately nearly always tell.
    let lately = (now - TimeDelta::days(60)).format("%Y%m%d%H%M%S.0Z");
    for narrowed in [format!("(whenCreated>={lately})"), String::new()] {
        let keys = keys_in_use(dc, &root.default_naming_context, &narrowed).await?;
        let mut keys = keys.into_iter().filter(|key| among.is_none_or(|among| among.contains(key)));
        if let Some(key) = keys.next() {
            return Ok(Some(KdsRootKey::Usable { key }));
        }
    }
    Ok(None)
}

async fn keys_in_use(
    dc: &dyn DirectoryRead,
    domain: &Dn,
    narrowed: &str,
) -> Result<Vec<Uuid>, DirectoryError> {
    let filter = format!("(&(objectClass=msDS-GroupManagedServiceAccount){narrowed})");
    let found = dc.search(&Search::new(domain, Scope::Subtree, filter, &["msDS-ManagedPasswordId"])).await?;
    let ids = found.iter().filter_map(|entry| entry.bytes("msDS-ManagedPasswordId"));
    Ok(ids.filter_map(|bytes| ManagedPasswordId::parse(bytes).ok()).map(|id| id.root_key).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: u128, created: &str, use_from: Option<&str>) -> RootKey {
        let time = |text: &str| text.parse().expect("a valid time");
        RootKey { id: Uuid::from_u128(id), created: Some(time(created)), use_from: use_from.map(time) }
    }

    #[test]
    fn a_key_is_usable_ten_hours_and_five_minutes_after_its_start() {
        let now = "2026-01-02T00:00:00Z".parse().expect("a valid time");
        let late = key(1, "2026-01-01T00:00:00Z", Some("2026-01-01T13:56:00Z"));
        let just = key(2, "2026-01-01T00:00:00Z", Some("2026-01-01T13:55:00Z"));
        let usable_at = "2026-01-02T00:01:00Z".parse().expect("a valid time");
        assert_eq!(judge(std::slice::from_ref(&late), now), Some(KdsRootKey::NotYetUsable { usable_at }));
        assert_eq!(judge(&[late, just.clone()], now), Some(KdsRootKey::Usable { key: just.id }));
        assert_eq!(judge(&[], now), Some(KdsRootKey::None));
    }

    #[test]
    fn the_youngest_usable_key_is_taken_and_what_is_not_seen_is_not_guessed() {
        let now = "2026-06-01T00:00:00Z".parse().expect("a valid time");
        let old = key(1, "2020-01-01T00:00:00Z", Some("2020-01-01T00:00:00Z"));
        let young = key(2, "2024-01-01T00:00:00Z", Some("2019-01-01T00:00:00Z"));
        let hidden = key(3, "2025-01-01T00:00:00Z", None);
        let usable = Some(KdsRootKey::Usable { key: young.id });
        assert_eq!(judge(&[old, young, hidden.clone()], now), usable);
        assert_eq!(judge(&[hidden], now), None);
    }
}
