//! `drift-check` of a thousand farms: every one compared, beside a check of the same directory in which
//! nothing has changed, and beside one in which something has that is no farm's.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use directory::ReaderDescriptor;
use directory::embedded::OperationKind;
use domain::{
    Dn, FarmManifest, Mode, Sid, SystemRng, WorkflowEvent, WorkflowId, WorkflowKind, WorkflowState,
};
use serde_json::{Value, json};
use store::{Claim, FarmFacts, FarmRecord, Finish, JournalEntry, Lessee, NewWorkflow, WorkflowChange};
use tests::world::World;

use crate::report::{self, Aim, Samples, Verdicts};

/// `FARMHAND_BENCH_FARMS` says another number.
const FARMS: usize = 1_000;
const HOSTS: usize = 3;
const ROUNDS: usize = 5;
const LIMIT: Duration = Duration::from_secs(600);
/// Between two looks at the workflow's state.
const LOOK: Duration = Duration::from_millis(2);

pub async fn run(verdicts: &mut Verdicts) -> Result<()> {
    let farms = match std::env::var("FARMHAND_BENCH_FARMS") {
        Ok(text) => text.parse().context("FARMHAND_BENCH_FARMS")?,
        Err(_) => FARMS,
    };
    report::section(&format!(
        "drift-check of {farms} farms of {HOSTS} hosts on the embedded directory; store SQLite, bus in-process"
    ));
    let mut world = World::new().await;
    // A step of a whole directory has five minutes, as in a worker.
    world.timing.step = Duration::from_secs(300);
    seed(&world, farms).await?;
    let _worker = world.start_worker("bench");
    let first = checked(&world, farms, farms, true).await?;
    report::line(
        "first check: every farm is new on record",
        &format!("{:.0} ms", first.0.as_secs_f64() * 1e3),
    );
    let (mut full, mut quick, mut lively) = (Samples::default(), Samples::default(), Samples::default());
    let mut operations = [0; 3];
    for round in 0..ROUNDS {
        let (time, asked) = checked(&world, farms, farms, true).await?;
        full.push_millis(time);
        operations[0] = asked;
        let (time, asked) = checked(&world, farms, 0, false).await?;
        quick.push_millis(time);
        operations[1] = asked;
        world.embedded.seed_computer(&format!("stranger{round}")).await?;
        let (time, asked) = checked(&world, farms, 0, false).await?;
        lively.push_millis(time);
        operations[2] = asked;
    }
    for (what, samples, asked) in [
        ("every farm compared (--full)", &full, operations[0]),
        ("nothing has changed", &quick, operations[1]),
        ("something has changed that is no farm's", &lively, operations[2]),
    ] {
        report::line(what, &format!("{}; {asked} LDAP operations", samples.show("ms")));
    }
    report::line("unchanged / full", &report::round_by_round(&quick, &full));
    verdicts.judge("drift-check, unchanged / full", quick.median() / full.median(), "", Aim::AtMost(0.1));
    verdicts.judge(
        "drift-check, others' changes / full",
        lively.median() / full.median(),
        "",
        Aim::AtMost(0.5),
    );
    Ok(())
}

/// From submission to the durable end, and what the directory was asked meanwhile.
async fn checked(world: &World, farms: usize, compared: usize, full: bool) -> Result<(Duration, usize)> {
    world.faults.forget();
    let input = json!({ "full": full, "fullEverySeconds": 86_400 });
    let start = Instant::now();
    let id = world.submit_for("drift-check", Mode::Apply, None, input).await;
    loop {
        let workflow = world.workflow(id).await;
        if workflow.state.is_finished() {
            let took = start.elapsed();
            ensure!(workflow.state == WorkflowState::Succeeded, "{:?}", workflow.error);
            let result = workflow.result.context("a check without a result")?;
            let found = (&result["farms"]["inLine"], &result["compared"]);
            ensure!(found == (&json!(farms), &json!(compared)), "{result:#}");
            let asked = world.faults.operations();
            return Ok((took, asked.iter().filter(|asked| asked.kind != OperationKind::Bind).count()));
        }
        ensure!(start.elapsed() < LIMIT, "the check does not end");
        tokio::time::sleep(LOOK).await;
    }
}

