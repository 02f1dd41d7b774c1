//! The compromised host: which computer account is meant.

use directory::DirectoryRead;
use directory::preflight::{Principal, PrincipalKind};
use domain::request::CompromiseRequest;
use domain::{Dn, ErrorCode, PrincipalRef, Sid};
use serde::{Deserialize, Serialize};

use crate::StepError;
use crate::steps::principals;
use crate::steps::ways::domain_of;

/// UF_SERVER_TRUST_ACCOUNT: a writable domain controller (MS-ADTS 2.2.16).
const SERVER_TRUST: i64 = 0x2000;
/// UF_PARTIAL_SECRETS_ACCOUNT: a read-only one.
const PARTIAL_SECRETS: i64 = 0x400_0000;
/// Domain Controllers and Read-only Domain Controllers.
const CONTROLLER_GROUPS: [i64; 2] = [516, 521];

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Host {
    /// sAMAccountName without its `$`.
    pub name: String,
    pub dn: Dn,
    pub sid: Sid,
    pub dns_host_name: Option<String>,
    /// A domain controller's own account, cut off because a reason was given.
    pub domain_controller: bool,
}

impl Host {
    /// Every form in which a request may name it.
    pub fn forms(&self) -> Vec<String> {
        vec![self.name.clone(), format!("{}$", self.name), self.dn.to_string(), self.sid.to_string()]
    }

    /// Whether that is how a farm's record names it.
    pub fn is_meant_by(&self, reference: &PrincipalRef) -> bool {
        match reference {
            PrincipalRef::Name(name) => {
                name.strip_suffix('$').unwrap_or(name).eq_ignore_ascii_case(&self.name)
            }
            PrincipalRef::Dn(dn) => *dn == self.dn,
            PrincipalRef::Sid(sid) => *sid == self.sid,
        }
    }
}

/// The computer that the request names.
pub async fn find(dc: &dyn DirectoryRead, request: &CompromiseRequest) -> Result<Host, StepError> {
    let domain = domain_of(dc).await?;
    let found = principals::by_reference(dc, std::slice::from_ref(&request.host), &domain).await?;
    judge(&request.host, found.into_iter().next().flatten())
}

fn judge(asked: &PrincipalRef, found: Option<Principal>) -> Result<Host, StepError> {
    let found = found.ok_or_else(|| {
        StepError::fail(
            ErrorCode::HostNotFound,
            format!("there is no computer {asked} in this domain"),
            "name it as `Host1`, `Host1$`, by DN or by SID; a host of another domain is contained by a Farmhand of \
             that domain. Nothing was written",
        )
    })?;
    let what = match found.kind {
        PrincipalKind::Computer => None,
        PrincipalKind::Gmsa => Some("a gMSA"),
        PrincipalKind::Smsa => Some("a standalone managed service account"),
        PrincipalKind::User => Some("a user"),
        PrincipalKind::Group { .. } => Some("a group"),
        PrincipalKind::Other => Some("no computer"),
    };
    if let Some(what) = what {
        return Err(StepError::fail(
            ErrorCode::HostNotComputer,
            format!("{asked} is {what}: {}", found.dn),
            "name the computer account of the compromised host. Nothing was written",
        ));
    }
    let sid = found.sid.clone().ok_or_else(|| {
        StepError::fail(
            ErrorCode::DirectoryMalformed,
            format!("objectSid of {} cannot be read", found.dn),
            "let Farmhand's account read it (Authenticated Users may by default), then ask again",
        )
    })?;
    let controller = found.primary_group_id.is_some_and(|rid| CONTROLLER_GROUPS.contains(&rid));
    Ok(Host {
        name: principals::host_name(found.sam_account_name.as_deref(), &found.dn),
        dn: found.dn,
        sid,
        dns_host_name: found.dns_host_name,
        domain_controller: controller,
    })
}

/// Whether userAccountControl says that it is a domain controller's account.
pub fn is_controller(control: Option<i64>) -> bool {
    control.is_some_and(|control| control & (SERVER_TRUST | PARTIAL_SECRETS) != 0)
}

