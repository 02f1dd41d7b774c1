//! What requests, answers and controls have in common.

use ldap3_proto::control::LdapControl;
use ldap3_proto::proto::{LdapBindResponse, LdapExtendedResponse, LdapOp, LdapResult};

use super::faults::OperationKind;
use super::rootdse;

/// The operation as faults and their log see it.
pub fn operation(op: &LdapOp) -> Option<(OperationKind, &str)> {
    match op {
        LdapOp::BindRequest(bind) => Some((OperationKind::Bind, &bind.dn)),
        LdapOp::SearchRequest(search) => Some((OperationKind::Search, &search.base)),
        LdapOp::AddRequest(add) => Some((OperationKind::Add, &add.dn)),
        LdapOp::ModifyRequest(modify) => Some((OperationKind::Modify, &modify.dn)),
        LdapOp::DelRequest(dn) => Some((OperationKind::Delete, dn)),
        LdapOp::ModifyDNRequest(rename) => Some((OperationKind::Rename, &rename.dn)),
        _ => None,
    }
}

/// The answer to a request that carries the result; `None` where a request has no answer.
pub fn reply_to(op: &LdapOp, result: LdapResult) -> Option<LdapOp> {
    Some(match op {
        LdapOp::BindRequest(_) => LdapOp::BindResponse(LdapBindResponse { res: result, saslcreds: None }),
        LdapOp::SearchRequest(_) => LdapOp::SearchResultDone(result),
        LdapOp::AddRequest(_) => LdapOp::AddResponse(result),
        LdapOp::ModifyRequest(_) => LdapOp::ModifyResponse(result),
        LdapOp::DelRequest(_) => LdapOp::DelResponse(result),
        LdapOp::ModifyDNRequest(_) => LdapOp::ModifyDNResponse(result),
        LdapOp::CompareRequest(_) => LdapOp::CompareResult(result),
        LdapOp::ExtendedRequest(_) => {
            LdapOp::ExtendedResponse(LdapExtendedResponse { res: result, name: None, value: None })
        }
        _ => return None,
    })
}

pub fn oid(control: &LdapControl) -> &str {
    match control {
        LdapControl::SimplePagedResults { .. } => "1.2.840.113556.1.4.319",
        LdapControl::SdFlags { .. } => "1.2.840.113556.1.4.801",
        LdapControl::ShowDeleted { .. } => "1.2.840.113556.1.4.417",
        LdapControl::SearchOptions { .. } => "1.2.840.113556.1.4.1338",
        LdapControl::ExtendedDn { .. } => "1.2.840.113556.1.4.529",
        LdapControl::ServerSort { .. } => "1.2.840.113556.1.4.473",
        LdapControl::AdDirsync { .. } => "1.2.840.113556.1.4.841",
        LdapControl::Unknown { oid, .. } => oid,
        _ => "",
    }
}

/// The OID of a control that must be understood and is not.
pub fn unknown_critical(control: &LdapControl) -> Option<String> {
    let critical = match control {
        LdapControl::Unknown { criticality, .. } | LdapControl::ExtendedDn { criticality, .. } => {
            *criticality
        }
        // The codec forgets whether these were critical; without them the answer would be wrong.
        LdapControl::ServerSort { .. } | LdapControl::AdDirsync { .. } => true,
        LdapControl::SyncRequest { criticality, .. } => *criticality,
        _ => false,
    };
    let oid = oid(control);
    (critical && !rootdse::CONTROLS.contains(&oid)).then(|| oid.to_owned())
}
