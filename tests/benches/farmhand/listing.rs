//! A page of the list of workflows while a million are finished, by every filter, beside a bare page
//! of the primary key.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, Utc};
use domain::{DirectoryName, FarmName, WorkflowKind, WorkflowState};
use orchestrator::EnvelopeWriter;
use secrecy::SecretString;
use store::{Store, StoreOptions, WorkflowFilter};
use tests::database::PostgresDatabase;
use tests::lab::Lab;
use tokio_postgres::NoTls;
use url::Url;

use crate::report::{self, Aim, Samples, Verdicts};

const WORKFLOWS: u32 = 1_000_000;
const PAGE: u32 = 50;
const ROUNDS: usize = 30;
/// The first is asked for then, one more each second.
const BEGIN: i64 = 1_780_000_000;

/// The form and rough sizes of what a year leaves; values by hash, so that no two columns go together.
const FILL: &str = "insert into workflows (id, kind, directory, directory_key, farm, farm_key, hosts, lane, mode, state, \
      requested_by, created_at, started_at, finished_at, step_names, result, input, revision, fencing_token, \
      emitted_at, emissions) \
    select (lpad(to_hex((1780000000 + n)::bigint * 1000), 12, '0') || '7' || lpad(to_hex(n & 4095), 3, '0') || '8' \
        || lpad(to_hex(n), 15, '0'))::uuid, \
      case when n % 20000 = 7 then 'import' \
        else (array['deploy', 'add-host', 'remove-host', 'update'])[1 + abs(hashint4(n)) % 4] end, \
      d, d, 'Farm' || f, 'farm' || f, '[\"Host1\",\"Host2\"]', 'lifecycle', 'apply', \
      case abs(hashint4(n + 1)) % 1000 when 1 then 'cancelled' when 2 then 'unwound' when 3 then 'failed' \
        when 4 then 'failed' when 5 then 'failed' else 'succeeded' end, \
      'ann', t, t, t + interval '1 second', '[\"preflight\",\"ensure-group\",\"ensure-members\",\"ensure-gmsa\"]', \
      to_json(repeat('result ', 6))::text, to_json(repeat('input ', 12))::text, 9, 3, t, 1 \
    from generate_series(1, WORKFLOWS) n, \
      lateral (select to_timestamp(1780000000 + n) t, abs(hashint4(n + 2)) % 1000 f, \
        case when n % 100000 = 5 then 'lab' else 'default' end d) x";

const FILL_HOSTS: &str = "insert into workflow_hosts select id, 'host' || h \
    from (select id, (row_number() over ())::int n from workflows) w, \
      lateral (values (abs(hashint4(n + 5)) % 5000), (5000 + abs(hashint4(n + 6)) % 5000)) v(h)";

struct Case {
    name: &'static str,
    filter: WorkflowFilter,
    cursor: Option<String>,
    /// As many as the page must hold.
    found: std::ops::RangeInclusive<usize>,
    /// Several filters: of the rows that the index of one finds, the others are looked for.
    several: bool,
}

const FULL: std::ops::RangeInclusive<usize> = 50..=50;
const NONE: std::ops::RangeInclusive<usize> = 0..=0;

pub async fn run(lab: &Lab, verdicts: &mut Verdicts) -> Result<()> {
    report::section("the first page of a list of a million finished workflows");
    let database = tokio::task::block_in_place(|| PostgresDatabase::create(lab));
    let measured = measure(&database, verdicts).await;
    tokio::task::block_in_place(|| drop(database));
    measured
}

async fn measure(database: &PostgresDatabase, verdicts: &mut Verdicts) -> Result<()> {
    let store = open(database).await?;
    let begun = Instant::now();
    store.execute_raw(&FILL.replace("WORKFLOWS", &WORKFLOWS.to_string())).await?;
    store.execute_raw(FILL_HOSTS).await?;
    store.execute_raw("vacuum analyze workflows").await?;
    store.execute_raw("vacuum analyze workflow_hosts").await?;
    report::line("filled", &format!("in {:.0} s", begun.elapsed().as_secs_f64()));

    let cases = cases(&store).await?;
    let mut ours = vec![Samples::default(); cases.len()];
    let mut floor = Samples::default();
    let bare = Bare::open(database).await?;
    for round in 0..=ROUNDS {
        let page = bare.page().await?;
        let times = pages(&store, &cases).await?;
        // The first round fills caches.
        if round > 0 {
            floor.push_millis(page);
            ours.iter_mut().zip(times).for_each(|(samples, time)| samples.push_millis(time));
        }
    }
    report::line("bare page of the primary key", &floor.show("ms"));
    for (case, samples) in cases.iter().zip(&ours) {
        report::line(case.name, &samples.show("ms"));
    }
    let worst = |several: bool| {
        let medians = cases.iter().zip(&ours).filter(move |(case, _)| case.several == several);
        medians.map(|(_, samples)| samples.median()).fold(0.0, f64::max)
    };
    verdicts.judge(
        "dearest single filter: page / bare page",
        worst(false) / floor.median(),
        "",
        Aim::AtMost(5.0),
    );
    verdicts.judge("dearest two filters: page", worst(true), "ms", Aim::AtMost(50.0));
    store.close().await;
    Ok(())
}

