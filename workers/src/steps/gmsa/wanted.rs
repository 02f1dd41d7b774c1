//! The account as the manifest asks for it.

use domain::farm::{AccountSpec, ForeignReader};
use domain::{AttributeChange, AttributeValue, Change, Dn};

use super::fields::{self, CONTROL, ENCRYPTION, LISTS, SINGLES};
use super::{CLASS, Reader, Readers};
use crate::StepError;

/// userAccountControl of an enabled gMSA: WORKSTATION_TRUST_ACCOUNT (MS-ADTS 2.2.16). Left out,
/// a DC makes the account disabled.
const ENABLED: i64 = 4096;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub dn: Dn,
    pub spec: AccountSpec,
    pub readers: Readers,
    /// Whom the reader list of a standing account may name besides.
    pub foreign: Vec<ForeignReader>,
    /// Hosts under quarantine: a new account denies each, and one that stands may.
    pub contained: Vec<Reader>,
    /// A standing account may be disabled where the manifest does not speak of it: that is another's
    /// business here.
    pub may_be_disabled: bool,
}

impl Wanted {
    /// One Add with everything: the creator of an account may write fewer attributes later, and
    /// an account without a valid reader descriptor makes searches over it fail.
    pub fn addition(&self) -> Result<Change, StepError> {
        let days = self.spec.managed_password_interval_in_days.days();
        let control = fields::bits(CONTROL, &self.spec, None, ENABLED);
        let mut attributes = vec![
            text("objectClass", CLASS),
            text("sAMAccountName", self.spec.sam_account_name.sam_account_name()),
            text(CONTROL, control.to_string()),
            text("msDS-ManagedPasswordInterval", days.to_string()),
            AttributeChange::new("msDS-GroupMSAMembership", [self.readers.value(&self.contained)?]),
        ];
        // A DC reads 0 as "not set", so nothing is sent for it.
        let encryption = Some(fields::encryption(&self.spec, None, 0)).filter(|bits| *bits != 0);
        attributes.extend(encryption.map(|bits| text(ENCRYPTION, bits.to_string())));
        let single = |field: &fields::Single| Some(text(field.attribute, (field.asked)(&self.spec)?));
        attributes.extend(SINGLES.iter().filter_map(single));
        for list in LISTS {
            let values = (list.asked)(&self.spec).unwrap_or_default();
            if !values.is_empty() {
                attributes.push(AttributeChange::new(list.attribute, values));
            }
        }
        Ok(Change::add(self.dn.clone(), attributes))
    }
}

fn text(attribute: &str, value: impl Into<AttributeValue>) -> AttributeChange {
    AttributeChange::new(attribute, [value.into()])
}

#[cfg(test)]
mod tests {
    use directory::security::ReaderDescriptor;

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
    fn a_new_account_denies_hosts_under_quarantine_before_it_lets_anybody_in() {
        let contained = vec![testing::reader("Host7", 1107), testing::reader("Host3", 1103)];
        let change = Wanted { contained, ..testing::wanted() }.addition().expect("a change");
        let value = &change.attribute("msDS-GroupMSAMembership").expect("a list").added()[0];
        let list = ReaderDescriptor::from_bytes(value.wire().expect("bytes")).expect("a descriptor");
        assert_eq!(list.denied_first(), [testing::sid(1103), testing::sid(1107)]);
        assert_eq!(list.readers(), [testing::sid(1200)]);
        assert!(value.to_string().starts_with("deny Host3 ("), "{value}");
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
        wanted.spec.kerberos_encryption_types = domain::EncryptionTypes::UNSET;
        assert_eq!(wanted.addition().expect("a change").attributes.len(), 5);
        assert!(change.attributes.iter().all(|attribute| !attribute.added().is_empty()));
    }

    /// The field of the manifest, and exactly the attributes that an Add has because of it.
    #[test]
    fn each_field_of_the_manifest_is_written_to_its_attribute() {
        use serde_json::json;
        let asked = |field: &str, value: serde_json::Value| {
            let mut account = json!({"dnsHostName": "f.contoso.com", "kerberosEncryptionTypes": ["Default"]});
            account[field] = value;
            let manifest = json!({
                "apiVersion": "farmhand/v1", "kind": "Farm", "metadata": {"name": "f"},
                "spec": {"account": account, "membership": {"group": "g"}},
            });
            let manifest: domain::FarmManifest = serde_json::from_value(manifest).expect("the form is right");
            let wanted = Wanted { spec: manifest.validate().expect("valid").account, ..testing::wanted() };
            let change = wanted.addition().expect("a change");
            let pairs = change.attributes.into_iter().filter(|a| a.attribute != "msDS-GroupMSAMembership");
            pairs
                .flat_map(|a| a.added().iter().map(|v| format!("{}={v}", a.attribute)).collect::<Vec<_>>())
                .collect::<std::collections::BTreeSet<_>>()
        };
        let plain = asked("outboundOnly", json!(false));
        let cases = [
            ("samAccountName", json!("Other"), vec!["sAMAccountName=Other$"]),
            ("dnsHostName", json!("g.contoso.com"), vec!["dNSHostName=g.contoso.com"]),
            ("displayName", json!("IT"), vec!["displayName=IT"]),
            ("description", json!("web"), vec!["description=web"]),
            ("homePage", json!("https://it"), vec!["wWWHomePage=https://it"]),
            (
                "servicePrincipalNames",
                json!(["http/a", "http/b"]),
                vec!["servicePrincipalName=http/a", "servicePrincipalName=http/b"],
            ),
            (
                "kerberosEncryptionTypes",
                json!(["AES128", "AES256"]),
                vec!["msDS-SupportedEncryptionTypes=24"],
            ),
            ("compoundIdentitySupported", json!(true), vec!["msDS-SupportedEncryptionTypes=131072"]),
            ("managedPasswordIntervalInDays", json!(90), vec!["msDS-ManagedPasswordInterval=90"]),
            ("accountNotDelegated", json!(true), vec!["userAccountControl=1052672"]),
            ("trustedForDelegation", json!(true), vec!["userAccountControl=528384"]),
            ("trustedToAuthForDelegation", json!(true), vec!["userAccountControl=16781312"]),
            ("allowedToDelegateTo", json!(["cifs/fs1"]), vec!["msDS-AllowedToDelegateTo=cifs/fs1"]),
            ("accountExpirationDate", json!("2027-03-31"), vec!["accountExpires=134509248000000000"]),
            ("accountNotDelegated", json!(false), vec![]),
            ("enabled", json!(false), vec!["userAccountControl=4098"]),
        ];
        for (field, value, expected) in cases {
            let found = asked(field, value);
            let new: Vec<_> = found.difference(&plain).map(String::as_str).collect();
            assert_eq!(new, expected, "{field}");
        }
    }
}
