//! The parent's side against workers that misbehave; the worker's own side runs in the stories, through
//! the real binary.

use super::*;

fn workers(script: &str, time: Duration) -> Workers {
    let args = ["-c", script, "worker"].map(OsString::from).to_vec();
    let settings = WorkerSettings { program: "/bin/sh".into(), args, limits: CompileLimits { time, memory: 64 << 20 }, at_once: 1 };
    Workers { settings, running: Mutex::new(0), ended: Condvar::new() }
}

#[track_caller]
fn check(script: &str, want: Result<Vec<u8>, End>) {
    let start = Instant::now();
    let got = workers(script, Duration::from_millis(500)).compile(&[7; 300_000]);
    assert_eq!(got, want, "{script}");
    assert!(start.elapsed() < Duration::from_secs(5), "{script}: {:?}", start.elapsed());
}

#[test]
fn what_the_worker_makes_is_taken_and_what_it_says_is_told() {
    check("cat >/dev/null; printf made", Ok(b"made".to_vec()));
    check("cat >/dev/null; echo no good >&2; exit 1", Err(End::Refused("no good".into())));
    // Without reading: the pipe breaks on our side, which is no fault of its own.
    check("printf made", Ok(b"made".to_vec()));
}

#[test]
fn a_worker_that_does_not_end_is_stopped() {
    check("exec sleep 100", Err(End::Stopped(Stopped::Time(Duration::from_millis(500)))));
    check("cat >/dev/null; while :; do :; done", Err(End::Stopped(Stopped::Time(Duration::from_millis(500)))));
}

#[test]
fn a_worker_that_breaks_says_how() {
    check("kill -SEGV $$", Err(End::Stopped(Stopped::Broke("signal 11".into()))));
    check("kill -XCPU $$", Err(End::Stopped(Stopped::Processor(processor(Duration::from_millis(500))))));
    check("echo 'memory allocation of 99 bytes failed' >&2; kill -ABRT $$", Err(End::Stopped(Stopped::Memory(64 << 20))));
    check("exit 101", Err(End::Stopped(Stopped::Broke("exit code 101".into()))));
}

#[test]
fn the_words_of_a_worker_are_bounded() {
    match workers("yes | head -c 1000000 >&2; exit 1", Duration::from_secs(5)).compile(b"") {
        // The pipe is closed on it: `head` may die of that, or be done before.
        Err(End::Refused(words)) => assert!(words.len() <= MAX_WORDS as usize + 1, "{}", words.len()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn no_more_than_allowed_run_at_once() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let path = folder.path().join("running");
    // `mkdir` is the lock: it fails where another worker holds it.
    let script = format!("cat >/dev/null; mkdir {0} || exit 1; sleep 0.05; rmdir {0}", path.display());
    let workers = workers(&script, Duration::from_secs(10));
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..4).map(|_| scope.spawn(|| workers.compile(b""))).collect();
        for one in all {
            assert_eq!(one.join().expect("ends"), Ok(Vec::new()));
        }
    });
}

#[test]
fn texts_name_the_key_to_change() {
    let said = |stopped: Stopped| LoadError::Stopped { name: "x".into(), stopped }.to_string();
    assert_eq!(said(Stopped::Time(Duration::from_secs(60))), "compiling `x` took longer than 60 s and was stopped; raise `upload.compile_time` to allow more");
    assert_eq!(
        said(Stopped::Memory(2 << 30)),
        "compiling `x` needed more than 2048 MiB of memory and was stopped; raise `upload.compile_memory` to allow more"
    );
}

#[test]
fn an_engine_without_a_compiler_takes_what_the_other_made() {
    let bytes = wat::parse_str("(component (core module (func (export \"f\") (result f32) (f32.const 1))))").expect("parses");
    let artefact = precompile(&bytes).expect("compiles");
    let serving = crate::engine::Ticking::start(false).expect("starts");
    deserialize(&serving.engine, &artefact).expect("fits");
    assert!(Component::new(&serving.engine, &bytes).is_err(), "there is no compiler to be reached");
}
