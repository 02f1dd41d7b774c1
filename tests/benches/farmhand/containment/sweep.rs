//! The sweep of all gMSAs beside `ldapsearch` that reads the same attributes.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use directory::embedded::{EmbeddedDirectory, EmbeddedOptions};
use domain::Workflow;
use domain::containment::Containment;
use secrecy::ExposeSecret;
use tests::lab::{Account, BASE_DN, Lab};
use tests::objects::{descriptor, entry};
use tests::twin::{DCS, TwinDcs};

use super::denied::options;
use super::rig::Rig;
use crate::report::{self, Aim, Samples, Verdicts};
use crate::telemetry::Meters;

const ROUNDS: usize = 7;
const MANY: usize = 10_000;
/// Reads nothing: there is nothing to write, only to look.
const HOST: &str = "Host5";
const STEP: &str = "sweep";

/// Where `ldapsearch` goes.
struct Place {
    url: String,
    ca_file: std::path::PathBuf,
    account: Account,
}

pub async fn on_dc(lab: &Lab, twin: &TwinDcs, meters: &Meters, verdicts: &mut Verdicts) -> Result<()> {
    report::section("the sweep of 1,000 gMSAs on a real DC");
    let dc = twin.lab(DCS[0]);
    let account = dc.service.clone();
    let place = Place { url: dc.directory_url.clone(), ca_file: dc.ca_file.clone(), account };
    let rig = Rig::start(lab, options(twin)?, meters).await?;
    let outcome = measure(&rig, &place, "sweep of 1,000 gMSAs, real DC / ldapsearch", verdicts).await;
    rig.stop().await;
    outcome
}

pub async fn on_embedded(lab: &Lab, meters: &Meters, verdicts: &mut Verdicts) -> Result<()> {
    report::section("the sweep of 10,000 gMSAs on the embedded directory");
    let embedded = EmbeddedDirectory::start(EmbeddedOptions::default()).await?;
    let administrators = [1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x20, 2, 0, 0];
    let names: Vec<_> = (0..MANY).map(|number| format!("Bulk{number:05}")).collect();
    embedded.seed_gmsas(&names, Some(&descriptor(&[entry::allow(&administrators)]))).await?;
    let mut ca = tempfile::NamedTempFile::new()?;
    ca.write_all(embedded.ca_pem().as_bytes())?;
    let password = embedded.password().expose_secret().to_owned();
    let account = Account { dn: embedded.bind_dn().to_owned(), password };
    let place = Place { url: embedded.url().to_string(), ca_file: ca.path().to_owned(), account };
    let rig = Rig::start(lab, embedded.ldap_options(Default::default()), meters).await?;
    let outcome = measure(&rig, &place, "sweep of 10,000 gMSAs, embedded / ldapsearch", verdicts).await;
    rig.stop().await;
    embedded.stop().await;
    outcome
}

async fn measure(rig: &Rig, place: &Place, what: &str, verdicts: &mut Verdicts) -> Result<()> {
    let (mut ours, mut peer) = (Samples::default(), Samples::default());
    let swept = swept(&rig.contain(HOST, 0).await?.done)?;
    for round in 0..ROUNDS {
        for turn in 0..2 {
            if (round + turn) % 2 == 0 {
                ours.push_millis(step(&rig.contain(HOST, 0).await?.done)?);
            } else {
                peer.push_millis(ldapsearch(place, swept).await?);
            }
        }
    }
    report::line("gMSAs", &swept.to_string());
    report::line("Farmhand, the step `sweep`", &ours.show("ms"));
    report::line("ldapsearch, the whole process", &peer.show("ms"));
    report::line("Farmhand / ldapsearch", &report::round_by_round(&ours, &peer));
    verdicts.judge(what, ours.median() / peer.median(), "", Aim::AtMost(1.2));
    Ok(())
}

fn swept(done: &Workflow) -> Result<usize> {
    let result: Containment = serde_json::from_value(done.result.clone().context("no result")?)?;
    Ok(usize::try_from(result.swept)?)
}

fn step(done: &Workflow) -> Result<Duration> {
    let step = done.steps.iter().find(|step| step.name == STEP).context("no such step")?;
    let (from, to) = (step.started_at.context("no start")?, step.finished_at.context("no end")?);
    Ok((to - from).to_std()?)
}

/// The same attributes in pages of the same size, written to a file that nobody reads.
async fn ldapsearch(place: &Place, expected: usize) -> Result<Duration> {
    let mut password = tempfile::NamedTempFile::new()?;
    password.write_all(place.account.password.as_bytes())?;
    let output = tempfile::NamedTempFile::new()?;
    let mut command = Command::new("ldapsearch");
    command
        .args(["-x", "-LLL", "-o", "ldif-wrap=no", "-E", "pr=500/noprompt", "-H", &place.url])
        .args(["-D", &place.account.dn, "-y"])
        .arg(password.path())
        .args(["-b", BASE_DN, "(objectClass=msDS-GroupManagedServiceAccount)"])
        .args(["objectSid", "sAMAccountName", "msDS-GroupMSAMembership"])
        .env("LDAPTLS_CACERT", &place.ca_file)
        .stdout(Stdio::from(output.reopen()?))
        .stderr(Stdio::inherit());
    let start = Instant::now();
    let status =
        tokio::task::spawn_blocking(move || command.status()).await?.context("ldapsearch does not start")?;
    let took = start.elapsed();
    ensure!(status.success(), "ldapsearch ended with {status}");
    let found =
        std::fs::read_to_string(output.path())?.lines().filter(|line| line.starts_with("dn:")).count();
    ensure!(found == expected, "ldapsearch found {found} accounts, Farmhand {expected}");
    Ok(took)
}
