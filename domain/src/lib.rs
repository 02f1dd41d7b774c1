//! The language of Farmhand: farms, hosts, names, SPNs, workflows, steps,
//! transitions and plans.
//!
//! Nothing here does I/O, reads a clock or draws a random number: what needs
//! those takes a [`Clock`] or a [`Rng`]. Every other crate imports this one and
//! this one imports none of ours.

pub mod announcement;
pub mod approval;
pub mod calendar;
pub mod clock;
pub mod containment;
pub mod dn;
pub mod dns_name;
pub mod drift;
pub mod encryption;
pub mod error;
pub mod farm;
pub mod host;
pub mod ids;
pub mod interval;
pub mod name;
pub mod plan;
pub mod principal;
pub mod request;
pub mod rng;
pub mod rotation;
pub mod rule;
pub mod schedule;
pub mod sid;
pub mod spn;
pub mod step;
pub mod webhook;
pub mod workflow;

pub use announcement::{Announcement, AnnouncementKind};
pub use approval::{Approval, Verdict};
pub use calendar::Calendar;
pub use clock::{Clock, ManualClock, SystemClock};
pub use dn::{Dn, Rdn};
pub use dns_name::DnsHostName;
pub use drift::{DriftItem, DriftKind, DriftState};
pub use encryption::EncryptionTypes;
pub use error::{ErrorCode, Problem, Violation};
pub use farm::{FarmManifest, FarmSpec, MembershipMode};
pub use host::{HostAction, HostActionKind, HostAdapter, HostTask, HostTaskState, HostWork, MemberHost};
pub use ids::{
    CalendarName, DeliveryId, DirectoryName, FarmName, RuleId, RuleName, ScheduleId, ScheduleName, TokenId,
    WebhookId, WebhookName, WorkflowId,
};
pub use interval::ManagedPasswordInterval;
pub use name::{AccountName, GroupName, PrincipalRef};
pub use plan::{AttributeChange, AttributeOp, AttributeValue, Change, ChangeKind, Plan};
pub use principal::{Principal, Role};
pub use rng::{Rng, SystemRng};
pub use rotation::{RotationItem, RotationVerdict};
pub use rule::{FiringOutcome, RuleSpec, RuleState};
pub use schedule::{FireOutcome, ScheduleSpec};
pub use sid::Sid;
pub use spn::ServicePrincipalName;
pub use step::{StepEvent, StepOutcome, StepRecord, StepState, Write};
pub use webhook::{DeliveryState, WebhookSpec, WebhookState};
pub use workflow::{
    Cause, Lane, Mode, Wait, WaitReason, Workflow, WorkflowEvent, WorkflowKind, WorkflowState,
};
