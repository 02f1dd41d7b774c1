//! The `farmhand` binary as a child process.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::wait::eventually;

/// What is started: arguments and environment. Can be started any number of times.
///
/// The child sees nothing of this process's environment but `PATH` and `HOME`, so that a
/// developer's own `FARMHAND_*` does not reach it.
#[derive(Debug, Clone)]
pub struct Spec {
    program: PathBuf,
    arguments: Vec<String>,
    env: Vec<(String, String)>,
}

impl Spec {
    /// `&["up"]`, `&["worker", "--lanes", "urgent"]` ...
    ///
    /// # Panics
    /// When the binary is not built.
    pub fn new(arguments: &[&str]) -> Self {
        Self::of(binary(), arguments)
    }

    fn of(program: PathBuf, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        Self { program, arguments, env: Vec::new() }
    }

    /// A later value of the same name wins.
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    pub fn envs(mut self, pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        self.env.extend(pairs);
        self
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).env_clear().stdin(Stdio::null());
        for name in ["PATH", "HOME"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.env("RUST_BACKTRACE", "1").envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts it and waits for its end: for client commands.
    ///
    /// # Errors
    /// When it cannot be started. Its exit status is in the answer.
    pub async fn run(&self) -> Result<Output> {
        let mut command = self.command();
        let ended = tokio::task::spawn_blocking(move || command.output()).await?;
        ended.with_context(|| format!("farmhand {}", self.arguments.join(" ")))
    }

    /// Starts it as a server with a data folder of its own and a free port.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn spawn(&self) -> Farmhand {
        let folder = tempfile::tempdir().expect("a data folder");
        let path = folder.path().to_owned();
        let mut farmhand = self.spawn_in(&path);
        farmhand._folder = Some(folder);
        farmhand
    }

    /// As [`Self::spawn`] in a given data folder, which stays: what a second start finds.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn spawn_in(&self, data_dir: &Path) -> Farmhand {
        let spec = self.clone().env("FARMHAND_DATA_DIR", data_dir.display().to_string());
        let listen = format!("127.0.0.1:{}", free_port());
        let spec = Self { env: [vec![("FARMHAND_LISTEN".to_owned(), listen)], spec.env].concat(), ..spec };
        let log = tempfile::NamedTempFile::new().expect("a log file");
        let child = start(&spec, log.path());
        Farmhand { spec, child, log, data_dir: data_dir.to_owned(), _folder: None }
    }
}

fn start(spec: &Spec, log: &Path) -> Child {
    let log = || File::options().append(true).open(log).expect("the log file");
    let mut command = spec.command();
    command.stdout(log()).stderr(log());
    command.spawn().unwrap_or_else(|error| panic!("{}: {error}", spec.program.display()))
}

/// `FARMHAND_TEST_BIN`, else the binary beside this test's own: `target/debug/farmhand`.
///
/// # Panics
/// When it is not built.
pub fn binary() -> PathBuf {
    let path = std::env::var_os("FARMHAND_TEST_BIN").map_or_else(beside_this_test, PathBuf::from);
    assert!(path.is_file(), "{} is missing: cargo build -p farmhand (make test does)", path.display());
    path
}

/// Tests are in `target/PROFILE/deps`.
fn beside_this_test() -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    let profile = test.ancestors().nth(2).expect("target/PROFILE");
    profile.join("farmhand")
}

/// A port that is free now.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// A client for the product's HTTP interface.
///
/// # Panics
/// Never: the settings are fixed.
pub fn http_client() -> reqwest::Client {
    static PROVIDER: OnceLock<()> = OnceLock::new();
    // Another part of the test may have been faster; then there is one already.
    PROVIDER.get_or_init(|| drop(rustls::crypto::ring::default_provider().install_default()));
    reqwest::Client::builder().timeout(Duration::from_secs(30)).no_proxy().build().expect("an HTTP client")
}

/// A running server. Killed when dropped; its output is shown when the test fails.
#[derive(Debug)]
pub struct Farmhand {
    spec: Spec,
    child: Child,
    log: tempfile::NamedTempFile,
    data_dir: PathBuf,
    _folder: Option<tempfile::TempDir>,
}

