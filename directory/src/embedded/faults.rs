//! Trouble on demand, made on the server's side, so that the client meets the real thing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::error::ResultCode;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OperationKind {
    Bind,
    Search,
    Add,
    Modify,
    Delete,
    Rename,
}

impl OperationKind {
    pub fn is_write(self) -> bool {
        matches!(self, Self::Add | Self::Modify | Self::Delete | Self::Rename)
    }
}

/// An operation as it arrived, whatever became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    pub kind: OperationKind,
    /// As the client wrote it; of a search, the base.
    pub dn: String,
    pub at: DateTime<Utc>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultKind {
    /// 51, nothing done.
    Busy,
    /// 52, nothing done.
    Unavailable,
    /// Any code with any text, nothing done.
    Refuse(ResultCode, String),
    /// The connection breaks; nothing was done.
    CutBeforeEffect,
    /// The connection breaks; everything was done, but no answer came.
    CutAfterEffect,
    /// The connection stays open and no answer comes, until the directory stops; nothing was done.
    HangBeforeEffect,
    /// The connection stays open and no answer comes, until the directory stops; everything was done.
    HangAfterEffect,
    /// The operation is begun that much later; combines with any other fault.
    Delay(Duration),
}

/// Which operations go wrong, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub operation: OperationKind,
    /// Part of the DN, in any case; `None` is any DN.
    pub dn_contains: Option<String>,
    /// So many matching operations pass before the first one fails.
    pub skip: u32,
    /// How often it strikes; `None` is until cleared.
    pub times: Option<u32>,
    pub kind: FaultKind,
}

impl Fault {
    /// Strikes once, at the first operation of that kind.
    pub fn once(operation: OperationKind, kind: FaultKind) -> Self {
        Self { operation, dn_contains: None, skip: 0, times: Some(1), kind }
    }

    pub fn on(mut self, dn_part: &str) -> Self {
        self.dn_contains = Some(dn_part.to_owned());
        self
    }

    /// Strikes at the nth matching operation, counted from 1.
    pub fn nth(mut self, nth: u32) -> Self {
        self.skip = nth.saturating_sub(1);
        self
    }

    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    pub fn always(mut self) -> Self {
        self.times = None;
        self
    }

    fn concerns(&self, kind: OperationKind, dn: &str) -> bool {
        let named = |part: &String| dn.to_lowercase().contains(&part.to_lowercase());
        self.operation == kind && self.times != Some(0) && self.dn_contains.as_ref().is_none_or(named)
    }

    /// Counts a matching operation; whether the fault strikes at it.
    fn strikes(&mut self) -> bool {
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        if let Some(times) = &mut self.times {
            *times -= 1;
        }
        true
    }
}

/// A shared handle: one side injects, the server asks.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    faults: Vec<Fault>,
    operations: Vec<Operation>,
    hanging: usize,
}

impl Faults {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn inject(&self, fault: Fault) {
        self.inner().faults.push(fault);
    }

    /// Takes all faults away; the log of operations stays.
    pub fn clear(&self) {
        self.inner().faults.clear();
    }

    /// Every operation since the start or the last [`Self::forget`], in the order of arrival.
    pub fn operations(&self) -> Vec<Operation> {
        self.inner().operations.clone()
    }

    /// The adds, modifies, deletes and renames among them.
    pub fn writes(&self) -> Vec<Operation> {
        self.operations().into_iter().filter(|operation| operation.kind.is_write()).collect()
    }

    /// How many operations have hung so far; of those that hang after their effect, it is there.
    pub fn hanging(&self) -> usize {
        self.inner().hanging
    }

    pub(super) fn hangs(&self) {
        self.inner().hanging += 1;
    }

    /// Starts the log anew.
    pub fn forget(&self) {
        self.inner().operations.clear();
    }

    /// Records an operation; what is to happen to it: the delays, and the first other fault.
    pub(super) fn meet(&self, operation: Operation) -> (Duration, Option<FaultKind>) {
        let mut inner = self.inner();
        let (mut delay, mut struck) = (Duration::ZERO, None);
        for fault in &mut inner.faults {
            let is_delay = matches!(fault.kind, FaultKind::Delay(_));
            if (struck.is_some() && !is_delay) || !fault.concerns(operation.kind, &operation.dn) {
                continue;
            }
            if !fault.strikes() {
                continue;
            }
            match &fault.kind {
                FaultKind::Delay(by) => delay += *by,
                kind => struck = Some(kind.clone()),
            }
        }
        inner.operations.push(operation);
        (delay, struck)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(dn: &str) -> Operation {
        Operation { kind: OperationKind::Add, dn: dn.to_owned(), at: DateTime::UNIX_EPOCH }
    }

    #[test]
    fn a_fault_strikes_where_and_as_often_as_told() {
        let faults = Faults::new();
        faults.inject(Fault::once(OperationKind::Add, FaultKind::Busy).on("cn=farm").nth(2));
        let met: Vec<_> = ["CN=Farm1", "CN=Other", "CN=Farm2", "CN=Farm3"]
            .map(|dn| faults.meet(add(dn)).1.is_some())
            .into_iter()
            .collect();
        assert_eq!(met, [false, false, true, false]);
        assert_eq!(faults.writes().len(), 4);
        faults.forget();
        assert!(faults.operations().is_empty());
    }

    #[test]
    fn a_delay_goes_together_with_another_fault() {
        let faults = Faults::new();
        faults.inject(Fault::once(OperationKind::Add, FaultKind::CutAfterEffect).always());
        faults.inject(Fault::once(OperationKind::Add, FaultKind::Delay(Duration::from_millis(5))));
        let met = faults.meet(add("CN=a"));
        assert_eq!(met, (Duration::from_millis(5), Some(FaultKind::CutAfterEffect)));
        assert_eq!(faults.meet(add("CN=a")), (Duration::ZERO, Some(FaultKind::CutAfterEffect)));
        faults.clear();
        assert_eq!(faults.meet(add("CN=a")), (Duration::ZERO, None));
    }
}
