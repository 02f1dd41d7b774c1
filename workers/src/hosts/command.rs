//! A configured program acts on the hosts: one call for each action.
//!
//! The protocol (`docs/host-actions.md`): the action is one JSON document on standard input, the
//! answer one JSON document on standard output, exit status 0 says that there is an answer.
//! Whatever else the program does is a failure that says what it did.

use std::ffi::OsString;
use std::fmt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use async_trait::async_trait;
use domain::HostAction;
use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Child;

use super::{HostActions, HostAnswer};

/// Version of the protocol.
pub const VERSION: u16 = 1;
/// The longest answer that is read, in bytes.
pub const MAX_ANSWER: usize = 64 * 1024;
/// How much of the end of standard error is kept for a failure's detail, in bytes.
const MAX_COMPLAINT: usize = 2 * 1024;
/// A detail is a line or a paragraph for people, in characters.
const MAX_DETAIL: usize = 1_000;
/// What a program wrote is in the pipe when it has ended; only a process that it left behind can
/// keep the pipe open longer.
const LEFT_OPEN: Duration = Duration::from_millis(500);
/// SIGKILL has no delay but a process that hangs in the kernel.
const REAPED: Duration = Duration::from_secs(1);

/// Calls a program. It sees no environment but the one given here.
#[derive(Clone)]
pub struct Command {
    program: OsString,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    timeout: Duration,
}

impl Command {
    /// `timeout` must stay below half of a step's time limit.
    pub fn new(program: impl Into<OsString>, timeout: Duration) -> Self {
        Self { program: program.into(), arguments: Vec::new(), environment: Vec::new(), timeout }
    }

    #[must_use]
    pub fn arguments<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    #[must_use]
    pub fn environment(mut self, variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        self.environment.extend(variables);
        self
    }

    fn start(&self) -> Result<Running, Fault> {
        let mut command = tokio::process::Command::new(&self.program);
        command.args(&self.arguments).env_clear().envs(self.environment.iter().cloned());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A group of its own, so that what a script has started ends with it.
        command.process_group(0).kill_on_drop(true);
        let program = self.program.to_string_lossy().into_owned();
        command.spawn().map(Running).map_err(|source| Fault::Start { program, source })
    }

    async fn ask(&self, action: &HostAction) -> Result<Answer, Fault> {
        let request = serde_json::to_vec(&Request { version: VERSION, action }).map_err(Fault::Request)?;
        let mut running = self.start()?;
        let said = match tokio::time::timeout(self.timeout, converse(&mut running.0, &request)).await {
            Ok(said) => said,
            Err(_) => Err(Fault::TimedOut(self.timeout)),
        };
        if said.is_err() {
            running.end().await;
        }
        said?.answer()
    }
}

impl fmt::Debug for Command {
    /// Without arguments and environment: an administrator may have put a secret there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Command({}, {:?})", self.program.to_string_lossy(), self.timeout)
    }
}

#[async_trait]
impl HostActions for Command {
    fn name(&self) -> &str {
        "command"
    }

    async fn act(&self, action: &HostAction) -> HostAnswer {
        match self.ask(action).await {
            Ok(Answer { outcome: Outcome::Succeeded, detail }) => {
                HostAnswer::Succeeded { detail: readable(&detail.unwrap_or_default()) }
            }
            Ok(Answer { outcome: Outcome::Failed, detail }) => {
                let detail = detail.filter(|detail| !detail.trim().is_empty());
                let silent = "the program says that it failed, and not why";
                HostAnswer::Failed { detail: readable(detail.as_deref().unwrap_or(silent)) }
            }
            Err(fault) => {
                tracing::warn!(%action, %fault, "the program for host actions gave no answer");
                HostAnswer::Failed { detail: readable(&fault.to_string()) }
            }
        }
    }
}

/// What is on standard input.
#[derive(Serialize)]
struct Request<'a> {
    version: u16,
    #[serde(flatten)]
    action: &'a HostAction,
}

