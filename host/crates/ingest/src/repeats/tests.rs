use bulkhead_core::Seq;
use bulkhead_journal::{JournalSettings, RealFs};
use bulkhead_observe::Metrics;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::normalise::{Form, Normaliser, Rules};

const SETTINGS: RepeatSettings = RepeatSettings { window: Duration::from_secs(60), keys: 1_000 };
const NOW: u64 = 1_763_628_178_000_000_000;

struct Still;

impl Clock for Still {
    fn unix_nanos(&self) -> u64 {
        NOW
    }
    fn monotonic(&self) -> Duration {
        Duration::from_secs(1)
    }
}

struct Fixture {
    journal: Journal,
    repeats: Arc<Repeats>,
    follower: Option<Follower>,
    dir: tempfile::TempDir,
}

fn open(dir: tempfile::TempDir, settings: RepeatSettings) -> Fixture {
    let mut journal = JournalSettings::new(dir.path().join("journal"), 256 << 10);
    journal.clock = Arc::new(Still);
    let (journal, _) = Journal::open(journal, Arc::new(RealFs)).expect("a journal");
    journal.lanes_ready();
    let (repeats, follower) = Repeats::open(&settings, &dir.path().join("seen"), &journal, Arc::new(Still), Metrics::new().window("events")).expect("opens");
    Fixture { journal, repeats, follower: Some(follower), dir }
}

fn fresh() -> Fixture {
    open(tempfile::tempdir().expect("a folder"), SETTINGS)
}

fn batch(events: &[&str]) -> AppendBatch {
    let mut normaliser = Normaliser::new(Rules::default());
    let mut batch = AppendBatch::new();
    for text in events {
        normaliser.event(text.as_bytes(), 0, Form::Json, NOW, batch.buffer()).expect("an event");
        batch.push_event().expect("stored");
    }
    batch
}

impl Fixture {
    async fn append(&self, events: &[&str]) -> usize {
        self.repeats.append(&self.journal, batch(events), Durability::Fsync).await.expect("appended")
    }

    fn journalled(&self) -> u64 {
        self.journal.head().0
    }

    /// The process ends, kept in order or killed, and starts again.
    async fn again(mut self, in_order: bool, settings: RepeatSettings) -> Self {
        let follower = self.follower.take().expect("one");
        if in_order {
            let cancel = CancellationToken::new();
            cancel.cancel();
            follower.run(cancel).await;
        } else {
            drop(follower);
        }
        self.journal.close().await;
        drop((self.journal, self.repeats));
        open(self.dir, settings)
    }
}