impl Farmhand {
    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        let listen = self.spec.env.iter().rev().find(|(name, _)| name == "FARMHAND_LISTEN");
        format!("http://{}", listen.map_or("127.0.0.1:8420", |(_, address)| address))
    }

    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Standard output and standard error so far, of all its starts.
    pub fn log(&self) -> String {
        std::fs::read(self.log.path())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// The token that `up` writes for the first admin.
    ///
    /// # Panics
    /// When it is not there.
    pub fn admin_token(&self) -> String {
        let path = self.data_dir.join("admin-token");
        let token =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        token.trim().to_owned()
    }

    /// Waits until `/readyz` says 200.
    ///
    /// # Panics
    /// When it does not within `limit`, or the process ends before.
    pub async fn ready(&mut self, limit: Duration) {
        let (client, url) = (http_client(), format!("{}/readyz", self.url()));
        let what = format!("{url} says ready");
        eventually(&what, limit, async || {
            self.assert_running();
            let answer = client.get(&url).send().await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
    }

    /// Waits until the output holds `text`: readiness of what has no HTTP interface.
    ///
    /// # Panics
    /// When it does not within `limit`, or the process ends before.
    pub async fn logged(&mut self, text: &str, limit: Duration) {
        let what = format!("{text:?} in the output");
        eventually(&what, limit, async || {
            if self.log().contains(text) {
                return Some(());
            }
            self.assert_running();
            None
        })
        .await;
    }

    fn assert_running(&mut self) {
        if let Some(status) = self.child.try_wait().expect("the state of the child") {
            panic!("farmhand {} ended: {status}", self.spec.arguments.join(" "));
        }
    }

    /// SIGKILL.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn kill(&mut self) {
        self.child.kill().expect("killing the child");
        self.child.wait().expect("the end of the child");
    }

    /// SIGTERM, then waits for the end.
    ///
    /// # Panics
    /// When it does not end within `limit`.
    pub async fn terminate(&mut self, limit: Duration) -> ExitStatus {
        self.signal("TERM");
        self.exited(limit).await
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end within `limit`.
    pub async fn exited(&mut self, limit: Duration) -> ExitStatus {
        eventually("the end of the process", limit, async || {
            self.child.try_wait().expect("the state of the child")
        })
        .await
    }

    /// SIGSTOP: the process is there and does nothing, as after a long pause of its machine.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    pub fn thaw(&self) {
        self.signal("CONT");
    }

    /// Through the shell's own `kill`: the standard library knows SIGKILL only.
    fn signal(&self, name: &str) {
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.pid())]).status();
        assert!(sent.expect("a shell").success(), "signal {name}");
    }

    /// Starts it again with the same settings, port and data folder, after it ended.
    ///
    /// # Panics
    /// When it still runs.
    pub fn restart(&mut self) {
        let ended = self.child.try_wait().expect("the state of the child");
        assert!(ended.is_some(), "it still runs");
        self.child = start(&self.spec, self.log.path());
    }
}

impl Drop for Farmhand {
    fn drop(&mut self) {
        // Errors mean that it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- output of farmhand {} ---\n{}", self.spec.arguments.join(" "), self.log());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn shell(script: &str) -> Spec {
        Spec::of("/bin/sh".into(), &["-c", script])
    }

    #[tokio::test]
    async fn a_server_sees_its_own_environment_only_and_ends_on_request() {
        let spec =
            shell("trap 'exit 7' TERM; env | sort; echo up; while :; do sleep 0.05; done").env("A", "1");
        let mut server = spec.env("A", "2").spawn();
        server.logged("up\n", LIMIT).await;
        let log = server.log();
        let names: Vec<&str> =
            log.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
        let expected = ["A", "FARMHAND_DATA_DIR", "FARMHAND_LISTEN", "HOME", "PATH", "PWD", "RUST_BACKTRACE"];
        assert_eq!(names, expected);
        assert!(log.contains("A=2\n") && log.contains(&format!("FARMHAND_LISTEN={}", &server.url()[7..])));
        assert_eq!(server.terminate(LIMIT).await.code(), Some(7));
    }

    #[tokio::test]
    async fn a_killed_server_starts_again_with_the_same_folder_and_port() {
        let mut server =
            shell("echo start $FARMHAND_LISTEN >> $FARMHAND_DATA_DIR/f; cat $FARMHAND_DATA_DIR/f; sleep 60")
                .spawn();
        server.logged("start", LIMIT).await;
        server.kill();
        server.restart();
        let line = format!("start {}\n", &server.url()[7..]);
        server.logged(&line.repeat(2), LIMIT).await;
    }

    #[tokio::test]
    #[should_panic(expected = "ended: exit status: 3")]
    async fn waiting_for_a_server_that_ended_fails_at_once() {
        shell("exit 3").spawn().ready(Duration::from_secs(600)).await;
    }

    #[tokio::test]
    async fn a_server_is_ready_when_it_says_so() {
        let answer = "HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n";
        let script = format!(
            "import os, socket\nhost, port = os.environ['FARMHAND_LISTEN'].split(':')\n\
            s = socket.create_server((host, int(port)))\nwhile True:\n c, _ = s.accept(); c.recv(9999); c.sendall(b'{answer}'); c.close()"
        );
        let mut server = Spec::of("/usr/bin/python3".into(), &["-c", &script]).spawn();
        server.ready(LIMIT).await;
    }

    #[tokio::test]
    async fn a_command_is_run_to_its_end() {
        let output = shell("echo out; echo err >&2; exit 4").run().await.unwrap();
        assert_eq!((output.stdout, output.stderr), (b"out\n".to_vec(), b"err\n".to_vec()));
        assert_eq!(output.status.code(), Some(4));
    }
}
