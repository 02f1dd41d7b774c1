//! One file for each command.

mod api_documents;
mod asking;
mod calendar;
mod compromise;
mod config_check;
mod decide;
mod doctor;
mod drift;
mod farm;
mod migrate;
mod orchestrator;
mod report;
mod rotation;
mod rule;
mod schedule;
mod show_farm;
mod token;
mod up;
mod wait;
mod webhook;
mod worker;
mod workflow;

use std::collections::BTreeMap;
use std::future::Future;

use crate::cli::{Cli, Command, Config, Global};
use crate::client::Client;
use crate::config::{Loaded, Settings, Sources};
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::{compose, telemetry};

/// What a command of a client works with.
pub struct Context {
    pub client: Client,
    pub output: Output,
}

pub fn run(cli: Cli, output: Output) -> Result<Exit, Failure> {
    let sources = sources(&cli);
    match cli.command {
        Command::Completions { shell } => api_documents::completions(shell),
        Command::Openapi => api_documents::openapi(output),
        Command::Asyncapi => api_documents::asyncapi(output, &sources),
        Command::Config(Config::Check) => config_check::run(&sources, output),
        Command::Doctor => doctor::run(&sources, output),
        Command::Up(_) => server(&sources, |loaded, name| up::run(loaded, name, output)),
        Command::Orchestrator(_) => server(&sources, orchestrator::run),
        Command::Worker(_) => server(&sources, worker::run),
        Command::Migrate(command) => admin(&sources, |s| migrate::run(s, command, output)),
        Command::Token(crate::cli::Token::Bootstrap) => admin(&sources, |s| token::bootstrap(s, output)),
        Command::Token(command) => client(&sources, output, |cx| token::run(cx, command)),
        Command::Deploy(args) => client(&sources, output, |cx| asking::deploy(cx, args)),
        Command::AddHost(args) => client(&sources, output, |cx| asking::add_host(cx, args)),
        Command::RemoveHost(args) => client(&sources, output, |cx| asking::remove_host(cx, args)),
        Command::Update(args) => client(&sources, output, |cx| asking::update(cx, args)),
        Command::Decommission(args) => client(&sources, output, |cx| asking::decommission(cx, args)),
        Command::Replace(args) => client(&sources, output, |cx| asking::replace(cx, args)),
        Command::RotationCheck(args) => client(&sources, output, |cx| asking::rotation_check(cx, args)),
        Command::DriftCheck(args) => client(&sources, output, |cx| asking::drift_check(cx, args)),
        Command::Drift(command) => client(&sources, output, |cx| drift::run(cx, command)),
        Command::Rotation(args) => client(&sources, output, |cx| rotation::run(cx, args)),
        Command::Schedule(command) => client(&sources, output, |cx| schedule::run(cx, command)),
        Command::Rule(command) => client(&sources, output, |cx| rule::run(cx, command)),
        Command::Webhook(command) => client(&sources, output, |cx| webhook::run(cx, command)),
        Command::Calendar(command) => client(&sources, output, |cx| calendar::run(cx, command)),
        Command::CompromiseRemoval(args) => client(&sources, output, |cx| compromise::removal(cx, args)),
        Command::Recover(args) => client(&sources, output, |cx| compromise::recover(cx, args)),
        Command::Incident(command) => client(&sources, output, |cx| compromise::incident(cx, command)),
        Command::Quarantine(command) => client(&sources, output, |cx| compromise::quarantine(cx, command)),
        Command::Farm(command) => client(&sources, output, |cx| farm::run(cx, command)),
        Command::Workflow(command) => client(&sources, output, |cx| workflow::run(cx, command)),
    }
}

/// Environment, flags and working folder of this process.
fn sources(cli: &Cli) -> Sources {
    let Global { config, url, token_file, data_dir, .. } = cli.global.clone();
    let path = |path: std::path::PathBuf| path.display().to_string();
    let mut flags = Vec::new();
    let mut flag = |key, name, text: Option<String>| flags.extend(text.map(|text| (key, name, text)));
    flag("client.url", "--url", url);
    flag("client.token_file", "--token-file", token_file.map(path));
    flag("data_dir", "--data-dir", data_dir.map(path));
    match &cli.command {
        Command::Up(args) | Command::Orchestrator(args) => {
            flag("server.listen", "--listen", args.listen.clone())
        }
        Command::Worker(args) => {
            let lanes = args.lanes.iter().map(|lane| lane.as_str()).collect::<Vec<_>>().join(",");
            flag("worker.lanes", "--lanes", Some(lanes).filter(|lanes| !lanes.is_empty()));
            flag("worker.listen", "--listen", args.listen.clone());
        }
        _ => {}
    }
    // A variable that is not text cannot be one of ours.
    let environment: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
        .collect();
    Sources { environment, file: config, flags, working_dir: std::env::current_dir().unwrap_or_default() }
}

/// A process that stays: all cores, logs and traces under a name of its own.
fn server<F, Fut>(sources: &Sources, command: F) -> Result<Exit, Failure>
where
    F: FnOnce(Loaded, String) -> Fut,
    Fut: Future<Output = Result<Exit, Failure>>,
{
    let loaded = sources.load()?;
    let name = loaded.settings.worker.name.clone().unwrap_or_else(compose::instance);
    let telemetry = telemetry::start(&loaded.settings, &name)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Failure::internal(format!("no runtime: {e}")))?;
    let ended = runtime.block_on(command(loaded, name));
    // Not waited for: what is left are background connections.
    runtime.shutdown_background();
    drop(telemetry);
    ended
}

/// A command that works on the database itself and ends.
fn admin<F, Fut>(sources: &Sources, command: F) -> Result<Exit, Failure>
where
    F: FnOnce(Settings) -> Fut,
    Fut: Future<Output = Result<Exit, Failure>>,
{
    let settings = sources.load()?.settings;
    let _telemetry = telemetry::start(&quiet(&settings), "cli")?;
    short_lived(command(settings))
}

fn client<F, Fut>(sources: &Sources, output: Output, command: F) -> Result<Exit, Failure>
where
    F: FnOnce(Context) -> Fut,
    Fut: Future<Output = Result<Exit, Failure>>,
{
    let settings = sources.load()?.settings;
    let _telemetry = telemetry::start(&quiet(&settings), "cli")?;
    short_lived(async move { command(Context { client: Client::new(&settings)?, output }).await })
}

/// A person at a terminal wants the answer, not the log; unless they asked for it.
fn quiet(settings: &Settings) -> Settings {
    let mut quiet = settings.clone();
    if quiet.log.filter == Settings::default().log.filter {
        "warn,lapin=off".clone_into(&mut quiet.log.filter);
    }
    // A command's spans say nothing that the server's do not.
    quiet.telemetry.otlp_endpoint = None;
    quiet
}

fn short_lived(command: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    short_lived_value(command)?
}

fn short_lived_value<T>(command: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    Ok(runtime.map_err(|e| Failure::internal(format!("no runtime: {e}")))?.block_on(command))
}
