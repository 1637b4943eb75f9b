use bulkhead_observe::Metrics;

use super::*;

struct Still;

impl Clock for Still {
    fn unix_nanos(&self) -> u64 {
        1_763_628_178_000_000_000
    }
    fn monotonic(&self) -> Duration {
        Duration::from_secs(1)
    }
}

fn open(dir: &Path) -> Arc<Answers> {
    Answers::open(Duration::from_secs(60), dir, Arc::new(Still), Metrics::new().window("answers")).expect("opens")
}

fn key(name: &str) -> Key {
    Key::of(&[name.as_bytes()])
}

#[track_caller]
fn new(answers: &Arc<Answers>, name: &str) -> AnswerClaim {
    match answers.claim(key(name), [1; 32]) {
        Known::New(claim) => claim,
        _ => panic!("{name} is known"),
    }
}

#[tokio::test]
async fn an_answer_is_given_again_in_the_next_process_too() {
    let dir = tempfile::tempdir().expect("a folder");
    let answers = open(dir.path());
    let claim = new(&answers, "a");
    assert!(matches!(answers.claim(key("a"), [1; 32]), Known::UnderWay));
    claim.keep(Bytes::from_static(b"{\"accepted\":1}")).await;
    for answers in [answers, open(dir.path())] {
        assert!(matches!(answers.claim(key("a"), [1; 32]), Known::Again(answer) if answer == "{\"accepted\":1}"));
        assert!(matches!(answers.claim(key("a"), [2; 32]), Known::Reused));
        new(&answers, "b");
    }
}

#[tokio::test]
async fn what_was_refused_may_be_tried_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let answers = open(dir.path());
    drop(new(&answers, "a"));
    drop(new(&answers, "a"));
}

#[tokio::test]
async fn memory_is_bounded() {
    let dir = tempfile::tempdir().expect("a folder");
    let answers = open(dir.path());
    let long = Bytes::from(vec![b'x'; LONGEST]);
    let most = usize::try_from(MEMORY).expect("fits") / LONGEST;
    for n in 0..most + 10 {
        new(&answers, &n.to_string()).keep(long.clone()).await;
    }
    let len = answers.seen().len();
    assert!((most - 5..=most).contains(&len), "{len}");
    drop(answers);
    let len = open(dir.path()).seen().len();
    assert!((most - 5..=most).contains(&len), "{len} after a restart");
}
