//! The parent's side against workers that misbehave; the worker's own side runs in the stories, through
//! the real binary.

use super::*;

fn workers(script: &str, time: Duration) -> Workers {
    let args = ["-c", script, "worker"].map(OsString::from).to_vec();
    let settings = WorkerSettings { program: "/bin/sh".into(), args, limits: CompileLimits { time, memory: 64 << 20 }, at_once: 1 };
    Workers { settings, running: Mutex::new(0), ended: Condvar::new() }
}

/// Longer than a shell takes on a busy machine.
const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(500);

#[track_caller]
fn check_within(time: Duration, script: &str, want: Result<Vec<u8>, End>) {
    let start = Instant::now();
    let got = workers(script, time).compile(&[7; 300_000]);
    assert_eq!(got, want, "{script}");
    assert!(start.elapsed() < LONG, "{script}: {:?}", start.elapsed());
}

#[track_caller]
fn check(script: &str, want: Result<Vec<u8>, End>) {
    check_within(LONG, script, want);
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
    for script in ["exec sleep 100", "cat >/dev/null; while :; do :; done"] {
        check_within(SHORT, script, Err(End::Stopped(Stopped::Time(SHORT))));
    }
}

/// On a machine that leaves nothing over it comes to its end all the same, within the bound that the operator set.
#[test]
fn what_lets_others_go_first_has_half_of_the_time_and_then_a_share_of_its_own() {
    let script = "cat >/dev/null; case \"$*\" in *--aside*) exec sleep 100;; esac; printf made";
    let (start, time) = (Instant::now(), Duration::from_secs(10));
    assert_eq!(workers(script, time).compile(b""), Ok(b"made".to_vec()));
    assert!((time / 2..time).contains(&start.elapsed()), "{:?}", start.elapsed());
    let once = "cat >/dev/null; case \"$*\" in *--aside*) printf made;; *) exit 1;; esac";
    assert_eq!(workers(once, LONG).compile(b""), Ok(b"made".to_vec()));
}

#[test]
fn a_worker_that_breaks_says_how() {
    check("kill -SEGV $$", Err(End::Stopped(Stopped::Broke("signal 11".into()))));
    check("kill -XCPU $$", Err(End::Stopped(Stopped::Processor(processor(LONG)))));
    check("echo 'memory allocation of 99 bytes failed' >&2; kill -ABRT $$", Err(End::Stopped(Stopped::Memory(64 << 20))));
    check("exit 101", Err(End::Stopped(Stopped::Broke("exit code 101".into()))));
}

#[test]
fn the_words_of_a_worker_are_bounded() {
    match workers("yes | head -c 1000000 >&2; exit 1", LONG).compile(b"") {
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
    let workers = workers(&script, LONG);
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
