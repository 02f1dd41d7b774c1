//! The command line.

mod asking;
mod compromise;
mod deciding;
mod drift;
mod reacting;
mod rotation;
mod scheduling;

use std::path::PathBuf;

use chrono::{DateTime, FixedOffset};
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use domain::{Lane, Role, WorkflowId, WorkflowKind, WorkflowState};

pub use asking::{Ask, Decommission, FromManifest, Hosts, Import, Replace};
pub use compromise::{
    CompromiseRemoval, Incident, IncidentList, Quarantine, QuarantineList, QuarantineRelease, QuarantineShow,
    Recover, Report,
};
pub use deciding::{Ack, Approve, Reject};
pub use drift::{Drift, DriftCheck, DriftList, DriftShow};
pub use reacting::{
    Rule, RuleFirings, RuleList, RuleTest, Webhook, WebhookCreate, WebhookDeliveries, WebhookList,
};
pub use rotation::{Rotation, RotationCheck};
pub use scheduling::{Calendar, Schedule, ScheduleDefinition, ScheduleFires, ScheduleList, SchedulePreview};

/// Runs the life of gMSA server farms in Active Directory.
///
/// Exit status: 0 done, 1 the workflow did not succeed, 2 usage, 3 server not reachable,
/// 4 refused (conflict, validation, forbidden), 5 waiting for a person.
#[derive(Debug, Parser)]
#[command(name = "farmhand", version, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Default, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Configuration file [default: $FARMHAND_CONFIG, ./farmhand.toml, farmhand.toml in the data folder]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What is printed: tables for people, or exactly one JSON document on standard output
    #[arg(short, long, global = true, value_enum, default_value_t)]
    pub output: Format,
    /// Server to talk to [default: $FARMHAND_URL, else this machine]
    #[arg(long, global = true, value_name = "URL")]
    pub url: Option<String>,
    /// File that holds the bearer token [default: $FARMHAND_TOKEN, else admin-token in the data folder]
    #[arg(long, global = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Data folder [default: $FARMHAND_DATA_DIR, else ~/.local/state/farmhand]
    #[arg(long, global = true, value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    #[default]
    Table,
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Everything in one process: API, worker, and embedded parts for what is not configured
    ///
    /// Without configuration it needs nothing: SQLite in the data folder, an in-process bus and an
    /// embedded directory. FARMHAND_DATABASE_URL, FARMHAND_AMQP_URL and FARMHAND_DIRECTORY_URL put
    /// the real part in the embedded one's place. Migrates the database by itself.
    Up(Listen),
    /// The API, the outbox relay, the reaper and the scheduler; needs a database and a broker
    Orchestrator(Listen),
    /// Carries out workflows; needs a database, a broker and a directory
    Worker(WorkerArgs),
    /// The database schema: brings it up, takes it down, shows where it stands
    #[command(subcommand)]
    Migrate(Migrate),
    /// Deploys a farm from a manifest, or brings an existing one in line with it
    ///
    /// A second deploy of the same manifest changes nothing. With --plan every attribute that would
    /// be written is printed and nothing is written.
    Deploy(FromManifest),
    /// Adds member hosts to a farm, which may then fetch the password
    AddHost(Hosts),
    /// Removes member hosts from a farm: uninstalled there, and no longer let in
    RemoveHost(Hosts),
    /// Changes a deployed farm's account to what its manifest says
    Update(FromManifest),
    /// Retires a farm: hosts uninstalled, nobody may read, disabled for a cool-down, then deleted
    ///
    /// Waits for a second person's approval first (`farmhand workflow approve`).
    Decommission(Decommission),
    /// Rebuilds a farm's gMSA with a new SID, for another interval or a password that became known
    ///
    /// Waits for a second person's approval first (`farmhand workflow approve`).
    Replace(Replace),
    /// Cuts a compromised host off from every gMSA that it could read, at once and on every DC
    ///
    /// Waits for no approval and for no other work. With --kds-root-key: recovers from an exposed KDS
    /// root key, with a second person's approval.
    CompromiseRemoval(CompromiseRemoval),
    /// After a containment: for each farm, replaces its account now or waits for its password to roll
    ///
    /// A replacement waits for a second person's approval first (`farmhand workflow approve`).
    Recover(Recover),
    /// Containments: what a host may still know and until when, and what is being done
    #[command(subcommand)]
    Incident(Incident),
    /// Hosts that no workflow lets in
    #[command(subcommand)]
    Quarantine(Quarantine),
    /// Reads and judges the password of every gMSA, or of one farm's
    ///
    /// What is found goes on the board (`farmhand rotation`). Where a farm's manifest says
    /// `rotation: {nudge: true}`, a member host is asked to fetch a password that is due.
    RotationCheck(RotationCheck),
    /// Compares what the directory holds of every farm, or of one, with what was asked for
    ///
    /// Farms that nothing has changed about are not read again. What is found is shown by `farmhand
    /// drift`. Where a farm's manifest says `drift: {onDrift: mend}`, an update is asked for that mends
    /// it, with a second person's approval.
    DriftCheck(DriftCheck),
    /// How farms stand to what was asked for, as the last check found them
    #[command(subcommand)]
    Drift(Drift),
    /// How gMSAs' passwords stand, as the last check found them; one account with its changes
    Rotation(Rotation),
    /// Farms on record
    #[command(subcommand)]
    Farm(Farm),
    /// Workflows: looks at them and acts on them
    #[command(subcommand)]
    Workflow(Workflow),
    /// What is asked for by itself, by the clock
    #[command(subcommand)]
    Schedule(Schedule),
    /// Freezes and maintenance windows: when destructive work does not begin
    #[command(subcommand)]
    Calendar(Calendar),
    /// What is asked for when something was heard
    #[command(subcommand)]
    Rule(Rule),
    /// Other systems that are told of events, and that tell of theirs
    #[command(subcommand)]
    Webhook(Webhook),
    /// API tokens
    #[command(subcommand)]
    Token(Token),
    /// Checks every dependency and right: what was checked, the verdict, what to do
    Doctor,
    /// The configuration
    #[command(subcommand)]
    Config(Config),
    /// Prints the OpenAPI document of the HTTP API
    Openapi,
    /// Prints the AsyncAPI document of the messages
    Asyncapi,
    /// Prints a completion script for a shell
    Completions { shell: Shell },
}

