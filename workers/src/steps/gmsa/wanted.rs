//! The account as the manifest asks for it.

use domain::farm::AccountSpec;
use domain::{AttributeChange, AttributeValue, Change, Dn};

use super::{CLASS, Readers};
use crate::StepError;

/// userAccountControl of an enabled gMSA: WORKSTATION_TRUST_ACCOUNT (MS-ADTS 2.2.16). Left out,
/// a DC makes the account disabled.
const ENABLED: &str = "4096";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub dn: Dn,
    pub spec: AccountSpec,
    pub readers: Readers,
}

impl Wanted {
    /// One Add with everything: the creator of an account may write fewer attributes later, and
    /// an account without a valid reader descriptor makes searches over it fail.
    pub fn addition(&self) -> Result<Change, StepError> {
        let AccountSpec { sam_account_name, kerberos_encryption_types, .. } = &self.spec;
        let days = self.spec.managed_password_interval_in_days.days();
        let mut attributes = vec![
            text("objectClass", CLASS),
            text("sAMAccountName", sam_account_name.sam_account_name()),
            text("userAccountControl", ENABLED),
            text("msDS-ManagedPasswordInterval", days.to_string()),
            text("msDS-SupportedEncryptionTypes", kerberos_encryption_types.bits().to_string()),
            AttributeChange::new("msDS-GroupMSAMembership", [self.readers.value()?]),
        ];
        let optional = [
            ("dNSHostName", self.spec.dns_host_name.as_ref().map(ToString::to_string)),
            ("displayName", self.spec.display_name.clone()),
            ("description", self.spec.description.clone()),
        ];
        attributes.extend(optional.into_iter().filter_map(|(name, value)| Some(text(name, value?))));
        if !self.spec.service_principal_names.is_empty() {
            let spns = self.spec.service_principal_names.iter().map(|spn| AttributeValue::from(spn.as_str()));
            attributes.push(AttributeChange::new("servicePrincipalName", spns));
        }
        Ok(Change::add(self.dn.clone(), attributes))
    }
}

fn text(attribute: &str, value: impl Into<AttributeValue>) -> AttributeChange {
    AttributeChange::new(attribute, [value.into()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::testing;

    #[test]
    fn one_add_carries_every_option_of_the_manifest() {
        let change = testing::wanted().addition().expect("a change");
        let values = |name: &str| {
            let attribute = change.attribute(name).map(AttributeChange::added).unwrap_or_default();
            attribute.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(values("objectClass"), [CLASS]);
        assert_eq!(values("sAMAccountName"), ["ITFarm1$"]);
        assert_eq!(values("userAccountControl"), ["4096"]);
        assert_eq!(values("dNSHostName"), ["ITFarm1.contoso.com"]);
        assert_eq!(values("displayName"), ["IT farm 1"]);
        assert_eq!(values("description"), ["web tier"]);
        assert_eq!(values("servicePrincipalName"), ["http/ITFarm1.contoso.com", "http/ITFarm1"]);
        assert_eq!(values("msDS-SupportedEncryptionTypes"), ["24"]);
        assert_eq!(values("msDS-ManagedPasswordInterval"), ["30"]);
        assert_eq!(values("msDS-GroupMSAMembership").len(), 1);
        assert_eq!(change.attributes.len(), 10);
    }

    #[test]
    fn what_was_not_asked_for_is_not_sent_since_an_add_refuses_empty_attributes() {
        let mut wanted = testing::wanted();
        wanted.spec.dns_host_name = None;
        wanted.spec.display_name = None;
        wanted.spec.description = None;
        wanted.spec.service_principal_names.clear();
        let change = wanted.addition().expect("a change");
        assert_eq!(change.attributes.len(), 6);
        assert!(change.attributes.iter().all(|attribute| !attribute.added().is_empty()));
    }
}
