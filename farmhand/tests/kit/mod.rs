//! Runs the binary with a home and data folder of its own and nothing else in its environment.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

pub struct Farmhand {
    folder: TempDir,
    environment: BTreeMap<String, String>,
}

/// What a finished command left.
#[derive(Debug)]
pub struct Answer {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Answer {
    /// The one document on standard output.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("not one JSON document ({e}): {self:?}"))
    }

    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }
}

impl Farmhand {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self { folder, environment: BTreeMap::new() }
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// A file in this home; its path.
    pub fn write(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    }

    pub fn run(&self, arguments: &[&str]) -> Answer {
        let output = self.command(arguments).output().expect("runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let status = output.status.code().expect("not killed");
        Answer { status, stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    pub fn run_at(&self, up: &Up, arguments: &[&str]) -> Answer {
        let url = up.ready["url"].as_str().expect("a URL").to_owned();
        self.run(&[arguments, &["--url", &url]].concat())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_farmhand"));
        command.args(arguments).env_clear().env("HOME", self.folder.path()).current_dir(self.folder.path());
        command.envs(&self.environment).stdin(Stdio::null());
        command
    }
}

/// A running `farmhand up`; ended when dropped.
pub struct Up {
    child: Child,
    /// What it said when it was ready.
    pub ready: Value,
}

impl Up {
    /// On any free port.
    pub fn start(farmhand: &Farmhand) -> Self {
        let mut command = farmhand.command(&["up", "--listen", "127.0.0.1:0", "--output", "json"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut stderr = child.stderr.take().expect("piped");
        let mut text = String::new();
        // The document ends with the brace that closes it, alone on its line.
        while !text.ends_with("\n}\n") {
            if stdout.read_line(&mut text).expect("readable") == 0 {
                let mut said = String::new();
                let _ = stderr.read_to_string(&mut said);
                panic!("up ended before it was ready: {text}{said}");
            }
        }
        // Else a full pipe would stop the server.
        std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
        Self { child, ready: serde_json::from_str(&text).expect("one document") }
    }

    /// Asks it to stop, as a service manager does; its exit status.
    pub fn stop(mut self) -> i32 {
        terminate(&self.child);
        self.child.wait().expect("ends").code().expect("a status, not a signal")
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn terminate(child: &Child) {
    let sent = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill runs");
    assert!(sent.success());
}
