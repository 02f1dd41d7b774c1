//! Services of a test's own that may be stopped, killed, frozen and wiped. Each is purged with
//! its guard.

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::database::create_database;
use crate::lab::{Lab, random_text};
use crate::script::{self, report_drop};

/// One of the lab's `private-*` scripts at work in a folder of its own.
#[derive(Debug)]
struct Service {
    script: PathBuf,
    folder: PathBuf,
    /// The last argument: a port or an address.
    place: String,
}

impl Service {
    fn new(lab: &Lab, script: &str, place: String) -> Self {
        // Not a `TempDir`: the services run as users of their own and must be able to pass.
        let folder = std::env::temp_dir().join(format!("farmhand-{script}-{}", random_text(8)));
        Self { script: lab.script(script), folder, place }
    }

    /// # Panics
    /// When the script fails: a test whose fault did not happen proves nothing.
    async fn call(&self, action: &str) {
        self.call_with(action, &[]).await;
    }

    /// # Panics
    /// As [`Self::call`].
    async fn call_with(&self, action: &str, further: &[&str]) {
        let folder = self.folder.display().to_string();
        let arguments = [&[action, &folder, &self.place], further].concat();
        let done = script::check_async(self.script.clone(), &arguments).await;
        if let Err(error) = done {
            panic!("{} {action}: {error:#}", self.script.display());
        }
    }

    fn purge(&self) -> Result<()> {
        let mut command = Command::new(&self.script);
        command.arg("purge").arg(&self.folder).arg(&self.place);
        script::check(&mut command, b"").map(drop)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        report_drop(&self.folder.display().to_string(), self.purge());
    }
}

/// Draws a port whose neighbour at `+ offset` is free too. Below the range that the kernel gives
/// to outgoing connections, so that nothing takes it between a stop and the next start.
fn free_port(offset: u16) -> u16 {
    use domain::Rng;
    let free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    for _ in 0..1000 {
        let mut bytes = [0; 2];
        domain::SystemRng.fill(&mut bytes);
        let port = 20_000 + u16::from_le_bytes(bytes) % 10_000;
        if free(port) && free(port + offset) {
            return port;
        }
    }
    panic!("no free port between 20000 and 30000");
}

/// A RabbitMQ node. A start takes about 5 s.
#[derive(Debug)]
pub struct PrivateRabbit {
    pub url: String,
    service: Service,
}

impl PrivateRabbit {
    pub async fn start(lab: &Lab) -> Self {
        let port = free_port(20_000);
        let service = Service::new(lab, "private-rabbitmq", port.to_string());
        service.call("start").await;
        Self { url: format!("amqp://guest:guest@127.0.0.1:{port}/%2f"), service }
    }

    /// Starts it again; returns when a login works.
    pub async fn resume(&self) {
        self.service.call("start").await;
    }

    /// Adds a user with a password of the same name and rights on the vhost `/`: regular expressions
    /// of what may be configured, written, read. Gives the URL of its connections.
    pub async fn add_user(&self, name: &str, [configure, write, read]: [&str; 3]) -> String {
        self.service.call_with("ctl", &["add_user", name, name]).await;
        self.service.call_with("ctl", &["set_permissions", name, configure, write, read]).await;
        self.url.replace("guest:guest@", &format!("{name}:{name}@"))
    }

    /// A clean stop.
    pub async fn stop(&self) {
        self.service.call("stop").await;
    }

    /// SIGKILL.
    pub async fn kill(&self) {
        self.service.call("kill").await;
    }

    /// Killed, everything it held deleted, started empty.
    pub async fn wipe(&self) {
        self.service.call("wipe").await;
    }
}

/// A PostgreSQL cluster. A start takes about 1 s.
#[derive(Debug)]
pub struct PrivatePostgres {
    /// An empty database in it.
    pub url: String,
    service: Service,
}

impl PrivatePostgres {
    /// # Panics
    /// When it does not start.
    pub async fn start(lab: &Lab) -> Self {
        let port = free_port(0);
        let service = Service::new(lab, "private-postgres", port.to_string());
        service.call("start").await;
        let server = format!("postgres://postgres@127.0.0.1:{port}/postgres");
        let (url, _) = create_database(&server).expect("a database in the new cluster");
        Self { url, service }
    }

    /// Starts it again; returns when it answers.
    pub async fn resume(&self) {
        self.service.call("start").await;
    }

    /// Connections are cut, then a clean shutdown.
    pub async fn stop(&self) {
        self.service.call("stop").await;
    }

    /// As a crash: the next start recovers from the log.
    pub async fn kill(&self) {
        self.service.call("kill").await;
    }
}

