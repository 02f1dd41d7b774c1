//! The one binary: command line, configuration, composition of the rest.
//!
//! To add a command: a variant in [`cli`], a file in `commands/`, a line in
//! [`commands::run`], and its line in the parse test.

mod cli;
mod client;
mod commands;
mod compose;
mod config;
mod failure;
mod output;
mod telemetry;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    // One crypto provider for everything that does TLS; another one installed first is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let output = output::Output::new(cli.global.output);
    let exit = commands::run(cli, output).unwrap_or_else(|failure| output.failure(&failure));
    exit.into()
}
