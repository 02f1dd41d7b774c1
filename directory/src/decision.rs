//! From what a DC answered to what happens next: one table.
//!
//! Retryable is a whitelist: what is not known to pass by itself is not tried again. Samba puts a
//! generic extended code before any text (`00002071`, `0000202F`, `00002035`, `00002098`), so no
//! row reads those; where only the text tells causes apart, a row says so.

use std::time::Duration;

use domain::{Dn, ErrorCode, Problem};

use crate::error::{DirectoryError, DirectoryErrorKind, Refusal, ResultCode};

/// What a step does about a directory error.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// Passing trouble: try the step again after a while (the first wait; later ones grow).
    Retry { after: Duration, problem: Problem },
    /// The write may have happened, or stands in the way of what is there: check again before
    /// anything is written.
    ReadAgain(Problem),
    /// Only a person can mend it (rights, configuration); then the workflow goes on.
    Park(Problem),
    /// It can never work as asked.
    Fail(Problem),
}

impl Decision {
    pub fn problem(&self) -> &Problem {
        match self {
            Self::Retry { problem, .. }
            | Self::ReadAgain(problem)
            | Self::Park(problem)
            | Self::Fail(problem) => problem,
        }
    }
}

/// The decision for an error, with its code, message and hint.
pub fn decide(error: &DirectoryError) -> Decision {
    let row = match &error.kind {
        DirectoryErrorKind::Result { code, extended, data, diagnostic } => {
            let answer = Answer { operation: &error.operation, extended: *extended, data: *data, diagnostic };
            ROWS.iter().find(|row| row.matches(*code, &answer)).unwrap_or(&OTHERWISE)
        }
        DirectoryErrorKind::Unreachable(_) => &UNREACHABLE,
        DirectoryErrorKind::Untrusted(_) => &UNTRUSTED,
        DirectoryErrorKind::NoAnswer(_) => &NO_ANSWER,
        DirectoryErrorKind::Malformed(_) => &MALFORMED,
        DirectoryErrorKind::Refused(refusal) => refused(refusal),
    };
    row.decision(error)
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Then {
    /// After so many milliseconds.
    Retry(u64),
    ReadAgain,
    Park,
    Fail,
}
use Then::{Fail, Park, ReadAgain, Retry};

/// What happened and what to do. Conditions left out match everything.
#[derive(Debug)]
struct Row {
    code: u32,
    extended: Option<u32>,
    data: Option<u32>,
    /// Part of the diagnostic message, in lower case.
    says: Option<&'static str>,
    /// First word of the operation.
    operation: Option<&'static str>,
    then: Then,
    error: ErrorCode,
    what: &'static str,
    hint: &'static str,
}

struct Answer<'a> {
    operation: &'a str,
    extended: Option<u32>,
    data: Option<u32>,
    diagnostic: &'a str,
}

impl Row {
    const fn on(
        code: ResultCode,
        then: Then,
        error: ErrorCode,
        what: &'static str,
        hint: &'static str,
    ) -> Self {
        Self {
            code: code.0,
            extended: None,
            data: None,
            says: None,
            operation: None,
            then,
            error,
            what,
            hint,
        }
    }
    const fn extended(mut self, extended: u32) -> Self {
        self.extended = Some(extended);
        self
    }
    const fn data(mut self, data: u32) -> Self {
        self.data = Some(data);
        self
    }
    const fn says(mut self, text: &'static str) -> Self {
        self.says = Some(text);
        self
    }
    const fn operation(mut self, word: &'static str) -> Self {
        self.operation = Some(word);
        self
    }

    fn matches(&self, code: ResultCode, answer: &Answer<'_>) -> bool {
        self.code == code.0
            && self.extended.is_none_or(|wanted| answer.extended == Some(wanted))
            && self.data.is_none_or(|wanted| answer.data == Some(wanted))
            && self.says.is_none_or(|part| answer.diagnostic.to_lowercase().contains(part))
            && self.operation.is_none_or(|word| answer.operation.split(' ').next() == Some(word))
    }

