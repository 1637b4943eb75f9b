//! `bulkhead validate`: every fault of a configuration at once, components included.

use std::path::Path;
use std::sync::Arc;

use bulkhead_core::{Clock, SystemClock};
use bulkhead_seal::Keyring;

use super::{Exit, Failure, Output, failure::print};
use crate::config::{Config, Fault};

pub fn run(path: &Path, output: Output) -> Result<Exit, Failure> {
    let (faults, commands) = match load(path) {
        Ok(config) => (super::http_client::block_on(async { Ok(crate::pipeline::check(&config).await) })?, config.commands),
        Err(faults) => (faults, Vec::new()),
    };
    report_with(path, &faults, &commands, output)?;
    Ok(if faults.is_empty() { Exit::Ok } else { Exit::Configuration })
}

/// Loads with the process's environment.
pub fn load(path: &Path) -> Result<Config, Vec<Fault>> {
    Config::load(path, &crate::config::environment)
}

/// The keys of a configuration, commands run.
pub fn keyring(path: &Path, output: Output) -> Result<Option<Keyring>, Failure> {
    Ok(with_keyring(path, output)?.1)
}

/// The same with the configuration.
pub fn with_keyring(path: &Path, output: Output) -> Result<(Config, Option<Keyring>), Failure> {
    let config = match load(path) {
        Ok(config) => config,
        Err(faults) => {
            report(path, &faults, output)?;
            return Err(Failure::new(Exit::Configuration, "config.faults", format!("{} cannot be read", path.display())));
        }
    };
    let keyring = super::http_client::block_on(async {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        crate::keys::keyring(&config.encryption, &clock).await.map_err(|error| Failure::from_error(Exit::Configuration, "encryption.keys", &error))
    })?;
    Ok((config, keyring))
}

/// Faults to stderr for people, to stdout as JSON for programs.
pub fn report(path: &Path, faults: &[Fault], output: Output) -> Result<(), Failure> {
    report_with(path, faults, &[], output)
}

/// The same, and which credentials' commands were not run: what they print was not looked at.
fn report_with(path: &Path, faults: &[Fault], commands: &[String], output: Output) -> Result<(), Failure> {
    if output == Output::Text && !commands.is_empty() {
        eprintln!("note: commands of credentials are not run here: {}", commands.join(", "));
    }
    match output {
        Output::Json => print(serde_json::json!({
            "schema_version": 1, "file": path, "valid": faults.is_empty(), "commands_not_run": commands,
            "faults": faults.iter().map(Fault::to_json).collect::<Vec<_>>(),
        })),
        Output::Text if faults.is_empty() => print(format!("{}: valid", path.display())),
        Output::Text => {
            for fault in faults {
                eprintln!("{fault}");
            }
            eprintln!("{}: {} {}", path.display(), faults.len(), if faults.len() == 1 { "fault" } else { "faults" });
            Ok(())
        }
    }
}
