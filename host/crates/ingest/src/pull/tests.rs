mod runs;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};

use bulkhead_core::{AskError, Failure, Page, RecordBatch, Seq, SyncStatus};
use bulkhead_journal::{Journal, JournalSettings, RealFs};

use super::*;

/// The time of the tests, which moves only while nothing else is to be done.
struct Quick(tokio::time::Instant);

impl Clock for Quick {
    fn unix_nanos(&self) -> u64 {
        BEGIN_MS.cast_unsigned() * 1_000_000 + u64::try_from(self.0.elapsed().as_nanos()).expect("short")
    }
    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

/// 2026-11-26T05:59:50Z.
const BEGIN_MS: i64 = 1_795_672_790_000;

/// Answers in turn; then pages without anything. Cursors are numbers in decimal.
#[derive(Default)]
struct World {
    answers: Mutex<VecDeque<Result<Page, AskError>>>,
    asked: Mutex<Vec<String>>,
    kept: Mutex<Vec<u8>>,
    /// The store takes nothing.
    broken: AtomicBool,
    told: Mutex<Vec<String>>,
    runs: Mutex<Vec<SyncRun>>,
    settled: Mutex<Option<i64>>,
    wanted: Mutex<Option<AskedRun>>,
    /// Each write of a run.
    writes: Mutex<u32>,
    /// As this host knows it.
    term: tokio::sync::watch::Sender<i64>,
    stored_term: Mutex<i64>,
}

impl Puller for World {
    fn pull<'a>(&'a self, instance: &'a str, cursor: &'a [u8]) -> BoxFuture<'a, Result<Page, AskError>> {
        self.asked.lock().expect("whole").push(format!("{instance}@{}", String::from_utf8_lossy(cursor)));
        let answer = self.answers.lock().expect("whole").pop_front();
        Box::pin(async move { answer.unwrap_or_else(|| Ok(Page { cursor: cursor.to_vec(), ..Page::default() })) })
    }
}

impl Cursors for World {
    fn get<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Vec<u8>, String>> {
        Box::pin(async { Ok(self.kept.lock().expect("whole").clone()) })
    }
    fn set<'a>(&'a self, _: &'a str, cursor: &'a [u8], under: &'a Under) -> BoxFuture<'a, Result<bool, String>> {
        Box::pin(async move {
            if self.broken.load(Ordering::SeqCst) {
                return Err("the disk is full".to_owned());
            }
            let holds = self.writes_under(under);
            if holds {
                *self.kept.lock().expect("whole") = cursor.to_vec();
            }
            Ok(holds)
        })
    }
}

/// Terms of this host are odd, of another one even: whoever writes must be of the last.
impl Leases for World {
    fn want(&self, _: &Arc<str>) {}
    fn release(&self, _: &Arc<str>) {}
    fn term(&self, _: &str) -> Option<i64> {
        Some(*self.term.borrow()).filter(|term| term % 2 == 1)
    }
    fn elsewhere(&self, instance: &str) -> Option<String> {
        Leases::term(self, instance).is_none().then(|| "another".to_owned())
    }
    fn moved(&self) -> BoxFuture<'_, ()> {
        let mut term = self.term.subscribe();
        Box::pin(async move {
            let _ = term.changed().await;
        })
    }
}

impl World {
    fn writes_under(&self, under: &Under) -> bool {
        under.term == *self.stored_term.lock().expect("whole") && &*under.instance == "desk"
    }

    /// The store knows a change of hands before this host does.
    fn hand(&self, term: i64, told: bool) {
        *self.stored_term.lock().expect("whole") = term;
        if told {
            self.term.send_replace(term);
        }
    }

    fn write(&self, run: &SyncRun, known: impl FnOnce(&mut SyncRun)) -> Result<(), String> {
        if self.broken.load(Ordering::SeqCst) {
            return Err("the disk is full".to_owned());
        }
        *self.writes.lock().expect("whole") += 1;
        let mut runs = self.runs.lock().expect("whole");
        match runs.iter_mut().find(|other| other.id == run.id) {
            Some(other) => known(other),
            None => runs.push(run.clone()),
        }
        Ok(())
    }
}

