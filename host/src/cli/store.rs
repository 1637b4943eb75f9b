//! `bulkhead store`: which keys the store needs, and its move into a database. No host may run meanwhile.

use std::path::PathBuf;
use std::sync::Arc;

use bulkhead_core::{Clock, SystemClock};
use bulkhead_store::{PostgresSettings, Store, StoreError};
use clap::{Args, Subcommand};
use secrecy::SecretString;
use serde_json::json;

use super::failure::print;
use super::{Exit, Failure, Output, validate};
use crate::config::Config;
use crate::keys;

#[derive(Debug, Args)]
pub struct StoreArgs {
    #[command(subcommand)]
    verb: StoreVerb,
}

#[derive(Debug, Subcommand)]
enum StoreVerb {
    /// Seal stored entries with `encryption.key`, whatever key they are sealed with now; a start does the same.
    Reseal {
        #[arg(short, long, env = "BULKHEAD_CONFIG", default_value = super::DEFAULT_CONFIG)]
        config: PathBuf,
        /// Say what would be sealed anew, and which keys are missing; change nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Copy what hosts share from `data_dir` into an empty PostgreSQL database.
    Copy {
        #[arg(short, long, env = "BULKHEAD_CONFIG", default_value = super::DEFAULT_CONFIG)]
        config: PathBuf,
        /// postgres://user:password@host:port/database; TLS and time limits are those of `store`. Without it
        /// standard input is read, where no list of processes shows it.
        #[arg(long, env = "BULKHEAD_STORE_URL", hide_env_values = true)]
        to: Option<SecretString>,
    },
}

pub fn run(args: &StoreArgs, output: Output) -> Result<Exit, Failure> {
    let (StoreVerb::Reseal { config: path, .. } | StoreVerb::Copy { config: path, .. }) = &args.verb;
    let config = match validate::load(path) {
        Ok(config) => config,
        Err(faults) => {
            validate::report(path, &faults, output)?;
            return Ok(Exit::Configuration);
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::from_error(Exit::Failed, "runtime.start", &error))?.block_on(async {
        match &args.verb {
            StoreVerb::Reseal { dry_run, .. } => reseal(&config, *dry_run, output).await,
            StoreVerb::Copy { to, .. } => copy(&config, to.clone(), output).await,
        }
    })
}

fn failed(error: &StoreError) -> Failure {
    Failure::from_error(Exit::Failed, "store", error)
}

async fn reseal(config: &Config, dry_run: bool, output: Output) -> Result<Exit, Failure> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let keyring = keys::keyring(&config.encryption, &clock).await.map_err(|error| Failure::from_error(Exit::Configuration, "encryption.keys", &error))?;
    let Some(keyring) = keyring else {
        return Err(Failure::new(Exit::Configuration, "encryption.key", "the configuration names no key").hint("set `encryption.key`"));
    };
    let _alone = if dry_run {
        None
    } else {
        bulkhead_journal::keep_off(&config.journal.dir).map_err(|error| Failure::from_error(Exit::Failed, "store.in_use", &error))?
    };
    let store = Store::open_with(&config.data_dir, config.store.server.as_ref()).await.map_err(|error| failed(&error))?;
    let sealed = store.sealed_with().await.map_err(|error| failed(&error))?;
    let current = keyring.current().id();
    let anew: u64 = sealed.iter().filter(|(key, _)| *key != Some(current)).map(|(_, rows)| rows).sum();
    let missing: Vec<String> = sealed.iter().filter_map(|(key, _)| *key).filter(|key| keyring.get(*key).is_none()).map(|key| key.to_string()).collect();
    if !dry_run {
        store.seal_anew(&keyring).await.map_err(|error| failed(&error))?;
    }
    store.close().await;
    match output {
        Output::Text => {
            for (key, rows) in &sealed {
                print(format!("{rows} values {}", key.map_or_else(|| "in the clear".to_owned(), |key| format!("sealed with {key}"))))?;
            }
            print(format!("{anew} {} with {current}", if dry_run { "would be sealed anew" } else { "sealed anew" }))?;
            missing.iter().try_for_each(|key| print(format!("missing: {key}; name it in encryption.older_keys")))?;
        }
        Output::Json => {
            let rows: Vec<_> = sealed.iter().map(|(key, rows)| json!({"key": key.map(|key| key.to_string()), "values": rows})).collect();
            print(json!({"schema_version": 1, "dry_run": dry_run, "current": current.to_string(), "sealed": rows, "anew": anew, "missing": missing}))?;
        }
    }
    Ok(if missing.is_empty() { Exit::Ok } else { Exit::Failed })
}

async fn copy(config: &Config, to: Option<SecretString>, output: Output) -> Result<Exit, Failure> {
    if config.store.server.is_some() {
        return Err(Failure::new(Exit::Configuration, "store.url", "the configuration names a database already; copying is from data_dir")
            .hint("copy with the configuration as it was, then set `store.url`"));
    }
    let url = match to {
        Some(url) => url,
        None => {
            let mut line = String::new();
            std::io::stdin().read_line(&mut line).map_err(|error| Failure::new(Exit::Failed, "input.read", format!("cannot read: {error}")))?;
            line.trim().to_owned().into()
        }
    };
    let server = PostgresSettings { url, ..config.store.of_server() };
    let _alone = bulkhead_journal::keep_off(&config.journal.dir).map_err(|error| Failure::from_error(Exit::Failed, "store.in_use", &error))?;
    let from = Store::open(&config.data_dir).await.map_err(|error| failed(&error))?;
    let to = Store::open_with(&config.data_dir, Some(&server)).await.map_err(|error| failed(&error))?;
    let copied = bulkhead_store::copy(&from, &to).await.map_err(|error| Failure::from_error(Exit::Failed, "store.copy", &error))?;
    to.close().await;
    from.close().await;
    match output {
        Output::Text => copied.iter().try_for_each(|(table, rows)| print(format!("{rows:>8} {table}")))?,
        Output::Json => {
            print(json!({"schema_version": 1, "tables": copied.iter().map(|(table, rows)| json!({"table": table, "rows": rows})).collect::<Vec<_>>()}))?
        }
    }
    Ok(Exit::Ok)
}