    fn decision(&self, error: &DirectoryError) -> Decision {
        let hint = match self.error {
            ErrorCode::RightsMissing => format!("{} {}", delegation(&error.operation), self.hint),
            _ => self.hint.to_owned(),
        };
        let problem = Problem::new(self.error, format!("{}: {error}", self.what), hint);
        match self.then {
            Retry(millis) => Decision::Retry { after: Duration::from_millis(millis), problem },
            ReadAgain => Decision::ReadAgain(problem),
            Park => Decision::Park(problem),
            Fail => Decision::Fail(problem),
        }
    }
}

use ErrorCode as E;
use ResultCode as C;

const LOGIN: &str = "the directory refused the login";

/// The first row that matches counts, so what is special stands before what is general.
#[rustfmt::skip] // one row a line, so that it reads as a table
const ROWS: &[Row] = &[
    Row::on(C::OPERATIONS_ERROR, Fail, E::DirectoryInsecure, "the DC wants an encrypted connection", "Use ldaps:// or ldap:// (which is upgraded by StartTLS) in the directory's URLs.").extended(0x202D),
    Row::on(C::OPERATIONS_ERROR, Fail, E::DirectoryRefused, "the DC cannot compute an attribute", "The gMSA's reader list or interval is not one that the DC can work with; look at msDS-GroupMSAMembership and msDS-ManagedPasswordInterval.").extended(0x2121),
    Row::on(C::OPERATIONS_ERROR, Retry(1_000), E::DirectoryLoginFailed, "the connection had lost its login", "It is opened again by itself. If it stays so, see the DC's log for why logins are dropped.").extended(0x4DC),
    Row::on(C::OPERATIONS_ERROR, Fail, E::DirectoryRefused, "the DC reports an internal error", "See the DC's log at that moment."),
    Row::on(C(2), Fail, E::DirectoryRefused, "the DC does not understand the request", "Please report this as a fault of Farmhand, with the message."),
    Row::on(C::TIME_LIMIT_EXCEEDED, Retry(30_000), E::DirectoryBusy, "the DC gave up the search for lack of time", "The DC is overloaded, or an index is missing for the attribute that is searched."),
    Row::on(C::SIZE_LIMIT_EXCEEDED, Fail, E::DirectoryRefused, "the DC returns no more entries", "A limit of the DC's query policy (MaxPageSize, MaxResultSetSize) is below what is needed."),
    Row::on(C(7), Park, E::DirectoryLoginFailed, "the DC does not accept simple logins", "Allow LDAP simple bind over TLS for Farmhand's account."),
    Row::on(C::STRONGER_AUTH_REQUIRED, Park, E::DirectoryInsecure, "the DC demands encryption or signing", "Use ldaps:// or ldap:// (which is upgraded by StartTLS) in the directory's URLs."),
    Row::on(C::REFERRAL, Park, E::DirectoryReadOnly, "the DC refers to another one", "The URL names a read-only DC or one of another domain; configure writable DCs of the domain."),
    Row::on(C::ADMIN_LIMIT_EXCEEDED, Fail, E::DirectoryRefused, "the request is over a limit of the DC", "Look at the DC's query policy, or change fewer values at once."),
    Row::on(C::UNAVAILABLE_CRITICAL_EXTENSION, Fail, E::DirectoryRefused, "the DC does not have a feature that is needed", "The DC's version is too old, or the feature is turned off."),
    Row::on(C(13), Park, E::DirectoryInsecure, "the DC wants an encrypted connection", "Use ldaps:// or ldap:// (which is upgraded by StartTLS) in the directory's URLs."),
    Row::on(C::NO_SUCH_ATTRIBUTE, Fail, E::SchemaTooOld, "the schema does not have an attribute that is needed", "The forest's schema must be that of Windows Server 2012 or later (adprep).").says("not found in the schema"),
    Row::on(C::NO_SUCH_ATTRIBUTE, Fail, E::SchemaTooOld, "the schema does not have an attribute that is needed", "The forest's schema must be that of Windows Server 2012 or later (adprep).").extended(0x57),
    Row::on(C::NO_SUCH_ATTRIBUTE, Retry(200), E::DirectoryConflict, "the value was changed by someone else at the same moment", "It is read and planned again by itself. If it stays so, another program keeps writing the same attribute."),
    Row::on(C(17), Fail, E::SchemaTooOld, "the schema does not have an attribute that is needed", "The forest's schema must be that of Windows Server 2012 or later (adprep)."),
    Row::on(C::CONSTRAINT_VIOLATION, Fail, E::SpnConflict, "a service principal name is held by another account", "Find the holder (setspn -Q) and take the SPN from it, or leave it out of the manifest.").extended(0x21C7),
    Row::on(C::CONSTRAINT_VIOLATION, Fail, E::SpnConflict, "a service principal name is held by another account", "Find the holder (setspn -Q; host/ covers http/ and others) and take the SPN from it, or leave it out of the manifest.").says("would cause a conflict"),
    Row::on(C::CONSTRAINT_VIOLATION, Fail, E::DirectoryConflict, "the user principal name is held by another account", "Find the holder and change its name.").extended(0x21C8),
    Row::on(C::CONSTRAINT_VIOLATION, Fail, E::DirectoryRefused, "only the system may change this attribute", "It is fixed when the account is made (the password interval, for one): replace the account to change it.").extended(0x20B1),
    Row::on(C::CONSTRAINT_VIOLATION, Fail, E::DirectoryRefused, "only the system may change this attribute", "It is fixed when the account is made (the password interval, for one): replace the account to change it.").says("can only be modified as system"),
    Row::on(C::CONSTRAINT_VIOLATION, Fail, E::DirectoryRefused, "a value breaks a rule of the DC", "The DC's message names the attribute: a character in a name, or an SPN or DNS name that is not the account's own and wants the right to write the whole attribute."),
    Row::on(C::ATTRIBUTE_OR_VALUE_EXISTS, ReadAgain, E::DirectoryConflict, "the value is there already", "It is read again by itself."),
    Row::on(C::INVALID_ATTRIBUTE_SYNTAX, Fail, E::DirectoryRefused, "a value has the wrong form or is too long", "The DC's message names the attribute."),
    Row::on(C::NO_SUCH_OBJECT, Park, E::NoKdsRootKey, "the forest has no KDS root key that can be used", "Make one with Add-KdsRootKey (samba-tool domain kds root-key create) and wait ten hours, then resume.").extended(0x8009_000D),
    Row::on(C::NO_SUCH_OBJECT, Fail, E::HostNotFound, "an object that was named as a value is not there", "A host or group was deleted in the meantime, or is not replicated to this DC yet.").extended(0x525),
    Row::on(C::NO_SUCH_OBJECT, Fail, E::ContainerNotFound, "the container is not there", "Make the container, or name another one in the manifest.").operation("add"),
    Row::on(C::NO_SUCH_OBJECT, Retry(5_000), E::DirectoryConflict, "the object is not there (any more), or not on this DC yet", "It is read and planned again by itself. If it stays so, someone deletes it."),
    Row::on(C::INVALID_DN_SYNTAX, Fail, E::DirectoryRefused, "a distinguished name is malformed", "Look at the DNs in the manifest."),
    Row::on(C(48), Park, E::DirectoryLoginFailed, LOGIN, "The account may not log in this way; look at its settings, then load the configuration anew."),
    Row::on(C::INVALID_CREDENTIALS, Park, E::DirectoryLoginFailed, LOGIN, "There is no such account: correct FARMHAND_DIRECTORY_BIND_DN.").data(0x525),
    Row::on(C::INVALID_CREDENTIALS, Park, E::DirectoryLoginFailed, LOGIN, "The account or the password is wrong: correct FARMHAND_DIRECTORY_BIND_DN or FARMHAND_DIRECTORY_PASSWORD.").data(0x52E),
    Row::on(C::INVALID_CREDENTIALS, Park, E::DirectoryLoginFailed, LOGIN, "The account may not log in at this hour: change its logon hours.").data(0x530),
    Row::on(C::INVALID_CREDENTIALS, Park, E::DirectoryLoginFailed, LOGIN, "The account may not log in from this machine: change its list of workstations.").data(0x531),
    Row::on(C::INVALID_CREDENTIALS, Park, E::DirectoryLoginFailed, LOGIN, "The account's password has expired: set a new one.").data(0x532),
    Row::on(C::INVALID_CREDENTIALS, Park, E::DirectoryLoginFailed, LOGIN, "The account is disabled: enable it.").data(0x533),
    Row::on(C::INVALID_CREDENTIALS, Park, E::DirectoryLoginFailed, LOGIN, "The account has expired: extend it.").data(0x701),
    Row::on(C::INVALID_CREDENTIALS, Park, E::DirectoryLoginFailed, LOGIN, "The account's password must be changed first: set one that need not be.").data(0x773),
    Row::on(C::INVALID_CREDENTIALS, Park, E::DirectoryLoginFailed, LOGIN, "The account is locked out: find who tried wrong passwords, then unlock it.").data(0x775),
    Row::on(C::INVALID_CREDENTIALS, Park, E::DirectoryInsecure, LOGIN, "The DC wants channel binding: see the LDAP channel binding policy of the domain controllers.").data(0x35B),
    Row::on(C::INVALID_CREDENTIALS, Park, E::DirectoryLoginFailed, LOGIN, "Correct FARMHAND_DIRECTORY_BIND_DN or FARMHAND_DIRECTORY_PASSWORD."),
    Row::on(C::INSUFFICIENT_ACCESS_RIGHTS, Fail, E::DirectoryRefused, "the DC does not let us trust an account for delegation", "That needs the user right 'Enable computer and user accounts to be trusted for delegation' (SeEnableDelegationPrivilege), which administrators hold: let one set trustedForDelegation, trustedToAuthForDelegation or allowedToDelegateTo, then ask again; what is so already is not written.").says("enabledelegation"),
    Row::on(C::INSUFFICIENT_ACCESS_RIGHTS, Fail, E::SpnConflict, "a service principal name is covered by another account", "A computer's host/ covers http/ and other classes of the same name. Take another name for the farm, or let an administrator set the SPN.").says("would cause a conflict"),
    Row::on(C::INSUFFICIENT_ACCESS_RIGHTS, Fail, E::RightsMissing, "a right is missing", "`farmhand doctor` lists the rights of the account."),
    Row::on(C::BUSY, Retry(5_000), E::DirectoryBusy, "the DC is busy", "It is tried again by itself."),
    Row::on(C::UNAVAILABLE, Retry(10_000), E::DirectoryUnreachable, "the DC is not available", "It is shutting down, or waits for another DC (RID master). It is tried again by itself."),
    Row::on(C::UNWILLING_TO_PERFORM, Retry(30_000), E::DirectoryBusy, "the DC has no identifiers left to give", "The RID master must be reachable for this DC. It is tried again by itself.").extended(0x2011),
    Row::on(C::UNWILLING_TO_PERFORM, Fail, E::RightsMissing, "the quota of machine accounts is used up", "The quota does not stand in for the right to create gMSAs.").extended(0x216D),
    Row::on(C::UNWILLING_TO_PERFORM, ReadAgain, E::DirectoryConflict, "the value is not there", "It is read again by itself.").extended(0x561),
    Row::on(C::UNWILLING_TO_PERFORM, ReadAgain, E::DirectoryConflict, "the value is not there", "It is read again by itself.").says("doesn't exist for target guid"),
    Row::on(C::UNWILLING_TO_PERFORM, Park, E::DirectoryReadOnly, "a global catalogue port takes no writes", "Use ports 389 or 636 in the directory's URLs, not 3268 or 3269.").says("global catalog port"),
    Row::on(C::UNWILLING_TO_PERFORM, Fail, E::DirectoryRefused, "the DC refuses the change", "Its message says why."),
    Row::on(C::ENTRY_ALREADY_EXISTS, ReadAgain, E::AccountNameTaken, "another object of that name stands in the container", "It is read again by itself. If the name stays taken, rename that object, or take another name.").operation("rename"),
    Row::on(C::NAMING_VIOLATION, Fail, E::DirectoryRefused, "such an object may not stand there", "Name a container or an organizational unit as container."),
    Row::on(C::OBJECT_CLASS_VIOLATION, Fail, E::SchemaTooOld, "the object's class does not allow it so", "The forest's schema must be that of Windows Server 2012 or later (adprep)."),
    Row::on(C::NOT_ALLOWED_ON_NON_LEAF, Fail, E::DirectoryRefused, "the object has children", "Move or delete them first."),
    Row::on(C::ENTRY_ALREADY_EXISTS, ReadAgain, E::AccountNameTaken, "the account name is in use", "It is read again by itself. If the holder is another object, take another name.").says("already in use"),
    Row::on(C::ENTRY_ALREADY_EXISTS, ReadAgain, E::AccountNameTaken, "the account name is in use", "It is read again by itself. If the holder is another object, take another name.").extended(0x524),
    Row::on(C::ENTRY_ALREADY_EXISTS, ReadAgain, E::DirectoryConflict, "it is there already", "It is read again by itself."),
];

