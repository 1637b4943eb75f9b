use bulkhead_core::SystemClock;

use super::*;

fn settings(script: &str) -> CommandSettings {
    CommandSettings { command: vec!["/bin/sh".into(), "-c".into(), script.into()], timeout: Duration::from_secs(20), refresh: Duration::from_secs(600) }
}

async fn ran(settings: CommandSettings) -> Result<String, String> {
    run(&settings).await.map(|secret| secret.expose_secret().to_owned())
}

#[tokio::test]
async fn what_it_prints_is_the_secret_trimmed() {
    assert_eq!(ran(settings("printf ' hunter2 hunter2\\r\\n\\n'")).await, Ok("hunter2 hunter2".into()));
    let text = ran(settings("printf 'caf\\303\\251-caf\\303\\251'")).await;
    assert_eq!(text, Ok("caf\u{e9}-caf\u{e9}".into()));
}

#[tokio::test]
async fn it_sees_path_and_home_and_nothing_else() {
    let seen = ran(settings("env | sed 's/=.*//' | sort | tr '\\n' ' '")).await.expect("runs");
    let foreign: Vec<&str> = seen.split(' ').filter(|name| !matches!(*name, "HOME" | "PATH" | "PWD" | "SHLVL" | "OLDPWD" | "_")).collect();
    assert_eq!(foreign, Vec::<&str>::new());
    assert!(seen.contains("PATH"), "{seen}");
}

#[tokio::test]
async fn failures_say_what_happened_and_repeat_nothing() {
    for (script, want) in [
        ("echo hunter2-hunter2; echo hunter2-hunter2 >&2; exit 3", "failed: exit status: 3"),
        ("kill -9 $$", "failed: signal: 9 (SIGKILL)"),
        ("printf 'hunter2\\377hunter2'", "prints something that is no text"),
        ("head -c 65537 /dev/zero | tr '\\0' a", "prints more than 65536 bytes"),
    ] {
        assert_eq!(ran(settings(script)).await, Err(want.to_owned()), "{script}");
    }
    let missing = CommandSettings { command: vec!["/no/such/program".into()], ..settings("") };
    assert_eq!(ran(missing).await, Err("cannot be started: No such file or directory (os error 2)".into()));
    assert_eq!(Command::new("x", CommandSettings { command: vec![], ..settings("") }).map(drop), Err("`command` names no program".to_owned()));
}

/// Not only the shell goes: what it started holds the pipe and would go on.
#[tokio::test]
async fn one_that_does_not_end_is_killed_with_its_children() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("pid");
    let script = format!("sleep 600 & echo $! > {0}.new; mv {0}.new {0}; wait", file.display());
    let began = tokio::time::Instant::now();
    // Time enough to start: what started late would not be there to be killed.
    let hanging = CommandSettings { timeout: Duration::from_secs(2), ..settings(&script) };
    assert_eq!(ran(hanging).await, Err("was killed after 2s; see `timeout`".into()));
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(2) && took < Duration::from_secs(20), "{took:?}");
    let pid: i32 = std::fs::read_to_string(&file).expect("it started").trim().parse().expect("a number");
    let gone = || {
        // A zombie that nobody waits for is dead, too.
        let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        status.is_empty() || status.contains(") Z ") || status.contains(") X ")
    };
    let until = tokio::time::Instant::now() + Duration::from_secs(10);
    while !gone() {
        assert!(tokio::time::Instant::now() < until, "the child of the command lives on");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_short_answer_is_no_secret() {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let command = Command::new("siem", settings("echo abcde")).expect("valid");
    let failure = command.value(&clock).await.map(drop).expect_err("too short");
    assert!(!failure.lasting);
    assert_eq!(
        failure.text,
        "credential `siem`: its command does not print a usable secret: the secret has 5 bytes; with fewer than 6 it could not be taken out of answers and logs without destroying them"
    );
}
