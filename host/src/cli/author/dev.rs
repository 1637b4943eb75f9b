//! `bulkhead dev`: build, call, show, and again when a file changes. What is built last and works goes on running.

mod asks;
mod keys;
mod show;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bulkhead_authoring::build::{self, Built, Options};
use bulkhead_conformance::trial::{self, Setting};
use bulkhead_conformance::{Bench, Guest};
use bulkhead_fault_server::receiver::Script;
use bulkhead_registry::Asks;
use clap::Args;

use super::{Project, bench, clean};
use crate::cli::{Exit, Failure, Output};
use crate::pipeline::uploads::asked;
use keys::{Key, Keys};
use watch::Watch;

/// What the receiver can be made to do, by name.
const FAULTS: &[(&str, &str)] = &[
    ("none", ""),
    ("429 with Retry-After", "429:retry-after=7*"),
    ("429", "429*"),
    ("400", "400*"),
    ("401", "401*"),
    ("413", "413*"),
    ("500", "500*"),
    ("503, then taken", "503;503"),
    ("no answer", "hang=20s*"),
    ("slow body", "drip=20s*"),
    ("truncated body", "truncated*"),
    ("huge body", "huge=32*"),
    ("reset", "reset*"),
    ("garbage", "garbage*"),
];

/// Pause between two looks at the files and the keys.
const PAUSE: Duration = Duration::from_millis(150);
/// Largest file of events.
const MAX_EVENTS: u64 = 16 << 20;

#[derive(Debug, Args)]
pub struct DevArgs {
    #[command(flatten)]
    project: Project,
    /// Build and call once, then end.
    #[arg(long)]
    once: bool,
    /// What the receiver does: its steps, such as `503;ok` or `429:retry-after=7*`.
    #[arg(long, value_name = "STEPS", default_value = "")]
    fault: String,
    /// Events to hand over, one JSON object a line; those of the first case where absent.
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// The configuration, as JSON; that of the first case where absent.
    #[arg(long, value_name = "JSON")]
    config: Option<String>,
    /// Have rustup add the target wasm32-wasip2 where it is missing (Rust).
    #[arg(long)]
    add_target: bool,
}

pub fn run(args: &DevArgs, output: Output) -> Result<Exit, Failure> {
    Script::parse(&args.fault).map_err(|error| Failure::new(Exit::Usage, "dev.fault", format!("{error:#}")))?;
    let mut session = Session { args, output, bench: None, guest: None, fault: args.fault.clone(), named: None, asked: None, calls: 0 };
    if args.once {
        session.rebuild()?;
        session.call()?;
        return Ok(Exit::Ok);
    }
    let keys = Keys::listen();
    let mut watch = Watch::new(&args.project.folder);
    session.begin();
    if keys.is_some() {
        eprintln!("{}", keys::HELP);
    }
    loop {
        if watch.changed() {
            session.begin();
        }
        match keys.as_ref().and_then(Keys::next) {
            None => std::thread::sleep(PAUSE),
            Some(Key::Replay) => session.show(),
            Some(Key::NextFault) => {
                session.next_fault();
                session.show();
            }
            Some(Key::Grants) => session.grants(),
            Some(Key::Build) => session.begin(),
            Some(Key::Help) => eprintln!("{}", keys::HELP),
            Some(Key::Quit) => return Ok(Exit::Ok),
        }
    }
}

struct Session<'a> {
    args: &'a DevArgs,
    output: Output,
    bench: Option<Bench>,
    /// The last one that was built and loads.
    guest: Option<Arc<Guest>>,
    /// Steps of the receiver.
    fault: String,
    /// Place in [`FAULTS`], once one was chosen by key.
    named: Option<usize>,
    /// What the first version that loads asked for.
    asked: Option<Asks>,
    calls: u64,
}