/// A domain controller holds every password of the domain: cutting it off from some gMSAs is not
/// what helps, and mostly it is a slip of the pen.
pub fn allowed(host: &Host, force: Option<&str>) -> Result<(), StepError> {
    let forced = force.is_some_and(|reason| !reason.trim().is_empty());
    if !host.domain_controller || forced {
        return Ok(());
    }
    Err(StepError::fail(
        ErrorCode::HostIsDomainController,
        format!("{} is the account of a domain controller", host.dn),
        "a compromised domain controller knows every password of the domain: cutting it off from gMSAs does not \
         contain it. If it is meant nevertheless, ask again with a reason (`--force`). Nothing was written",
    ))
}

#[cfg(test)]
mod tests {
    use directory::preflight::GroupScope;

    use super::*;
    use crate::steps::testing::{principal, sid};

    fn asked() -> PrincipalRef {
        PrincipalRef::Name("Host1".into())
    }
    fn of_kind(kind: PrincipalKind) -> Option<Principal> {
        Some(principal("Host1$", kind))
    }

    #[test]
    fn only_a_computer_is_a_host() {
        let host = judge(&asked(), of_kind(PrincipalKind::Computer)).expect("a computer");
        assert_eq!((host.name.as_str(), host.sid, host.domain_controller), ("Host1", sid(1101), false));
        for (kind, code) in [
            (PrincipalKind::User, ErrorCode::HostNotComputer),
            (PrincipalKind::Gmsa, ErrorCode::HostNotComputer),
            (PrincipalKind::Smsa, ErrorCode::HostNotComputer),
            (PrincipalKind::Group { security: true, scope: GroupScope::Global }, ErrorCode::HostNotComputer),
            (PrincipalKind::Other, ErrorCode::HostNotComputer),
        ] {
            assert_eq!(judge(&asked(), of_kind(kind)).expect_err("refused").problem().code, code, "{kind:?}");
        }
        assert_eq!(judge(&asked(), None).expect_err("nobody").problem().code, ErrorCode::HostNotFound);
    }

    #[test]
    fn a_domain_controller_is_known_by_its_primary_group_or_its_bits() {
        for (rid, expected) in [(515, false), (516, true), (521, true)] {
            let found =
                Principal { primary_group_id: Some(rid), ..principal("DC1$", PrincipalKind::Computer) };
            assert_eq!(
                judge(&asked(), Some(found)).expect("a computer").domain_controller,
                expected,
                "{rid}"
            );
        }
        for (control, expected) in [(0x1000, false), (0x82000, true), (0x401_1000, true), (0x100_1000, false)]
        {
            assert_eq!(is_controller(Some(control)), expected, "{control:#x}");
        }
        assert!(!is_controller(None));
    }

    #[test]
    fn a_domain_controller_is_cut_off_for_a_reason_only() {
        let mut host = judge(&asked(), of_kind(PrincipalKind::Computer)).expect("a computer");
        assert!(allowed(&host, None).is_ok());
        host.domain_controller = true;
        let code = |force| allowed(&host, force).map_err(|error| error.problem().code);
        assert_eq!(code(None), Err(ErrorCode::HostIsDomainController));
        assert_eq!(code(Some("  ")), Err(ErrorCode::HostIsDomainController));
        assert_eq!(code(Some("it is being demoted")), Ok(()));
    }

    #[test]
    fn every_way_to_name_it_is_known() {
        let host = judge(&asked(), of_kind(PrincipalKind::Computer)).expect("a computer");
        for reference in ["host1", "HOST1$", host.dn.as_str(), &host.sid.to_string()] {
            let reference = PrincipalRef::parse(reference).expect("a reference");
            assert!(host.is_meant_by(&reference), "{reference}");
        }
        assert!(!host.is_meant_by(&PrincipalRef::Name("Host11".into())));
        assert_eq!(host.forms().len(), 4);
    }
}