const OTHERWISE: Row =
    Row::on(C::OTHER, Fail, E::DirectoryRefused, "the DC refuses the request", "Its message says why.");
const UNREACHABLE: Row = Row::on(
    C(0),
    Retry(5_000),
    E::DirectoryUnreachable,
    "the DC cannot be reached",
    "Check its name, port and firewall; `farmhand doctor` tries every URL. It is tried again by itself.",
);
const UNTRUSTED: Row = Row::on(
    C(0),
    Park,
    E::DirectoryUntrusted,
    "the DC's certificate is not trusted",
    "Name the issuing authority in FARMHAND_DIRECTORY_CA_FILE, and the DC by a name that its certificate holds.",
);
const NO_ANSWER: Row = Row::on(
    C(0),
    ReadAgain,
    E::DirectoryOutcomeUnknown,
    "no answer came",
    "Whether it took effect is read again before anything else is written.",
);
const MALFORMED: Row = Row::on(
    C(0),
    Fail,
    E::DirectoryMalformed,
    "the DC's answer cannot be understood",
    "Please report this with the message, and which server it is.",
);

fn refused(refusal: &Refusal) -> &'static Row {
    const BUG: &str = "Please report this as a fault of Farmhand, with the message.";
    const PASSWORD: Row = Row::on(C(0), Fail, E::DirectoryRefused, "refused by Farmhand itself", BUG);
    const INSECURE: Row = Row::on(
        C(0),
        Park,
        E::DirectoryInsecure,
        "refused by Farmhand itself",
        "Use ldaps:// or ldap:// (which is upgraded by StartTLS) in the directory's URLs.",
    );
    const NO_TLS: Row = Row::on(
        C(0),
        Park,
        E::DirectoryInsecure,
        "the connection cannot be encrypted",
        "Give the DC a certificate so that it does StartTLS, or use its ldaps:// URL; then restart Farmhand and resume.",
    );
    const EMPTY: Row = Row::on(
        C(0),
        Park,
        E::DirectoryLoginFailed,
        "no login is possible",
        "Set FARMHAND_DIRECTORY_PASSWORD.",
    );
    const DRY: Row =
        Row::on(C(0), Fail, E::DirectoryReadOnly, "nothing is written", "Run it without --plan.");
    const BEFORE: Row = Row::on(
        C(0),
        Park,
        E::DirectoryLoginFailed,
        LOGIN,
        "Correct the bind DN or the password, restart Farmhand so that it loads them, then resume.",
    );
    const PENDING: Row = Row::on(C(0), Fail, E::StepFault, "a value is not known yet", BUG);
    const CONFIGURATION: Row = Row::on(
        C(0),
        Park,
        E::DirectoryRefused,
        "the directory's configuration does not allow it",
        "Correct the directory's configuration, restart Farmhand, then resume.",
    );
    match refusal {
        Refusal::ManagedPassword => &PASSWORD,
        Refusal::Insecure => &INSECURE,
        Refusal::NoTls(_) => &NO_TLS,
        Refusal::EmptyPassword => &EMPTY,
        Refusal::DryRun => &DRY,
        Refusal::LoginRefusedBefore => &BEFORE,
        Refusal::PendingValue => &PENDING,
        Refusal::Configuration(_) => &CONFIGURATION,
    }
}