impl Session<'_> {
    /// Builds and calls; what fails is said, and the last good version stays.
    fn begin(&mut self) {
        match self.rebuild() {
            Ok(()) => self.show(),
            Err(failure) => {
                let _ = failure.report(self.output); // the code is for verbs that end with it
                match &self.guest {
                    Some(guest) => eprintln!("the last version that works goes on: sha256:{}", guest.inspection.digest_hex()),
                    None => eprintln!("nothing runs yet; it is built again when a file changes"),
                }
            }
        }
    }

    fn rebuild(&mut self) -> Result<(), Failure> {
        let start = Instant::now();
        let folder = &self.args.project.folder;
        let Built { name, bytes, path, .. } = build::build(folder, Options { add_target: self.args.add_target })?;
        let unfit = |error: anyhow::Error| Failure::new(Exit::Configuration, "dev.unfit", clean(&format!("{error:#}")));
        let guest = Arc::new(Guest::new(&name, bytes, Some(&folder.join("cases"))).map_err(unfit)?);
        if self.bench.is_none() {
            self.bench = Some(bench(Some(&folder.join(build::OUT).join(super::test::CACHE)))?);
        }
        let bench = self.bench()?;
        bench.component(&guest).map_err(unfit)?;
        let same = self.guest.as_ref().is_some_and(|old| old.inspection.digest == guest.inspection.digest);
        if let Some(old) = self.guest.as_ref().filter(|_| !same) {
            bench.forget(old);
        }
        eprintln!("built {} in {:.1} s: {} bytes{}", path.display(), start.elapsed().as_secs_f64(), guest.bytes.len(), if same { ", unchanged" } else { "" });
        let asked = asked(&guest.inspection);
        match &self.asked {
            None => self.asked = Some(asked),
            // Who changes it sees it at once: an upload would wait for somebody.
            Some(first) if !same && *first != asked => eprintln!("{}", clean(&asks::difference(first, &asked))),
            Some(_) => {}
        }
        self.guest = Some(guest);
        Ok(())
    }

    /// What the version that runs asks an operator for, against the first one.
    fn grants(&self) {
        match (&self.asked, &self.guest) {
            (Some(first), Some(guest)) => eprintln!("{}", clean(&asks::difference(first, &asked(&guest.inspection)))),
            _ => eprintln!("nothing runs yet"),
        }
    }

    fn bench(&self) -> Result<&Bench, Failure> {
        self.bench.as_ref().ok_or_else(|| Failure::new(Exit::Failed, "author.sandbox", "the sandbox has not started"))
    }

    fn show(&mut self) {
        if let Err(failure) = self.call() {
            let _ = failure.report(self.output);
        }
    }

    /// One call of the guest, shown.
    fn call(&mut self) -> Result<(), Failure> {
        let Some(guest) = self.guest.clone() else {
            eprintln!("nothing runs yet");
            return Ok(());
        };
        let setting = self.setting(&guest)?;
        let failed = |error: anyhow::Error| Failure::new(Exit::Failed, "dev.call", clean(&format!("{error:#}")));
        let trial = trial::attempt(self.bench()?, &guest, &setting).map_err(failed)?;
        self.calls += 1;
        let fault = self.named.map_or(self.fault.as_str(), |place| FAULTS[place].0);
        let fault = if fault.is_empty() { "none" } else { fault };
        show::trial(self.calls, fault, &setting, &trial, self.output)
    }

    fn setting(&self, guest: &Guest) -> Result<Setting, Failure> {
        let case = guest.cases.iter().find(|case| case.events().next().is_some());
        let unfit = |error: anyhow::Error| Failure::new(Exit::Configuration, "dev.case", clean(&format!("{error:#}")));
        let config = match (&self.args.config, case) {
            (Some(config), _) => config.clone(),
            (None, Some(case)) => case.config().map_err(unfit)?,
            (None, None) => guest.config().map_err(unfit)?,
        };
        let events = match (&self.args.events, case) {
            (Some(file), _) => read_events(file)?,
            (None, Some(case)) => case.events().map(str::to_owned).collect(),
            (None, None) => bulkhead_conformance::samples::samples().into_iter().take(1).map(str::to_owned).collect(),
        };
        // With no fault the receiver answers as that of the case does.
        let mut script = Script::parse(&self.fault).map_err(unfit)?;
        if self.fault.is_empty()
            && let Some(step) = case.map(|case| case.last_reply()).transpose().map_err(unfit)?.flatten()
        {
            script = Script::always(step);
        }
        let format = case.map_or_else(|| guest.format(), |case| case.format()).to_owned();
        Ok(Setting { events, config, format, script, sink: case.map(|case| case.sink.clone()).unwrap_or_default() })
    }

    fn next_fault(&mut self) {
        let next = self.named.map_or(usize::from(self.fault.is_empty()), |place| (place + 1) % FAULTS.len());
        self.named = Some(next);
        self.fault = FAULTS[next].1.to_owned();
    }
}

fn read_events(file: &PathBuf) -> Result<Vec<String>, Failure> {
    let read = |error: std::io::Error| Failure::new(Exit::NotFound, "dev.events", format!("cannot read {}: {error}", file.display()));
    let size = std::fs::metadata(file).map_err(read)?.len();
    if size > MAX_EVENTS {
        return Err(Failure::new(Exit::Usage, "dev.events", format!("{} has {size} bytes; at most {MAX_EVENTS} are read", file.display())));
    }
    let text = std::fs::read_to_string(file).map_err(read)?;
    let events: Vec<String> = text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect();
    if events.is_empty() {
        return Err(Failure::new(Exit::Usage, "dev.events", format!("{} holds no event; one JSON object a line", file.display())));
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_a_script() {
        for (name, steps) in FAULTS {
            Script::parse(steps).unwrap_or_else(|error| panic!("{name}: {error:#}"));
        }
    }
}
