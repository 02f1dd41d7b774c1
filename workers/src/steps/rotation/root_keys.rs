//! The forest's KDS root keys, and which of them is the newest.

use chrono::{DateTime, Utc};
use directory::DirectoryRead;
use directory::preflight::{self, KdsRootKey, RootKey};
use domain::rotation::{RootKeyState, RootKeys};
use uuid::Uuid;

use crate::StepError;

/// `in_use`: the root key of the password that was made last, as far as earlier checks have seen. A
/// DC takes the newest usable one at each roll, so it is evidence where the keys' times, which are
/// confidential, cannot be read.
pub async fn root_keys(
    dc: &dyn DirectoryRead,
    now: DateTime<Utc>,
    in_use: Option<Uuid>,
) -> Result<RootKeys, StepError> {
    Ok(judge(preflight::root_keys(dc).await?, now, in_use))
}

fn judge(keys: Option<Vec<RootKey>>, now: DateTime<Utc>, in_use: Option<Uuid>) -> RootKeys {
    let visible = keys.as_ref().map(|keys| keys.iter().map(|key| key.id).collect::<Vec<_>>());
    // One that was deleted is of no use any more.
    let in_use = in_use.filter(|key| visible.as_ref().is_none_or(|visible| visible.contains(key)));
    let (newest, state) = match keys.as_deref().map(|keys| (keys, KdsRootKey::by_times(keys, now))) {
        Some((_, Some(KdsRootKey::Usable { key }))) => (Some(key), RootKeyState::Usable),
        Some((_, Some(KdsRootKey::NotYetUsable { .. }))) => (None, RootKeyState::NotYetUsable),
        Some((_, Some(KdsRootKey::None))) => (None, RootKeyState::None),
        // One that may not be usable yet is still no other's elder.
        Some(([only], _)) => (in_use.map(|_| only.id), state(in_use)),
        Some(_) | None => (in_use, state(in_use)),
    };
    RootKeys { visible, newest, state }
}

fn state(in_use: Option<Uuid>) -> RootKeyState {
    if in_use.is_some() { RootKeyState::Usable } else { RootKeyState::CannotSee }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: u128, created: Option<&str>) -> RootKey {
        let time = created.map(|text| text.parse().expect("a time"));
        RootKey { id: Uuid::from_u128(id), created: time, use_from: time }
    }

    #[test]
    fn the_newest_key_is_told_by_its_times_or_by_who_uses_it() {
        let now = "2026-01-01T00:00:00Z".parse().expect("a time");
        let (old, young) = (Some("2020-01-01T00:00:00Z"), Some("2024-01-01T00:00:00Z"));
        for (what, keys, in_use, newest, state) in [
            ("times", Some(vec![key(1, old), key(2, young)]), Some(1), Some(2), RootKeyState::Usable),
            ("hidden", None, None, None, RootKeyState::CannotSee),
            ("by use", Some(vec![key(1, None), key(2, None)]), Some(2), Some(2), RootKeyState::Usable),
            (
                "by the use of one that is gone",
                Some(vec![key(1, None), key(2, None)]),
                Some(3),
                None,
                RootKeyState::CannotSee,
            ),
            ("none", Some(vec![]), None, None, RootKeyState::None),
            ("one that nobody uses", Some(vec![key(1, None)]), None, None, RootKeyState::CannotSee),
            (
                "too young",
                Some(vec![key(1, Some("2025-12-31T20:00:00Z"))]),
                None,
                None,
                RootKeyState::NotYetUsable,
            ),
        ] {
            let judged = judge(keys, now, in_use.map(Uuid::from_u128));
            assert_eq!((judged.newest, judged.state), (newest.map(Uuid::from_u128), state), "{what}");
        }
    }
}
