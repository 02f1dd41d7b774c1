//! What is printed: medians over rounds, ratios with the figures they come from, aims.

use std::time::Duration;

use anyhow::{Result, bail};
use tests::lab::Lab;

/// Figures of one kind, one for each round.
#[derive(Debug, Clone, Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    pub fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    pub fn push_millis(&mut self, time: Duration) {
        self.push(time.as_secs_f64() * 1e3);
    }

    /// By nearest rank; 0 where there is none.
    pub fn quantile(&self, fraction: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().saturating_sub(1);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an index of a short list"
        )]
        let index = (fraction * last as f64).round() as usize;
        sorted.get(index).copied().unwrap_or_default()
    }

    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// `median [lowest - highest]`
    pub fn show(&self, unit: &str) -> String {
        let figure = |value: f64| if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") };
        let (low, high) = (figure(self.quantile(0.0)), figure(self.quantile(1.0)));
        format!("{} {unit} [{low} - {high}]", figure(self.median()))
    }
}

/// Lowest and highest of the ratios that single rounds gave.
pub fn round_by_round(ours: &Samples, floor: &Samples) -> String {
    let mut ratios = Samples::default();
    ours.0.iter().zip(&floor.0).for_each(|(ours, floor)| ratios.push(ours / floor));
    format!("single rounds {:.2} - {:.2}", ratios.quantile(0.0), ratios.quantile(1.0))
}

/// What a figure is to keep to.
#[derive(Debug, Clone, Copy)]
pub enum Aim {
    AtMost(f64),
    AtLeast(f64),
}

impl Aim {
    fn reached(self, value: f64) -> bool {
        match self {
            Self::AtMost(limit) => value <= limit,
            Self::AtLeast(limit) => value >= limit,
        }
    }
}

impl std::fmt::Display for Aim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtMost(limit) => write!(f, "at most {limit}"),
            Self::AtLeast(limit) => write!(f, "at least {limit}"),
        }
    }
}

/// The figures that have an aim, printed once more at the end.
#[derive(Debug, Default)]
pub struct Verdicts(Vec<String>);

impl Verdicts {
    pub fn judge(&mut self, what: &str, value: f64, unit: &str, aim: Aim) {
        let verdict = if aim.reached(value) { "reached" } else { "MISSED" };
        let text = format!("{what:<62} {value:>8.2} {unit:<4} (aim: {aim})  {verdict}");
        println!("  {text}");
        self.0.push(text);
    }

    pub fn print(&self) {
        println!("\n== summary (load now {})", load());
        self.0.iter().for_each(|text| println!("  {text}"));
    }
}

pub fn section(title: &str) {
    println!("\n== {title} (load {})", load());
}

pub fn line(what: &str, figures: &str) {
    println!("  {what:<44} {figures}");
}

/// Load averages of 1, 5 and 15 minutes: what else the machine does.
fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// What this runs on. Both sides are measured with the same durability, and that is the full one.
pub fn machine(lab: &Lab) -> Result<()> {
    let ask = |sql: &str| tokio::task::block_in_place(|| tests::database::query(&lab.database_url, sql));
    let one = |sql: &str| ask(sql).map(|rows| rows.concat().concat());
    let (fsync, commit) = (one("show fsync")?, one("show synchronous_commit")?);
    if (fsync.as_str(), commit.as_str()) != ("on", "on") {
        bail!(
            "PostgreSQL runs with fsync {fsync}, synchronous_commit {commit}: its figures would mean nothing"
        );
    }
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    println!(
        "{cores} cores, load {}, PostgreSQL {} with fsync and synchronous_commit on",
        load(),
        one("show server_version")?
    );
    if cfg!(debug_assertions) {
        println!("!! a debug build: the figures say nothing about a release");
    }
    Ok(())
}
