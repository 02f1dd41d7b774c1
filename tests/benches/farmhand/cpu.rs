//! Processor time, by who spent it: what a workflow costs, less disturbed by what else the machine
//! does than any wall clock.

use std::ops::Sub;
use std::path::Path;

/// Seconds since start, user and system together.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cpu {
    own: f64,
    postgres: f64,
    broker: f64,
}

/// The unit of `/proc/PID/stat` on Linux, whatever the kernel's own tick is.
const TICKS: f64 = 100.0;

impl Cpu {
    /// Connections to `database`, which stay open between two calls, and all of the machine's
    /// RabbitMQ: what others do with it meanwhile is in it.
    pub fn now(database: &str) -> Self {
        let mut cpu = Self::default();
        let Ok(processes) = std::fs::read_dir("/proc") else { return cpu };
        for process in processes.flatten() {
            let Ok(stat) = std::fs::read_to_string(process.path().join("stat")) else { continue };
            let Some((name, seconds)) = parse(&stat) else { continue };
            match name {
                _ if process.file_name().to_str() == Some(&std::process::id().to_string()) => {
                    cpu.own += seconds
                }
                "postgres" if serves(&process.path(), database) => cpu.postgres += seconds,
                "beam.smp" => cpu.broker += seconds,
                _ => {}
            }
        }
        cpu
    }

    /// Microseconds for each of `count` workflows.
    pub fn show(self, count: usize) -> String {
        let each = |seconds: f64| seconds * 1e6 / count as f64;
        let all = self.own + self.postgres + self.broker;
        format!(
            "{:.0} us (this process {:.0}, PostgreSQL {:.0}, RabbitMQ {:.0})",
            each(all),
            each(self.own),
            each(self.postgres),
            each(self.broker)
        )
    }
}

impl Sub for Cpu {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            own: self.own - before.own,
            postgres: self.postgres - before.postgres,
            broker: self.broker - before.broker,
        }
    }
}

impl std::ops::AddAssign for Cpu {
    fn add_assign(&mut self, more: Self) {
        self.own += more.own;
        self.postgres += more.postgres;
        self.broker += more.broker;
    }
}

/// A server process of PostgreSQL says in its title what it is connected to.
fn serves(process: &Path, database: &str) -> bool {
    std::fs::read_to_string(process.join("cmdline")).is_ok_and(|title| title.contains(database))
}

/// Name, and user and system time (proc(5): fields 14 and 15). The name may hold spaces.
fn parse(stat: &str) -> Option<(&str, f64)> {
    let (_, rest) = stat.split_once('(')?;
    let (name, fields) = rest.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11);
    let (user, system): (f64, f64) = (times.next()?.parse().ok()?, times.next()?.parse().ok()?);
    Some((name, (user + system) / TICKS))
}
