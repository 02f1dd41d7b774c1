//! Who may do what. Not access control lists, but what the lists of a delegated domain come to.
//!
//! The administrator may do everything. The service account has what `deploy/lab` grants on a
//! real DC: gMSAs in their container, groups in OU=Farms (and, since a farm's group is made
//! there by default, in CN=Users), userAccountControl of the hosts in OU=Servers, and the two
//! dates of the KDS root keys. Everybody who is logged in may read the rest.

use std::borrow::Cow;

use domain::Dn;

use super::classes::Class;
use super::forest::Forest;
use super::names;
use super::object::{Object, ObjectId};
use super::schema::{AttributeType, Source};

/// What the service account is let to see of a KDS root key.
const KEY_DATES: [&str; 2] = ["msKds-UseStartTime", "msKds-CreateTime"];

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    Anonymous,
    Administrator(ObjectId),
    Service(ObjectId),
    /// Logged in, with no rights but to read.
    Other(ObjectId),
    /// The directory itself, filling its first contents.
    System,
}

impl Caller {
    /// The caller whom a login as `account` makes.
    pub fn of(account: &Object) -> Self {
        match account.dn.clone() {
            dn if dn == names::known(names::ADMINISTRATOR) => Self::Administrator(account.id),
            dn if dn == names::known(names::SERVICE_ACCOUNT) => Self::Service(account.id),
            _ => Self::Other(account.id),
        }
    }

    pub fn is_admin(self) -> bool {
        matches!(self, Self::Administrator(_) | Self::System)
    }

    pub fn account(self) -> Option<ObjectId> {
        match self {
            Self::Administrator(id) | Self::Service(id) | Self::Other(id) => Some(id),
            Self::Anonymous | Self::System => None,
        }
    }

    pub fn may_create(self, class: &Class, parent: &Object) -> bool {
        match self {
            Self::Administrator(_) | Self::System => true,
            Self::Service(_) => is_delegated(class.name, &parent.dn),
            Self::Anonymous | Self::Other(_) => false,
        }
    }

    pub fn may_delete(self, forest: &Forest, object: &Object) -> bool {
        match self {
            Self::Administrator(_) | Self::System => true,
            Self::Service(_) => is_managed(forest, object),
            Self::Anonymous | Self::Other(_) => false,
        }
    }

    /// A rename writes `name` and the RDN attribute; of groups these are not delegated.
    pub fn may_rename(self, forest: &Forest, object: &Object) -> bool {
        match self {
            Self::Administrator(_) | Self::System => true,
            Self::Service(_) => object.is_a("msDS-GroupManagedServiceAccount") && is_managed(forest, object),
            Self::Anonymous | Self::Other(_) => false,
        }
    }

    /// Whether the caller may change the attribute of an object that is there already.
    pub fn may_write(self, forest: &Forest, object: &Object, attribute: &AttributeType) -> bool {
        match self {
            // The class forbids everybody to set a gMSA's password; nobody needs another's here.
            _ if attribute.name == "unicodePwd" => false,
            Self::Administrator(_) | Self::System => true,
            Self::Service(_) if object.is_a("group") => {
                is_managed(forest, object) && matches!(attribute.name, "member" | "description")
            }
            Self::Service(_) if object.is_a("msDS-GroupManagedServiceAccount") => is_managed(forest, object),
            Self::Service(_) => {
                attribute.name == "userAccountControl"
                    && object.is_a("computer")
                    && object.dn.is_within(&names::known(names::HOSTS))
            }
            Self::Anonymous | Self::Other(_) => false,
        }
    }

    pub fn may_read(self, attribute: &AttributeType) -> bool {
        match self {
            _ if attribute.name == "unicodePwd" => false,
            Self::Administrator(_) | Self::System => true,
            Self::Anonymous => false,
            Self::Service(_) if KEY_DATES.contains(&attribute.name) => true,
            Self::Service(_) | Self::Other(_) => !attribute.confidential,
        }
    }

    /// The object as the caller sees it. Of a root key nobody but administrators sees more than
    /// its name: not even a search for its class finds it. The service account has its dates.
    pub fn view(self, object: &Object) -> Cow<'_, Object> {
        if self.is_admin() || !object.is_a("msKds-ProvRootKey") {
            return Cow::Borrowed(object);
        }
        let mut seen = Object::new(object.id, object.parent, object.dn.clone());
        let dates = object.attributes().filter(|(name, _)| KEY_DATES.contains(name));
        for (name, values) in dates.filter(|_| matches!(self, Self::Service(_))) {
            seen.set(name, values.to_vec());
        }
        Cow::Owned(seen)
    }

    /// SeEnableDelegationPrivilege, which only administrators hold.
    pub fn may_enable_delegation(self) -> bool {
        self.is_admin()
    }
}

/// Whether the service account may create objects of the class right below `parent`.
fn is_delegated(class: &str, parent: &Dn) -> bool {
    let is = |name: &str| *parent == names::known(name);
    match class {
        "msDS-GroupManagedServiceAccount" => is(names::MSA),
        "group" => is(names::FARMS) || is(names::USERS),
        _ => false,
    }
}

/// Of a delegated class and place, and not one that the domain itself needs.
fn is_managed(forest: &Forest, object: &Object) -> bool {
    let parent = object.parent.and_then(|parent| forest.get(parent));
    let class = object.class().map_or("", |class| class.name);
    object.text("isCriticalSystemObject") != Some("TRUE")
        && parent.is_some_and(|parent| is_delegated(class, &parent.dn))
}

/// What allowedAttributesEffective may list: never what only the server writes.
pub fn is_writable(attribute: &AttributeType) -> bool {
    matches!(attribute.source, Source::Caller | Source::Forward { .. })
}

#[cfg(test)]
mod tests {
    use super::super::classes::class_named;
    use super::*;

    fn class(name: &str) -> &'static Class {
        class_named(name).expect("a known class")
    }

    #[test]
    fn the_service_account_creates_only_what_was_delegated() {
        let parent = |name: &str| Object::new(1, None, names::known(name));
        let service = Caller::Service(9);
        let gmsa = class("msDS-GroupManagedServiceAccount");
        assert!(service.may_create(gmsa, &parent(names::MSA)));
        assert!(!service.may_create(gmsa, &parent(names::USERS)));
        assert!(service.may_create(class("group"), &parent(names::USERS)));
        assert!(service.may_create(class("group"), &parent(names::FARMS)));
        assert!(!service.may_create(class("group"), &parent(names::MSA)));
        assert!(!service.may_create(class("user"), &parent(names::USERS)));
        assert!(Caller::Administrator(8).may_create(class("user"), &parent(names::USERS)));
        assert!(!Caller::Other(7).may_create(class("group"), &parent(names::USERS)));
    }

    #[test]
    fn confidential_attributes_are_for_the_administrator() {
        let attribute = |name| super::super::schema::attribute(name).expect("known");
        assert!(!Caller::Other(1).may_read(attribute("msKds-CreateTime")));
        assert!(Caller::Service(1).may_read(attribute("msKds-CreateTime")));
        assert!(!Caller::Service(1).may_read(attribute("msKds-DomainID")));
        assert!(Caller::Administrator(1).may_read(attribute("msKds-DomainID")));
    }
}