impl Runs for World {
    fn begin<'a>(&'a self, run: &'a SyncRun) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async { self.write(run, |_| {}) })
    }
    fn keep<'a>(&'a self, run: &'a SyncRun, under: &'a Under) -> BoxFuture<'a, Result<bool, String>> {
        Box::pin(async {
            if !self.writes_under(under) {
                return Ok(false);
            }
            self.write(run, |known| *known = run.clone()).map(|()| true)
        })
    }
    fn cut_off<'a>(&'a self, _: &'a Under, now_ms: i64) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            for run in self.runs.lock().expect("whole").iter_mut().filter(|run| run.status == SyncStatus::Running) {
                run.end(SyncStatus::Failed, Some("the host ended".into()), now_ms);
            }
            Ok(())
        })
    }
    fn forget<'a>(&'a self, run: &'a SyncRun) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async {
            self.runs.lock().expect("whole").retain(|known| known.id != run.id);
            Ok(())
        })
    }
    fn ask<'a>(&'a self, _: &'a str, by: &'a str, _: i64) -> BoxFuture<'a, Result<Uuid, String>> {
        Box::pin(async move {
            if self.broken.load(Ordering::SeqCst) {
                return Err("the disk is full".to_owned());
            }
            let mut wanted = self.wanted.lock().expect("whole");
            Ok(match &*wanted {
                Some(wanted) if !wanted.begun => wanted.id,
                _ => wanted.insert(AskedRun { id: Uuid::now_v7(), by: by.to_owned(), begun: false }).id,
            })
        })
    }
    fn asked<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Option<AskedRun>, String>> {
        Box::pin(async move {
            if self.broken.load(Ordering::SeqCst) {
                return Err("the disk is full".to_owned());
            }
            let mut wanted = self.wanted.lock().expect("whole");
            let before = wanted.clone();
            wanted.iter_mut().for_each(|wanted| wanted.begun = true);
            Ok(before)
        })
    }
    fn done<'a>(&'a self, id: Uuid, under: &'a Under) -> BoxFuture<'a, Result<bool, String>> {
        Box::pin(async move {
            let holds = self.writes_under(under);
            self.wanted.lock().expect("whole").take_if(|wanted| holds && wanted.id == id);
            Ok(holds)
        })
    }
    fn last<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Option<i64>, String>> {
        Box::pin(async { Ok(self.runs.lock().expect("whole").last().map(|run| run.started_ms)) })
    }
    fn settled<'a>(&'a self, _: &'a str, _: &'a str) -> BoxFuture<'a, Result<Option<i64>, String>> {
        Box::pin(async { Ok(*self.settled.lock().expect("whole")) })
    }
    fn settle<'a>(&'a self, _: &'a str, settled_ms: i64, under: &'a Under) -> BoxFuture<'a, Result<bool, String>> {
        Box::pin(async move {
            let holds = self.writes_under(under);
            if holds {
                *self.settled.lock().expect("whole") = Some(settled_ms);
            }
            Ok(holds)
        })
    }
}

fn page(events: &[&str], cursor: &str, more: bool) -> Result<Page, AskError> {
    let mut batch = RecordBatch { block: Vec::new(), offsets: vec![0] };
    for event in events {
        batch.block.extend_from_slice(event.as_bytes());
        batch.offsets.push(batch.block.len() as u32);
    }
    Ok(Page { events: batch, cursor: cursor.into(), more })
}

fn down() -> Result<Page, AskError> {
    Err(AskError::Failed(Failure::Unavailable { reason: "busy".into(), after: None }))
}

struct Rig {
    world: Arc<World>,
    pulls: Arc<Pulls>,
    journal: Journal,
    _dir: tempfile::TempDir,
}

fn rig(answers: Vec<Result<Page, AskError>>) -> Rig {
    rig_of(settings_of("desk"), None, answers)
}

fn rig_of(pull: PullSettings, settled: Option<i64>, answers: Vec<Result<Page, AskError>>) -> Rig {
    let dir = tempfile::tempdir().expect("a folder");
    let mut settings = JournalSettings::new(dir.path().join("journal"), 256 << 10);
    let clock = Arc::new(Quick(tokio::time::Instant::now()));
    settings.clock = Arc::clone(&clock) as _;
    let (journal, _) = Journal::open(settings, Arc::new(RealFs)).expect("a journal");
    journal.lanes_ready();
    let world = Arc::new(World { answers: Mutex::new(answers.into()), settled: Mutex::new(settled), ..World::default() });
    world.hand(1, true);
    let told = Arc::clone(&world);
    let notify = move |notice| {
        told.told.lock().expect("whole").push(match notice {
            PullNotice::Failed { reason, .. } => reason,
            PullNotice::Recovered { .. } => "recovered".to_owned(),
            PullNotice::LeftOut { records, reason, .. } => format!("{records} left out: {reason}"),
            PullNotice::Completed(run) => format!("{} completed", run.trigger.name()),
        });
    };
    let pulls = Pulls::new(PullParts {
        puller: Arc::clone(&world) as _,
        cursors: Arc::clone(&world) as _,
        runs: Arc::clone(&world) as _,
        leases: Arc::clone(&world) as _,
        gate: journal.clone().into(),
        metrics: Metrics::new(),
        clock,
        notify: Arc::new(notify),
    });
    pulls.replace(&[pull]);
    Rig { world, pulls, journal, _dir: dir }
}

