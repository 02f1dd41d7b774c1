//! The key identifiers of managed passwords. No password is ever made here: nobody could use it.

use chrono::{DateTime, Duration, Utc};
use domain::{Clock, ManagedPasswordInterval};
use ldap3_proto::LdapResultCode;
use uuid::Uuid;

use super::draft::{file_time, generalized_time};
use super::forest::{Changes, Forest};
use super::names;
use super::object::Object;
use super::rejection::Rejection;
use crate::password_id::{ManagedPasswordId, Slot};

/// A root key may be used ten hours and five minutes after its start (MS-GKDI 3.1.4.1.1).
const KEY_WAIT_MINUTES: i64 = 605;
/// The key may encrypt new data.
const CURRENT: u32 = 2;

fn identifier(slot: Slot, root_key: Uuid) -> Vec<u8> {
    let name = || names::DNS_DOMAIN.to_owned();
    let additional = Vec::new();
    ManagedPasswordId { slot, root_key, domain: name(), forest: name(), flags: CURRENT, additional }
        .to_bytes()
}

/// The identifier for a gMSA made now; 32 where no root key may be used yet, as a DC answers.
pub fn first_identifier(forest: &Forest, clock: &dyn Clock) -> Result<Vec<u8>, Rejection> {
    let now = clock.now();
    let key = root_key(forest, now - Duration::minutes(KEY_WAIT_MINUTES));
    let (key, slot) = key.zip(Slot::containing(now)).ok_or_else(|| {
        let text = "8009000D: gmsa: no root key that may be used yet";
        Rejection::new(LdapResultCode::NoSuchObject, text)
    })?;
    Ok(identifier(slot, key))
}

/// Of the keys in use at the moment the newest made.
fn root_key(forest: &Forest, in_use_at: DateTime<Utc>) -> Option<Uuid> {
    let holder = forest.by_dn(&names::known(names::ROOT_KEYS))?;
    let keys = forest.children(holder.id).filter_map(|id| forest.get(id));
    let limit = file_time(in_use_at);
    let usable = keys.filter(|key| key.int("msKds-UseStartTime").is_some_and(|start| start <= limit));
    let newest = usable.max_by_key(|key| key.int("msKds-CreateTime"))?;
    Uuid::parse_str(newest.text("cn")?).ok()
}

/// What an authorised host's fetch does to an overdue account; `None` where nothing is due.
pub fn roll(forest: &Forest, account: &Object, now: DateTime<Utc>) -> Option<Changes> {
    let current = account.values("msDS-ManagedPasswordId").first()?.clone();
    let interval = ManagedPasswordInterval::from_days(account.int("msDS-ManagedPasswordInterval")?).ok()?;
    let slot = ManagedPasswordId::parse(&current).ok()?.rolls_to(interval, now)?;
    let key = root_key(forest, slot.start())?;
    let mut account = account.clone();
    let mut counters = forest.counters;
    counters.usn += 1;
    account.set("msDS-ManagedPasswordPreviousId", vec![current]);
    account.set("msDS-ManagedPasswordId", vec![identifier(slot, key)]);
    account.set_text("pwdLastSet", file_time(now).to_string());
    account.set_text("whenChanged", generalized_time(now));
    account.set_text("uSNChanged", counters.usn.to_string());
    Some(Changes { put: vec![account], counters, ..Changes::default() })
}