#[derive(Debug, Clone, Default, Args)]
pub struct Listen {
    /// Address of the HTTP API [default: 127.0.0.1:8420]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub struct WorkerArgs {
    /// Lanes to serve, separated by commas [default: urgent,lifecycle,checks]
    #[arg(long, value_name = "LANES", value_delimiter = ',')]
    pub lanes: Vec<Lane>,
    /// Address for /healthz and /metrics [default: none]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum Migrate {
    /// Brings the schema to what this program needs
    Up,
    /// Takes the newest migrations back; what their tables hold is lost
    Down {
        /// How many
        #[arg(long, default_value_t = 1)]
        steps: u32,
    },
    /// Lists the migrations and whether each is applied
    Status,
}

#[derive(Debug, Subcommand)]
pub enum Farm {
    /// Lists farms
    List(Paging),
    /// Shows a farm as it is on record, and as the directory holds it now
    ///
    /// The directory is asked by a worker, for some seconds; when none answers, the record is shown
    /// and a note on standard error says so.
    Show(FarmShow),
    /// Puts a gMSA that others made on record as a farm; changes nothing in the directory
    Import(Import),
}

#[derive(Debug, Clone, Args)]
pub struct FarmShow {
    pub name: String,
    /// Which configured directory
    #[arg(long, value_name = "NAME")]
    pub directory: Option<String>,
    /// Only what is on record; asks no domain controller
    #[arg(long)]
    pub recorded: bool,
}

