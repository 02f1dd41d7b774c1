//! Whether this forest can have gMSAs at all.

use directory::preflight::{FunctionalLevels, KdsRootKey};
use domain::{ErrorCode, Mode, Problem};

use super::report::Report;

/// The forest's findings belong to the choice of the directory.
const FIELD: &str = "spec.directory";

pub struct Seen {
    pub levels: FunctionalLevels,
    /// The schema has the class of gMSAs.
    pub has_class: bool,
    pub root_key: KdsRootKey,
}

pub fn judge(seen: &Seen, mode: Mode, report: &mut Report) {
    const NEEDED: i64 = FunctionalLevels::WINDOWS_2012;
    for (what, level) in [("domain", seen.levels.domain), ("forest", seen.levels.forest)] {
        let is = match level {
            Some(level) if level >= NEEDED => continue,
            Some(level) => format!("the {what}'s functional level is {level}"),
            None => format!("the {what}'s functional level cannot be seen"),
        };
        match (seen.levels.is_samba, level) {
            (true, _) | (false, None) => report.warn(format!("{is}; Windows needs {NEEDED} (Server 2012)")),
            (false, Some(_)) => report.fail(
                ErrorCode::ForestTooOld,
                FIELD,
                format!("{is}, gMSAs need {NEEDED} (Windows Server 2012)"),
                "raise the functional levels of domain and forest",
            ),
        }
    }
    if !seen.has_class {
        report.fail(
            ErrorCode::SchemaTooOld,
            FIELD,
            "the schema has no class msDS-GroupManagedServiceAccount",
            "extend the schema to Windows Server 2012 or later (adprep /forestprep)",
        );
    }
    root_key(&seen.root_key, mode, report);
}

fn root_key(key: &KdsRootKey, mode: Mode, report: &mut Report) {
    match key {
        KdsRootKey::Usable { .. } => {}
        KdsRootKey::CannotSee { .. } => report.warn(
            "whether there is a usable KDS root key cannot be seen (its attributes are confidential); without one \
             the DC refuses the account",
        ),
        KdsRootKey::None => report.fail(
            ErrorCode::NoKdsRootKey,
            FIELD,
            "the forest has no KDS root key, from which gMSA passwords are made",
            "an administrator makes one with Add-KdsRootKey (Samba: samba-tool domain kds root-key create); it \
             becomes usable ten hours later",
        ),
        KdsRootKey::NotYetUsable { usable_at } => {
            let message = format!("the forest's KDS root key becomes usable at {}", usable_at.to_rfc3339());
            match mode {
                Mode::Plan => report.warn(format!("{message}; a deploy would wait until then")),
                Mode::Apply => {
                    let hint = "nothing to do: ten hours after it was made, every DC has the key, and the workflow \
                                goes on by itself";
                    let problem = Problem::new(ErrorCode::KdsRootKeyNotYetUsable, message, hint);
                    report.wait_until(*usable_at, problem);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::StepError;

    fn good() -> Seen {
        let levels = FunctionalLevels { domain: Some(7), forest: Some(7), is_samba: false };
        Seen { levels, has_class: true, root_key: KdsRootKey::Usable { key: Default::default() } }
    }
    fn judged(seen: Seen) -> Report {
        let mut report = Report::default();
        judge(&seen, Mode::Apply, &mut report);
        report
    }

    #[test]
    fn levels_block_on_windows_and_warn_on_samba() {
        let cases = [
            (Some(7), Some(5), false, 0, 0),
            (Some(4), Some(4), false, 2, 0),
            (Some(7), Some(4), false, 1, 0),
            (Some(4), Some(4), true, 0, 2),
            (None, Some(7), false, 0, 1),
        ];
        for (domain, forest, is_samba, fails, warnings) in cases {
            let report = judged(Seen { levels: FunctionalLevels { domain, forest, is_samba }, ..good() });
            let found = (report.fields().len(), report.warnings().len());
            assert_eq!(found, (fails, warnings), "{domain:?} {forest:?} {is_samba}");
        }
    }

    #[test]
    fn a_schema_without_the_class_is_refused() {
        let report = judged(Seen { has_class: false, ..good() });
        assert_eq!(report.fields(), [(ErrorCode::SchemaTooOld, "spec.directory")]);
    }

    #[test]
    fn the_root_key_is_usable_awaited_missing_or_not_to_be_seen() {
        let now = DateTime::from_timestamp(1_700_000_000, 0).expect("a valid time");
        let with = |root_key| judged(Seen { root_key, ..good() });
        assert_eq!(judged(good()).into_error(now), None);
        assert_eq!(with(KdsRootKey::None).fields(), [(ErrorCode::NoKdsRootKey, "spec.directory")]);
        let unseen = with(KdsRootKey::CannotSee { keys: vec![] });
        assert_eq!((unseen.fields().len(), unseen.warnings().len()), (0, 1), "silence is never none");
        let usable_at = now + chrono::TimeDelta::hours(1);
        let error = with(KdsRootKey::NotYetUsable { usable_at }).into_error(now);
        let Some(StepError::Retry { after, problem }) = error else { panic!("{error:?}") };
        assert_eq!(after.as_secs(), 3_600);
        assert_eq!(problem.code, ErrorCode::KdsRootKeyNotYetUsable);
    }

    #[test]
    fn a_dry_run_does_not_wait_for_the_key() {
        let usable_at = DateTime::from_timestamp(1_700_000_000, 0).expect("a valid time");
        let mut report = Report::default();
        let seen = Seen { root_key: KdsRootKey::NotYetUsable { usable_at }, ..good() };
        judge(&seen, Mode::Plan, &mut report);
        assert_eq!(report.warnings().len(), 1);
        assert_eq!(report.into_error(usable_at - chrono::TimeDelta::hours(5)), None);
    }
}