#[tokio::test]
async fn a_repeat_is_journalled_once() {
    let fixture = fresh();
    let (one, two) = (r#"{"id":"1","source":"a"}"#, r#"{"id":"2","source":"a"}"#);
    assert_eq!(fixture.append(&[one]).await, 0);
    assert_eq!(fixture.append(&[one]).await, 1);
    assert_eq!(fixture.append(&[two, one, two]).await, 2, "one from before, one twice in the request");
    assert_eq!(fixture.append(&[r#"{"id":"1","source":"b"}"#, r#"{"id":"1"}"#]).await, 0, "other sources");
    assert_eq!(fixture.append(&[r#"{"id":"\u0031","source":"a"}"#]).await, 1, "the same id, written otherwise");
    assert_eq!(fixture.append(&[r#"{"n":1}"#, r#"{"n":1}"#]).await, 0, "ids that we gave");
    assert_eq!(fixture.journalled(), 6);
    let mut reader = fixture.journal.reader(Seq(0));
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.extend(reader.try_next().expect("reads").expect("a frame").events().map(|(_, event)| event.id().into_owned()));
    }
    assert_eq!(ids, ["1", "2", "1", "1"]);
}

#[tokio::test]
async fn a_refused_append_leaves_nothing_behind() {
    let fixture = fresh();
    let large = format!(r#"{{"id":"1","pad":"{}"}}"#, "x".repeat(100 << 10));
    let refused = fixture.repeats.append(&fixture.journal, batch(&[r#"{"id":"2"}"#, &large]), Durability::Os).await;
    assert!(matches!(refused, Err(AppendError::TooLarge { .. })), "{refused:?}");
    assert_eq!(fixture.append(&[r#"{"id":"1"}"#, r#"{"id":"2"}"#]).await, 0);
    assert_eq!(fixture.append(&[r#"{"id":"1"}"#, r#"{"id":"2"}"#]).await, 2);
}

/// Requests that share events in different orders: each event is there once, all are answered, and nobody
/// waits for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_at_once_one_appends() {
    let fixture = fresh();
    let mut requests = tokio::task::JoinSet::new();
    for n in 0..64usize {
        let (repeats, journal) = (Arc::clone(&fixture.repeats), fixture.journal.clone());
        requests.spawn(async move {
            let ids: Vec<String> = (0..5).map(|i| format!(r#"{{"id":"{}"}}"#, (n * 3 + i * (1 + n % 4)) % 20)).collect();
            let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
            let before = ids.iter().collect::<HashSet<_>>().len();
            let duplicates = repeats.append(&journal, batch(&ids), Durability::Fsync).await.expect("appended");
            assert!(duplicates >= ids.len() - before);
            ids.len() - duplicates
        });
    }
    let mut appended = 0;
    while let Some(done) = requests.join_next().await {
        appended += done.expect("ended");
    }
    assert_eq!((appended, fixture.journalled()), (20, 20));
}

#[tokio::test]
async fn what_was_seen_outlives_the_process() {
    for in_order in [true, false] {
        let fixture = fresh();
        fixture.append(&[r#"{"id":"1"}"#, r#"{"id":"2"}"#]).await;
        let fixture = fixture.again(in_order, SETTINGS).await;
        assert_eq!(fixture.append(&[r#"{"id":"2"}"#, r#"{"id":"3"}"#]).await, 1, "{in_order}");
        let fixture = fixture.again(!in_order, SETTINGS).await;
        assert_eq!(fixture.append(&[r#"{"id":"1"}"#, r#"{"id":"3"}"#, r#"{"id":"4"}"#]).await, 2, "{in_order}");
    }
}

#[tokio::test]
async fn only_as_many_as_fit_are_known_again() {
    let fixture = fresh();
    for n in 0..10 {
        fixture.append(&[&format!(r#"{{"id":"{n}"}}"#)]).await;
    }
    let fixture = fixture.again(true, RepeatSettings { keys: 4, ..SETTINGS }).await;
    assert_eq!(fixture.append(&[r#"{"id":"6"}"#, r#"{"id":"9"}"#, r#"{"id":"5"}"#]).await, 2);
}

/// What lanes have settled is deleted as ever: the log knows it.
#[tokio::test]
async fn deleted_segments_are_known_too() {
    let mut fixture = fresh();
    let follower = fixture.follower.take().expect("one");
    let cancel = CancellationToken::new();
    let following = tokio::spawn(follower.run(cancel.clone()));
    let pad = "x".repeat(8 << 10);
    for n in 0..60 {
        let event = format!(r#"{{"id":"{n}","pad":"{pad}"}}"#);
        // More than the quota takes: what the follower has read must go.
        loop {
            match fixture.repeats.append(&fixture.journal, batch(&[&event]), Durability::Os).await {
                Ok(duplicates) => break assert_eq!(duplicates, 0),
                Err(AppendError::Full { .. }) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    }
    cancel.cancel();
    following.await.expect("ends");
    fixture.journal.close().await;
    drop((fixture.journal, fixture.repeats));
    let fixture = open(fixture.dir, SETTINGS);
    assert_eq!(fixture.append(&[r#"{"id":"0"}"#, r#"{"id":"59"}"#, r#"{"id":"60"}"#]).await, 2);
}