#[derive(Debug, Clone, Default, Args)]
pub struct Paging {
    /// At most this many
    #[arg(long, default_value_t = 50)]
    pub limit: u32,
    /// Go on where the last page ended (its `next`)
    #[arg(long)]
    pub cursor: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub struct WorkflowList {
    /// Only of this farm
    #[arg(long)]
    pub farm: Option<String>,
    /// Only of this kind, e.g. deploy
    #[arg(long, value_parser = WorkflowKind::parse)]
    pub kind: Option<WorkflowKind>,
    /// Only in this state, e.g. failed
    #[arg(long)]
    pub state: Option<WorkflowState>,
    /// Only of this directory
    #[arg(long, value_name = "NAME")]
    pub directory: Option<String>,
    /// Only those that name this host
    #[arg(long)]
    pub host: Option<String>,
    /// Only those asked for at or after this time, e.g. 2026-11-22T10:00:00Z
    #[arg(long, value_name = "TIME")]
    pub since: Option<DateTime<FixedOffset>>,
    /// Only those asked for before this time
    #[arg(long, value_name = "TIME")]
    pub until: Option<DateTime<FixedOffset>>,
    #[command(flatten)]
    pub paging: Paging,
}

#[derive(Debug, Subcommand)]
pub enum Workflow {
    /// Lists workflows, newest first
    List(WorkflowList),
    /// Shows a workflow with its steps
    Show { id: WorkflowId },
    /// Follows a workflow to its end
    Watch { id: WorkflowId },
    /// Stops a workflow at its next step boundary and takes back what it changed
    Cancel(Act),
    /// Stops a workflow at its next step boundary until it is resumed
    Pause(Act),
    /// Goes on with a paused workflow, or one that waits for an operator
    Resume(Act),
    /// Tries a failed workflow again from the failed step
    Retry(Act),
    /// Evidence: the timeline, every write with before and after, who asked and approved, what was left
    Report(Report),
    /// Approves the plan that a workflow waits with; never by who asked for it
    Approve(Approve),
    /// Rejects the plan that a workflow waits with, which is then cancelled
    Reject(Reject),
    /// Says what became of hosts that a step waits for
    Ack(Ack),
}

#[derive(Debug, Clone, Args)]
pub struct Act {
    pub id: WorkflowId,
    /// Follow to the end with live progress
    #[arg(long)]
    pub wait: bool,
}

#[derive(Debug, Subcommand)]
pub enum Token {
    /// Prints the first admin token of a new database, once; talks to the database, not to a server
    Bootstrap,
    /// Creates a token and prints it, once
    Create(TokenCreate),
    /// Lists tokens without their secrets
    List,
    /// Makes a token worthless at once
    Revoke { id: domain::TokenId },
}

#[derive(Debug, Clone, Args)]
pub struct TokenCreate {
    /// Who holds it: recorded with everything they ask for
    #[arg(long, value_name = "NAME")]
    pub principal: String,
    /// viewer, operator, responder, approver, admin; several separated by commas
    #[arg(long, value_name = "ROLES", value_delimiter = ',', required = true)]
    pub roles: Vec<Role>,
    /// Worthless after this many days [default: never]
    #[arg(long, value_name = "DAYS")]
    pub expires_in_days: Option<u32>,
}

#[derive(Debug, Subcommand)]
pub enum Config {
    /// Explains every value and where it came from; exit status 4 when something is wrong
    Check,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_definitions_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_of_the_contract_is_understood() {
        let id = "0199c0de-0000-7000-8000-000000000000";
        for line in [
            "up --listen 127.0.0.1:0",
            "orchestrator",
            "worker --lanes urgent,checks",
            "migrate up",
            "migrate down --steps 2",
            "migrate status",
            "deploy -f farm.yaml --plan --wait --idempotency-key k --reason why -o json",
            "deploy -f - --output json",
            "drift-check --full --wait",
            "drift-check ITFarm1 --plan",
            "drift list --state cannot-tell --limit 5",
            "drift show ITFarm1 --directory lab -o json",
            "farm list",
            "farm show ITFarm1",
            "farm show ITFarm1 --recorded --directory lab",
            "farm import ITFarm1 --account svc$ --group Hosts --plan",
            "add-host ITFarm1 Host1 Host2 --wait --reason growth --directory lab",
            "add-host ITFarm1 --hosts-file -",
            "remove-host ITFarm1 Host1 --hosts-file hosts.txt --plan",
            "update -f farm.yaml --idempotency-key k",
            "decommission ITFarm1 --cool-down 12h --wait",
            "replace ITFarm1 --new-account ITFarm2 --interval 7 --cool-down 1d",
            "compromise-removal Host1 --farm ITFarm1 --farm ITFarm2 --keep-computer-enabled --force why --wait",
            "compromise-removal S-1-5-21-1-2-3-1104 --plan --directory lab --reason beacon -o json",
            "compromise-removal --kds-root-key 7dc95c96-fa85-183a-dff5-f70696bf0b11 --cool-down 1d",
            &format!("recover {id} ITFarm1=replace ITFarm2=wait --reason stolen --wait"),
            &format!("recover {id} ITFarm1=replace --plan"),
            "incident list --host Host1 --state running --limit 5",
            &format!("incident show {id}"),
            "quarantine list --released --directory lab",
            "quarantine show Host1",
            "quarantine release Host1 --reason clean --force urgent --wait",
            "quarantine check --wait",
            &format!("workflow report {id}"),
            &format!("workflow report {id} --html -f report.html"),
            "workflow list --farm ITFarm1 --state failed --kind deploy",
            "workflow list --host Host1 --directory lab --since 2026-11-22T10:00:00Z --until 2026-11-23T00:00:00+01:00",
            &format!("workflow approve {id}"),
            &format!("workflow approve {id} --plan-hash 5f1e --reason seen --wait"),
            &format!("workflow approve {id} --yes"),
            &format!("workflow reject {id} --reason no"),
            &format!("workflow ack {id} 3 --outcome succeeded"),
            &format!("workflow ack {id} uninstall --host Host1 --host Host2 --outcome skipped --detail gone"),
            &format!("workflow show {id}"),
            &format!("workflow watch {id}"),
            &format!("workflow cancel {id} --wait"),
            &format!("workflow pause {id}"),
            &format!("workflow resume {id}"),
            &format!("workflow retry {id}"),
            "schedule list --state paused --limit 5",
            "schedule show nightly",
            "schedule create -f nightly.yaml",
            "schedule create nightly --kind drift-check --farm ITFarm1 --cron @daily --timezone Europe/Berlin \
             --overlap queue --misfire run-all --lateness 1h --jitter 10m --reason why --plan",
            "schedule update nightly --cron @weekly",
            "schedule update -f -",
            "schedule delete nightly",
            "schedule pause nightly --reason holidays",
            "schedule resume nightly",
            "schedule preview nightly --count 5 --around-change",
            "schedule preview --cron @daily --timezone Europe/Berlin --from 2027-03-27T00:00:00Z",
            "schedule fires nightly --outcome missed",
            "calendar list",
            "calendar create -f freeze.yaml",
            "calendar delete freeze",
            "rule list --state paused --limit 5",
            "rule show new-web-host",
            "rule create -f rule.yaml",
            "rule update -f -",
            "rule delete new-web-host",
            "rule pause new-web-host --reason holidays",
            "rule resume new-web-host",
            "rule test new-web-host -f event.json --publisher cmdb",
            "rule firings new-web-host --outcome rate-limited",
            "webhook list --direction out",
            "webhook show siem",
            "webhook create siem --to https://siem/ --events farmhand.event.*,x --secret-file s --description d",
            "webhook create cmdb --inbound hmac",
            "webhook delete siem",
            "webhook pause siem --reason why",
            "webhook resume siem",
            "webhook deliveries siem --state given-up",
            &format!("webhook redeliver siem {id}"),
            "webhook ping siem",
            "token bootstrap",
            "token create --principal ci --roles operator,viewer",
            "token list",
            &format!("token revoke {id}"),
            "doctor --config farmhand.toml",
            "config check",
            "openapi",
            "asyncapi",
            "completions bash",
            "--url http://x --token-file t farm list",
        ] {
            assert!(parse(&format!("farmhand {line}")).is_ok(), "{line}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_a_usage_error() {
        for line in [
            "",
            "deploy",
            "worker --lanes banana",
            "workflow show 7",
            "token create --principal x",
            "farm list -o xml",
            "add-host ITFarm1",
            "update",
            "workflow list --since yesterday",
            "schedule create",
            "schedule create -f nightly.yaml --cron @daily",
            "schedule create nightly --overlap maybe",
            "schedule preview",
            "schedule preview nightly --count 0",
            "workflow reject 0199c0de-0000-7000-8000-000000000000",
            "compromise-removal",
            "compromise-removal Host1 --kds-root-key 7dc95c96-fa85-183a-dff5-f70696bf0b11",
            "compromise-removal Host1 --cool-down 1d",
            "compromise-removal --kds-root-key 7dc95c96-fa85-183a-dff5-f70696bf0b11 --keep-computer-enabled",
            "recover 0199c0de-0000-7000-8000-000000000000",
            "recover 0199c0de-0000-7000-8000-000000000000 ITFarm1=burn",
            "recover 0199c0de-0000-7000-8000-000000000000 =wait",
            "workflow ack 0199c0de-0000-7000-8000-000000000000 1",
            "rule create",
            "rule firings x --outcome banana",
            "webhook create siem",
            "webhook create siem --to https://siem/",
            "webhook create siem --to https://siem/ --events x --inbound hmac",
            "webhook create siem --inbound magic",
        ] {
            let kind = parse(&format!("farmhand {line}")).expect_err(line).kind();
            assert_ne!(kind, ErrorKind::DisplayHelp, "{line}");
        }
    }

    #[test]
    fn lanes_are_read_into_the_type() {
        let cli = parse("farmhand worker --lanes urgent,checks").expect("valid");
        let Command::Worker(args) = cli.command else { panic!("a worker") };
        assert_eq!(args.lanes, [Lane::Urgent, Lane::Checks]);
    }
}
