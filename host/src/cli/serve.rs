//! `bulkhead serve`: starts the pipeline, says when it is ready, drains on SIGTERM or SIGINT. With `--stdin`
//! the lines of standard input are events, and the host ends once they are delivered.

use std::path::Path;

use bulkhead_ingest::LineFormat;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::signal::unix::{SignalKind, signal};

use super::{Exit, Failure, Output, notify, validate};
use crate::config::Config;
use crate::pipeline::{self, GivenUp, Host, ReloadError};

pub fn run(path: &Path, check: bool, given_up: GivenUp<'_>, stdin: Option<LineFormat>, output: Output) -> Result<Exit, Failure> {
    if check {
        return validate::run(path, output);
    }
    let config = match validate::load(path) {
        Ok(config) => config,
        Err(faults) => {
            validate::report(path, &faults, output)?;
            return Ok(Exit::Configuration);
        }
    };
    bulkhead_observe::logging::init(&config.log).map_err(|error| Failure::from_error(Exit::Configuration, "log.setup", &error))?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::from_error(Exit::Failed, "runtime.start", &error))?
        .block_on(serve(path, config, given_up, stdin))
}

/// The value of `--stdin`.
pub fn line_format(text: &str) -> Result<LineFormat, String> {
    LineFormat::from_name(text).ok_or_else(|| format!("one of {}", LineFormat::ALL.map(LineFormat::name).join(", ")))
}

async fn serve(path: &Path, config: Config, given_up: GivenUp<'_>, stdin: Option<LineFormat>) -> Result<Exit, Failure> {
    let handler = |kind| signal(kind).map_err(|error| Failure::from_error(Exit::Failed, "signal.handler", &error));
    let (mut terminate, mut interrupt) = (handler(SignalKind::terminate())?, handler(SignalKind::interrupt())?);
    let drain = config.drain;
    let mut hangup = handler(SignalKind::hangup())?;
    let host = Host::start(config, given_up, show_first_key).await.map_err(|error| failure(path, &error))?;
    tracing::info!(api = %host.api(), http = %host.intake(), version = env!("CARGO_PKG_VERSION"), "ready");
    notify::notify("READY=1");
    let outcome = {
        let once = async {
            match stdin {
                Some(format) => host.take_stdin(std::io::stdin(), format, drain).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(once);
        loop {
            tokio::select! {
                taken = &mut once => break Some(taken),
                _ = terminate.recv() => tracing::info!("SIGTERM: draining"),
                _ = interrupt.recv() => tracing::info!("SIGINT: draining"),
                _ = hangup.recv() => {
                    notify::notify("RELOADING=1");
                    reload(path, &host).await;
                    notify::notify("READY=1");
                    continue;
                }
            }
            break None;
        }
    };
    notify::notify("STOPPING=1");
    let unsettled = host.drain(drain).await;
    tracing::info!(unsettled, "stopped; what is not settled is on disk");
    match outcome {
        Some(Err(error)) => Err(Failure::from_error(Exit::Failed, "stdin", &error)),
        // Whoever waits for the end wants to know that not all of it is delivered.
        Some(Ok(())) if unsettled > 0 => Err(Failure::new(Exit::Failed, "stdin.unsettled", format!("{unsettled} deliveries wait for the next start"))),
        _ => Ok(Exit::Ok),
    }
}

/// Once, and never to the log: logs are kept, sent on and read by many.
fn show_first_key(key: &SecretString) {
    eprintln!("first API key, shown once: {}", key.expose_secret());
}

/// SIGHUP: the new configuration is in force, or the old one still is and the log says why.
async fn reload(path: &Path, host: &Host) {
    let outcome = match validate::load(path) {
        Ok(config) => host.reload(config).await,
        Err(faults) => Err(ReloadError::Faults(faults)),
    };
    match outcome {
        Ok(done) => {
            let (added, changed, removed) = (done.added.join(", "), done.changed.join(", "), done.removed.join(", "));
            tracing::info!(added, changed, removed, unchanged = done.unchanged, "configuration reloaded");
            if !done.restart.is_empty() {
                tracing::warn!(parts = ?done.restart, "changed parts of the configuration wait for a restart");
            }
        }
        Err(error) => {
            host.reload_failed(&error);
            if let ReloadError::Faults(faults) = &error {
                for fault in faults {
                    tracing::error!(line = fault.span.line, column = fault.span.column, key = fault.key, "{}", fault.message);
                }
            }
            tracing::error!(error = &error as &dyn std::error::Error, "reload refused; the old configuration stays in force");
        }
    }
}

fn failure(path: &Path, error: &pipeline::StartError) -> Failure {
    match error {
        pipeline::StartError::Faults(faults) => {
            for fault in faults {
                eprintln!("{fault}");
            }
            Failure::new(Exit::Configuration, "config.faults", format!("{} has {} faults", path.display(), faults.len()))
        }
        other => Failure::from_error(Exit::Failed, "serve.start", other),
    }
}
