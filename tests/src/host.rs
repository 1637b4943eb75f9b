//! Runs the real `bulkhead` binary on free loopback ports and talks to it as anyone would.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::http::{Client, Response};
use crate::process;
use crate::prom::Scrape;
use crate::wait;

/// Thousands of lanes that are new take their time; a host that ends is noticed at once.
const START: Duration = Duration::from_secs(240);

/// How a host is started.
#[derive(Debug, Clone)]
pub struct Spec {
    pub binary: PathBuf,
    pub config: PathBuf,
    /// The `data_dir` of the configuration; the host writes there where it listens.
    pub data_dir: PathBuf,
    /// Output of the process, appended.
    pub log: PathBuf,
    pub env: Vec<(String, String)>,
    /// Working directory, which relative paths in the configuration start from.
    pub dir: PathBuf,
    /// More arguments of `serve`.
    pub args: Vec<String>,
    /// A program and its arguments that become the host by `exec`, such as [`Disk::enter`](crate::disk::Disk::enter).
    pub through: Vec<String>,
}

/// A running host; killed when dropped.
#[derive(Debug)]
pub struct Host {
    child: Child,
    pub spec: Spec,
    pub api: SocketAddr,
    pub intake: SocketAddr,
    /// From starting the process to being ready.
    pub ready_in: Duration,
}

/// The root of the checkout.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_owned()
}

/// The binary that a build of this profile leaves; the message says how to make it.
pub fn binary(profile: &str) -> Result<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let path = target.join(profile).join("bulkhead");
    ensure!(path.is_file(), "{} is missing; build it with `cargo build --profile {profile} -p bulkhead` (`cargo xtask test` does)", path.display());
    Ok(path)
}

impl Host {
    /// Starts it and waits until it listens.
    pub fn start(spec: Spec) -> Result<Self> {
        let listening = spec.data_dir.join("listening.json");
        let _ = fs::remove_file(&listening);
        let begin = Instant::now();
        let child = spawn(&spec)?;
        let unknown = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut host = Self { child, spec, api: unknown, intake: unknown, ready_in: Duration::ZERO };
        (host.api, host.intake) = wait::until_every(Duration::from_millis(2), "the host listens", START, || {
            if let Some(status) = host.child.try_wait()? {
                bail!("the host ended with {status} before it was ready:\n{}", host.log_tail());
            }
            let Ok(text) = fs::read(&listening) else { return Ok(None) };
            // Half written is not there yet.
            let Ok(value) = serde_json::from_slice::<serde_json::Value>(&text) else { return Ok(None) };
            let addr = |name: &str| value[name].as_str().and_then(|text| text.parse().ok());
            Ok(addr("api").zip(addr("http")))
        })
        .with_context(|| format!("log of the host:\n{}", host.log_tail()))?;
        host.ready_in = begin.elapsed();
        Ok(host)
    }

    /// Starts a process on this data and kills it `after` that, wherever its start has come to.
    pub fn stumble(spec: &Spec, after: Duration) -> Result<()> {
        let mut child = spawn(spec)?;
        // The moment of the crash is the point here, not a wait for something.
        std::thread::sleep(after);
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Posts to the intake.
    pub fn post(&self, content_type: &str, body: &[u8]) -> Result<Response> {
        self.post_with("/events", &[("Content-Type", content_type)], body)
    }

    pub fn post_with(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Response> {
        Client::new(self.intake).send("POST", path, headers, body)
    }

    /// Gets from the API listener.
    pub fn get(&self, path: &str) -> Result<Response> {
        Client::new(self.api).limit(Duration::from_secs(10)).get(path)
    }

    pub fn metrics(&self) -> Result<Scrape> {
        let response = self.get("/metrics")?;
        ensure!(response.status == 200, "/metrics answers {}", response.status);
        Scrape::parse(&response.text())
    }

    /// Waits until every lane has settled all that was accepted: its cursor is at the journal's head.
    /// The gauges of `/metrics` lag behind by some tenths of a second.
    pub fn settled(&self, limit: Duration) -> Result<Scrape> {
        let mut last = serde_json::Value::Null;
        let settled = wait::until("every lane settles its backlog", limit, || {
            last = self.get("/api/integration/health")?.json()?;
            let head = last["journal"]["head"].as_u64().context("health names no head of the journal")?;
            let lanes = last["lanes"].as_array().context("health names no lanes")?;
            let behind = lanes.iter().any(|lane| lane["cursor"].as_u64().is_none_or(|cursor| cursor < head));
            Ok((!lanes.is_empty() && !behind).then_some(()))
        });
        settled.with_context(|| format!("{last:#}\nlog of the host:\n{}", self.log_tail()))?;
        self.metrics()
    }

    pub fn cpu_seconds(&self) -> Result<f64> {
        process::cpu_seconds(self.pid())
    }

    pub fn memory(&self) -> Result<process::Memory> {
        process::memory(self.pid())
    }

    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).context("a process id out of range")?;
        Ok(kill_process(pid, signal)?)
    }

    /// SIGTERM, then waits for the end.
    pub fn terminate(&mut self, limit: Duration) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.ended(limit)
    }

    pub fn ended(&mut self, limit: Duration) -> Result<ExitStatus> {
        wait::until("the host ends", limit, || Ok(self.child.try_wait()?)).with_context(|| format!("log of the host:\n{}", self.log_tail()))
    }

    /// SIGKILL: what a power cut leaves of the process.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Kills and starts again on the same data.
    pub fn restart(mut self) -> Result<Self> {
        self.kill()?;
        Self::start(self.spec.clone())
    }

    pub fn log(&self) -> String {
        fs::read(&self.spec.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().rev().take(30).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

fn spawn(spec: &Spec) -> Result<Child> {
    let log = File::options().create(true).append(true).open(&spec.log).with_context(|| format!("cannot write {}", spec.log.display()))?;
    let mut command = match spec.through.split_first() {
        None => Command::new(&spec.binary),
        Some((program, arguments)) => {
            let mut command = Command::new(program);
            command.args(arguments).arg(&spec.binary);
            command
        }
    };
    command
        .args(["serve", "--config"])
        .arg(&spec.config)
        .args(&spec.args)
        .current_dir(&spec.dir)
        .envs(spec.env.iter().map(|(key, value)| (key, value)))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("cannot start {}", spec.binary.display()))
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
