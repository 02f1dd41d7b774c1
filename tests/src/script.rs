//! Programs of the machine and scripts of the lab, started with clear errors.

use std::ffi::OsStr;
use std::io::Write;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};

/// Runs to the end; standard input is `input`.
pub(crate) fn run(command: &mut Command, input: &[u8]) -> Result<Output> {
    let program = command.get_program().to_os_string();
    let name = || program.to_string_lossy().into_owned();
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().with_context(
            || format!("cannot start {}; deploy/lab/up installs what the tests need", name()),
        )?;
    // A program that ends without reading its input is judged by its exit status, not by the broken pipe.
    if let Some(mut stdin) = child.stdin.take() {
        let _ = stdin.write_all(input);
    }
    child.wait_with_output().with_context(|| format!("waiting for {}", name()))
}

/// Runs to the end and gives standard output; another status than 0 is an error with what the program said.
pub(crate) fn check(command: &mut Command, input: &[u8]) -> Result<Vec<u8>> {
    let output = run(command, input)?;
    if !output.status.success() {
        bail!(
            "{} {}: {}",
            command.get_program().to_string_lossy(),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(output.stdout)
}

/// As [`check`], on a thread of its own, so that what runs in the test's runtime goes on meanwhile.
pub(crate) async fn check_async<S: AsRef<OsStr>>(program: S, arguments: &[&str]) -> Result<Vec<u8>> {
    let mut command = Command::new(program);
    command.args(arguments);
    tokio::task::spawn_blocking(move || check(&mut command, b"")).await.context("the waiting thread")?
}

/// What a guard does with a failed cleanup: the test fails, unless it already does.
pub(crate) fn report_drop(what: &str, result: Result<()>) {
    if let Err(error) = result {
        if std::thread::panicking() {
            eprintln!("left behind: {what}: {error:#}");
        } else {
            panic!("left behind: {what}: {error:#}");
        }
    }
}
