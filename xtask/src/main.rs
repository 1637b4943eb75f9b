//! `cargo xtask`: everything a person does with this repository, in one place.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};

mod bench;
mod build;
mod command;
mod crash;
mod demo;
mod guests;
mod hostile;
mod languages;
mod samples;
mod soak;
mod stages;
mod test;

const HELP: &str = "\
cargo xtask COMMAND

  demo [--keep]      build everything, run the service on the sample events, show what went where
  test               every test of the workspace, guests built first; prints stage times and skips
  hostile [CASES]    the hostile cases of the threat model with their times: `hostile`, `hostile H47 H48`
  build-guests       build connectors/* to components in target/guests
  bench [OPTIONS]    the figures of the release binary over loopback sockets
                     --quick  a few seconds, release profile   --rows P1,P3  some rows   --repeats N
                     --connector NAMES|all  instead: what one guest costs, into a null receiver   --events N
  languages          the same connector and formatter in every language that is here, measured
  crash [OPTIONS]    kill -9 under load: --rounds N --kills N --rate N --seed N --no-faults
  soak [OPTIONS]     a million events of backlog, 1,000 producers, 10,000 lanes, with figures; a failing disk
                     --only backlog,producers,lanes,disk   --size N with one of them
  samples            write examples/events/ again (always the same)

demo, bench, crash, soak and hostile take --no-build: what is built already is run as it is.
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[String]) -> Result<()> {
    let root = root();
    let (command, rest) = args.split_first().map_or(("help", args), |(command, rest)| (command.as_str(), rest));
    match command {
        "demo" => demo::run(&root, rest),
        "test" => test::all(&root, rest),
        "build-guests" => build::guests(&root),
        "bench" => bench::run(&root, rest),
        "hostile" => hostile::run_all(&root, rest, None),
        "languages" => languages::run(&root, rest),
        "crash" => crash::run(&root, rest),
        "soak" => soak::run(&root, rest),
        "samples" => samples::run(&root),
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            Ok(())
        }
        other => bail!("`{other}` is no command\n\n{HELP}"),
    }
}

/// The root of the checkout.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_owned()
}
