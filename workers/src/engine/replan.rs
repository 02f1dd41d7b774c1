//! After a containment had stopped a workflow: what it had only read is read and planned anew, so that
//! nothing it does from here on rests on a directory, or a quarantine, of before.

use domain::{StepRecord, StepState};
use store::WorkflowChange;

use super::run::{Run, Stop};
use crate::runbook::Replan;

/// Makes the steps that changed nothing pending again, durably, and takes note that this was done.
pub(super) async fn go_back(run: &mut Run<'_>) -> Result<(), Stop> {
    let again = to_repeat(&run.records, run.runbook.replan);
    let mut changed = Vec::with_capacity(again.len());
    for index in again {
        let Some(record) = run.records.get(index) else { continue };
        // An approval stays with its step, which compares it with the new plan.
        let approval = record.outcome.as_ref().and_then(|outcome| outcome.approval.clone());
        let mut fresh =
            StepRecord { attempts: record.attempts, ..StepRecord::pending(record.index, &record.name) };
        fresh.outcome = approval.map(|approval| domain::StepOutcome {
            approval: Some(approval),
            ..domain::StepOutcome::default()
        });
        fresh.detail = Some("to be read anew: a compromised host was cut off meanwhile".to_owned());
        run.put(fresh.clone());
        changed.push(fresh);
    }
    run.commit(changed, WorkflowChange::Replanned).await
}

/// Which of the steps that are done are done again.
fn to_repeat(records: &[StepRecord], replan: Replan) -> Vec<usize> {
    let behind = match replan {
        Replan::FromStart => 0,
        Replan::FromLastChange => records.iter().rposition(has_effect).map_or(0, |last| last + 1),
    };
    let done = records.iter().enumerate().skip(behind);
    done.filter(|(_, record)| record.state.is_done() && !has_effect(record)).map(|(index, _)| index).collect()
}

/// Whether it did something, here or on hosts, or may have.
fn has_effect(record: &StepRecord) -> bool {
    let outcome = record.outcome.as_ref();
    record.state != StepState::Undone
        && (record.changed == Some(true)
            || record.intent.is_some()
            || outcome.is_some_and(|outcome| !outcome.writes.is_empty() || !outcome.hosts.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(index: u16, state: StepState, changed: bool) -> StepRecord {
        StepRecord { state, changed: Some(changed), attempts: 1, ..StepRecord::pending(index, "step") }
    }

    #[test]
    fn what_was_only_read_is_read_again_and_what_was_changed_is_kept() {
        let records = [
            record(0, StepState::Succeeded, false),
            record(1, StepState::Succeeded, true),
            record(2, StepState::Skipped, false),
            record(3, StepState::Waiting, false),
        ];
        assert_eq!(to_repeat(&records, Replan::FromStart), [0, 2]);
        assert_eq!(to_repeat(&records, Replan::FromLastChange), [2]);
        assert_eq!(to_repeat(&records[..1], Replan::FromLastChange), [0], "nothing was changed yet");
    }
}
