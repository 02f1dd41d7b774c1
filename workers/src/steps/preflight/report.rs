//! All that preflight finds, gathered before it is said.

use chrono::{DateTime, Utc};
use domain::{ErrorCode, Problem, Violation};

use crate::StepError;

/// One thing that stands in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    code: ErrorCode,
    violation: Violation,
    hint: String,
}

#[derive(Debug, Clone, Default)]
pub struct Report {
    findings: Vec<Finding>,
    warnings: Vec<String>,
    /// Nothing is wrong, but it can only work from this time on.
    until: Option<(DateTime<Utc>, Problem)>,
}

impl Report {
    pub fn new(warnings: Vec<String>) -> Self {
        Self { warnings, ..Self::default() }
    }

    pub fn fail(
        &mut self,
        code: ErrorCode,
        field: impl Into<String>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let violation = Violation::new(field, code.as_str(), message);
        self.findings.push(Finding { code, violation, hint: hint.into() });
    }

    /// Several differences with one cause.
    pub fn fail_all(&mut self, code: ErrorCode, violations: Vec<Violation>, hint: &str) {
        let one = |violation| Finding { code, violation, hint: hint.to_owned() };
        self.findings.extend(violations.into_iter().map(one));
    }

    pub fn warn(&mut self, message: impl Into<String>) {
        self.warnings.push(message.into());
    }

    pub fn wait_until(&mut self, time: DateTime<Utc>, problem: Problem) {
        self.until = Some((time, problem));
    }

    /// Nothing stands in the way.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty() && self.until.is_none()
    }

    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    #[cfg(test)]
    pub fn fields(&self) -> Vec<(ErrorCode, &str)> {
        self.findings.iter().map(|finding| (finding.code, finding.violation.field.as_str())).collect()
    }

    /// What stops the workflow, if anything does: what is wrong goes before what needs time.
    pub fn into_error(self, now: DateTime<Utc>) -> Option<StepError> {
        let Some(first) = self.findings.first() else {
            let (until, problem) = self.until?;
            let after = (until - now).to_std().unwrap_or_default();
            return Some(StepError::Retry { after, problem });
        };
        let told = |f: &Finding| format!("{}: {}", f.violation.field, f.violation.message);
        let message = match self.findings.len() {
            1 => told(first),
            number => {
                let all: Vec<_> = self.findings.iter().map(told).collect();
                format!("{number} problems: {}", all.join("; "))
            }
        };
        let mut hints: Vec<&str> = Vec::new();
        for finding in &self.findings {
            if !hints.contains(&finding.hint.as_str()) {
                hints.push(&finding.hint);
            }
        }
        let hint = format!("{}. Nothing was written", hints.join("; "));
        let problem = Problem::new(first.code, message, hint);
        Some(StepError::Fail(
            problem.with_violations(self.findings.into_iter().map(|f| f.violation).collect()),
        ))
    }
}

/// Cannot happen: a target is missing only where a finding says why.
pub fn no_target() -> StepError {
    StepError::fail(
        ErrorCode::StepFault,
        "preflight found neither a target nor what is wrong with it",
        "this is a defect of Farmhand: report it with the workflow's id",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000, 0).expect("a valid time")
    }
    fn key() -> Problem {
        Problem::new(ErrorCode::KdsRootKeyNotYetUsable, "not yet", "wait")
    }

    #[test]
    fn nothing_found_is_no_error() {
        assert_eq!(Report::new(vec!["unwise".into()]).into_error(now()), None);
    }

    #[test]
    fn every_finding_is_in_the_problem_and_the_first_gives_the_code() {
        let mut report = Report::default();
        report.fail(ErrorCode::HostNotFound, "spec.hosts[1]", "no Host9", "correct the name");
        report.fail(ErrorCode::SpnConflict, "spec.account.servicePrincipalNames[0]", "taken", "remove it");
        report.fail(ErrorCode::HostNotFound, "spec.hosts[2]", "no Host10", "correct the name");
        report.wait_until(now(), key());
        let error = report.into_error(now()).expect("it fails");
        assert!(matches!(error, StepError::Fail(_)), "what is wrong goes before what needs time");
        let problem = error.problem();
        assert_eq!(problem.code, ErrorCode::HostNotFound);
        assert_eq!(problem.violations.len(), 3);
        assert_eq!(problem.violations[1].rule, "spn-conflict");
        assert!(problem.message.starts_with("3 problems:"), "{problem}");
        assert_eq!(problem.hint.matches("correct the name").count(), 1);
    }

    #[test]
    fn what_only_needs_time_is_waited_for_exactly_that_long() {
        let mut report = Report::default();
        report.wait_until(now() + chrono::TimeDelta::hours(3), key());
        let error = report.into_error(now()).expect("it waits");
        assert_eq!(error, StepError::Retry { after: std::time::Duration::from_secs(10_800), problem: key() });
    }
}
