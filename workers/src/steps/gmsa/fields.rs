//! Which attribute holds which field of the manifest: one table for making, comparing, changing and
//! reading an account.

use chrono::{DateTime, Utc};
use domain::farm::AccountSpec;

/// UF_ACCOUNTDISABLE (MS-ADTS 2.2.16).
pub const DISABLED: i64 = 0x2;
/// UF_TRUSTED_FOR_DELEGATION.
pub const TRUSTED_FOR_DELEGATION: i64 = 0x8_0000;
/// UF_NOT_DELEGATED.
pub const NOT_DELEGATED: i64 = 0x10_0000;
/// UF_TRUSTED_TO_AUTHENTICATE_FOR_DELEGATION.
pub const TRUSTED_TO_AUTH_FOR_DELEGATION: i64 = 0x100_0000;
/// Compound-identity-supported (MS-KILE 2.2.7).
pub const COMPOUND_IDENTITY: i64 = 0x2_0000;

/// The bits of msDS-SupportedEncryptionTypes that name ciphers, DES included. The higher ones
/// are Kerberos features (claims, FAST ...).
pub const CIPHERS: i64 = 0x1f;

pub const CONTROL: &str = "userAccountControl";
pub const ENCRYPTION: &str = "msDS-SupportedEncryptionTypes";
pub const SPNS: &str = "servicePrincipalName";
pub const DNS_HOST_NAME: &str = "dNSHostName";
pub const EXPIRES: &str = "accountExpires";

/// accountExpires of an account that never expires. 0 means the same.
pub const NEVER: i64 = i64::MAX;

/// A field with one value.
pub struct Single {
    pub field: &'static str,
    pub attribute: &'static str,
    pub asked: fn(&AccountSpec) -> Option<String>,
    /// Case does not count.
    pub folded: bool,
}

pub const SINGLES: &[Single] = &[
    Single {
        field: "spec.account.dnsHostName",
        attribute: DNS_HOST_NAME,
        asked: |spec| spec.dns_host_name.as_ref().map(ToString::to_string),
        folded: true,
    },
    Single {
        field: "spec.account.displayName",
        attribute: "displayName",
        asked: |spec| spec.display_name.clone(),
        folded: false,
    },
    Single {
        field: "spec.account.description",
        attribute: "description",
        asked: |spec| spec.description.clone(),
        folded: false,
    },
    Single {
        field: "spec.account.homePage",
        attribute: "wWWHomePage",
        asked: |spec| spec.home_page.clone(),
        folded: false,
    },
    Single {
        field: "spec.account.accountExpirationDate",
        attribute: EXPIRES,
        asked: |spec| spec.account_expiration_date.map(|time| file_time(time).to_string()),
        folded: false,
    },
];

/// A field that is one bit of an attribute.
pub struct Bit {
    pub field: &'static str,
    pub attribute: &'static str,
    pub bit: i64,
    pub asked: fn(&AccountSpec) -> Option<bool>,
}

pub const BITS: &[Bit] = &[
    Bit {
        field: "spec.account.enabled",
        attribute: CONTROL,
        bit: DISABLED,
        asked: |spec| spec.enabled.map(|enabled| !enabled),
    },
    Bit {
        field: "spec.account.accountNotDelegated",
        attribute: CONTROL,
        bit: NOT_DELEGATED,
        asked: |spec| spec.account_not_delegated,
    },
    Bit {
        field: "spec.account.trustedForDelegation",
        attribute: CONTROL,
        bit: TRUSTED_FOR_DELEGATION,
        asked: |spec| spec.trusted_for_delegation,
    },
    Bit {
        field: "spec.account.trustedToAuthForDelegation",
        attribute: CONTROL,
        bit: TRUSTED_TO_AUTH_FOR_DELEGATION,
        asked: |spec| spec.trusted_to_auth_for_delegation,
    },
    Bit {
        field: "spec.account.compoundIdentitySupported",
        attribute: ENCRYPTION,
        bit: COMPOUND_IDENTITY,
        asked: |spec| spec.compound_identity_supported,
    },
];

