//! `bulkhead build`: from sources to a component with its manifest.

use std::time::Instant;

use bulkhead_authoring::build::{self, Options};
use bulkhead_sandbox::inspect;
use clap::Args;
use serde_json::json;

use super::{Project, clean};
use crate::cli::failure::print;
use crate::cli::{Exit, Failure, Output};

#[derive(Debug, Args)]
pub struct BuildArgs {
    #[command(flatten)]
    project: Project,
    /// Have rustup add the target wasm32-wasip2 where it is missing (Rust).
    #[arg(long)]
    add_target: bool,
}

pub fn run(args: &BuildArgs, output: Output) -> Result<Exit, Failure> {
    let start = Instant::now();
    let built = build::build(&args.project.folder, Options { add_target: args.add_target })?;
    let took = start.elapsed();
    let found = inspect(&built.bytes).map_err(|error| Failure::new(Exit::Configuration, "build.unfit", format!("{}: {error}", built.path.display())))?;
    match output {
        Output::Json => print(json!({
            "schema_version": 1, "artefact": built.path, "name": built.name, "kind": found.kind.name(), "language": built.language.name(),
            "size": found.size, "digest": format!("sha256:{}", found.digest_hex()), "reach": found.in_words(), "imports": found.imports,
            "contradictions": found.contradictions, "seconds": took.as_secs_f64(),
        }))?,
        Output::Text => {
            let mut text = format!("{}: {} bytes, built in {:.1} s\n\nIt can:", built.path.display(), found.size, took.as_secs_f64());
            for sentence in found.in_words() {
                text.push_str(&format!("\n  - {sentence}"));
            }
            for contradiction in &found.contradictions {
                text.push_str(&format!("\n\nNote: {contradiction}; the component counts."));
            }
            print(clean(&text))?;
        }
    }
    Ok(Exit::Ok)
}