/// A DC of a domain of its own, with `Host1` to `Host5`. The first start takes about 10 s.
#[derive(Debug)]
pub struct PrivateDc {
    /// The lab with this DC in the place of the shared one.
    pub lab: Lab,
    service: Service,
}

impl PrivateDc {
    pub async fn start(lab: &Lab) -> Self {
        let service = Service::new(lab, "private-dc", free_address().to_string());
        service.call("start").await;
        let mut lab = lab.clone();
        lab.directory_url = format!("ldaps://{}:636", service.place);
        lab.ca_file = service.folder.join("ca/ca.pem");
        lab.folder.clone_from(&service.folder);
        Self { lab, service }
    }

    /// Starts it again; returns when it answers.
    pub async fn resume(&self) {
        self.service.call("start").await;
    }

    pub async fn stop(&self) {
        self.service.call("stop").await;
    }

    /// SIGKILL to all its processes.
    pub async fn kill(&self) {
        self.service.call("kill").await;
    }

    /// Restarted with its clock so many days ahead of the machine's; member hosts of `lab` follow.
    /// Going back is not for a DC that has rolled a password.
    pub async fn age(&self, days: u32) {
        self.service.call_with("age", &[&days.to_string()]).await;
    }

    /// SIGSTOP: connections stay open, new ones are accepted by the kernel, and nothing answers.
    pub async fn freeze(&self) {
        self.service.call("freeze").await;
    }

    pub async fn thaw(&self) {
        self.service.call("thaw").await;
    }
}

/// Samba's ports are fixed, so a DC of one's own needs an address of its own.
fn free_address() -> Ipv4Addr {
    use domain::Rng;
    for _ in 0..1000 {
        let mut bytes = [0; 3];
        domain::SystemRng.fill(&mut bytes);
        let address = Ipv4Addr::new(127, 64 + bytes[0] % 64, bytes[1], 1 + bytes[2] % 250);
        if TcpListener::bind((address, 636)).is_ok() {
            return address;
        }
    }
    panic!("no free loopback address");
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;
    use std::time::Duration;

    use super::*;
    use crate::database::query;

    fn port_is_open(url: &str) -> bool {
        let url = url::Url::parse(url).unwrap();
        TcpStream::connect((url.host_str().unwrap(), url.port().unwrap())).is_ok()
    }

    #[tokio::test]
    async fn a_private_broker_stops_dies_and_comes_back() {
        let broker = PrivateRabbit::start(&Lab::from_env()).await;
        broker.stop().await;
        assert!(!port_is_open(&broker.url));
        broker.resume().await;
        broker.kill().await;
        assert!(!port_is_open(&broker.url));
        broker.wipe().await;
        assert!(port_is_open(&broker.url));
        let folder = broker.service.folder.clone();
        drop(broker);
        assert!(!folder.exists());
    }

    #[tokio::test]
    async fn a_private_cluster_keeps_what_was_committed_before_a_crash() {
        let cluster = PrivatePostgres::start(&Lab::from_env()).await;
        query(&cluster.url, "create table t (a int); insert into t values (7)").unwrap();
        cluster.kill().await;
        assert!(!port_is_open(&cluster.url));
        cluster.resume().await;
        assert_eq!(query(&cluster.url, "select a from t").unwrap(), [["7"]]);
        cluster.stop().await;
        assert!(!port_is_open(&cluster.url));
        let folder = cluster.service.folder.clone();
        drop(cluster);
        assert!(!folder.exists());
    }

    #[tokio::test]
    async fn a_private_dc_freezes_dies_and_comes_back() {
        let dc = PrivateDc::start(&Lab::from_env()).await;
        let hosts =
            || dc.lab.as_admin().search(crate::lab::HOST_CONTAINER, "(objectClass=computer)", &["cn"]);
        assert_eq!(hosts().unwrap().len(), 5);
        dc.freeze().await;
        let mut stream = TcpStream::connect((dc.service.place.as_str(), 389)).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        std::io::Write::write_all(&mut stream, b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00")
            .unwrap();
        assert!(
            std::io::Read::read(&mut stream, &mut [0; 64]).is_err(),
            "a frozen DC does not answer a bind"
        );
        dc.thaw().await;
        assert!(std::io::Read::read(&mut stream, &mut [0; 64]).unwrap() > 0);
        dc.kill().await;
        assert!(hosts().is_err());
        dc.resume().await;
        assert_eq!(hosts().unwrap().len(), 5);
        let folder = dc.service.folder.clone();
        drop(dc);
        assert!(!folder.exists());
    }
}
