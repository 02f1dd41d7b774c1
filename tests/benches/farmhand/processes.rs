//! The release binary from outside: memory when idle, time until it is ready.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tests::amqp::TestTopology;
use tests::database::PostgresDatabase;
use tests::lab::Lab;
use tests::process::{Farmhand, Spec};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::report::{self, Aim, Samples, Verdicts};

const STARTS: usize = 7;
const LIMIT: Duration = Duration::from_secs(20);
/// After start-up, before memory is read: what is only needed to start has been given back.
const IDLE: Duration = Duration::from_secs(10);
/// Between two looks at a starting server: fine enough to measure, too rare to slow it down.
const LOOK: Duration = Duration::from_millis(2);
const MIB: f64 = 1024.0;

pub async fn memory(lab: &Lab, verdicts: &mut Verdicts) -> Result<()> {
    report::section("resident memory, idle for 10 s after start-up");
    let mut up = Spec::new(&["up"]).spawn();
    up.ready(LIMIT).await;
    tokio::time::sleep(IDLE).await;
    let resident = show("farmhand up, embedded defaults", &up)?;
    verdicts.judge("memory of an idle `farmhand up`", resident, "MiB", Aim::AtMost(64.0));
    drop(up);
    let (database, topology) =
        tokio::task::block_in_place(|| (PostgresDatabase::create(lab), TestTopology::new(lab)));
    let measured = worker(lab, &database, &topology, verdicts).await;
    tokio::task::block_in_place(|| drop((database, topology)));
    measured
}

async fn worker(
    lab: &Lab,
    database: &PostgresDatabase,
    topology: &TestTopology,
    verdicts: &mut Verdicts,
) -> Result<()> {
    let real = |spec: Spec| {
        spec.envs(lab.directory_env(&lab.service))
            .env("FARMHAND_DATABASE_URL", &database.url)
            .env("FARMHAND_AMQP_URL", &topology.url)
            .env("FARMHAND_AMQP_PREFIX", &topology.prefix)
    };
    let migrated = real(Spec::new(&["migrate", "up"])).run().await?;
    ensure!(migrated.status.success(), "migrate up: {}", String::from_utf8_lossy(&migrated.stderr));
    let mut worker = real(Spec::new(&["worker"])).spawn();
    worker.logged("worker is ready", LIMIT).await;
    tokio::time::sleep(IDLE).await;
    let resident = show("farmhand worker: PostgreSQL, RabbitMQ, DC", &worker)?;
    verdicts.judge("memory of an idle `farmhand worker`", resident, "MiB", Aim::AtMost(64.0));
    worker.terminate(LIMIT).await;
    Ok(())
}

/// Prints and gives the resident set in MiB.
fn show(what: &str, process: &Farmhand) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid()))?;
    let field = |name: &str| -> Result<f64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let kib =
            line.and_then(|line| line.split_whitespace().next()).with_context(|| format!("no {name}"))?;
        Ok(kib.parse::<f64>()? / MIB)
    };
    let (resident, own, peak) = (field("VmRSS")?, field("RssAnon")?, field("VmHWM")?);
    report::line(
        what,
        &format!("{resident:.1} MiB (of it own {own:.1}, the rest is mapped files; peak {peak:.1})"),
    );
    Ok(resident)
}

pub async fn start(verdicts: &mut Verdicts) -> Result<()> {
    report::section("start of `farmhand up` on embedded defaults, from spawn until /readyz says 200");
    let (mut empty, mut existing) = (Samples::default(), Samples::default());
    for _ in 0..STARTS {
        let began = Instant::now();
        let mut up = Spec::new(&["up"]).spawn();
        empty.push_millis(ready(&up, began).await?);
        let ended = up.terminate(LIMIT).await;
        ensure!(ended.success(), "farmhand up ended with {ended}: {}", up.log());
        let began = Instant::now();
        up.restart();
        existing.push_millis(ready(&up, began).await?);
    }
    report::line("on an empty data folder", &empty.show("ms"));
    report::line("on an existing data folder", &existing.show("ms"));
    verdicts.judge("start-up, empty data folder", empty.median(), "ms", Aim::AtMost(300.0));
    verdicts.judge("start-up, existing data folder", existing.median(), "ms", Aim::AtMost(300.0));
    Ok(())
}

async fn ready(up: &Farmhand, began: Instant) -> Result<Duration> {
    let address = up.url().trim_start_matches("http://").to_owned();
    while !says_ready(&address).await {
        ensure!(began.elapsed() < LIMIT, "not ready after {LIMIT:?}: {}", up.log());
        tokio::time::sleep(LOOK).await;
    }
    Ok(began.elapsed())
}

/// By hand: a client that keeps state and retries would take part of what is measured.
async fn says_ready(address: &str) -> bool {
    let asking = async {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!("GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    asking.await.is_ok_and(|answer| &answer[..] == b"HTTP/1.1 200")
}
