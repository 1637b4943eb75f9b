//! Proofs that take minutes at full size: a million events that wait for a receiver that is down, a
//! thousand producers at once, ten thousand lanes, a disk that fails. Each holds exact accounts and says
//! its figures; the stories play them small, `cargo xtask soak` in full.

mod backlog;
mod failing_disk;
mod lanes;
mod producers;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use crate::host::Spec;

pub use backlog::backlog;
pub use failing_disk::failing_disk;
pub use lanes::lanes;
pub use producers::producers;

#[derive(Debug, Clone)]
pub struct Options {
    pub binary: PathBuf,
    /// An empty folder.
    pub dir: PathBuf,
    /// Events that wait, producers, or lanes.
    pub size: u64,
}

impl Options {
    fn spec(&self, config: &str) -> Result<Spec> {
        spec(&self.binary, &self.dir, config)
    }
}

fn spec(binary: &Path, dir: &Path, config: &str) -> Result<Spec> {
    let path = dir.join("bulkhead.yaml");
    let data_dir = dir.join("data");
    let text = format!("data_dir: \"{}\"\nlisten: {{api: \"127.0.0.1:0\", http: \"127.0.0.1:0\"}}\n{config}", data_dir.display());
    std::fs::write(&path, text)?;
    Ok(Spec {
        binary: binary.to_owned(),
        config: path,
        data_dir,
        log: dir.join("host.log"),
        env: Vec::new(),
        dir: dir.to_owned(),
        args: Vec::new(),
        through: Vec::new(),
    })
}

fn mib(bytes: u64) -> f64 {
    (bytes as f64 / (1 << 20) as f64 * 10.0).round() / 10.0
}

fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}

/// A figure of a report.
pub fn figure(report: &Value, name: &str) -> f64 {
    report[name].as_f64().unwrap_or(f64::NAN)
}
