//! Compiling is the one thing about a component that no fuel bounds: a small file can ask for hours and
//! gigabytes. So the serving process has no compiler. It starts this binary again as a worker, which
//! lowers its own limits before it reads a byte; the parent bounds wall time, output and how many run at
//! once, and kills what does not keep to it.
//!
//! A worker lets everything else go first, which on a machine that is full leaves it nothing: a component that
//! takes a second of processor time would run into the bound on wall time. So it has half of that time; what is
//! not done by then begins anew in a worker with a share for certain, with the other half.
//!
//! Tests of this crate compile in process; nothing that serves does.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, Signal, setrlimit};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::cache::deserialize;
use crate::component::LoadError;
use crate::egress::redact::Redactor;
use crate::engine::precompile;
use crate::host::log::clean;

/// Largest artefact that is taken from a worker.
const MAX_ARTEFACT: u64 = 512 << 20;
/// What is kept of a worker's words.
const MAX_WORDS: u64 = 4 << 10;
/// Longest text of a compiler's refusal.
const MAX_PROBLEM: usize = 1_024;
/// Lowest priority: everything else goes first.
const ASIDE: i32 = 19;
/// A quarter of a processor that one other wants: enough to end, and not half of it for what was made to last.
const SHARE: i32 = 5;

/// Bounds of one compilation.
#[derive(Debug, Clone, Copy)]
pub struct CompileLimits {
    /// Wall time.
    pub time: Duration,
    /// Address space of the worker in bytes.
    pub memory: u64,
}

impl Default for CompileLimits {
    fn default() -> Self {
        Self { time: Duration::from_secs(60), memory: 2 << 30 }
    }
}

/// How workers are started.
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    pub program: PathBuf,
    /// Words before `--memory` and `--seconds`.
    pub args: Vec<OsString>,
    pub limits: CompileLimits,
    /// Most workers at the same time; more wait.
    pub at_once: usize,
}

/// Where components are compiled.
#[derive(Debug, Clone)]
pub enum Compiler {
    /// In this process, without bounds: for tests.
    InProcess,
    Worker(Arc<Workers>),
}

/// The workers of one process.
#[derive(Debug)]
pub struct Workers {
    settings: WorkerSettings,
    running: Mutex<usize>,
    ended: Condvar,
}

/// Which of its bounds stopped a compilation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stopped {
    Time(Duration),
    Processor(Duration),
    Memory(u64),
    Artefact,
    /// It broke: the compiler's own fault, or a stack that ran over.
    Broke(String),
    /// It could not be started or spoken to.
    Unreachable(String),
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time(limit) => write!(f, "took longer than {} s and was stopped; raise `upload.compile_time` to allow more", limit.as_secs()),
            Self::Processor(limit) => {
                write!(f, "took more than {} s of processor time and was stopped; raise `upload.compile_time` to allow more", limit.as_secs())
            }
            Self::Memory(limit) => write!(f, "needed more than {} MiB of memory and was stopped; raise `upload.compile_memory` to allow more", limit >> 20),
            Self::Artefact => write!(f, "made more than {} MiB of machine code and was stopped", MAX_ARTEFACT >> 20),
            Self::Broke(how) => write!(f, "broke off ({how}); the component is not taken"),
            Self::Unreachable(problem) => write!(f, "is not possible: {problem}"),
        }
    }
}

/// What the validator says of everything that is asynchronous in the component model.
const ASYNCHRONOUS: &str = "the component model async";

impl Compiler {
    pub fn workers(settings: WorkerSettings) -> Self {
        Self::Worker(Arc::new(Workers { settings, running: Mutex::new(0), ended: Condvar::new() }))
    }

    /// Whether this process needs a compiler of its own.
    pub(crate) fn is_here(&self) -> bool {
        matches!(self, Self::InProcess)
    }

    /// Blocks until the component is compiled, refused or stopped. The artefact is what a cache may keep.
    pub(crate) fn compile(&self, engine: &Engine, name: &str, bytes: &[u8]) -> Result<(Component, Option<Vec<u8>>), LoadError> {
        let refused = |problem: &str| match problem.contains(ASYNCHRONOUS) {
            true => LoadError::Asynchronous { name: name.into() },
            false => LoadError::Compile { name: name.into(), problem: clean(problem, MAX_PROBLEM, &Redactor::default()) },
        };
        match self {
            Self::InProcess => {
                let component = Component::new(engine, bytes).map_err(|error| refused(&format!("{error:#}")))?;
                let artefact = component.serialize().ok();
                Ok((component, artefact))
            }
            Self::Worker(workers) => {
                let artefact = workers.compile(bytes).map_err(|end| match end {
                    End::Refused(words) => refused(&words),
                    End::Stopped(stopped) => LoadError::Stopped { name: name.into(), stopped },
                })?;
                let component =
                    deserialize(engine, &artefact).map_err(|error| refused(&format!("what the compiler made does not fit this host: {error:#}")))?;
                Ok((component, Some(artefact)))
            }
        }
    }
}

/// How a compilation ended that gave nothing.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Refused(String),
    Stopped(Stopped),
}

impl Workers {
    fn compile(&self, bytes: &[u8]) -> Result<Vec<u8>, End> {
        let _place = self.place();
        let whole = self.settings.limits.time;
        match self.run(bytes, true, whole / 2) {
            Err(End::Stopped(Stopped::Time(_))) => self.run(bytes, false, whole - whole / 2),
            end => end,
        }
    }