/// A field with many values, compared without regard to case and order. `None`: not spoken of.
pub struct List {
    pub field: &'static str,
    pub attribute: &'static str,
    pub asked: fn(&AccountSpec) -> Option<Vec<String>>,
}

pub const LISTS: &[List] = &[
    List {
        field: "spec.account.servicePrincipalNames",
        attribute: SPNS,
        asked: |spec| Some(spec.service_principal_names.iter().map(ToString::to_string).collect()),
    },
    List {
        field: "spec.account.allowedToDelegateTo",
        attribute: "msDS-AllowedToDelegateTo",
        asked: |spec| Some(spec.allowed_to_delegate_to.as_ref()?.iter().map(ToString::to_string).collect()),
    },
];

/// The asked bits of `attribute` in `found`; a bit that `before` turned on and that nobody speaks of
/// any more goes off, any other stays. An account is enabled by word only, never by silence.
pub fn bits(attribute: &str, asked: &AccountSpec, before: Option<&AccountSpec>, found: i64) -> i64 {
    let of = BITS.iter().filter(|bit| bit.attribute == attribute);
    of.fold(found, |bits, bit| {
        let was_ours =
            || before.and_then(|before| (bit.asked)(before)).filter(|on| *on && bit.bit != DISABLED);
        match (bit.asked)(asked).or_else(|| was_ours().map(|on| !on)) {
            Some(true) => bits | bit.bit,
            Some(false) => bits & !bit.bit,
            None => bits,
        }
    })
}

/// msDS-SupportedEncryptionTypes as asked; feature bits that nobody speaks of stay. 0: no value.
pub fn encryption(asked: &AccountSpec, before: Option<&AccountSpec>, found: i64) -> i64 {
    let ciphers = i64::from(asked.kerberos_encryption_types.bits());
    bits(ENCRYPTION, asked, before, found & !CIPHERS | ciphers)
}

/// FILETIME: 100 ns since 1601.
const EPOCH: i64 = 11_644_473_600;

pub fn file_time(time: DateTime<Utc>) -> i64 {
    (time.timestamp() + EPOCH).saturating_mul(10_000_000)
}

/// accountExpires as a time; `None`: never.
pub fn expiration(value: Option<i64>) -> Option<DateTime<Utc>> {
    let value = value.filter(|value| *value != 0 && *value != NEVER)?;
    DateTime::from_timestamp(value / 10_000_000 - EPOCH, 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::testing;

    #[test]
    fn bits_that_nobody_speaks_of_stay_and_those_that_were_ours_go() {
        let before = AccountSpec { account_not_delegated: Some(true), ..testing::spec().account };
        let now = AccountSpec { trusted_for_delegation: Some(true), ..testing::spec().account };
        let found = 0x1000 | NOT_DELEGATED | 0x40;
        assert_eq!(bits(CONTROL, &now, Some(&before), found), 0x1000 | TRUSTED_FOR_DELEGATION | 0x40);
        assert_eq!(bits(CONTROL, &now, None, found), found | TRUSTED_FOR_DELEGATION);
        let disabled = AccountSpec { enabled: Some(false), ..before };
        assert_eq!(bits(CONTROL, &now, Some(&disabled), 0x1002) & DISABLED, DISABLED);
    }

    #[test]
    fn ciphers_are_replaced_and_features_kept() {
        let asked = testing::spec().account;
        assert_eq!(encryption(&asked, None, 0x4 | 0x4_0000), 0x18 | 0x4_0000);
        let unset = AccountSpec { kerberos_encryption_types: domain::EncryptionTypes::UNSET, ..asked };
        assert_eq!(encryption(&unset, None, 28), 0);
    }

    #[test]
    fn a_date_is_a_file_time_and_two_values_mean_never() {
        let date: DateTime<Utc> = "2027-03-31T00:00:00Z".parse().expect("a time");
        assert_eq!(expiration(Some(file_time(date))), Some(date));
        assert_eq!(file_time(date), 134_509_248_000_000_000);
        assert_eq!((expiration(Some(0)), expiration(Some(NEVER)), expiration(None)), (None, None, None));
    }
}
