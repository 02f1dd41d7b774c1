//! Actions on member hosts: the port and its adapters.
//!
//! The engine asks an adapter for one action on one host at a time, many side by side, and keeps
//! every answer with the step. An adapter that cannot answer at once says so; the workflow then
//! waits until somebody brings the answer (a person today, an agent on the host later).

mod command;
mod manual;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use domain::farm::HostActionsSpec;
use domain::{HostAction, HostAdapter};

pub use command::Command;
pub use manual::Manual;

/// What came of asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostAnswer {
    Succeeded {
        detail: String,
    },
    Failed {
        detail: String,
    },
    /// The answer comes later, as an acknowledgement of the step.
    Later,
}

/// Something that acts on hosts. Asked twice for one action (after a crash) it does it twice: every
/// action is one that may be repeated.
#[async_trait]
pub trait HostActions: Send + Sync + fmt::Debug + 'static {
    /// Who answers, as it is recorded with the answer.
    fn name(&self) -> &str;

    /// Ends by itself in less than half of a step's time limit.
    async fn act(&self, action: &HostAction) -> HostAnswer;
}

/// The adapters that this worker has, and what it uses where a farm says nothing.
#[derive(Clone)]
pub struct Hosts {
    default: HostAdapter,
    wave: u16,
    adapters: HashMap<HostAdapter, Arc<dyn HostActions>>,
}

/// Hosts at a time where neither farm nor configuration says.
const WAVE: u16 = 10;

impl Default for Hosts {
    /// Nothing is done on hosts unless a farm asks for people to do it.
    fn default() -> Self {
        Self::new(HostAdapter::None, WAVE)
    }
}

impl Hosts {
    pub fn new(default: HostAdapter, wave: u16) -> Self {
        let manual: Arc<dyn HostActions> = Arc::new(Manual);
        Self { default, wave, adapters: HashMap::from([(HostAdapter::Manual, manual)]) }
    }

    #[must_use]
    pub fn with(mut self, adapter: HostAdapter, actions: Arc<dyn HostActions>) -> Self {
        self.adapters.insert(adapter, actions);
        self
    }

    /// Which adapter acts on this farm's hosts.
    pub fn adapter(&self, farm: &HostActionsSpec) -> HostAdapter {
        farm.adapter.unwrap_or(self.default)
    }

    /// How many hosts at a time.
    pub fn wave(&self, farm: &HostActionsSpec) -> usize {
        usize::from(farm.wave.unwrap_or(self.wave).max(1))
    }

    pub fn get(&self, adapter: HostAdapter) -> Option<&Arc<dyn HostActions>> {
        self.adapters.get(&adapter)
    }
}

impl fmt::Debug for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hosts(default {}, {} at a time)", self.default, self.wave)
    }
}
