//! A domain of a test's own with two replicating DCs, in network namespaces: they can be cut off from each other, cut
//! off from everybody, and killed.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::{Context, Result, ensure};
use domain::Rng;
use tokio::sync::{Mutex, MutexGuard, OnceCell};

use crate::lab::{Account, Lab, random_text};
use crate::ldap::Ldap;
use crate::script::{check, report_drop};
use crate::session::HostSession;

/// Short names of the two.
pub const DCS: [&str; 2] = ["dc1", "dc2"];

/// `Host1` to this one.
const HOSTS: usize = 40;

/// Two DCs of one domain, as `private-twin` makes them in 25 to 45 s.
#[derive(Debug)]
pub struct TwinDcs {
    /// The lab with the one DC or the other in the place of the shared one.
    labs: [Lab; 2],
    folder: PathBuf,
    network: String,
    /// Purges when this process ends, however it ends: it reads from a pipe that only this process holds.
    keeper: Child,
    next_host: AtomicUsize,
    hurt: AtomicBool,
}

impl TwinDcs {
    /// # Panics
    /// When the machine cannot have them: a test that needs them must not pass for that.
    pub async fn start(lab: &Lab) -> Self {
        Self::start_with(lab, &[]).await
    }

    /// With further environment of the script, e.g. `LAB_GMSAS`.
    ///
    /// # Panics
    /// As [`Self::start`].
    pub async fn start_with(lab: &Lab, env: &'static [(&'static str, &'static str)]) -> Self {
        let lab = lab.clone();
        let started = tokio::task::spawn_blocking(move || Self::start_now(&lab, env));
        let started = started.await.expect("the thread");
        started.unwrap_or_else(|error| {
            panic!("no two DCs (this needs root, iproute2 and network namespaces; deploy/lab/install dc): {error:#}")
        })
    }

    fn start_now(lab: &Lab, env: &[(&str, &str)]) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("farmhand-twin-{}", random_text(8)));
        let network = free_network();
        let mut command = Command::new(lab.script("private-twin"));
        command.arg("keep").arg(&folder).arg(&network).env("LAB_HOSTS", HOSTS.to_string());
        command.envs(env.iter().copied());
        // Not in this process's group: Ctrl-C is to end the tests, and the keeper is to clear up after them.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut keeper = command.spawn().context("private-twin does not start")?;
        let said = BufReader::new(keeper.stdout.take().context("its output")?);
        let ready = said.lines().map_while(Result::ok).any(|line| line == "ready");
        if !ready {
            let mut text = String::new();
            keeper.stderr.take().context("its errors")?.read_to_string(&mut text)?;
            ensure!(ready, "{}", text.trim());
        }
        let labs = [1, 2].map(|number| {
            let mut lab = lab.clone();
            lab.directory_url = format!("ldaps://{network}.1{number}:636");
            lab.ca_file = folder.join("ca/ca.pem");
            lab.folder.clone_from(&folder);
            lab
        });
        Ok(Self { labs, folder, network, keeper, next_host: AtomicUsize::new(1), hurt: false.into() })
    }

    /// The domain as DC `dc` alone shows it.
    ///
    /// # Panics
    /// When that is none of [`DCS`].
    pub fn lab(&self, dc: &str) -> &Lab {
        let index = DCS.iter().position(|name| *name == dc).expect("dc1 or dc2");
        &self.labs[index]
    }

    /// One DC, seen by the administrator.
    pub fn admin(&self, dc: &str) -> Ldap {
        self.lab(dc).as_admin()
    }

    /// What points the `farmhand` binary at both.
    pub fn directory_env(&self, account: &Account) -> Vec<(String, String)> {
        let mut env = self.labs[0].directory_env(account);
        let urls = self.labs.each_ref().map(|lab| lab.directory_url.clone()).join(",");
        env.push(("FARMHAND_DIRECTORY_URL".to_owned(), urls));
        env
    }

    /// A host that no other test of this process uses.
    ///
    /// # Panics
    /// When there is none left.
    pub fn host(&self) -> String {
        let number = self.next_host.fetch_add(1, Ordering::Relaxed);
        assert!(number <= HOSTS, "the domain has {HOSTS} hosts");
        format!("Host{number}")
    }

    /// The host's sessions on both.
    ///
    /// # Errors
    /// When the script does not start.
    pub fn sessions(&self, host: &str, gmsa: &str) -> Result<[HostSession; 2]> {
        let [one, two] = DCS.map(|dc| HostSession::new(self.lab(dc), host, dc, gmsa));
        Ok([one?, two?])
    }

    /// Nobody reaches that DC: packets to it get lost.
    ///
    /// # Panics
    /// When it cannot be done: a test whose fault did not happen proves nothing. So for the others.
    pub fn cut(&self, dc: &str) {
        self.call("cut", Some(dc));
    }

    /// The DCs do not reach each other; this machine reaches both.
    pub fn cut_replication(&self) {
        self.call("cut", Some("repl"));
    }

    /// SIGKILL to all processes of that DC: connections to it end at once.
    pub fn kill(&self, dc: &str) {
        self.call("kill", Some(dc));
    }

    /// Undoes cuts and starts what was killed; both replicate when this returns.
    pub fn heal(&self) {
        self.call("heal", None);
        self.hurt.store(false, Ordering::SeqCst);
    }

    /// What this machine reaches them by.
    #[cfg(test)]
    fn interface(&self) -> String {
        let mut parts = self.network.split('.').skip(1);
        format!("t{}-{}-br-ad", parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
    }

    fn call(&self, action: &str, what: Option<&str>) {
        self.hurt.store(true, Ordering::SeqCst);
        let done = self.try_call(action, what);
        done.unwrap_or_else(|error| panic!("private-twin {action} {}: {error:#}", what.unwrap_or_default()));
    }

    fn try_call(&self, action: &str, what: Option<&str>) -> Result<()> {
        let mut command = Command::new(self.labs[0].script("private-twin"));
        command.arg(action).arg(&self.folder).arg(&self.network).args(what);
        check(&mut command, b"").map(drop)
    }
}