/// What is expected on standard output.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    outcome: Outcome,
    #[serde(default)]
    detail: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Succeeded,
    Failed,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("{program} cannot be started: {source}")]
    Start { program: String, source: std::io::Error },
    #[error("the action cannot be written as JSON: {0}")]
    Request(serde_json::Error),
    #[error("the program did not end within {} s and was killed", .0.as_secs())]
    TimedOut(Duration),
    #[error("the program printed more than {} KiB and was killed", MAX_ANSWER / 1024)]
    TooMuch,
    #[error("the program's output cannot be read: {0}")]
    Io(#[from] std::io::Error),
    #[error("the program ended with {status}{complaint}")]
    Status { status: ExitStatus, complaint: String },
    #[error("the program printed no answer{0}")]
    Silent(String),
    #[error("the program's answer cannot be understood ({reason}){complaint}")]
    Answer { reason: serde_json::Error, complaint: String },
}

/// A program with everything that it has started, all of which end when this is dropped.
struct Running(Child);

impl Running {
    fn kill(&self) {
        // An id is there until the program is reaped; only so long can it be no one else's.
        let leader = self.0.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        if let Some(Err(error)) = leader.map(|leader| kill_process_group(leader, Signal::KILL)) {
            tracing::debug!(%error, "a program's process group could not be killed");
        }
    }

    async fn end(&mut self) {
        self.kill();
        if tokio::time::timeout(REAPED, self.0.wait()).await.is_err() {
            tracing::warn!(id = self.0.id(), "a killed program for host actions has not ended yet");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Everything that a program which has ended did.
struct Said {
    status: ExitStatus,
    output: Vec<u8>,
    complaint: Vec<u8>,
}

impl Said {
    fn answer(self) -> Result<Answer, Fault> {
        let complaint = match readable(&String::from_utf8_lossy(&self.complaint)) {
            text if text.is_empty() => text,
            text => format!("; standard error: {text}"),
        };
        if !self.status.success() {
            return Err(Fault::Status { status: self.status, complaint });
        }
        if self.output.iter().all(u8::is_ascii_whitespace) {
            return Err(Fault::Silent(complaint));
        }
        serde_json::from_slice(&self.output).map_err(|reason| Fault::Answer { reason, complaint })
    }
}

/// Until the program has ended. Reads and writes side by side: a program may say much before it
/// reads anything.
async fn converse(child: &mut Child, request: &[u8]) -> Result<Said, Fault> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (mut output, mut complaint) = (Vec::new(), Vec::new());
    let feeding = async {
        if let Some(mut stdin) = stdin {
            // A program that does not care for its input is judged by its answer.
            let _ = stdin.write_all(request).await;
        }
        Ok(())
    };
    let reading = async {
        tokio::try_join!(feeding, read_all(stdout, &mut output), read_end(stderr, &mut complaint)).map(drop)
    };
    let status = {
        tokio::pin!(reading);
        let mut read = false;
        let status = loop {
            tokio::select! {
                status = child.wait() => break status?,
                done = &mut reading, if !read => {
                    done?;
                    read = true;
                }
            }
        };
        if !read && let Ok(done) = tokio::time::timeout(LEFT_OPEN, reading).await {
            done?;
        }
        status
    };
    Ok(Said { status, output, complaint })
}

async fn read_all(from: Option<impl AsyncRead + Unpin>, into: &mut Vec<u8>) -> Result<(), Fault> {
    let Some(mut from) = from else { return Ok(()) };
    while from.read_buf(into).await? > 0 {
        if into.len() > MAX_ANSWER {
            return Err(Fault::TooMuch);
        }
    }
    Ok(())
}

async fn read_end(from: Option<impl AsyncRead + Unpin>, into: &mut Vec<u8>) -> Result<(), Fault> {
    let Some(mut from) = from else { return Ok(()) };
    while from.read_buf(into).await? > 0 {
        if into.len() > MAX_COMPLAINT {
            into.drain(..into.len() - MAX_COMPLAINT);
        }
    }
    Ok(())
}

/// A foreign text for people, logs and the database (PostgreSQL keeps no NUL in JSON): one line,
/// without control characters, not too long.
fn readable(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let words = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    match words.char_indices().nth(MAX_DETAIL) {
        Some((end, _)) => format!("{} ...", &words[..end]),
        None => words,
    }
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
