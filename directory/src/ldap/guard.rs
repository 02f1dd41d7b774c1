//! msDS-ManagedPassword is never asked for, searched by, written or passed on.

use crate::error::Refusal;

/// The name and the OID under which a DC knows the attribute.
const NAMES: [&str; 2] = ["msds-managedpassword", "1.2.840.113556.1.4.2196"];

/// Whether an attribute description (name, options behind `;`) means the password.
pub(super) fn is_managed_password(description: &str) -> bool {
    let name = description.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let name = name.strip_prefix("oid.").unwrap_or(&name);
    NAMES.contains(&name)
}

pub(super) fn check_attributes<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<(), Refusal> {
    match names.into_iter().any(is_managed_password) {
        true => Err(Refusal::ManagedPassword),
        false => Ok(()),
    }
}

/// Refuses the name anywhere in a filter, in a value too: nobody has reason to write it there.
/// msDS-ManagedPasswordId and its like are other words.
pub(super) fn check_filter(filter: &str) -> Result<(), Refusal> {
    let in_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    check_attributes(filter.split(|c| !in_word(c)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_refused_under_all_its_names() {
        for name in [
            "msDS-ManagedPassword",
            "MSDS-MANAGEDPASSWORD",
            "msDS-ManagedPassword;range=0-*",
            "msDS-ManagedPassword;binary",
            "1.2.840.113556.1.4.2196",
            "OID.1.2.840.113556.1.4.2196",
            " msDS-ManagedPassword",
        ] {
            assert_eq!(check_attributes(["cn", name]), Err(Refusal::ManagedPassword), "{name}");
            assert_eq!(
                check_filter(&format!("(|(cn=a)({name}=*))")),
                Err(Refusal::ManagedPassword),
                "{name}"
            );
        }
        assert_eq!(check_filter("(msDS-ManagedPassword:1.2.3:=1)"), Err(Refusal::ManagedPassword));
    }

    #[test]
    fn its_neighbours_are_not() {
        let neighbours = [
            "msDS-ManagedPasswordId",
            "msDS-ManagedPasswordPreviousId",
            "msDS-ManagedPasswordInterval",
            "*",
            "1.2.840.113556.1.4.21960",
        ];
        assert_eq!(check_attributes(neighbours), Ok(()));
        for name in neighbours {
            assert_eq!(check_filter(&format!("({name}=*)")), Ok(()), "{name}");
        }
    }
}
