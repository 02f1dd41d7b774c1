//! An account's attributes in words.

use directory::Entry;
use directory::password_id::ManagedPasswordId;
use directory::security::{Effect, ReaderDescriptor, ReaderEntry, SecurityDescriptor};
use domain::farm::ForeignReader;
use domain::{ManagedPasswordInterval, Sid};

use super::view::{AccountView, DelegationView, IntervalView, ReaderEffect, ReaderKind, ReaderView};
use crate::steps::ensure_gmsa::key_id;
use crate::steps::gmsa::fields::{
    self, COMPOUND_IDENTITY, CONTROL, DISABLED, ENCRYPTION, EXPIRES, NOT_DELEGATED, SPNS,
    TRUSTED_FOR_DELEGATION, TRUSTED_TO_AUTH_FOR_DELEGATION,
};
use crate::steps::gmsa::{READERS, cipher_names};
use crate::steps::inspect::Names;

const MAY_DELEGATE_TO_IT: &str = "msDS-AllowedToActOnBehalfOfOtherIdentity";

pub fn account(found: &Entry, names: &Names, foreign: &[ForeignReader]) -> AccountView {
    let text = |name: &str| found.text(name).map(str::to_owned);
    let control = found.int(CONTROL);
    let is = |bit: i64| control.is_some_and(|control| control & bit != 0);
    let encryption = found.int(ENCRYPTION);
    let days = found.int("msDS-ManagedPasswordInterval");
    let interval = days.and_then(|days| ManagedPasswordInterval::from_days(days).ok());
    let id = found.bytes("msDS-ManagedPasswordId");
    let password = id.and_then(|bytes| ManagedPasswordId::parse(bytes).ok());
    let (readers, readers_unreadable) = match readers(found) {
        Ok(list) => (list.iter().map(|entry| reader(entry, names, foreign)).collect(), None),
        Err(error) => (Vec::new(), Some(error)),
    };
    AccountView {
        dn: found.dn.clone(),
        sid: found.sid("objectSid"),
        guid: found.guid("objectGUID"),
        sam_account_name: text("sAMAccountName").unwrap_or_default(),
        enabled: control.is_some() && !is(DISABLED),
        user_account_control: control,
        dns_host_name: text("dNSHostName"),
        display_name: text("displayName"),
        description: text("description"),
        home_page: text("wWWHomePage"),
        account_expiration_date: fields::expiration(found.int(EXPIRES)),
        service_principal_names: found.texts(SPNS),
        kerberos_encryption_types: cipher_names(encryption.unwrap_or(0)),
        supported_encryption_types: encryption,
        compound_identity_supported: encryption.is_some_and(|bits| bits & COMPOUND_IDENTITY != 0),
        managed_password_interval: IntervalView {
            days,
            rollover_hours: interval.map(ManagedPasswordInterval::rollover_hours),
        },
        key_id: id.and_then(key_id),
        password_since: password.as_ref().map(ManagedPasswordId::slot_start),
        password_due: password.zip(interval).map(|(password, interval)| password.next_due(interval)),
        delegation: DelegationView {
            account_not_delegated: is(NOT_DELEGATED),
            trusted_for_delegation: is(TRUSTED_FOR_DELEGATION),
            trusted_to_auth_for_delegation: is(TRUSTED_TO_AUTH_FOR_DELEGATION),
            allowed_to_delegate_to: found.texts("msDS-AllowedToDelegateTo"),
            principals_allowed_to_delegate_to_account: delegates(found, names),
        },
        readers,
        readers_unreadable,
    }
}

/// The entries of the reader list; none where there is no list.
pub fn readers(found: &Entry) -> Result<Vec<ReaderEntry>, String> {
    let Some(bytes) = found.bytes(READERS) else { return Ok(Vec::new()) };
    let descriptor = ReaderDescriptor::from_bytes(bytes).map_err(|error| error.to_string())?;
    Ok(descriptor.entries())
}

/// Every SID that the account's descriptors name.
pub fn named(found: &Entry) -> Vec<Sid> {
    let readers = readers(found).unwrap_or_default().into_iter().map(|entry| entry.sid);
    readers.chain(delegate_sids(found)).collect()
}

/// Whoever has any right by that descriptor.
pub fn delegate_sids(found: &Entry) -> Vec<Sid> {
    let descriptor = found.bytes(MAY_DELEGATE_TO_IT).and_then(|bytes| SecurityDescriptor::parse(bytes).ok());
    let aces = descriptor.and_then(|descriptor| descriptor.dacl).map(|acl| acl.aces).unwrap_or_default();
    let sid = |ace: &directory::security::Ace| match &ace.body {
        directory::security::AceBody::Access(access) if access.effect == Effect::Allow => {
            Some(access.sid.clone())
        }
        _ => None,
    };
    aces.iter().filter_map(sid).collect()
}

fn delegates(found: &Entry, names: &Names) -> Vec<String> {
    delegate_sids(found).iter().map(|sid| names.shown(sid)).collect()
}

fn reader(entry: &ReaderEntry, names: &Names, foreign: &[ForeignReader]) -> ReaderView {
    let denied = entry.effect == Effect::Deny;
    ReaderView {
        effect: if denied { ReaderEffect::Deny } else { ReaderEffect::Allow },
        sid: entry.sid.clone(),
        name: names.name(&entry.sid),
        kind: names.kind(&entry.sid).unwrap_or(ReaderKind::Unknown),
        conditional: entry.conditional,
        foreign: foreign.iter().any(|other| other.sid == entry.sid && other.denied == denied),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::testing::{self, sid};

    #[test]
    fn attributes_are_shown_by_their_meaning() {
        let found = testing::account(&[
            (CONTROL, vec![b"1052674".to_vec()]),
            (ENCRYPTION, vec![(0x2_0000 | 0x1c).to_string().into_bytes()]),
            (EXPIRES, vec![b"134509248000000000".to_vec()]),
            ("msDS-ManagedPasswordInterval", vec![b"7".to_vec()]),
        ]);
        let foreign = ForeignReader { sid: sid(1200), denied: true, name: None };
        let view = account(&found, &Names::default(), &[foreign]);
        assert!(!view.enabled && view.delegation.account_not_delegated);
        assert_eq!(view.kerberos_encryption_types, ["RC4", "AES128", "AES256"]);
        assert!(view.compound_identity_supported);
        assert_eq!(view.managed_password_interval.rollover_hours, Some(160), "not 168");
        assert_eq!(
            view.account_expiration_date.map(|t| t.to_rfc3339()).as_deref(),
            Some("2027-03-31T00:00:00+00:00")
        );
        assert_eq!((view.readers.len(), view.readers[0].foreign), (1, false), "the foreign entry denies");
        assert_eq!(view.readers[0].kind, ReaderKind::Unknown);
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let found = testing::account(&[(READERS, vec![b"garbage".to_vec()])]);
        assert!(account(&found, &Names::default(), &[]).readers_unreadable.is_some());
        let found = testing::account(&[("msDS-ManagedPasswordInterval", vec![b"0".to_vec()])]);
        let interval = account(&found, &Names::default(), &[]).managed_password_interval;
        assert_eq!((interval.days, interval.rollover_hours), (Some(0), None));
    }
}
