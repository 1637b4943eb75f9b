//! `bulkhead replay FILE`: deliveries that a host kept, run again with a component, offline. The same events, records,
//! configuration, clock and answers of the host; what comes out other than then is said, byte by byte.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bulkhead_authoring::build;
use bulkhead_conformance::{Guest, replay};
use bulkhead_sandbox::capture::Captured;
use clap::Args;
use serde_json::json;

use super::{clean, source};
use crate::cli::failure::print;
use crate::cli::{Exit, Failure, Output};
use crate::components::Components;

/// How kept deliveries are run again.
#[derive(Debug, Args)]
pub struct Again {
    /// The component; without it the one that `bulkhead build` wrote here, else the built-in one of that name.
    #[arg(long, value_name = "FILE", requires = "file")]
    component: Option<PathBuf>,
    /// The configuration, as JSON, in place of the one that was kept without its secrets.
    #[arg(long, value_name = "JSON", requires = "file")]
    config: Option<String>,
}

pub fn run(file: &Path, args: &Again, output: Output) -> Result<Exit, Failure> {
    let read = |error: std::io::Error| Failure::new(Exit::NotFound, "replay.file", format!("cannot read {}: {error}", file.display()));
    let size = std::fs::metadata(file).map_err(read)?.len();
    if size > replay::MAX_FILE {
        let problem = format!("{} has {size} bytes; at most {} are read", file.display(), replay::MAX_FILE);
        return Err(Failure::new(Exit::Usage, "replay.file", problem));
    }
    let text = std::fs::read_to_string(file).map_err(read)?;
    let none = |problem: String| Failure::new(Exit::Configuration, "replay.capture", clean(&problem));
    let all = replay::read(&text).map_err(|error| none(format!("{}: {error:#}", file.display())))?;
    let first = all.first().ok_or_else(|| none(format!("{} holds no deliveries: none had come when it was fetched", file.display())))?;
    let unfit = |error: anyhow::Error| Failure::new(Exit::Configuration, "replay.unfit", clean(&format!("{error:#}")));
    let guest = Guest::of_manifest(bytes(args, first)?, None).map_err(unfit)?;
    let digest = guest.inspection.digest_hex();
    let others: BTreeSet<&str> = all.iter().map(|captured| captured.digest.as_str()).filter(|then| *then != digest).collect();
    let same = others.is_empty();
    let (mut differ, mut list) = (0, Vec::new());
    for (place, captured) in all.iter().enumerate() {
        let same = captured.digest == digest;
        // The clock of a bench stands: each delivery has its own.
        let bench = replay::bench(source(), None, captured).map_err(|error| Failure::new(Exit::Failed, "author.sandbox", format!("{error:#}")))?;
        bench.component(&guest).map_err(unfit)?;
        let failed = |error: anyhow::Error| Failure::new(Exit::Failed, "replay.call", clean(&format!("{error:#}")));
        let replayed = replay::run(&bench, &guest, captured, args.config.as_deref()).map_err(failed)?;
        differ += usize::from(!replayed.differences.is_empty());
        let end = replay::in_words(&replayed.end);
        match output {
            Output::Json => list.push(json!({
                "events": captured.events.count, "attempt": captured.attempt, "before": captured.before, "calls": captured.calls.len(),
                "same_component": same, "redacted": captured.redacted,
                "end": replayed.end, "differences": replayed.differences,
            })),
            Output::Text => {
                let word = if replayed.differences.is_empty() { "the same" } else { "other" };
                let mut line = format!("{place}: {} events, {} calls of the host: {word}: {end}", captured.events.count, captured.calls.len());
                for difference in &replayed.differences {
                    line.push_str(&format!("\n  - {difference}"));
                }
                if !same {
                    line.push_str(&format!("\n  note: it was done by another version (sha256:{})", captured.digest));
                }
                if captured.redacted {
                    line.push_str("\n  note: secrets were redacted in it; those places are not compared");
                }
                if !replayed.differences.is_empty() && captured.before > 0 {
                    line.push_str(&format!(
                        "\n  note: the guest had done {} deliveries before this one; what it remembered of them is not in the capture",
                        captured.before
                    ));
                }
                print(clean(&line))?;
            }
        }
    }
    if output == Output::Json {
        print(json!({
            "schema_version": 1, "component": guest.name, "digest": format!("sha256:{digest}"), "same_component": same,
            "deliveries": list, "different": differ,
        }))?;
    } else if !same {
        let others = others.into_iter().map(|digest| format!("sha256:{digest}")).collect::<Vec<_>>().join(", ");
        eprintln!("note: another version than what was captured ({})", clean(&others));
    }
    Ok(if differ == 0 { Exit::Ok } else { Exit::Different })
}

fn bytes(args: &Again, first: &Captured) -> Result<Vec<u8>, Failure> {
    let unfit = |problem: String| Failure::new(Exit::Configuration, "replay.unfit", clean(&problem));
    let own = || build::built(Path::new(".")).ok().filter(|path| path.is_file());
    if let Some(path) = args.component.clone().or_else(own) {
        return std::fs::read(&path).map_err(|error| unfit(format!("cannot read {}: {error}", path.display())));
    }
    let found = Components::new(None).file(&first.component);
    found.map(|found| found.bytes.into_owned()).map_err(|error| unfit(format!("{error}; name the component with `--component`")))
}
