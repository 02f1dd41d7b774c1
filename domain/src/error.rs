//! Every error that reaches a person: a stable code, what happened, what to do.
//!
//! One list of codes for HTTP problems, step errors and the command line. Each has a page
//! `docs/errors/<code>.md`; a test holds that.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)*) => {
        /// The stable name of a kind of error.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorCode { $($(#[$doc])* $variant,)* }

        impl ErrorCode {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

codes! {
    // What a caller sent.
    /// The manifest breaks a rule; `errors` names field and rule.
    InvalidManifest = "invalid-manifest",
    /// The request (not a manifest) is malformed.
    InvalidRequest = "invalid-request",
    /// No or no valid bearer token.
    Unauthenticated = "unauthenticated",
    /// The token's roles do not allow this.
    Forbidden = "forbidden",
    NotFound = "not-found",
    /// There is one of that name.
    AlreadyExists = "already-exists",
    /// The Idempotency-Key was used before with another request.
    IdempotencyConflict = "idempotency-conflict",
    /// The workflow's state does not allow this.
    IllegalTransition = "illegal-transition",
    /// Our own fault or a dependency's; the cause is in the log under the request's id.
    Internal = "internal",
    /// No farm of that name is on record, or no deploy of it has succeeded yet.
    FarmNotDeployed = "farm-not-deployed",
    /// The requester cannot approve.
    ApprovalOwn = "approval-own",
    /// The plan is not the one that was shown.
    ApprovalVoid = "approval-void",
    /// Called more often than is taken.
    RateLimited = "rate-limited",
    /// The webhook takes nothing at present.
    WebhookPaused = "webhook-paused",
    /// Nothing is announced here, so no webhook can be called.
    AnnouncementsOff = "announcements-off",
    /// The database cannot be reached.
    StoreUnavailable = "store-unavailable",

    // What preflight finds.
    ForestTooOld = "forest-too-old",
    SchemaTooOld = "schema-too-old",
    NoKdsRootKey = "no-kds-root-key",
    KdsRootKeyNotYetUsable = "kds-root-key-not-yet-usable",
    ContainerNotFound = "container-not-found",
    /// The account name is used by something that is not the farm's gMSA.
    AccountNameTaken = "account-name-taken",
    /// A gMSA of that name exists and differs from what was asked.
    AccountDiffers = "account-differs",
    SpnConflict = "spn-conflict",
    HostNotFound = "host-not-found",
    /// The named host is not a computer (a gMSA, a user, a group ...).
    HostNotComputer = "host-not-computer",
    /// The reader list keeps the host from reading by an entry of its own.
    HostDenied = "host-denied",
    GroupNotFound = "group-not-found",
    /// The named group is no security group, or not of a scope that can hold the hosts.
    GroupUnsuitable = "group-unsuitable",
    RightsMissing = "rights-missing",
    /// The farm's gMSA is not there, or is another object than the one on record.
    AccountNotFound = "account-not-found",
    /// The managed password interval of an account cannot be changed.
    IntervalFixed = "interval-fixed",
    /// What was asked cannot be changed on a standing account.
    UpdateRefused = "update-refused",
    /// The reader list cannot be read as one farm's.
    ImportAmbiguous = "import-ambiguous",
    /// The account stands in a way that no farm can express, or is another farm's.
    ImportRefused = "import-refused",
    /// A host that was removed can still read the password.
    HostStillReads = "host-still-reads",
    /// An account that is to be deleted is still in use.
    AccountInUse = "account-in-use",
    /// The host is under quarantine: no workflow lets it in.
    HostQuarantined = "host-quarantined",
    /// The host is a domain controller: cutting it off needs a reason.
    HostIsDomainController = "host-is-domain-controller",
    /// No open quarantine of that host is on record.
    NotQuarantined = "not-quarantined",
    /// Containment is not done: a DC cannot be reached, or still lets the host read.
    NotContained = "not-contained",

    // What the directory answers.
    DirectoryUnknown = "directory-unknown",
    DirectoryUnreachable = "directory-unreachable",
    DirectoryUntrusted = "directory-untrusted",
    DirectoryLoginFailed = "directory-login-failed",
    DirectoryInsecure = "directory-insecure",
    DirectoryBusy = "directory-busy",
    DirectoryRefused = "directory-refused",
    DirectoryConflict = "directory-conflict",
    DirectoryReadOnly = "directory-read-only",
    /// A write was sent and no answer came; it is read again before anything else.
    DirectoryOutcomeUnknown = "directory-outcome-unknown",
    /// A value came back from the directory that cannot be understood.
    DirectoryMalformed = "directory-malformed",
    /// The write was acknowledged but reading it back shows something else.
    VerificationFailed = "verification-failed",
    /// A DC does not show the change yet.
    NotReplicated = "not-replicated",

    // What happens to a workflow.
    StepTimedOut = "step-timed-out",
    UndoFailed = "undo-failed",
    UnknownRunbook = "unknown-runbook",
    /// The step's own code failed in a way it should not.
    StepFault = "step-fault",
    Cancelled = "cancelled",
    /// It waits for a second person's approval.
    ApprovalAwaited = "approval-awaited",
    ApprovalExpired = "approval-expired",
    ApprovalRejected = "approval-rejected",
    /// It waits for the word of people about hosts.
    HostsAwaited = "hosts-awaited",
    /// An action on a host did not succeed.
    HostActionFailed = "host-action-failed",
    /// It waits for a moment that was planned, e.g. the end of a cool-down.
    CoolingDown = "cooling-down",
    /// A containment has stopped it; it goes on, planned anew, when that is over.
    Preempted = "preempted",
    /// It waits for workflows that it asked for.
    ChildrenAwaited = "children-awaited",
    /// It waits until a password has rolled.
    RollAwaited = "roll-awaited",
    /// It waits for people to do what it cannot do itself, e.g. make a KDS root key.
    ByHandAwaited = "by-hand-awaited",
    /// A member host fetched a password that was due, and it has not rolled everywhere.
    PasswordNotRolled = "password-not-rolled",
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for ErrorCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ErrorCode {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let found = Self::ALL.iter().find(|code| code.as_str() == text);
        // A row written by a newer version may hold a code that this one has not.
        Ok(found.copied().unwrap_or(Self::Internal))
    }
}

/// What went wrong, as a person reads it: `{code, message, hint}` in every JSON of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Problem {
    pub code: ErrorCode,
    /// What happened, with the names that were involved. Never a secret.
    pub message: String,
    /// What to do about it.
    pub hint: String,
    /// One item for each finding, where several were looked for at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub violations: Vec<Violation>,
}

impl Problem {
    pub fn new(code: ErrorCode, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: hint.into(), violations: Vec::new() }
    }

    pub fn with_violations(mut self, violations: Vec<Violation>) -> Self {
        self.violations = violations;
        self
    }
}

/// One field that breaks one rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// Path in the document, e.g. `spec.account.samAccountName`.
    pub field: String,
    /// Stable name of the rule, for programs.
    pub rule: String,
    pub message: String,
}

impl Violation {
    pub fn new(field: impl Into<String>, rule: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), rule: rule.into(), message: message.into() }
    }
}
