//! People act on the hosts. The step shows what to run on each; the workflow waits for their word.

use async_trait::async_trait;
use domain::HostAction;

use super::{HostActions, HostAnswer};

#[derive(Debug, Clone, Copy)]
pub struct Manual;

#[async_trait]
impl HostActions for Manual {
    fn name(&self) -> &str {
        "manual"
    }

    async fn act(&self, _: &HostAction) -> HostAnswer {
        HostAnswer::Later
    }
}
