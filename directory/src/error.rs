//! What can go wrong between us and a DC.

use std::fmt;

/// An LDAP result code (RFC 4511, appendix A).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ResultCode(pub u32);

impl ResultCode {
    pub const OPERATIONS_ERROR: Self = Self(1);
    pub const TIME_LIMIT_EXCEEDED: Self = Self(3);
    pub const SIZE_LIMIT_EXCEEDED: Self = Self(4);
    pub const STRONGER_AUTH_REQUIRED: Self = Self(8);
    pub const REFERRAL: Self = Self(10);
    pub const ADMIN_LIMIT_EXCEEDED: Self = Self(11);
    pub const UNAVAILABLE_CRITICAL_EXTENSION: Self = Self(12);
    pub const NO_SUCH_ATTRIBUTE: Self = Self(16);
    pub const CONSTRAINT_VIOLATION: Self = Self(19);
    pub const ATTRIBUTE_OR_VALUE_EXISTS: Self = Self(20);
    pub const INVALID_ATTRIBUTE_SYNTAX: Self = Self(21);
    pub const NO_SUCH_OBJECT: Self = Self(32);
    pub const INVALID_DN_SYNTAX: Self = Self(34);
    pub const INVALID_CREDENTIALS: Self = Self(49);
    pub const INSUFFICIENT_ACCESS_RIGHTS: Self = Self(50);
    pub const BUSY: Self = Self(51);
    pub const UNAVAILABLE: Self = Self(52);
    pub const UNWILLING_TO_PERFORM: Self = Self(53);
    pub const NAMING_VIOLATION: Self = Self(64);
    pub const OBJECT_CLASS_VIOLATION: Self = Self(65);
    pub const NOT_ALLOWED_ON_NON_LEAF: Self = Self(66);
    pub const ENTRY_ALREADY_EXISTS: Self = Self(68);
    pub const OTHER: Self = Self(80);
}

impl fmt::Display for ResultCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An error with the DC and the operation it came from. Never holds a secret.
#[derive(Debug, thiserror::Error)]
#[error("{operation} on {dc}: {kind}")]
pub struct DirectoryError {
    /// The DC or URL.
    pub dc: String,
    /// What was tried, with its DN, e.g. `add CN=ITFarm1,...`.
    pub operation: String,
    pub kind: DirectoryErrorKind,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryErrorKind {
    /// The DC answered with a code other than success.
    #[error("result {code}: {diagnostic}")]
    Result {
        code: ResultCode,
        /// The Win32 code at the start of the diagnostic message, e.g. `0x21C7`.
        extended: Option<u32>,
        /// `data NNN` of a failed bind (hexadecimal), e.g. `0x52E`.
        data: Option<u32>,
        diagnostic: String,
    },
    /// No connection came about: name, TCP or time.
    #[error("not reachable: {0}")]
    Unreachable(String),
    /// TLS failed: the certificate is not one that we may trust.
    #[error("its certificate is not trusted: {0}")]
    Untrusted(String),
    /// The connection broke or the deadline passed after the request had left.
    #[error("no answer: {0}")]
    NoAnswer(String),
    /// Refused by us before anything was sent.
    #[error("{0}")]
    Refused(Refusal),
    /// The DC answered with something that cannot be understood.
    #[error("an answer that cannot be understood: {0}")]
    Malformed(String),
}

/// What we do not do, whatever is asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("msDS-ManagedPassword is never read by Farmhand")]
    ManagedPassword,
    #[error("a password is never sent over an unencrypted connection")]
    Insecure,
    #[error("the server refused StartTLS (result {0}), and nothing is sent over an open connection")]
    NoTls(ResultCode),
    #[error("an empty password would be an anonymous login")]
    EmptyPassword,
    #[error("a dry run writes nothing")]
    DryRun,
    #[error(
        "the login was refused before; not tried again until the configuration changes, to spare the account a lockout"
    )]
    LoginRefusedBefore,
    #[error("a value that is not known yet cannot be sent")]
    PendingValue,
    #[error("{0}")]
    Configuration(String),
}

impl DirectoryError {
    pub fn new(dc: impl Into<String>, operation: impl Into<String>, kind: DirectoryErrorKind) -> Self {
        Self { dc: dc.into(), operation: operation.into(), kind }
    }

    /// The result code, where the DC answered with one.
    pub fn code(&self) -> Option<ResultCode> {
        match &self.kind {
            DirectoryErrorKind::Result { code, .. } => Some(*code),
            _ => None,
        }
    }

    pub fn is(&self, code: ResultCode) -> bool {
        self.code() == Some(code)
    }

    /// A write may or may not have happened: read before anything else.
    pub fn outcome_unknown(&self) -> bool {
        matches!(self.kind, DirectoryErrorKind::NoAnswer(_))
    }
}
