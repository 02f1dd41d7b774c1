//! The steps of a deploy, run in order against the embedded directory as the engine runs them,
//! without its persistence.

use std::sync::Arc;

use directory::embedded::{EmbeddedDirectory, EmbeddedOptions};
use directory::ldap::{LdapDirectory, LdapOptions};
use directory::security::ReaderDescriptor;
use directory::{Base, Directories, Directory, Entry};
use domain::{
    AttributeChange, AttributeValue, Change, ChangeKind, Clock, DirectoryName, Dn, ErrorCode, FarmManifest,
    FarmSpec, Mode, SystemClock, SystemRng, WorkflowId,
};
use serde_json::{Value, json};
use workers::engine::execute;
use workers::runbooks::deploy;
use workers::{Environment, StepContext, StepError, StepPlan};

const ACCOUNT: &str = "CN=ITFarm1,CN=Managed Service Accounts,DC=contoso,DC=com";
const GROUP: &str = "CN=ITFarmHosts,CN=Users,DC=contoso,DC=com";

/// A directory of its own for each test.
struct World {
    embedded: EmbeddedDirectory,
    environment: Environment,
}

/// What came of a run: every plan by step, and the context with all outputs.
struct Run {
    plans: Vec<(&'static str, StepPlan)>,
    cx: StepContext,
}

impl Run {
    fn plan(&self, step: &str) -> &StepPlan {
        let found = self.plans.iter().find(|(name, _)| *name == step);
        found.map(|(_, plan)| plan).expect("the step has run")
    }
    fn changes(&self) -> usize {
        self.plans.iter().map(|(_, plan)| plan.changes.len()).sum()
    }
    fn result(&self) -> Value {
        (deploy::runbook().result)(&self.cx).expect("a result").result
    }
}

impl World {
    async fn new() -> Self {
        let embedded = EmbeddedDirectory::start(EmbeddedOptions::default()).await.expect("it starts");
        let url = vec![embedded.url().clone()];
        let mut options =
            LdapOptions::new(DirectoryName::default(), url, embedded.bind_dn(), embedded.password().clone());
        options.ca_pem = Some(embedded.ca_pem().to_owned());
        options.global_catalog_url = Some(embedded.catalog_url().clone());
        options.embedded = true;
        let directory: Arc<dyn Directory> = Arc::new(LdapDirectory::new(options).expect("valid options"));
        let environment = Environment {
            directories: Directories::new([directory]),
            hosts: workers::hosts::Hosts::default(),
            clock: Arc::new(SystemClock),
            rng: Arc::new(SystemRng),
        };
        Self { embedded, environment }
    }

    async fn run(&self, spec: &FarmSpec, mode: Mode) -> Result<Run, StepError> {
        let id = WorkflowId::new(SystemClock.now(), &SystemRng);
        let input = serde_json::to_value(spec).expect("serialises");
        let mut cx =
            StepContext::new(id, DirectoryName::default(), mode, self.environment.clone(), input, None);
        let mut plans = Vec::new();
        for step in deploy::runbook().steps {
            let plan = step.assess(&cx).await?;
            let output = match mode {
                _ if plan.skipped => Value::Null,
                Mode::Plan => plan.expected.clone(),
                Mode::Apply => {
                    if let Some(error) = execute::carry_out(&cx, &plan.changes).await.stopped {
                        return Err(error);
                    }
                    step.verify(&cx, &plan).await?.output
                }
            };
            cx.set_output(step.name(), output);
            plans.push((step.name(), plan));
        }
        Ok(Run { plans, cx })
    }

    async fn read(&self, dn: &str, attributes: &[&str]) -> Option<Entry> {
        let directory = self.environment.directories.iter().next().expect("one");
        let dc = directory.pin(None).await.expect("it answers");
        let dn = Dn::parse(dn).expect("valid");
        dc.read(&Base::Dn(dn), attributes).await.expect("readable")
    }

