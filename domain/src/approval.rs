//! Approval by a second person, bound to the hash of what would be done.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// An approval that a workflow asked for; kept in the outcome of its approval step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Approval {
    /// Of the plan that was shown; with another plan the approval is void.
    pub plan_hash: String,
    pub requested_at: DateTime<Utc>,
    /// Without a decision by then the workflow fails.
    pub expires_at: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Verdict>,
    /// Earlier ones, void because the plan or the directory changed before they were acted on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub voided: Vec<VoidApproval>,
}

/// What a second person decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    pub approved: bool,
    pub by: String,
    pub at: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VoidApproval {
    pub plan_hash: String,
    pub decision: Option<Verdict>,
    /// When the other plan was noticed.
    pub at: DateTime<Utc>,
}

/// Where an approval stands when a worker looks at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Somebody else than the requester approved exactly this plan.
    Approved(Verdict),
    /// A person is still to decide, before `expires_at`.
    Open,
    /// Nobody decided in time.
    Expired,
    /// What would be done is not what was shown: it must be asked anew.
    Void,
}

impl Approval {
    pub fn asked(plan_hash: String, now: DateTime<Utc>, expires_at: DateTime<Utc>) -> Self {
        Self { plan_hash, requested_at: now, expires_at, decision: None, voided: Vec::new() }
    }

    /// The one place that decides whether a workflow may go on with the plan of `hash`.
    pub fn standing(&self, hash: &str, now: DateTime<Utc>) -> Standing {
        match &self.decision {
            _ if self.plan_hash != hash => Standing::Void,
            Some(verdict) if verdict.approved => Standing::Approved(verdict.clone()),
            // A rejected workflow is cancelled with the rejection; should it run all the same, it waits.
            Some(_) => Standing::Open,
            None if now >= self.expires_at => Standing::Expired,
            None => Standing::Open,
        }
    }

    /// Asks anew for another plan; what was decided on the old one stays to be seen.
    #[must_use]
    pub fn renewed(mut self, hash: String, now: DateTime<Utc>, expires_at: DateTime<Utc>) -> Self {
        let void = VoidApproval { plan_hash: self.plan_hash, decision: self.decision, at: now };
        self.voided.push(void);
        Self { voided: self.voided, ..Self::asked(hash, now, expires_at) }
    }
}

#[cfg(test)]
mod tests {
    use chrono::Duration;

    use super::*;

    fn at(hours: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + Duration::hours(hours)
    }
    fn decided(approved: bool) -> Approval {
        let decision = Verdict { approved, by: "second".into(), at: at(1), reason: None };
        Approval { decision: Some(decision), ..Approval::asked("a".into(), at(0), at(72)) }
    }

    #[test]
    fn an_approval_counts_for_the_plan_that_was_shown_and_no_other() {
        assert!(matches!(decided(true).standing("a", at(2)), Standing::Approved(v) if v.by == "second"));
        assert_eq!(decided(true).standing("b", at(2)), Standing::Void);
        assert_eq!(decided(false).standing("a", at(2)), Standing::Open);
    }

    #[test]
    fn nobodys_word_in_time_is_an_end_and_an_approval_does_not_expire_after_the_fact() {
        let open = Approval::asked("a".into(), at(0), at(72));
        assert_eq!(open.standing("a", at(71)), Standing::Open);
        assert_eq!(open.standing("a", at(72)), Standing::Expired);
        assert!(matches!(decided(true).standing("a", at(100)), Standing::Approved(_)));
    }

    #[test]
    fn a_void_approval_stays_to_be_seen() {
        let renewed = decided(true).renewed("b".into(), at(3), at(75));
        assert_eq!((renewed.plan_hash.as_str(), renewed.decision), ("b", None));
        assert_eq!(renewed.voided.len(), 1);
        assert_eq!(renewed.voided[0].plan_hash, "a");
    }
}