fn settings_of(instance: &str) -> PullSettings {
    PullSettings {
        instance: instance.into(),
        connector: "qradar".into(),
        schedule: PullSchedule::Interval(Duration::from_secs(60)),
        active: true,
        tenant: Tenant::default(),
    }
}

impl Rig {
    /// Time stands still for tests: it moves only while nothing else is to be done.
    async fn when(&self, what: &str, holds: impl Fn(&World) -> bool) {
        for _ in 0..100_000 {
            if holds(&self.world) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{what}: asked {:?}, told {:?}", self.world.asked.lock(), self.world.told.lock());
    }

    fn asked(&self) -> Vec<String> {
        self.world.asked.lock().expect("whole").clone()
    }

    fn kept(&self) -> String {
        String::from_utf8_lossy(&self.world.kept.lock().expect("whole")).into_owned()
    }

    fn told(&self) -> Vec<String> {
        self.world.told.lock().expect("whole").clone()
    }
}

#[tokio::test(start_paused = true)]
async fn pages_are_taken_behind_their_cursors() {
    let rig = rig(vec![page(&[r#"{"id":"1"}"#, r#"{"id":"2"}"#], "2", true), page(&[r#"{"id":"3"}"#], "3", false)]);
    rig.when("two pages", |world| world.asked.lock().expect("whole").len() == 3).await;
    assert_eq!(rig.asked(), ["desk@", "desk@2", "desk@3"]);
    assert_eq!((rig.kept().as_str(), rig.journal.head()), ("3", Seq(3)));
    let (name, status) = rig.pulls.status().remove(0);
    assert_eq!((&*name, status.events, status.pages, status.failures, status.error), ("desk", 3, 3, 0, None));
    // By hand, and from the beginning.
    assert_eq!(rig.pulls.sync("other", "ada").await, Err(SyncRefused::Unknown));
    assert!(rig.pulls.sync("desk", "ada").await.is_ok());
    rig.when("asked at once", |world| world.asked.lock().expect("whole").len() == 4).await;
    rig.when("it ended", |world| world.runs.lock().expect("whole").last().is_some_and(|run| run.status == SyncStatus::Completed)).await;
    assert_eq!(rig.pulls.anew("other", "ada").await, Err(SyncRefused::Unknown));
    assert!(rig.pulls.anew("desk", "ada").await.is_ok());
    assert_eq!(rig.kept(), "");
    rig.when("asked anew", |world| world.asked.lock().expect("whole").len() == 5).await;
    assert_eq!(rig.asked()[3..], ["desk@3", "desk@"]);
    rig.pulls.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_cursor_that_cannot_be_kept_does_not_make_its_page_come_again() {
    let rig = rig(vec![page(&[r#"{"id":"1"}"#], "1", false)]);
    rig.world.broken.store(true, Ordering::SeqCst);
    rig.when("it failed", |world| !world.told.lock().expect("whole").is_empty()).await;
    assert_eq!((rig.told(), rig.kept().as_str()), (vec!["the disk is full".to_owned()], ""));
    rig.world.broken.store(false, Ordering::SeqCst);
    rig.when("it recovered", |world| world.told.lock().expect("whole").len() == 2).await;
    assert_eq!((rig.asked(), rig.kept().as_str(), rig.journal.head()), (vec!["desk@".to_owned(), "desk@1".to_owned()], "1", Seq(1)));
}

#[tokio::test(start_paused = true)]
async fn what_is_no_event_in_every_attempt_is_left_out_and_told() {
    let bad = || page(&[r#"{"id":"1"}"#, "[1]", r#"{"id":"3"}"#], "3", false);
    let rig = rig(vec![bad(), bad(), bad(), bad()]);
    rig.when("it goes on", |world| world.told.lock().expect("whole").len() == 3).await;
    let told = rig.told();
    assert!(told[0].starts_with("pull: event 1 is none: ") && told[1].starts_with("1 left out: pull: event 1") && told[2] == "recovered", "{told:?}");
    assert_eq!((rig.journal.head(), rig.kept().as_str()), (Seq(2), "3"));
}

#[tokio::test(start_paused = true)]
async fn pages_that_bring_nothing_are_not_asked_for_without_a_pause() {
    let rig = rig((0..50).map(|n| page(&[], if n % 2 == 0 { "a" } else { "b" }, true)).chain([page(&[r#"{"id":"1"}"#], "b", true)]).collect());
    let begun = tokio::time::Instant::now();
    rig.when("they are over", |world| world.asked.lock().expect("whole").len() == 51).await;
    assert!(begun.elapsed() >= page::EMPTY_WAIT * 50, "{:?}", begun.elapsed());
    // The last one promises more behind the same cursor.
    rig.when("its event is there", |_| rig.journal.head() == Seq(1)).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(rig.asked().len(), 51);
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_is_held_shows() {
    let rig = rig((0..20).map(|_| Err(AskError::Held("paused"))).collect());
    rig.when("it is asked", |world| world.asked.lock().expect("whole").len() == 15).await;
    assert!(rig.pulls.status()[0].1.idle.is_some_and(|(word, turns)| word == "held" && turns >= 13));
    assert_eq!(rig.told(), Vec::<String>::new());
    rig.when("it goes on", |world| world.asked.lock().expect("whole").len() == 21).await;
    rig.when("that shows", |_| rig.pulls.status()[0].1.idle.is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn a_page_with_what_is_no_event_is_not_taken_at_all() {
    let rig = rig(vec![page(&[r#"{"id":"1"}"#, "[1]"], "2", true), page(&[r#"{"id":"1"} x"#], "1", false), page(&[r#"{"id":"1"}"#], "1", false)]);
    rig.when("it recovered", |world| world.told.lock().expect("whole").len() == 2).await;
    assert!(rig.told()[0].starts_with("pull: event 1 is none: "), "{:?}", rig.told());
    assert_eq!((rig.told()[1].as_str(), rig.journal.head(), rig.kept().as_str()), ("recovered", Seq(1), "1"));
}

#[tokio::test(start_paused = true)]
async fn who_does_not_answer_is_asked_ever_more_rarely_and_that_is_told_once() {
    let mut answers: Vec<_> = (0..8).map(|_| down()).collect();
    answers.push(Err(AskError::Gone));
    answers.push(page(&[], "", true));
    let rig = rig(answers);
    let begun = tokio::time::Instant::now();
    rig.when("it recovered", |world| world.told.lock().expect("whole").len() == 2).await;
    // 1 + 2 + 4 + 8 + 16 + 32 + 60 + 60 for the failures, 1 while the instance was away.
    assert_eq!(begun.elapsed().as_secs(), 184);
    assert_eq!(rig.told(), ["unavailable: busy", "recovered"]);
    // A page that promises more and moves nothing waits for the interval.
    let asked = rig.asked().len();
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(rig.asked().len(), asked);
}

#[tokio::test(start_paused = true)]
async fn pulls_come_and_go_with_the_configuration() {
    let rig = rig(Vec::new());
    rig.when("asked", |world| world.asked.lock().expect("whole").len() == 1).await;
    // What means the same is not touched.
    rig.pulls.replace(&[settings_of("desk"), settings_of("other")]);
    rig.when("the other is asked", |world| world.asked.lock().expect("whole").len() == 2).await;
    assert_eq!(rig.asked()[1], "other@");
    rig.pulls.replace(&[settings_of("other")]);
    tokio::time::sleep(Duration::from_secs(150)).await;
    assert_eq!(rig.asked().iter().filter(|asked| asked.starts_with("desk")).count(), 1);
    assert_eq!(rig.pulls.status().len(), 1);
    rig.pulls.stop().await;
    rig.pulls.replace(&[settings_of("late")]);
    assert!(!rig.asked().iter().any(|asked| asked.starts_with("late")));
}

#[tokio::test(start_paused = true)]
async fn another_host_takes_over_and_nothing_is_written_over_it() {
    let rig = rig(vec![page(&[r#"{"id":"1"}"#], "1", false), page(&[r#"{"id":"2"}"#], "2", true)]);
    rig.when("the first page", |world| *world.kept.lock().expect("whole") == b"1").await;
    // Another host has the lease, and this one does not know it yet: it asks, and its cursor is refused.
    rig.world.hand(2, false);
    rig.world.kept.lock().expect("whole").clone_from(&b"7".to_vec());
    rig.when("asked again", |world| world.asked.lock().expect("whole").len() == 2).await;
    // Its page is in the journal before its cursor is refused; the journal goes by another clock than these tests.
    let journal = rig.journal.clone();
    rig.when("its page is in the journal", |_| journal.head() == Seq(2)).await;
    rig.world.hand(2, true);
    let pulls = Arc::clone(&rig.pulls);
    rig.when("it knows", |_| pulls.status()[0].1.elsewhere.as_deref() == Some("another")).await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!((rig.asked().len(), rig.kept().as_str(), rig.told()), (2, "7", Vec::new()), "it pulls no more, and no system failed");
    assert_eq!(rig.pulls.sync("desk", "ada").await, Err(SyncRefused::Elsewhere(Some("another".into()))));
    assert_eq!(rig.pulls.anew("desk", "ada").await, Err(SyncRefused::Elsewhere(Some("another".into()))));

    // Back again: behind the cursor of the other, not behind its own.
    rig.world.hand(3, true);
    rig.when("pulled again", |world| world.asked.lock().expect("whole").len() > 2).await;
    assert_eq!((rig.asked()[2].as_str(), rig.pulls.status().remove(0).1.elsewhere), ("desk@7", None));
}
