//! A secret that a command prints: `value: {command: [prog, args…]}`.
//!
//! Promises: the program sees `PATH` and `HOME` of the service's environment and nothing else of it; it
//! has a time limit, after which its whole process group is killed; what it prints is bounded, and only
//! its standard output is read; neither is ever logged. The value is used until it is twice as old as
//! `refresh`, while a fresh one is tried for.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use bulkhead_core::{BoxFuture, Clock};
use rustix::process::{Pid, Signal, kill_process_group};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::AsyncReadExt as _;

use super::check_length;
use super::kept::{Failure, Fetched, Kept};

/// Longest output: a token, a key, a short document.
const MAX_OUTPUT: usize = 64 << 10;

/// A command as the configuration writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandSettings {
    /// The program, by path or by a name that `PATH` knows, and its arguments; no shell is between.
    pub command: Vec<String>,
    /// When it is killed.
    pub timeout: Duration,
    /// Age at which the value is fetched again.
    pub refresh: Duration,
}

pub(super) struct Command {
    settings: Arc<CommandSettings>,
    name: Arc<str>,
    kept: Kept<Arc<SecretString>>,
}

impl Command {
    pub(super) fn new(credential: &str, settings: CommandSettings) -> Result<Self, String> {
        if settings.command.first().is_none_or(String::is_empty) {
            return Err("`command` names no program".into());
        }
        Ok(Self { settings: Arc::new(settings), name: credential.into(), kept: Kept::new(credential) })
    }

    /// Cancel safe.
    pub(super) async fn value(&self, clock: &Arc<dyn Clock>) -> Result<Arc<SecretString>, Failure> {
        let fetch = || -> BoxFuture<'static, _> { Box::pin(fetch(Arc::clone(&self.settings), Arc::clone(&self.name))) };
        Ok(Arc::clone(&self.kept.get(clock, fetch).await?.value))
    }
}

async fn fetch(settings: Arc<CommandSettings>, name: Arc<str>) -> Result<Fetched<Arc<SecretString>>, Failure> {
    let failed = |problem: String| Failure::passing(format!("credential `{name}`: its command {problem}"));
    let secret = run(&settings).await.map_err(failed)?;
    check_length(secret.expose_secret()).map_err(|problem| failed(format!("does not print a usable secret: {problem}")))?;
    Ok(Fetched { value: Arc::new(secret), fresh: settings.refresh, good: settings.refresh.saturating_mul(2) })
}

/// Ends a process group when the run is over, however it is over.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // Nobody left in it is what we want.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Standard output, trimmed. Errors say what happened and repeat nothing of it.
async fn run(settings: &CommandSettings) -> Result<SecretString, String> {
    let (program, arguments) = settings.command.split_first().ok_or("names no program")?;
    let kept = ["PATH", "HOME"].into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    let mut child = tokio::process::Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(kept)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("cannot be started: {error}"))?;
    let _group = Group(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw));
    let mut output = child.stdout.take().ok_or("has no standard output")?.take(MAX_OUTPUT as u64 + 1);
    let work = async {
        // Full size at once: a buffer that grows leaves copies of the secret behind.
        let mut text = Vec::with_capacity(MAX_OUTPUT + 1);
        let read = output.read_to_end(&mut text).await;
        let printed = SecretString::from(String::from_utf8(text).map_err(|_| "prints something that is no text".to_owned())?);
        read.map_err(|error| format!("cannot be read: {error}"))?;
        if printed.expose_secret().len() > MAX_OUTPUT {
            return Err(format!("prints more than {MAX_OUTPUT} bytes"));
        }
        let status = child.wait().await.map_err(|error| format!("cannot be waited for: {error}"))?;
        if !status.success() {
            return Err(format!("failed: {status}"));
        }
        Ok(SecretString::from(printed.expose_secret().trim().to_owned()))
    };
    tokio::time::timeout(settings.timeout, work).await.map_err(|_| format!("was killed after {:?}; see `timeout`", settings.timeout))?
}

#[cfg(test)]
mod tests;
