//! `bulkhead compile-component`: the compile worker. Bytes on standard input, the artefact on standard
//! output, the compiler's refusal on standard error with exit code 1.

use std::io::Write as _;
use std::time::Duration;

use bulkhead_sandbox::CompileLimits;
use clap::Args;

use super::{Exit, Failure};

#[derive(Debug, Args)]
pub struct CompileArgs {
    /// Address space in bytes.
    #[arg(long)]
    memory: u64,
    /// Wall time in seconds; processor time follows from it.
    #[arg(long)]
    seconds: u64,
    /// Let everything else on the machine go first.
    #[arg(long)]
    aside: bool,
}

pub fn run(args: &CompileArgs) -> Result<Exit, Failure> {
    let limits = CompileLimits { memory: args.memory, time: Duration::from_secs(args.seconds) };
    match bulkhead_sandbox::compile_worker(limits, args.aside, std::io::stdin().lock(), std::io::stdout().lock()) {
        Ok(()) => Ok(Exit::Ok),
        // Without a code in front: the host puts its own words around it.
        Err(problem) => {
            let _ = writeln!(std::io::stderr(), "{problem}");
            Ok(Exit::Failed)
        }
    }
}