/// The missing right and how to grant it, from an operation as the adapter writes it:
/// `add DN (CLASS)`, `modify DN (ATTRIBUTE, ATTRIBUTE)`, `delete DN`, `rename DN (NAME)`.
fn delegation(operation: &str) -> String {
    let (verb, rest) = operation.split_once(' ').unwrap_or((operation, ""));
    let (dn, details) = match rest.strip_suffix(')').and_then(|rest| rest.rsplit_once(" (")) {
        Some((dn, details)) => (dn, details),
        None => (rest, ""),
    };
    let parent = Dn::parse(dn).ok().and_then(|dn| dn.parent());
    let parent = parent.as_ref().map_or(dn, Dn::as_str);
    match verb {
        "add" => {
            let class = if details.is_empty() { "CLASS" } else { details };
            format!(
                "Missing: the right to create {class} objects in {parent}, or to write an attribute of a new one. \
                 Grant it to Farmhand's account: dsacls \"{parent}\" /I:T /G \"ACCOUNT:CCDC;{class}\", and for every \
                 attribute: dsacls \"{parent}\" /I:S /G \"ACCOUNT:RPWP;ATTRIBUTE;{class}\"."
            )
        }
        "modify" => {
            let grants = details.split(", ").filter(|name| !name.is_empty());
            let grants: Vec<_> =
                grants.map(|name| format!("dsacls \"{dn}\" /G \"ACCOUNT:RPWP;{name}\"")).collect();
            format!(
                "Missing: the right to write {details} of {dn}. Grant it to Farmhand's account: {} (or inherited \
                 from {parent}).",
                grants.join("; ")
            )
        }
        "rename" => format!(
            "Missing: the right to rename {dn}. Grant it to Farmhand's account: dsacls \"{dn}\" /G \
             \"ACCOUNT:RPWP;name\"; dsacls \"{dn}\" /G \"ACCOUNT:RPWP;cn\" (or inherited from {parent})."
        ),
        "delete" => format!(
            "Missing: the right to delete {dn}. Grant Farmhand's account delete-child on {parent} for the object's \
             class."
        ),
        _ => format!("Missing: the right to read {dn}."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(operation: &str, kind: DirectoryErrorKind) -> DirectoryError {
        DirectoryError::new("dc1.contoso.com", operation, kind)
    }

    fn answer(code: u32, extended: Option<u32>, data: Option<u32>, diagnostic: &str) -> DirectoryErrorKind {
        DirectoryErrorKind::Result {
            code: ResultCode(code),
            extended,
            data,
            diagnostic: diagnostic.to_owned(),
        }
    }

    /// No row is hidden behind an earlier one, and each gives what it says.
    #[test]
    fn every_row_is_reached_by_its_own_conditions() {
        for row in ROWS {
            let operation = format!("{} CN=x,DC=contoso,DC=com", row.operation.unwrap_or("modify"));
            let kind = answer(row.code, row.extended, row.data, row.says.unwrap_or_default());
            let decision = decide(&error(&operation, kind));
            let wanted = match row.then {
                Retry(_) => matches!(decision, Decision::Retry { .. }),
                ReadAgain => matches!(decision, Decision::ReadAgain(_)),
                Park => matches!(decision, Decision::Park(_)),
                Fail => matches!(decision, Decision::Fail(_)),
            };
            let problem = decision.problem();
            assert!(wanted && problem.code == row.error, "{row:?} gave {decision:?}");
            assert!(problem.hint.ends_with(row.hint) && problem.message.starts_with(row.what), "{row:?}");
        }
    }

    #[test]
    fn what_samba_and_windows_answer_leads_where_it_should() {
        use ErrorCode as E;
        let spn = "samldb: spn[http/pr1] would cause a conflict";
        let cases = [
            (19, Some(0x202F), None, spn, "fail", E::SpnConflict),
            (50, Some(0x2098), None, spn, "fail", E::SpnConflict),
            (19, Some(0x21C7), None, "AttErr: DSID-0", "fail", E::SpnConflict),
            (50, Some(0x5), None, "SecErr: DSID-0", "fail", E::RightsMissing),
            (
                50,
                None,
                None,
                "not permitted without the SeEnableDelegationPrivilege",
                "fail",
                E::DirectoryRefused,
            ),
            (
                50,
                Some(0x2098),
                None,
                "cannot be created or changed without SePrivEnableDelegation!",
                "fail",
                E::DirectoryRefused,
            ),
            (50, Some(0x2098), None, "Object has no write property access", "fail", E::RightsMissing),
            (
                68,
                Some(0x2071),
                None,
                "samldb: sAMAccountName 'a$' already in use!",
                "read",
                E::AccountNameTaken,
            ),
            (68, None, None, "Entry CN=a already exists", "read", E::DirectoryConflict),
            (
                53,
                Some(0x2035),
                None,
                "Attribute member doesn't exist for target GUID x",
                "read",
                E::DirectoryConflict,
            ),
            (53, Some(0x2035), None, "something else", "fail", E::DirectoryRefused),
            (32, Some(0x8009_000D), None, "", "park", E::NoKdsRootKey),
            (32, Some(0x2030), None, "No such Base DN", "retry", E::DirectoryConflict),
            (
                16,
                None,
                None,
                "attribute 'x': no matching attribute value while deleting",
                "retry",
                E::DirectoryConflict,
            ),
            (16, None, None, "x was not found in the schema!", "fail", E::SchemaTooOld),
            (
                49,
                Some(0x8009_0308),
                Some(0x52E),
                "AcceptSecurityContext error",
                "park",
                E::DirectoryLoginFailed,
            ),
            (49, Some(0x8009_0308), Some(0x9999), "", "park", E::DirectoryLoginFailed),
            (51, None, None, "", "retry", E::DirectoryBusy),
            (52, None, None, "", "retry", E::DirectoryUnreachable),
            (80, None, None, "", "fail", E::DirectoryRefused),
            (12345, None, None, "", "fail", E::DirectoryRefused),
        ];
        for (code, extended, data, text, wanted, problem) in cases {
            let decision = decide(&error("modify CN=a,DC=x (member)", answer(code, extended, data, text)));
            let found = match decision {
                Decision::Retry { .. } => "retry",
                Decision::ReadAgain(_) => "read",
                Decision::Park(_) => "park",
                Decision::Fail(_) => "fail",
            };
            assert_eq!((found, decision.problem().code), (wanted, problem), "{code} {extended:x?} {text}");
        }
    }

    #[test]
    fn only_what_passes_by_itself_is_tried_again() {
        let retried: Vec<_> =
            ROWS.iter().filter(|row| matches!(row.then, Retry(_))).map(|row| row.code).collect();
        assert_eq!(retried, [1, 3, 16, 32, 51, 52, 53]);
        assert!(ROWS.iter().filter(|row| row.code == 49).all(|row| row.then == Park), "lockout");
    }

    #[test]
    fn what_never_got_an_answer_is_decided_by_its_kind() {
        use DirectoryErrorKind as K;
        let decide = |kind| decide(&error("add CN=a,DC=x (group)", kind));
        assert!(matches!(decide(K::Unreachable("refused".into())), Decision::Retry { .. }));
        assert!(matches!(decide(K::Untrusted("unknown issuer".into())), Decision::Park(_)));
        assert!(matches!(decide(K::NoAnswer("cut".into())), Decision::ReadAgain(_)));
        assert!(matches!(decide(K::Malformed("?".into())), Decision::Fail(_)));
        assert!(matches!(decide(K::Refused(Refusal::LoginRefusedBefore)), Decision::Park(_)));
        assert!(matches!(decide(K::Refused(Refusal::DryRun)), Decision::Fail(_)));
        assert!(matches!(decide(K::Refused(Refusal::ManagedPassword)), Decision::Fail(_)));
    }

    #[test]
    fn a_missing_right_is_named_with_the_delegation_that_grants_it() {
        let hint =
            |operation: &str| decide(&error(operation, answer(50, None, None, ""))).problem().hint.clone();
        let add = hint("add CN=F,CN=Managed Service Accounts,DC=x (msDS-GroupManagedServiceAccount)");
        assert!(
            add.contains(
                "create msDS-GroupManagedServiceAccount objects in CN=Managed Service Accounts,DC=x"
            )
        );
        assert!(add.contains("dsacls \"CN=Managed Service Accounts,DC=x\" /I:T"), "{add}");
        let modify = hint("modify CN=F,DC=x (member, description)");
        assert!(
            modify.contains("\"ACCOUNT:RPWP;member\"") && modify.contains("RPWP;description"),
            "{modify}"
        );
        assert!(hint("delete CN=F,OU=g,DC=x").contains("delete-child on OU=g,DC=x"));
        let rename = hint("rename CN=F,OU=g,DC=x (F-old)");
        assert!(rename.contains("dsacls \"CN=F,OU=g,DC=x\" /G \"ACCOUNT:RPWP;name\""), "{rename}");
    }
}
