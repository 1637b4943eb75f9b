//! The generator and the receiver as processes of their own, so that their CPU is not the host's.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::http::Client;
use crate::process;

/// A receiver process; it ends when this is dropped.
#[derive(Debug)]
pub struct ReceiverProcess {
    child: Child,
    pub addr: SocketAddr,
}

impl ReceiverProcess {
    /// `tools` is the folder of the built binaries.
    pub fn start(tools: &Path, args: &[&str]) -> Result<Self> {
        let binary = tools.join("receiver");
        let mut child = Command::new(&binary)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let addr = serde_json::from_str::<Value>(&line).ok().and_then(|value| value["listening"].as_str()?.parse().ok());
        match addr {
            Some(addr) => Ok(Self { child, addr }),
            None => {
                let _ = child.kill();
                let _ = child.wait();
                anyhow::bail!("the receiver did not say where it listens, but `{}`", line.trim())
            }
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub fn stats(&self) -> Result<Value> {
        Client::new(self.addr).get("/-/stats")?.json()
    }

    pub fn cpu_seconds(&self) -> Result<f64> {
        process::cpu_seconds(self.child.id())
    }
}

impl Drop for ReceiverProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the generator to its end and reads its report.
pub fn generate(tools: &Path, to: SocketAddr, args: &[&str]) -> Result<Value> {
    start_generator(tools, to, args)?.report()
}

/// A generator under way.
#[derive(Debug)]
pub struct GeneratorProcess(Option<Child>);

pub fn start_generator(tools: &Path, to: SocketAddr, args: &[&str]) -> Result<GeneratorProcess> {
    let binary = tools.join("generator");
    let child = Command::new(&binary)
        .args(["--to", &to.to_string()])
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", binary.display()))?;
    Ok(GeneratorProcess(Some(child)))
}

impl GeneratorProcess {
    pub fn is_running(&mut self) -> Result<bool> {
        match &mut self.0 {
            Some(child) => Ok(child.try_wait()?.is_none()),
            None => Ok(false),
        }
    }

    pub fn report(mut self) -> Result<Value> {
        let output = self.0.take().context("the generator was waited for already")?.wait_with_output()?;
        ensure!(output.status.success(), "the generator failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        serde_json::from_slice(&output.stdout).context("the generator's report")
    }
}

impl Drop for GeneratorProcess {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