/// One page of each.
async fn pages(store: &Store, cases: &[Case]) -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    for case in cases {
        let begun = Instant::now();
        let page = store.workflows(&case.filter, case.cursor.as_deref(), PAGE).await?;
        times.push(begun.elapsed());
        let found = page.items.len();
        ensure!(case.found.contains(&found), "{}: {found} found, expected {:?}", case.name, case.found);
    }
    Ok(times)
}

async fn open(database: &PostgresDatabase) -> Result<Store> {
    // The floor speaks without TLS to a server on the same machine too.
    let mut url = Url::parse(&database.url)?;
    url.query_pairs_mut().append_pair("sslmode", "disable");
    let options = StoreOptions {
        url: SecretString::from(String::from(url)),
        max_connections: 2,
        acquire_timeout: Duration::from_secs(10),
    };
    let store = Store::connect(&options, Arc::new(EnvelopeWriter::new(crate::ours::rng()))).await?;
    store.migrate_up().await?;
    Ok(store)
}

struct Bare {
    client: tokio_postgres::Client,
    page: tokio_postgres::Statement,
}

impl Bare {
    async fn open(database: &PostgresDatabase) -> Result<Self> {
        let (client, connection) = tokio_postgres::connect(&database.url, NoTls).await?;
        tokio::spawn(connection);
        let page = client.prepare("select * from workflows order by id desc limit 51").await?;
        Ok(Self { client, page })
    }

    async fn page(&self) -> Result<Duration> {
        let begun = Instant::now();
        let rows = self.client.query(&self.page, &[]).await?;
        let time = begun.elapsed();
        ensure!(rows.len() == 51, "{} rows", rows.len());
        Ok(time)
    }
}

fn second(at: u32) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(BEGIN + i64::from(at), 0)
}

async fn cases(store: &Store) -> Result<Vec<Case>> {
    let none = WorkflowFilter::default;
    let half = WorkflowFilter { until: second(WORKFLOWS / 2), ..none() };
    let middle = store.workflows(&half, None, 1).await?.next.context("a second page")?;
    let kind = |text: &str| WorkflowKind::parse(text).ok();
    let farm = |text: &str| FarmName::parse(text).ok();
    let directory = |text: &str| DirectoryName::parse(text).ok();
    let host = |text: &str| Some(text.to_owned());
    let (failed, succeeded, running) =
        (Some(WorkflowState::Failed), Some(WorkflowState::Succeeded), Some(WorkflowState::Running));
    let one = |name, filter, found| Case { name, filter, cursor: None, found, several: false };
    let two = |name, filter, found| Case { name, filter, cursor: None, found, several: true };
    let week = WorkflowFilter { since: second(100_000), until: second(700_000), ..none() };
    Ok(vec![
        one("all", none(), FULL),
        Case { cursor: Some(middle), ..one("all, after a cursor in the middle", none(), FULL) },
        one("state succeeded (nearly all)", WorkflowFilter { state: succeeded, ..none() }, FULL),
        one("state failed (0.3 %)", WorkflowFilter { state: failed, ..none() }, FULL),
        one("state running (none)", WorkflowFilter { state: running, ..none() }, NONE),
        one("kind (a quarter)", WorkflowFilter { kind: kind("deploy"), ..none() }, FULL),
        one("kind (50 in all)", WorkflowFilter { kind: kind("import"), ..none() }, 50..=50),
        one("kind (none)", WorkflowFilter { kind: kind("nothing"), ..none() }, NONE),
        one("farm (1 of 1,000)", WorkflowFilter { farm: farm("Farm77"), ..none() }, FULL),
        one("farm (none)", WorkflowFilter { farm: farm("nobody"), ..none() }, NONE),
        one("directory (nearly all)", WorkflowFilter { directory: directory("default"), ..none() }, FULL),
        one("directory (10 in all)", WorkflowFilter { directory: directory("lab"), ..none() }, 10..=10),
        one("directory (none)", WorkflowFilter { directory: directory("emea"), ..none() }, NONE),
        one("host (1 of 5,000)", WorkflowFilter { host: host("HOST17$"), ..none() }, FULL),
        one("host (none)", WorkflowFilter { host: host("nobody"), ..none() }, NONE),
        one("a week long past", week.clone(), FULL),
        two("farm and kind", WorkflowFilter { farm: farm("Farm77"), kind: kind("deploy"), ..none() }, FULL),
        two("farm and failed", WorkflowFilter { farm: farm("Farm77"), state: failed, ..none() }, 0..=50),
        two("kind and failed", WorkflowFilter { kind: kind("deploy"), state: failed, ..none() }, FULL),
        two("rare kind and failed", WorkflowFilter { kind: kind("import"), state: failed, ..none() }, 0..=50),
        two("host and kind", WorkflowFilter { host: host("Host17"), kind: kind("deploy"), ..none() }, 1..=50),
        two("host and failed", WorkflowFilter { host: host("Host17"), state: failed, ..none() }, 0..=50),
        two("kind in that week", WorkflowFilter { kind: kind("deploy"), ..week.clone() }, FULL),
        two("farm in that week", WorkflowFilter { farm: farm("Farm77"), ..week.clone() }, FULL),
        two("host in that week", WorkflowFilter { host: host("Host17"), ..week }, FULL),
    ])
}
