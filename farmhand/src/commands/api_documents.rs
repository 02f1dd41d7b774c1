//! `farmhand openapi`, `asyncapi` and `completions`: documents that the program knows by itself.

use clap::CommandFactory;
use clap_complete::Shell;
use messages::Topology;

use crate::cli::Cli;
use crate::config::Sources;
use crate::failure::{Exit, Failure};
use crate::output::Output;

pub fn openapi(output: Output) -> Result<Exit, Failure> {
    let document = serde_json::to_value(orchestrator::openapi())
        .map_err(|e| Failure::internal(format!("the OpenAPI document cannot be written: {e}")))?;
    output.answer(&document, || format!("{document:#}")).map(|()| Exit::Done)
}

/// With the queue names of this configuration.
pub fn asyncapi(output: Output, sources: &Sources) -> Result<Exit, Failure> {
    let prefix = sources.load()?.settings.amqp.prefix;
    let document = messages::asyncapi::asyncapi(&Topology::new(prefix));
    output.answer(&document, || format!("{document:#}")).map(|()| Exit::Done)
}

pub fn completions(shell: Shell) -> Result<Exit, Failure> {
    clap_complete::generate(shell, &mut Cli::command(), "farmhand", &mut std::io::stdout());
    Ok(Exit::Done)
}