    async fn nothing_was_written(&self) -> bool {
        self.read(ACCOUNT, &["cn"]).await.is_none() && self.read(GROUP, &["cn"]).await.is_none()
    }
}

fn manifest() -> Value {
    json!({
        "apiVersion": "farmhand/v1", "kind": "Farm", "metadata": {"name": "ITFarm1"},
        "spec": {
            "account": {
                "dnsHostName": "ITFarm1.contoso.com",
                "displayName": "IT farm 1",
                "description": "web tier",
                "servicePrincipalNames": ["http/ITFarm1.contoso.com", "http/ITFarm1"],
            },
            "membership": {"group": "ITFarmHosts"},
            "hosts": ["Host1", "Host2$", "CN=Host3,OU=Servers,DC=contoso,DC=com"],
        },
    })
}

fn spec(manifest: Value) -> FarmSpec {
    serde_json::from_value::<FarmManifest>(manifest).expect("the form is right").validate().expect("valid")
}

fn with(pointer: &str, value: Value) -> Value {
    let mut manifest = manifest();
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
    manifest.pointer_mut(parent).expect("it is there")[key] = value;
    manifest
}

#[tokio::test]
async fn a_farm_is_made_with_every_option_and_again_changes_nothing() {
    let world = World::new().await;
    let spec = spec(manifest());
    let first = world.run(&spec, Mode::Apply).await.expect("deployed");
    assert_eq!(first.changes(), 3, "group, members, account: one write each");

    let group = world.read(GROUP, &["member", "objectSid", "description"]).await.expect("made");
    assert_eq!(group.values("member").len(), 3);
    assert!(group.text("description").is_some_and(|text| text.contains("ITFarm1")));
    let account = world.read(ACCOUNT, &["*", "msDS-GroupMSAMembership"]).await.expect("made");
    assert_eq!(account.text("sAMAccountName"), Some("ITFarm1$"));
    assert_eq!(account.text("userAccountControl"), Some("4096"));
    assert_eq!(account.text("dNSHostName"), Some("ITFarm1.contoso.com"));
    assert_eq!(account.text("msDS-SupportedEncryptionTypes"), Some("24"));
    assert_eq!(account.text("msDS-ManagedPasswordInterval"), Some("30"));
    assert_eq!(account.values("servicePrincipalName").len(), 2);
    let readers = account.bytes("msDS-GroupMSAMembership").expect("readers");
    let readers = ReaderDescriptor::from_bytes(readers).expect("a descriptor").readers();
    assert_eq!(Some(&readers[..]), group.sid("objectSid").as_ref().map(std::slice::from_ref));

    let result = first.result();
    assert_eq!(result["account"]["samAccountName"], "ITFarm1$");
    assert!(result["account"]["keyId"]["l0"].as_u64().is_some_and(|l0| l0 > 300), "{result}");
    assert_eq!(result["hosts"].as_array().map(Vec::len), Some(3));
    assert_eq!(result["domainControllers"].as_array().map(Vec::len), Some(1));
    assert_eq!(result["domainControllers"][0]["members"], 3);
    assert_eq!(result["embeddedDirectory"], true);

    let second = world.run(&spec, Mode::Apply).await.expect("deployed again");
    assert_eq!(second.changes(), 0);
    assert!(second.result()["summary"].as_str().is_some_and(|text| text.starts_with("nothing to change")));
}

#[tokio::test]
async fn a_dry_run_shows_every_attribute_and_writes_nothing() {
    let world = World::new().await;
    let run = world.run(&spec(manifest()), Mode::Plan).await.expect("planned");
    assert!(world.nothing_was_written().await);
    let account = &run.plan("ensure-gmsa").changes[0];
    assert_eq!((account.kind, account.attributes.len()), (ChangeKind::Add, 10));
    let readers = account.attribute("msDS-GroupMSAMembership").expect("planned").added();
    assert!(matches!(readers, [AttributeValue::Pending { pending }] if pending.contains("ITFarmHosts")));
    let members = &run.plan("ensure-members").changes;
    assert_eq!(members[0].attributes[0].added().len(), 3);
    assert!(run.plan("verify-everywhere").detail.contains("dc1.contoso.com"));
}

#[tokio::test]
async fn every_problem_is_found_at_once_and_nothing_is_written() {
    let world = World::new().await;
    world.embedded.seed_gmsas(&["OtherFarm".to_owned()], None).await.expect("seeded");
    let mut manifest = with("/spec/hosts", json!(["Host1", "NoHost", "OtherFarm$", "Administrator"]));
    manifest["spec"]["account"]["servicePrincipalNames"] = json!(["http/ITFarm1", "http/Host1"]);
    manifest["spec"]["account"]["container"] = json!("OU=Nowhere,DC=contoso,DC=com");
    let error = world.run(&spec(manifest), Mode::Apply).await.err().expect("refused");
    let StepError::Fail(problem) = error else { panic!("{error:?}") };
    let found: Vec<_> = problem.violations.iter().map(|v| (v.field.as_str(), v.rule.as_str())).collect();
    for expected in [
        ("spec.hosts[1]", "host-not-found"),
        ("spec.hosts[2]", "host-not-computer"),
        ("spec.hosts[3]", "host-not-computer"),
        ("spec.account.servicePrincipalNames[1]", "spn-conflict"),
        ("spec.account.container", "container-not-found"),
    ] {
        assert!(found.contains(&expected), "{expected:?} in {found:?}");
    }
    assert_eq!(found.len(), 5, "{found:?}");
    assert!(world.nothing_was_written().await);
}

#[tokio::test]
async fn a_standing_account_that_differs_is_refused_before_anything_is_written() {
    let world = World::new().await;
    world.run(&spec(manifest()), Mode::Apply).await.expect("deployed");
    let mut other = with("/spec/account/managedPasswordIntervalInDays", json!(15));
    other["spec"]["membership"]["group"] = json!("OtherHosts");
    let error = world.run(&spec(other), Mode::Apply).await.err().expect("refused");
    assert_eq!(error.problem().code, ErrorCode::AccountDiffers);
    let fields: Vec<_> = error.problem().violations.iter().map(|v| v.field.as_str()).collect();
    assert_eq!(fields, ["spec.account.managedPasswordIntervalInDays", "spec.membership"]);
    assert!(world.read("CN=OtherHosts,CN=Users,DC=contoso,DC=com", &["cn"]).await.is_none());
}

#[tokio::test]
async fn a_standing_group_is_adopted_with_its_other_members() {
    let world = World::new().await;
    let stranger = world.embedded.seed_computer("Stranger").await.expect("seeded");
    let host = Dn::parse("CN=Host1,OU=Servers,DC=contoso,DC=com").expect("valid");
    let group = world.embedded.seed_group("Adopted", &[stranger, host]).await.expect("seeded");
    let run = world.run(&spec(with("/spec/membership/group", json!("Adopted"))), Mode::Apply).await;
    let run = run.expect("deployed");
    assert_eq!(run.plan("ensure-group").changes, []);
    assert_eq!(run.plan("ensure-members").changes[0].attributes[0].added().len(), 2);
    let group = world.read(group.as_str(), &["member"]).await.expect("it stands");
    assert_eq!(group.values("member").len(), 4);
}

#[tokio::test]
async fn direct_membership_names_each_host_and_takes_effect_at_once() {
    let world = World::new().await;
    let manifest = with("/spec/membership", json!({"mode": "direct"}));
    let run = world.run(&spec(manifest), Mode::Apply).await.expect("deployed");
    assert!(run.plan("ensure-group").skipped && run.plan("ensure-members").skipped);
    assert!(world.read(GROUP, &["cn"]).await.is_none());
    let result = run.result();
    assert_eq!(result["accessTakesEffect"], "at once");
    let names: Vec<_> =
        result["readers"].as_array().expect("a list").iter().map(|r| r["name"].clone()).collect();
    assert_eq!(names, ["Host1", "Host2", "Host3"]);
    assert_eq!(result["group"], Value::Null);
}

#[tokio::test]
async fn a_place_without_our_rights_is_refused_with_the_delegation_that_is_missing() {
    let world = World::new().await;
    let manifest = with("/spec/account/container", json!("OU=Servers,DC=contoso,DC=com"));
    let error = world.run(&spec(manifest), Mode::Apply).await.err().expect("refused");
    assert_eq!(error.problem().code, ErrorCode::RightsMissing);
    assert!(error.problem().hint.contains("CCDC;msDS-GroupManagedServiceAccount"), "{:?}", error.problem());
    assert!(world.nothing_was_written().await);
}

#[tokio::test]
async fn a_dc_that_does_not_show_the_farm_is_named_and_waited_for() {
    let world = World::new().await;
    let run = world.run(&spec(manifest()), Mode::Apply).await.expect("deployed");
    let steps = deploy::runbook().steps;
    let everywhere = steps.iter().find(|step| step.name() == "verify-everywhere").expect("a step");
    let dc = run.cx.dc().await.expect("pinned");
    let lag = async || match everywhere.assess(&run.cx).await {
        Err(StepError::Retry { problem, .. }) => problem,
        other => panic!("{other:?}"),
    };

    let member =
        AttributeChange::values("member", vec![], vec!["CN=Host2,OU=Servers,DC=contoso,DC=com".into()]);
    let change = Change::modify(Dn::parse(GROUP).expect("valid"), vec![member]);
    assert_eq!(execute::carry_out(&run.cx, &[change]).await.stopped, None);
    let problem = lag().await;
    assert_eq!(problem.code, ErrorCode::NotReplicated);
    assert!(
        problem.message.contains("dc1.contoso.com: ") && problem.message.contains("CN=Host2"),
        "{problem}"
    );

    dc.delete(&Dn::parse(GROUP).expect("valid")).await.expect("deleted");
    assert!(lag().await.message.contains("the group CN=ITFarmHosts"));
    world.run(&spec(manifest()), Mode::Apply).await.err().expect("the account names the group that is gone");
    dc.delete(&Dn::parse(ACCOUNT).expect("valid")).await.expect("deleted");
    assert_eq!(lag().await.code, ErrorCode::NotReplicated);
}
