//! What a step may reach: directories, hosts, time, randomness. Nothing else.

use std::sync::Arc;

use directory::Directories;
use domain::{Clock, Rng};

use crate::hosts::Hosts;

/// Handed in by the composition; one per lane, so that urgent work has connections of its own.
#[derive(Clone)]
pub struct Environment {
    pub directories: Directories,
    pub hosts: Hosts,
    pub clock: Arc<dyn Clock>,
    pub rng: Arc<dyn Rng>,
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Environment({:?})", self.directories)
    }
}
