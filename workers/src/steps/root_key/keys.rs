//! Which root key replaces the exposed one.

use std::cmp::Reverse;

use directory::preflight::RootKey;
use uuid::Uuid;

/// What the DCs show of a key to move to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewKey {
    None,
    /// It is made, and these DCs do not have it yet.
    Behind(Uuid, Vec<String>),
    Everywhere(RootKey),
}

/// The key that a DC will prefer to the exposed one: it takes the one that was made last. Of keys
/// whose times cannot be seen, those are taken for later that were not there before.
pub fn new_key(per_dc: &[(String, Vec<RootKey>)], exposed: Uuid, before: &[Uuid]) -> NewKey {
    let all = || per_dc.iter().flat_map(|(_, keys)| keys);
    let exposed_at = all().find(|key| key.id == exposed).and_then(|key| key.created);
    let is_later = |key: &RootKey| match (key.created, exposed_at) {
        (Some(created), Some(exposed_at)) => created > exposed_at,
        _ => !before.contains(&key.id),
    };
    let candidates = all().filter(|key| key.id != exposed && is_later(key));
    // What is preferred by the DC; the id, so that two looks give one answer.
    let Some(found) = candidates.max_by_key(|key| (key.created, Reverse(key.id))) else {
        return NewKey::None;
    };
    let lacks = |(_, keys): &&(String, Vec<RootKey>)| keys.iter().all(|key| key.id != found.id);
    let behind: Vec<_> = per_dc.iter().filter(lacks).map(|(dc, _)| dc.clone()).collect();
    match behind.is_empty() {
        true => NewKey::Everywhere(found.clone()),
        false => NewKey::Behind(found.id, behind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPOSED: u128 = 1;

    fn key(id: u128, created: Option<&str>) -> RootKey {
        let created = created.map(|text| text.parse().expect("a valid time"));
        RootKey { id: Uuid::from_u128(id), created, use_from: None }
    }
    fn chosen(dcs: &[Vec<RootKey>], before: &[u128]) -> NewKey {
        let per_dc: Vec<_> =
            dcs.iter().enumerate().map(|(at, keys)| (format!("dc{}", at + 1), keys.clone())).collect();
        let before: Vec<_> = before.iter().map(|id| Uuid::from_u128(*id)).collect();
        new_key(&per_dc, Uuid::from_u128(EXPOSED), &before)
    }

    #[test]
    fn a_key_that_was_not_there_before_is_the_one() {
        let (old, new) = (key(1, None), key(2, None));
        assert_eq!(chosen(&[vec![old.clone()]], &[1]), NewKey::None);
        assert_eq!(chosen(&[vec![old, new.clone()]], &[1]), NewKey::Everywhere(new));
    }

    #[test]
    fn one_made_before_the_workflow_and_after_the_exposed_one_will_do() {
        let old = key(1, Some("2020-01-01T00:00:00Z"));
        let older = key(3, Some("2015-01-01T00:00:00Z"));
        let newer = key(2, Some("2024-01-01T00:00:00Z"));
        assert_eq!(chosen(&[vec![old.clone(), older.clone()]], &[1, 3]), NewKey::None);
        let found = chosen(&[vec![old, older, newer.clone()]], &[1, 2, 3]);
        assert_eq!(found, NewKey::Everywhere(newer));
    }

    #[test]
    fn a_key_that_is_there_and_hides_its_age_is_not_trusted() {
        let hidden = key(2, None);
        assert_eq!(chosen(&[vec![key(1, None), hidden]], &[1, 2]), NewKey::None);
    }

    #[test]
    fn of_several_the_last_one_made_counts_and_every_dc_must_have_it() {
        let (old, new) = (key(1, Some("2020-01-01T00:00:00Z")), key(2, Some("2024-01-01T00:00:00Z")));
        let newest = key(4, Some("2024-02-01T00:00:00Z"));
        let behind = chosen(&[vec![old.clone(), new.clone(), newest.clone()], vec![old, new]], &[1]);
        assert_eq!(behind, NewKey::Behind(newest.id, vec!["dc2".into()]));
    }
}
