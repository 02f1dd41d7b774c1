//! What is asked for when something was heard, and who tells whom.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use domain::rule::RuleState;
use domain::webhook::{Direction, WebhookAuth};
use domain::{DeliveryId, DeliveryState, FiringOutcome};

use super::Paging;

#[derive(Debug, Subcommand)]
pub enum Rule {
    /// Lists rules
    List(RuleList),
    /// Shows a rule with what became of the last events that it was for
    Show { name: String },
    /// Makes a rule from a file
    ///
    /// Its condition and its templates are compiled now, and what it asks for is judged as far as
    /// they let see; one that could never work is refused. See docs/rules.md.
    Create(RuleDefinition),
    /// Changes a rule to what a file says
    Update(RuleDefinition),
    /// Deletes a rule; what it has asked for goes on
    Delete { name: String },
    /// Lets a rule hear nothing until it is resumed
    Pause(Pause),
    /// Ends a pause; events of the pause are not made up for
    Resume { name: String },
    /// Shows what would become of an event; nothing is recorded and nothing asked for
    Test(RuleTest),
    /// Shows what became of each event that the rule was for, the latest first
    Firings(RuleFirings),
}

#[derive(Debug, Clone, Args)]
pub struct RuleList {
    /// Only in this state: enabled or paused
    #[arg(long)]
    pub state: Option<RuleState>,
    #[command(flatten)]
    pub paging: Paging,
}

#[derive(Debug, Clone, Args)]
pub struct RuleDefinition {
    /// Definition in YAML or JSON; `-` reads standard input
    #[arg(short, long, value_name = "FILE")]
    pub file: PathBuf,
}

#[derive(Debug, Clone, Args)]
pub struct Pause {
    pub name: String,
    /// Why; shown beside what is paused
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub struct RuleTest {
    pub name: String,
    /// A CloudEvent in JSON or YAML (`specversion`, `id` and `source` can be left out); `-` reads standard input
    #[arg(short, long, value_name = "FILE")]
    pub file: PathBuf,
    /// The broker's user who published it [default: Farmhand itself]
    #[arg(long, value_name = "USER")]
    pub publisher: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub struct RuleFirings {
    pub name: String,
    /// Only with this outcome: fired, dry-run, deduplicated, rate-limited, refused or failed
    #[arg(long)]
    pub outcome: Option<FiringOutcome>,
    #[command(flatten)]
    pub paging: Paging,
}

#[derive(Debug, Subcommand)]
pub enum Webhook {
    /// Lists webhooks, without their secrets
    List(WebhookList),
    /// Shows a webhook, without its secret
    Show { name: String },
    /// Makes a webhook and prints its secret, once
    ///
    /// With --to another system is told of events; with --inbound another system calls Farmhand, at
    /// /api/v1/webhooks/NAME, and rules hear what it says. See docs/webhooks.md.
    Create(WebhookCreate),
    /// Deletes a webhook, with its secret and everything that was to be sent
    Delete { name: String },
    /// Sends nothing, or takes nothing, until the webhook is resumed
    Pause(Pause),
    /// Ends a pause
    Resume { name: String },
    /// Shows what was sent, with each attempt, the latest first
    Deliveries(WebhookDeliveries),
    /// Sends a delivery again, whatever became of it
    Redeliver {
        name: String,
        /// As `farmhand webhook deliveries` shows it
        delivery: DeliveryId,
    },
    /// Sends an event of no meaning, to see whether it arrives
    Ping { name: String },
}

#[derive(Debug, Clone, Args)]
pub struct WebhookList {
    /// Only of this direction: in or out
    #[arg(long)]
    pub direction: Option<Direction>,
    #[command(flatten)]
    pub paging: Paging,
}

#[derive(Debug, Clone, Args)]
pub struct WebhookCreate {
    pub name: String,
    /// Tell this address of events
    #[arg(
        long,
        value_name = "URL",
        requires = "events",
        required_unless_present = "inbound",
        conflicts_with = "inbound"
    )]
    pub to: Option<String>,
    /// Which: CloudEvents types, a `*` at the end stands for any rest; several separated by commas
    #[arg(long, value_name = "TYPES", value_delimiter = ',', requires = "to")]
    pub events: Vec<String>,
    /// Be called, by who proves that it knows the secret: bearer, hmac or github
    #[arg(long, value_name = "PROOF")]
    pub inbound: Option<WebhookAuth>,
    /// The secret, where the other side gives it [default: one is made]
    #[arg(long, value_name = "FILE")]
    pub secret_file: Option<PathBuf>,
    /// For people
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub struct WebhookDeliveries {
    pub name: String,
    /// Only in this state: pending, delivered or given-up
    #[arg(long)]
    pub state: Option<DeliveryState>,
    #[command(flatten)]
    pub paging: Paging,
}
