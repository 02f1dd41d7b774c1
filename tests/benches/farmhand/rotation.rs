//! `rotation-check` of thousands of gMSAs, beside `ldapsearch` that reads the same attributes of the
//! same embedded directory and throws them away.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use directory::ReaderDescriptor;
use domain::{Mode, Sid, WorkflowState};
use secrecy::ExposeSecret;
use serde_json::json;
use tests::world::World;

use crate::report::{self, Aim, Samples, Verdicts};

/// `FARMHAND_BENCH_GMSAS` says another number.
const ACCOUNTS: usize = 10_000;
const ROUNDS: usize = 5;
/// What the check reads of each account.
const ATTRIBUTES: [&str; 10] = [
    "objectSid",
    "sAMAccountName",
    "userAccountControl",
    "msDS-ManagedPasswordId",
    "msDS-ManagedPasswordInterval",
    "msDS-GroupMSAMembership",
    "msDS-SupportedEncryptionTypes",
    "pwdLastSet",
    "lastLogonTimestamp",
    "lastLogon",
];
const LIMIT: Duration = Duration::from_secs(600);
/// Between two looks at the workflow's state.
const LOOK: Duration = Duration::from_millis(10);
const MIB: f64 = 1024.0;

pub async fn run(verdicts: &mut Verdicts) -> Result<()> {
    let accounts = match std::env::var("FARMHAND_BENCH_GMSAS") {
        Ok(text) => text.parse().context("FARMHAND_BENCH_GMSAS")?,
        Err(_) => ACCOUNTS,
    };
    report::section(&format!(
        "rotation-check of {accounts} gMSAs on the embedded directory; store SQLite, bus in-process"
    ));
    let mut world = World::new().await;
    // A step of a whole directory has five minutes, as in a worker.
    world.timing.step = Duration::from_secs(300);
    let _worker = world.start_worker("bench");
    let small = accounts / 10;
    seed(&world, 0..small).await?;
    checked(&world, small).await?;
    let of_few = grown(&world, small).await?;
    seed(&world, small..accounts).await?;
    let first = checked(&world, accounts).await?;
    let of_many = grown(&world, accounts).await?;

    let search = Search::of(&world)?;
    let (mut farmhand, mut ldapsearch) = (Samples::default(), Samples::default());
    for round in 0..ROUNDS {
        for turn in 0..2 {
            if (round + turn) % 2 == 0 {
                farmhand.push_millis(checked(&world, accounts).await?);
            } else {
                ldapsearch.push_millis(tokio::task::block_in_place(|| search.run(accounts))?);
            }
        }
    }
    report::line(
        "first check: every account is new on record",
        &format!("{:.0} ms", first.as_secs_f64() * 1e3),
    );
    report::line("Farmhand rotation-check, from submission to end", &farmhand.show("ms"));
    report::line("ldapsearch, the whole process", &ldapsearch.show("ms"));
    report::line("Farmhand / ldapsearch", &report::round_by_round(&farmhand, &ldapsearch));
    report::line(
        "growth of the peak during a check",
        &format!("{of_few:.1} MiB of {small}, {of_many:.1} MiB of {accounts}"),
    );
    let ratio = farmhand.median() / ldapsearch.median();
    verdicts.judge("rotation-check / ldapsearch", ratio, "", Aim::AtMost(1.2));
    verdicts.judge(
        "memory of a check: ten times the accounts / once",
        (of_many + 1.0) / (of_few + 1.0),
        "",
        Aim::AtMost(2.0),
    );
    Ok(())
}

/// Accounts that a group of ten hosts may read, as a farm's is.
async fn seed(world: &World, numbers: std::ops::Range<usize>) -> Result<()> {
    let dc = world.directory.pin(None).await?;
    let domain = dc.root_dse().await?.default_naming_context;
    let head = dc.read(&(&domain).into(), &["objectSid"]).await?.context("no domain")?;
    let group: Sid = head.sid("objectSid").context("no SID")?.with_rid(512).context("no SID")?;
    let readers = ReaderDescriptor::allowing([&group]).to_bytes()?;
    let names: Vec<_> = numbers.map(|number| format!("bench{number:06}")).collect();
    for names in names.chunks(5_000) {
        world.embedded.seed_gmsas(names, Some(&readers)).await?;
    }
    Ok(())
}

/// From submission to the durable end; no figure counts if an account is missing.
async fn checked(world: &World, accounts: usize) -> Result<Duration> {
    let input = json!({ "everyDc": true, "maxIntervalDays": 30, "keepDays": 400 });
    let start = Instant::now();
    let id = world.submit_for("rotation-check", Mode::Apply, None, input).await;
    loop {
        let workflow = world.workflow(id).await;
        if workflow.state.is_finished() {
            let took = start.elapsed();
            ensure!(workflow.state == WorkflowState::Succeeded, "{:?}", workflow.error);
            let checked = workflow.result.map(|result| result["checked"].clone());
            ensure!(checked == Some(json!(accounts)), "{checked:?} were checked instead of {accounts}");
            return Ok(took);
        }
        ensure!(start.elapsed() < LIMIT, "the check does not end");
        tokio::time::sleep(LOOK).await;
    }
}

/// By how many MiB a check raises the most that this process ever held at once: its own pages and
/// those of the directory, which is in this process too.
async fn grown(world: &World, accounts: usize) -> Result<f64> {
    // The kernel's way to forget the peak so far.
    std::fs::write("/proc/self/clear_refs", "5").context("/proc/self/clear_refs")?;
    let before = status("VmRSS")?;
    checked(world, accounts).await?;
    Ok((status("VmHWM")? - before).max(0.0))
}

fn status(field: &str) -> Result<f64> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let kib = line.and_then(|line| line.split_whitespace().next()).with_context(|| format!("no {field}"))?;
    Ok(kib.parse::<f64>()? / MIB)
}

struct Search {
    url: String,
    bind_dn: String,
    folder: tempfile::TempDir,
}

impl Search {
    fn of(world: &World) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("ca.pem"), world.embedded.ca_pem())?;
        std::fs::write(folder.path().join("password"), world.embedded.password().expose_secret())?;
        let (url, bind_dn) = (world.embedded.url().to_string(), world.embedded.bind_dn().to_owned());
        Ok(Self { url, bind_dn, folder })
    }

    fn run(&self, accounts: usize) -> Result<Duration> {
        let out = self.folder.path().join("out");
        let start = Instant::now();
        let done = Command::new("ldapsearch")
            .args([
                "-x",
                "-LLL",
                "-o",
                "ldif-wrap=no",
                "-E",
                "pr=500/noprompt",
                "-H",
                &self.url,
                "-D",
                &self.bind_dn,
                "-y",
            ])
            .arg(self.folder.path().join("password"))
            .args(["-b", "DC=contoso,DC=com", "(objectClass=msDS-GroupManagedServiceAccount)"])
            .args(ATTRIBUTES)
            .env("LDAPTLS_CACERT", self.folder.path().join("ca.pem"))
            .stdout(std::fs::File::create(&out)?)
            .stderr(Stdio::inherit())
            .status()?;
        let took = start.elapsed();
        ensure!(done.success(), "ldapsearch ended with {done}");
        let found = std::fs::read_to_string(&out)?.lines().filter(|line| line.starts_with("dn: ")).count();
        ensure!(found == accounts, "ldapsearch found {found} instead of {accounts}");
        Ok(took)
    }
}
