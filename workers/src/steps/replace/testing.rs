//! The guide's account, surveyed for its replacement.

use domain::{AttributeChange, Dn};

use super::{NewAccount, OldAccount, Parking, Survey};
use crate::steps::testing::{dn, host, sid, wanted};

pub fn group() -> Dn {
    dn("CN=Backup,OU=Groups,DC=contoso,DC=com")
}

/// Under the same name.
pub fn survey() -> Survey {
    let account = wanted().dn;
    let new = NewAccount {
        dn: account.clone(),
        sam_account_name: "ITFarm1$".into(),
        managed_password_interval_in_days: 30,
    };
    Survey {
        domain: dn("DC=contoso,DC=com"),
        old: OldAccount {
            dn: account.clone(),
            sid: sid(1300),
            guid: "04030201-0605-0807-090a-0b0c0d0e0f10".into(),
            sam_account_name: "ITFarm1$".into(),
        },
        new,
        parking: Some(Parking {
            dn: account.renamed("ITFarm1-old").expect("a child"),
            sam_account_name: "ITFarm1-old$".into(),
        }),
        carried: vec![AttributeChange::new("description", ["web tier"])],
        names: vec![
            AttributeChange::new("dNSHostName", ["ITFarm1.contoso.com"]),
            AttributeChange::new("servicePrincipalName", ["http/ITFarm1", "http/ITFarm1.contoso.com"]),
        ],
        groups: vec![group()],
        hosts: vec![host("Host1")],
        not_carried_over: vec![],
    }
}

pub fn side_by_side() -> Survey {
    let new = NewAccount {
        dn: wanted().dn.renamed("ITFarm2").expect("a child"),
        sam_account_name: "ITFarm2$".into(),
        managed_password_interval_in_days: 30,
    };
    Survey { new, parking: None, ..survey() }
}