impl Drop for TwinDcs {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let ended = self.keeper.wait().context("the end of the keeper");
        let ended = ended.and_then(|status| {
            ensure!(status.success(), "the keeper: {status}");
            Ok(())
        });
        report_drop(&self.folder.display().to_string(), ended);
    }
}

/// Two octets of the range for tests between networks (RFC 2544): nothing of this machine is there.
fn free_network() -> String {
    loop {
        let mut bytes = [0; 2];
        domain::SystemRng.fill(&mut bytes);
        let (second, third) = (18 + bytes[0] % 2, bytes[1]);
        if !Path::new(&format!("/sys/class/net/t{second}-{third}-br-ad")).exists() {
            return format!("198.{second}.{third}");
        }
    }
}

/// The pair that the tests of this process share, for one test at a time: whole when it is given to one, and made
/// whole again when that is done with it.
#[derive(Debug)]
pub struct Turn {
    twin: &'static TwinDcs,
    _turn: MutexGuard<'static, ()>,
}

static SHARED: OnceCell<TwinDcs> = OnceCell::const_new();
static TURN: Mutex<()> = Mutex::const_new(());

impl Turn {
    /// Waits for it; the first who asks has it started.
    pub async fn take(lab: &Lab) -> Self {
        let turn = TURN.lock().await;
        let twin = SHARED.get_or_init(|| TwinDcs::start(lab)).await;
        Self { twin, _turn: turn }
    }
}

impl std::ops::Deref for Turn {
    type Target = TwinDcs;

    fn deref(&self) -> &TwinDcs {
        self.twin
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.twin.hurt.swap(false, Ordering::SeqCst) {
            report_drop("the cut of two DCs", self.twin.try_call("heal", None));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::objects::{account_dn, entry, group_dn, host_dn, make_gmsa, make_group, readers, sid};
    use crate::session::Seen;
    use crate::wait::{eventually, never};

    const LIMIT: Duration = Duration::from_secs(30);

    fn reads(sessions: &mut [HostSession; 2], gmsa: &str) -> [Seen; 2] {
        sessions.each_mut().map(|session| session.same_session(gmsa).expect("an answer"))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn two_dcs_replicate_diverge_while_cut_die_come_back_and_leave_nothing_behind() {
        let twin = TwinDcs::start(&Lab::from_env()).await;
        let (one, two, host) = (twin.admin("dc1"), twin.admin("dc2"), twin.host());
        let reader = make_group(&one, "kit-readers", &[host_dn(&host)]).expect("a group");
        make_gmsa(&one, "kit", &[entry::allow(&reader)]).expect("a gMSA");
        let there = async |dc: &Ldap, dn: &str| dc.read(dn, &["1.1"]).expect("an answer");
        eventually("dc2 has it", LIMIT, async || there(&two, &account_dn("kit")).await).await;
        let mut sessions = twin.sessions(&host, "kit").expect("sessions");
        assert_eq!(reads(&mut sessions, "kit"), [Seen::Password, Seen::Password]);

        twin.cut_replication();
        let denied = [entry::deny(&sid(&one, &host_dn(&host)).expect("a SID")), entry::allow(&reader)];
        readers(&one, &account_dn("kit"), &denied).expect("written");
        make_group(&one, "kit-later", &[]).expect("a group");
        never("dc2 has what dc1 was told", Duration::from_secs(3), async || {
            there(&two, &group_dn("kit-later")).await
        })
        .await;
        assert_eq!(
            reads(&mut sessions, "kit"),
            [Seen::Denied, Seen::Password],
            "each answers from its own copy"
        );
        twin.heal();
        eventually("dc2 denies too", LIMIT, async || {
            (reads(&mut sessions, "kit") == [Seen::Denied, Seen::Denied]).then_some(())
        })
        .await;

        twin.cut("dc1");
        assert!(one.read(&account_dn("kit"), &[]).is_err(), "nobody reaches it");
        assert_eq!(
            sessions[1].same_session("kit").expect("an answer"),
            Seen::Denied,
            "the other one is there"
        );
        twin.heal();
        twin.kill("dc2");
        assert!(two.read(&account_dn("kit"), &[]).is_err());
        twin.heal();
        assert!(there(&two, &account_dn("kit")).await.is_some());

        let (folder, interface) = (twin.folder.clone(), format!("/sys/class/net/{}", twin.interface()));
        assert!(Path::new(&interface).exists());
        drop(twin);
        assert!(!folder.exists() && !Path::new(&interface).exists());
    }
}
