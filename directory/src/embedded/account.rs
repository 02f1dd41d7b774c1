//! Rules for security principals: names, kinds of account, and what the server sets for them.

use ldap3_proto::LdapResultCode;

use super::draft::{Context, Draft, file_time};
use super::object::Object;
use super::password;
use super::rejection::Rejection;
use super::rights::Caller;

const DISABLED: i64 = 0x2;
const PASSWORD_NOT_REQUIRED: i64 = 0x20;
const NORMAL: i64 = 0x200;
const WORKSTATION: i64 = 0x1000;
const DC: i64 = 0x2000;
const ACCOUNT_TYPES: i64 = NORMAL | WORKSTATION | DC;
const TRUSTED_FOR_DELEGATION: i64 = 0x8_0000;
const TRUSTED_TO_AUTHENTICATE: i64 = 0x100_0000;

const NEVER: i64 = i64::MAX;
const GLOBAL_SECURITY_GROUP: i64 = -2_147_483_646;

pub fn is_disabled(object: &Object) -> bool {
    object.int("userAccountControl").is_some_and(|control| control & DISABLED != 0)
}

/// What a new user, computer or service account has without being given it.
pub fn complete_account(context: &Context<'_>, draft: &mut Draft<'_>) -> Result<(), Rejection> {
    let now = file_time(context.clock.now());
    let is_computer = draft.object.is_a("computer");
    let is_gmsa = draft.object.is_a("msDS-GroupManagedServiceAccount");
    give_name_and_sid(context, draft)?;
    let kind = if is_computer { WORKSTATION } else { NORMAL };
    let control = draft.object.int("userAccountControl").unwrap_or(kind | DISABLED | PASSWORD_NOT_REQUIRED);
    draft.object.set_text("userAccountControl", control.to_string());
    // A gMSA has a password from the start; another account has none before somebody sets it.
    let password_set = if is_gmsa { now } else { 0 };
    let group =
        if is_computer { super::names::rid::DOMAIN_COMPUTERS } else { super::names::rid::DOMAIN_USERS };
    let numbers: [(&'static str, i64); 10] = [
        ("primaryGroupID", group.into()),
        ("accountExpires", NEVER),
        ("pwdLastSet", password_set),
        ("lastLogon", 0),
        ("lastLogoff", 0),
        ("logonCount", 0),
        ("badPwdCount", 0),
        ("badPasswordTime", 0),
        ("codePage", 0),
        ("countryCode", 0),
    ];
    for (name, number) in numbers {
        if !draft.object.has(name) {
            draft.object.set_text(name, number.to_string());
        }
    }
    if is_computer && !draft.object.has("isCriticalSystemObject") {
        draft.object.set_text("isCriticalSystemObject", "FALSE");
    }
    if is_gmsa {
        let identifier = password::first_identifier(context.forest, context.clock)?;
        draft.object.set("msDS-ManagedPasswordId", vec![identifier]);
    }
    check_control(context.caller, &mut draft.object, 0)
}

pub fn complete_group(context: &Context<'_>, draft: &mut Draft<'_>) -> Result<(), Rejection> {
    give_name_and_sid(context, draft)?;
    let kind = draft.object.int("groupType").unwrap_or(GLOBAL_SECURITY_GROUP);
    draft.object.set_text("groupType", kind.to_string());
    // MS-ADTS 3.1.1.5.2.4: local and built-in groups are alias objects, others group objects.
    let account_type = match (kind & 0x5 != 0, kind < 0) {
        (false, true) => 0x1000_0000,
        (false, false) => 0x1000_0001,
        (true, true) => 0x2000_0000,
        (true, false) => 0x2000_0001,
    };
    draft.object.set_text("sAMAccountType", account_type.to_string());
    Ok(())
}

fn give_name_and_sid(context: &Context<'_>, draft: &mut Draft<'_>) -> Result<(), Rejection> {
    if !draft.object.has("sAMAccountName") {
        let mut random = [0; 10];
        context.rng.fill(&mut random);
        let (head, tail) = random.split_at(4);
        let end = if draft.object.is_a("computer") { "$" } else { "" };
        let name = format!("${}-{}{end}", hex::encode_upper(head), hex::encode_upper(tail));
        draft.object.set_text("sAMAccountName", name);
    }
    if !draft.object.has("objectSid") {
        let sid = draft.next_sid();
        let sid = sid.ok_or_else(|| Rejection::unwilling("00002011: no more relative identifiers"))?;
        draft.object.set("objectSid", vec![sid.to_bytes()]);
    }
    check_name(context, &draft.object)
}

/// sAMAccountName: its characters, the `$` of computers, and that nobody in the domain has it.
pub fn check_name(context: &Context<'_>, object: &Object) -> Result<(), Rejection> {
    let Some(name) = object.text("sAMAccountName") else {
        return Err(Rejection::unwilling("00002035: sAMAccountName cannot be removed"));
    };
    let bad = |c: char| c < ' ' || c == '\x7f' || "\"[]:;|=+*?<>/\\,".contains(c);
    if name.is_empty() || name.ends_with('.') || name.contains(bad) {
        let text = format!("samldb: sAMAccountName '{name}' holds a character that is not allowed");
        return Err(Rejection::constraint(text));
    }
    let one_dollar = name.ends_with('$') && !name.ends_with("$$");
    if object.is_a("computer") && !context.caller.is_admin() && !one_dollar {
        let text = format!("00002077: samldb: sAMAccountName '{name}' must have a trailing $!");
        return Err(Rejection::unwilling(text));
    }
    let mut others = context.forest.by_value("sAMAccountName", name.as_bytes());
    if others.any(|other| other.id != object.id) {
        let text = format!("00002071: samldb: sAMAccountName '{name}' already in use!");
        return Err(Rejection::new(LdapResultCode::EntryAlreadyExists, text));
    }
    Ok(())
}

/// userAccountControl: one kind of account, delegation only by those who may, and the
/// sAMAccountType that follows from it.
pub fn check_control(caller: Caller, object: &mut Object, before: i64) -> Result<(), Rejection> {
    let mut control = object.int("userAccountControl").unwrap_or(0);
    let delegation = (TRUSTED_FOR_DELEGATION | TRUSTED_TO_AUTHENTICATE) & control & !before;
    if delegation != 0 && !caller.may_enable_delegation() {
        let text = "is not permitted without the SeEnableDelegationPrivilege";
        let text =
            format!("Failed to modify {}: Updating a delegation bit in userAccountControl {text}", object.dn);
        return Err(Rejection::denied_bare(text));
    }
    if object.is_a("computer") && control & (WORKSTATION | DC) == 0 && !caller.is_admin() {
        let text = "0000217C: samldb: UF_NORMAL_ACCOUNT requires objectclass 'user' not 'computer'!";
        return Err(Rejection::new(LdapResultCode::ObjectClassViolation, text));
    }
    if control & ACCOUNT_TYPES == 0 {
        control |= if object.is_a("computer") { WORKSTATION } else { NORMAL };
        object.set_text("userAccountControl", control.to_string());
    }
    if control & WORKSTATION != 0 && !object.is_a("computer") {
        let text = "0000202F: samldb: a workstation trust account needs the class computer";
        return Err(Rejection::new(LdapResultCode::ObjectClassViolation, text));
    }
    let account_type = if control & (WORKSTATION | DC) != 0 { 0x3000_0001 } else { 0x3000_0000 };
    object.set_text("sAMAccountType", account_type.to_string());
    Ok(())
}
