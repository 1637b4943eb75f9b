//! `bulkhead journal`: look at, check, export and mend the journal of a host that is not running.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use bulkhead_core::Seq;
use bulkhead_journal::tools::{self, Report};
use bulkhead_journal::{Fs, OpenError, RealFs};
use bulkhead_seal::{KeyId, Keyring};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::failure::print;
use super::{Exit, Failure, Output, validate};

#[derive(Debug, Args)]
pub struct JournalArgs {
    #[command(subcommand)]
    verb: JournalVerb,
}

#[derive(Debug, Subcommand)]
enum JournalVerb {
    /// Segments and lanes at a glance.
    Inspect(Place),
    /// Read everything and check every checksum; exit 1 where something is wrong.
    Verify {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        keys: Keys,
    },
    /// Original events as JSON lines.
    Export {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        keys: Keys,
        /// First event by its number.
        #[arg(long, default_value_t = 1)]
        from: u64,
        /// Last event.
        #[arg(long, default_value_t = u64::MAX)]
        to: u64,
    },
    /// Make a damaged journal openable again; what is set aside is named.
    Repair(Place),
}

#[derive(Debug, Args)]
struct Place {
    /// The journal's folder: `journal` below `data_dir`.
    #[arg(long, default_value = "data/journal")]
    dir: PathBuf,
}

#[derive(Debug, Args)]
struct Keys {
    /// A configuration whose `encryption` has the keys of what is sealed.
    #[arg(short, long)]
    config: Option<PathBuf>,
}

impl Keys {
    fn keyring(&self, output: Output) -> Result<Option<Keyring>, Failure> {
        self.config.as_deref().map_or(Ok(None), |path| validate::keyring(path, output))
    }
}

pub fn run(args: &JournalArgs, output: Output) -> Result<Exit, Failure> {
    let fs: Arc<dyn Fs> = Arc::new(RealFs);
    match &args.verb {
        JournalVerb::Inspect(Place { dir }) => show(&tools::inspect(&fs, dir).map_err(failure)?, output),
        JournalVerb::Verify { place, keys } => show(&tools::verify(&fs, &place.dir, keys.keyring(output)?.as_ref()).map_err(failure)?, output),
        JournalVerb::Export { place, keys, from, to } => {
            let mut failed = None;
            let keyring = keys.keyring(output)?;
            let report = tools::export(&fs, &place.dir, keyring.as_ref(), Seq(*from)..=Seq(*to), |_, _, event| {
                // Originals are JSON, which may hold line breaks between its parts but never inside a string.
                let line = String::from_utf8_lossy(event.original()).replace(['\n', '\r'], " ");
                match print(line) {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(error) => {
                        failed = Some(error);
                        ControlFlow::Break(())
                    }
                }
            })
            .map_err(failure)?;
            match failed {
                Some(error) => Err(error),
                None => {
                    for fault in &report.faults {
                        eprintln!("{}", fault_line(fault));
                    }
                    for line in unread_lines(&report) {
                        eprintln!("{line}");
                    }
                    Ok(if report.faults.is_empty() && report.unread.is_empty() { Exit::Ok } else { Exit::Failed })
                }
            }
        }
        JournalVerb::Repair(Place { dir }) => {
            let done = tools::repair(&fs, dir).map_err(failure)?;
            match output {
                Output::Json => {
                    print(json!({"schema_version": 1, "repaired": done.iter().map(|one| json!({"file": one.file, "action": one.action})).collect::<Vec<_>>()}))?
                }
                Output::Text if done.is_empty() => print("nothing to repair")?,
                Output::Text => done.iter().try_for_each(|one| print(format!("{}: {}", one.file.display(), one.action)))?,
            }
            Ok(Exit::Ok)
        }
    }
}

fn show(report: &Report, output: Output) -> Result<Exit, Failure> {
    match output {
        Output::Json => print(as_json(report))?,
        Output::Text => {
            print(format!("events {} to {}, {} segments, torn tail of {} bytes", report.first, report.last, report.segments.len(), report.torn_bytes))?;
            for segment in &report.segments {
                let contents = segment
                    .contents
                    .as_ref()
                    .map(|contents| {
                        format!(", {} frames ({} packed, {} sealed), {} bytes used", contents.frames, contents.packed, contents.sealed, contents.used)
                    })
                    .unwrap_or_default();
                print(format!("  {}  {} to {}, {} bytes{contents}", segment.file.display(), segment.first, segment.last, segment.bytes))?;
            }
            for lane in &report.lanes {
                let cursor = lane.state.as_ref().map_or_else(|| "unreadable".to_owned(), |state| format!("settled up to {}", state.cursor()));
                print(format!("  lane {}: {cursor}, backlog {}", lane.lane, lane.backlog))?;
            }
            for line in unread_lines(report) {
                print(format!("  {line}"))?;
            }
            for fault in &report.faults {
                eprintln!("{}", fault_line(fault));
            }
        }
    }
    Ok(if report.faults.is_empty() { Exit::Ok } else { Exit::Failed })
}

fn as_json(report: &Report) -> Value {
    json!({
        "schema_version": 1, "first": report.first.0, "last": report.last.0, "torn_bytes": report.torn_bytes,
        "segments": report.segments.iter().map(|segment| json!({
            "file": segment.file, "bytes": segment.bytes, "first": segment.first.0, "last": segment.last.0,
            "frames": segment.contents.as_ref().map(|contents| contents.frames),
            "packed": segment.contents.as_ref().map(|contents| contents.packed), "sealed": segment.contents.as_ref().map(|contents| contents.sealed),
            "used": segment.contents.as_ref().map(|contents| contents.used),
        })).collect::<Vec<_>>(),
        "lanes": report.lanes.iter().map(|lane| json!({
            "lane": lane.lane, "cursor": lane.state.as_ref().map(|state| state.cursor().0), "backlog": lane.backlog, "bytes": lane.bytes,
        })).collect::<Vec<_>>(),
        "unread": report.unread.iter().map(|(key, frames)| json!({"key": key.to_string(), "frames": frames})).collect::<Vec<_>>(),
        "faults": report.faults.iter().map(|fault| json!({
            "file": fault.file, "offset": fault.offset, "bytes": fault.bytes, "what": fault.what,
            "lost": fault.lost.map(|(first, last)| [first.0, last.0]),
        })).collect::<Vec<_>>(),
    })
}

/// What was sealed with keys that were not given.
fn unread_lines(report: &Report) -> Vec<String> {
    let line = |(key, frames): (&KeyId, &u64)| {
        format!(
            "{frames} frames are sealed with key {key}: their checksums are right, their contents were not read; name a configuration with this key (--config)"
        )
    };
    report.unread.iter().map(line).collect()
}

fn fault_line(fault: &tools::Fault) -> String {
    let lost = fault.lost.map(|(first, last)| format!(", events {first} to {last} are lost")).unwrap_or_default();
    format!("fault: {} at byte {} ({} bytes): {}{lost}", fault.file.display(), fault.offset, fault.bytes, fault.what)
}

fn failure(error: OpenError) -> Failure {
    Failure::from_error(Exit::Failed, "journal.open", &error)
}