/// Farms as deploys leave them, in the directory and on record.
async fn seed(world: &World, farms: usize) -> Result<()> {
    let dc = world.directory.pin(None).await?;
    let domain = dc.root_dse().await?.default_naming_context;
    let sid = async |dn: &Dn| -> Result<Sid> {
        let found = dc.read(&dn.into(), &["objectSid"]).await?.context("it is not there")?;
        found.sid("objectSid").context("no SID")
    };
    for number in 0..farms {
        let hosts: Vec<String> = (0..HOSTS).map(|host| format!("df{number:05}h{host}")).collect();
        let mut members = Vec::new();
        for host in &hosts {
            members.push(world.embedded.seed_computer(host).await?);
        }
        let (name, group) = (format!("df{number:05}"), format!("df{number:05}g"));
        let group_dn = world.embedded.seed_group(&group, &members).await?;
        let group_sid = sid(&group_dn).await?;
        let readers = ReaderDescriptor::allowing([&group_sid]).to_bytes()?;
        world.embedded.seed_gmsas(std::slice::from_ref(&name), Some(&readers)).await?;
        let account_dn = Dn::parse(&format!("CN={name},CN=Managed Service Accounts,{domain}"))?;
        let spec = spec(&name, &group, &hosts)?;
        let facts = FarmFacts {
            account_sid: sid(&account_dn).await?,
            spec: spec.clone(),
            account_dn,
            group_dn: Some(group_dn),
            group_sid: Some(group_sid),
            group_made: true,
            foreign_readers: Vec::new(),
        };
        record(world, facts).await?;
    }
    Ok(())
}

fn spec(name: &str, group: &str, hosts: &[String]) -> Result<domain::FarmSpec> {
    let manifest: Value = json!({
        "apiVersion": "farmhand/v1", "kind": "Farm", "metadata": { "name": name },
        "spec": {
            "account": {
                "dnsHostName": format!("{name}.contoso.com"),
                "servicePrincipalNames": [format!("http/{name}"), format!("http/{name}.contoso.com")],
            },
            "membership": { "group": group },
            "hosts": hosts,
        },
    });
    let manifest: FarmManifest = serde_json::from_value(manifest)?;
    manifest.validate().map_err(|problem| anyhow::anyhow!("{problem:?}"))
}

/// As the end of a deploy does.
async fn record(world: &World, facts: FarmFacts) -> Result<()> {
    use domain::Clock as _;
    let now = world.clock.now();
    let id = WorkflowId::new(now, &SystemRng);
    let new = NewWorkflow {
        id,
        kind: WorkflowKind::DEPLOY,
        directory: facts.spec.directory.clone(),
        farm: Some(facts.spec.name.clone()),
        hosts: Vec::new(),
        lane: domain::Lane::Lifecycle,
        mode: Mode::Apply,
        requested_by: "the benchmark".to_owned(),
        reason: None,
        input: serde_json::to_value(&facts.spec)?,
        traceparent: None,
        parent: None,
        farm_spec: Some(facts.spec.clone()),
        now,
    };
    world.store.submit(new, None).await?;
    let lessee = Lessee { worker: "the benchmark".to_owned(), lease: LIMIT };
    let claimed = world.store.claim(&[id], &lessee, now).await?.pop().context("no answer")?;
    let Claim::Claimed(claimed) = claimed else { anyhow::bail!("{claimed:?}") };
    let finish = Finish {
        event: WorkflowEvent::Succeed,
        error: None,
        result: None,
        plan: None,
        farm: Some(FarmRecord::Deployed(facts)),
    };
    let entry = JournalEntry {
        workflow_id: id,
        fencing_token: claimed.fencing_token,
        lease_until: claimed.lease_until,
        steps: Vec::new(),
        change: WorkflowChange::Finish(finish),
        announcements: Vec::new(),
        now,
    };
    world.store.commit(&[entry]).await?;
    Ok(())
}