    /// One worker, for at most this long.
    fn run(&self, bytes: &[u8], aside: bool, most: Duration) -> Result<Vec<u8>, End> {
        let start = Instant::now();
        let unreachable = |what: &str, error: &dyn fmt::Display| End::Stopped(Stopped::Unreachable(format!("{what}: {error}")));
        let WorkerSettings { program, args, limits, .. } = &self.settings;
        let mut child = Command::new(program)
            .args(args)
            .args(["--memory", &limits.memory.to_string(), "--seconds", &limits.time.as_secs().max(1).to_string()])
            .args(aside.then_some("--aside"))
            // It needs nothing of the host's, secrets in variables least of all.
            .env_clear()
            // The engine compiles on as many threads as there are processors; one leaves room for deliveries.
            .env("RAYON_NUM_THREADS", "1")
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| unreachable("the worker does not start", &error))?;
        let (Some(mut stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take()) else {
            return Err(unreachable("the worker has no pipes", &""));
        };
        let (done, ended) = mpsc::channel();
        std::thread::scope(|scope| {
            // A worker that stops reading, or is killed, ends this with a broken pipe.
            scope.spawn(move || {
                let _ = stdin.write_all(bytes);
            });
            let words = scope.spawn(move || read(stderr, MAX_WORDS));
            let made = scope.spawn(move || {
                let made = read(stdout, MAX_ARTEFACT);
                let _ = done.send(());
                made
            });
            // Its end closes the pipe; so does too much output, since nobody reads on.
            let in_time = ended.recv_timeout(most) != Err(RecvTimeoutError::Timeout);
            let status = if in_time { end(&mut child, most.saturating_sub(start.elapsed())) } else { None };
            let status = match status {
                Some(status) => status,
                None => {
                    let _ = child.kill();
                    let _ = child.wait();
                    let stopped = if in_time { Stopped::Artefact } else { Stopped::Time(limits.time) };
                    return Err(End::Stopped(stopped));
                }
            };
            let (made, words) = (made.join().unwrap_or_default(), words.join().unwrap_or_default());
            self.judge(status, made, &String::from_utf8_lossy(&words))
        })
    }

    fn judge(&self, status: ExitStatus, made: Vec<u8>, words: &str) -> Result<Vec<u8>, End> {
        let limits = &self.settings.limits;
        if made.len() as u64 > MAX_ARTEFACT {
            return Err(End::Stopped(Stopped::Artefact));
        }
        if status.success() {
            return Ok(made);
        }
        if status.code() == Some(1) {
            return Err(End::Refused(words.trim().to_owned()));
        }
        #[cfg(unix)]
        let signal = std::os::unix::process::ExitStatusExt::signal(&status);
        #[cfg(not(unix))]
        let signal: Option<i32> = None;
        let stopped = match signal {
            Some(signal) if signal == Signal::XCPU.as_raw() => Stopped::Processor(processor(limits.time)),
            // Rust's own words before it aborts; see `std::alloc::handle_alloc_error`.
            _ if words.contains("memory allocation of") || words.contains("Cannot allocate memory") || words.contains("os error 12") => {
                Stopped::Memory(limits.memory)
            }
            Some(signal) => Stopped::Broke(format!("signal {signal}")),
            None => Stopped::Broke(format!("exit code {}", status.code().unwrap_or_default())),
        };
        Err(End::Stopped(stopped))
    }

    /// Waits for leave to start one more worker.
    fn place(&self) -> Place<'_> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |running: &mut usize| *running >= self.settings.at_once.max(1);
        *self.ended.wait_while(running, full).unwrap_or_else(PoisonError::into_inner) += 1;
        Place(self)
    }
}

struct Place<'a>(&'a Workers);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        *self.0.running.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.ended.notify_one();
    }
}

/// At most one byte more than `limit`, so that too much is seen as such.
fn read(from: impl Read, limit: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = from.take(limit + 1).read_to_end(&mut bytes);
    bytes
}

/// A worker whose output has ended ends at once, unless it was cut off by us.
fn end(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let until = Instant::now() + limit.clamp(Duration::from_millis(100), Duration::from_secs(5));
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < until => std::thread::sleep(Duration::from_millis(1)),
            _ => return None,
        }
    }
}

/// Processor time for a wall time: all cores may be busy for so long.
fn processor(time: Duration) -> Duration {
    let cores = std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(1));
    Duration::from_secs(time.as_secs().max(1)) * cores.min(16)
}

/// The worker's side: lowers its own limits, reads a component, writes its artefact. The error is for
/// people: the compiler's words, not yet cleaned.
pub fn work(limits: CompileLimits, aside: bool, mut from: impl Read, mut to: impl Write) -> Result<(), String> {
    confine(limits, aside).map_err(|error| format!("the worker cannot limit itself: {error}"))?;
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).map_err(|error| format!("the component cannot be read: {error}"))?;
    let artefact = precompile(&bytes).map_err(|error| format!("{error:#}"))?;
    to.write_all(&artefact).and_then(|()| to.flush()).map_err(|error| format!("the artefact cannot be handed over: {error}"))
}

fn confine(limits: CompileLimits, aside: bool) -> io::Result<()> {
    let at_most = |value: u64| Rlimit { current: Some(value), maximum: Some(value) };
    setrlimit(Resource::As, at_most(limits.memory))?;
    setrlimit(Resource::Cpu, at_most(processor(limits.time).as_secs()))?;
    // No file is written, no core left behind, and few files are read.
    setrlimit(Resource::Fsize, at_most(0))?;
    setrlimit(Resource::Core, at_most(0))?;
    setrlimit(Resource::Nofile, at_most(64))?;
    rustix::process::nice(if aside { ASIDE } else { SHARE })?;
    // Nobody waits for a worker whose host is gone.
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    Ok(())
}

#[cfg(test)]
mod tests;
