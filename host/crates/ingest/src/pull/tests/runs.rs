//! What is recorded of runs, and when they are.

use super::*;

fn cron(text: &str, missed: MissedRuns) -> PullSettings {
    let schedule = PullSchedule::Cron(Cron::new(text, "UTC").expect("an expression"), missed);
    PullSettings { schedule, ..settings_of("desk") }
}

/// Six o'clock is ten seconds after the begin.
fn at_six(missed: MissedRuns) -> PullSettings {
    cron("0 6 * * *", missed)
}

fn held() -> Result<Page, AskError> {
    Err(AskError::Held("paused"))
}

/// More pages than a test takes, one each second.
fn endless() -> Vec<Result<Page, AskError>> {
    (0..1_000).map(|n| page(&[], &n.to_string(), true)).collect()
}

impl Rig {
    /// Each recorded run in a line.
    fn runs(&self) -> Vec<String> {
        let runs = self.world.runs.lock().expect("whole");
        let shown = runs.iter().map(|run| {
            let after = |ms: i64| (ms - BEGIN_MS) / 1000;
            let ended = run.ended_ms.map_or("…".to_owned(), |ms| after(ms).to_string());
            let error = run.error.as_ref().map(|error| format!(" {error}")).unwrap_or_default();
            let counts = format!("{} pages {} records {} left out {} attempts", run.pages, run.records, run.left_out, run.attempts);
            format!("{} {} by {} {}-{ended}: {counts}{error}", run.trigger.name(), run.status.name(), run.initiated_by, after(run.started_ms))
        });
        shown.collect()
    }

    /// The same without times: they tell nothing where the journal works beside the time of the tests.
    fn courses(&self) -> Vec<String> {
        let without = |run: String| run.split_once(": ").map(|(head, counts)| format!("{}: {counts}", head.rsplit_once(' ').expect("times").0));
        self.runs().into_iter().filter_map(without).collect()
    }

    async fn after(&self, seconds: u64) -> &Self {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        self
    }

    fn settled(&self) -> Option<i64> {
        self.world.settled.lock().expect("whole").map(|ms| (ms - BEGIN_MS) / 1000)
    }
}

#[tokio::test(start_paused = true)]
async fn by_interval_only_what_brought_something_is_recorded() {
    let rig = rig(vec![page(&[], "", false), page(&[r#"{"id":"1"}"#], "1", true), page(&[r#"{"id":"2"}"#], "2", false), page(&[], "2", false)]);
    rig.when("two more looks", |world| world.asked.lock().expect("whole").len() == 5).await;
    assert_eq!(rig.courses(), ["scheduled completed by schedule: 2 pages 2 records 0 left out 1 attempts"]);
    assert_eq!((rig.settled(), rig.told()), (None, Vec::<String>::new()));
    // Its begin, perhaps how far it was, and its end.
    assert!((2..=4).contains(&*rig.world.writes.lock().expect("whole")), "{:?}", rig.world.writes);
    let (_, status) = rig.pulls.schedules().remove(0);
    assert_eq!(status.began_ms.map(|began| began + 60_000), status.next_ms);
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_one_failed_run_with_its_attempts() {
    let rig = rig(vec![down(), down(), down(), page(&[], "", false), down()]);
    rig.after(20).await;
    assert_eq!(rig.runs(), ["start failed by schedule 0-3: 0 pages 0 records 0 left out 3 attempts unavailable: busy"]);
    rig.after(60).await;
    // Another one.
    assert_eq!(rig.runs()[1..], ["scheduled failed by schedule 67-67: 0 pages 0 records 0 left out 1 attempts unavailable: busy"]);
}

#[tokio::test(start_paused = true)]
async fn what_an_attempt_brought_before_it_failed_is_a_run_of_its_own() {
    let rig = rig(vec![down(), page(&[r#"{"id":"1"}"#], "1", true), down(), page(&[], "1", false)]);
    rig.when("it recovered", |world| world.told.lock().expect("whole").len() == 4).await;
    assert_eq!(
        rig.courses(),
        [
            "start failed by schedule: 0 pages 0 records 0 left out 1 attempts unavailable: busy",
            "start failed by schedule: 1 pages 1 records 0 left out 1 attempts unavailable: busy",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn records_that_are_no_events_are_refused_and_left_out_within_a_run() {
    let bad = || page(&[r#"{"id":"1"}"#, "[1]"], "2", false);
    let rig = rig(vec![bad(), bad(), bad(), bad()]);
    rig.when("it recovered", |world| world.told.lock().expect("whole").len() == 3).await;
    rig.when("it ended", |world| world.runs.lock().expect("whole").iter().any(|run| run.ended_ms.is_some())).await;
    assert_eq!(rig.courses(), ["start completed by schedule: 1 pages 1 records 1 left out 1 attempts"]);
}

#[tokio::test(start_paused = true)]
async fn a_run_by_hand_is_recorded_whatever_it_brings_and_stands_for_itself() {
    let rig = rig(vec![page(&[], "", false), page(&[], "", false), down(), down()]);
    rig.after(5).await;
    let run = rig.pulls.sync("desk", "ada").await.expect("begins");
    // It waits to begin.
    assert_eq!(rig.pulls.sync("desk", "eve").await, Err(SyncRefused::Running(run.id)));
    rig.after(5).await;
    assert_eq!(rig.runs(), ["manual completed by ada 5-5: 1 pages 0 records 0 left out 1 attempts"]);
    rig.pulls.sync("desk", "ada").await.expect("begins");
    rig.after(5).await;
    assert_eq!(
        rig.runs()[1..],
        [
            "manual failed by ada 10-10: 0 pages 0 records 0 left out 1 attempts unavailable: busy",
            "scheduled failed by schedule 11-11: 0 pages 0 records 0 left out 1 attempts unavailable: busy",
        ]
    );
    assert_eq!(rig.told(), ["manual completed", "unavailable: busy", "recovered"]);
}

#[tokio::test(start_paused = true)]
async fn a_run_by_hand_that_cannot_be_recorded_does_not_begin() {
    let rig = rig_of(at_six(MissedRuns::Run), Some(BEGIN_MS), Vec::new());
    rig.world.broken.store(true, Ordering::SeqCst);
    assert_eq!(rig.pulls.sync("desk", "ada").await, Err(SyncRefused::Store("the disk is full".to_owned())));
    rig.after(5).await;
    assert_eq!((rig.asked(), rig.runs()), (Vec::new(), Vec::new()));
    // One that is due does its work all the same.
    rig.after(10).await;
    assert_eq!((rig.asked().len(), rig.runs()), (1, Vec::<String>::new()));
}

#[tokio::test(start_paused = true)]
async fn one_run_at_a_time() {
    let rig = rig_of(at_six(MissedRuns::Run), None, endless());
    let first = rig.pulls.sync("desk", "ada").await.expect("begins");
    rig.after(15).await;
    // Six o'clock went by; the run that is under way brings everything.
    assert_eq!(rig.pulls.sync("desk", "ada").await, Err(SyncRefused::Running(first.id)));
    assert_eq!(rig.pulls.schedules()[0].1.run, Some(first.id));
    let noted = rig.runs();
    assert!(noted.len() == 1 && noted[0].starts_with("manual running by ada 0-…: ") && !noted[0].contains(" 0 pages"), "{noted:?}");
    rig.after(300).await;
    assert_eq!(rig.runs(), ["manual completed by ada 0-200: 1001 pages 0 records 0 left out 1 attempts"]);
    assert_eq!((rig.settled(), rig.pulls.schedules()[0].1.run), (Some(200), None));
    // Once a second at most, and begin twice: by who asked, and by the run.
    assert!(*rig.world.writes.lock().expect("whole") <= 203, "{:?}", rig.world.writes);
}

#[tokio::test(start_paused = true)]
async fn by_cron_each_run_is_recorded_and_settled() {
    let rig = rig_of(cron("*/20 * * * * *", MissedRuns::Run), None, vec![page(&[r#"{"id":"1"}"#], "1", false)]);
    // Not known yet: nothing was missed.
    rig.when("it is known", |world| world.settled.lock().expect("whole").is_some()).await;
    assert_eq!((rig.settled(), rig.runs()), (Some(0), Vec::new()));
    rig.when("two runs", |world| world.told.lock().expect("whole").len() == 2).await;
    assert_eq!(
        rig.courses(),
        [
            "scheduled completed by schedule: 1 pages 1 records 0 left out 1 attempts",
            "scheduled completed by schedule: 1 pages 0 records 0 left out 1 attempts",
        ]
    );
    let settled = rig.settled().expect("settled");
    // Nothing but this: the second has no events, and takes no time.
    assert!(settled % 20 == 10, "{settled}");
    assert_eq!((rig.told(), rig.pulls.schedules()[0].1.next_ms), (vec!["scheduled completed".to_owned(); 2], Some(BEGIN_MS + (settled + 20) * 1_000)));
}

#[tokio::test(start_paused = true)]
async fn a_failed_run_by_cron_is_tried_again_until_it_is_done() {
    let rig = rig_of(at_six(MissedRuns::Run), None, vec![down(), down(), page(&[], "", false)]);
    rig.after(60).await;
    assert_eq!(
        rig.runs(),
        [
            "scheduled failed by schedule 10-11: 0 pages 0 records 0 left out 2 attempts unavailable: busy",
            "scheduled completed by schedule 13-13: 1 pages 0 records 0 left out 1 attempts",
        ]
    );
    assert_eq!((rig.settled(), rig.asked().len()), (Some(13), 3));
}

#[tokio::test(start_paused = true)]
async fn missed_runs_are_made_up_for_once_or_skipped() {
    let days_ago = Some(BEGIN_MS - 5 * 86_400_000);
    let rig = rig_of(at_six(MissedRuns::Run), days_ago, Vec::new());
    rig.after(30).await;
    assert_eq!(
        rig.runs(),
        [
            "start completed by schedule 0-0: 1 pages 0 records 0 left out 1 attempts",
            "scheduled completed by schedule 10-10: 1 pages 0 records 0 left out 1 attempts",
        ]
    );
    let rig = rig_of(at_six(MissedRuns::Skip), days_ago, Vec::new());
    rig.after(30).await;
    assert_eq!(rig.runs(), ["scheduled completed by schedule 10-10: 1 pages 0 records 0 left out 1 attempts"]);
}

#[tokio::test(start_paused = true)]
async fn while_an_instance_is_held_nothing_is_recorded() {
    // For 20 seconds over six o'clock; run, as soon as it goes on.
    let rig = rig_of(at_six(MissedRuns::Run), None, (0..20).map(|_| held()).collect());
    rig.after(60).await;
    assert_eq!(rig.runs(), ["scheduled completed by schedule 30-30: 1 pages 0 records 0 left out 1 attempts"]);
    // Skip: tomorrow.
    let rig = rig_of(at_six(MissedRuns::Skip), None, vec![held()]);
    rig.after(60).await;
    assert_eq!((rig.runs(), rig.asked().len(), rig.settled()), (Vec::new(), 1, Some(10)));
    // Who asks by hand hears of it.
    let rig = rig_of(at_six(MissedRuns::Run), None, vec![held()]);
    rig.pulls.sync("desk", "ada").await.expect("begins");
    rig.after(5).await;
    assert_eq!(rig.runs(), ["manual failed by ada 0-0: 0 pages 0 records 0 left out 1 attempts the instance is held: paused"]);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_pulling_ends_what_is_recorded() {
    let rig = rig_of(at_six(MissedRuns::Run), None, endless());
    rig.after(12).await;
    rig.pulls.stop().await;
    let runs = rig.runs();
    assert!(runs.len() == 1 && runs[0].starts_with("scheduled failed by schedule 10-12: "), "{runs:?}");
    assert!(runs[0].ends_with("the pulling was ended: the host stops, or its configuration changed"), "{runs:?}");
    // The next start takes it up.
    assert_eq!(rig.settled(), Some(0));
    assert_eq!(rig.pulls.sync("desk", "ada").await, Err(SyncRefused::Unknown));
    assert_eq!(rig.runs().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn from_the_beginning_within_a_run_under_way() {
    let mut answers = endless();
    answers.truncate(10);
    let rig = rig_of(at_six(MissedRuns::Run), None, answers);
    let run = rig.pulls.sync("desk", "ada").await.expect("begins");
    rig.after(1).await;
    assert_eq!(rig.pulls.anew("desk", "ada").await, Ok(run.id));
    rig.after(5).await;
    assert!(rig.asked()[1..].contains(&"desk@".to_owned()), "{:?}", rig.asked());
    assert_eq!(rig.runs().len(), 1);
    // And without one.
    let again = rig.pulls.anew("desk", "ada").await.expect("begins");
    rig.after(1).await;
    assert_eq!((rig.runs().len(), rig.asked().last().map(String::as_str)), (2, Some("desk@")));
    assert_ne!(again, run.id);
}

#[tokio::test(start_paused = true)]
async fn what_an_event_asked_for_is_tried_again_until_it_is_done() {
    let rig = rig_of(at_six(MissedRuns::Run), None, vec![down(), down(), page(&[r#"{"id":"1"}"#], "1", false)]);
    rig.after(1).await;
    assert_eq!(rig.pulls.ask("other", "subscription:s").await, Err(SyncRefused::Unknown));
    let id = rig.pulls.ask("desk", "subscription:s").await.expect("on disk");
    // Who asks before it begins gets the same.
    assert_eq!(rig.pulls.ask("desk", "subscription:t").await, Ok(id));
    rig.when("it is done", |world| world.wanted.lock().expect("whole").is_none()).await;
    assert_eq!(
        rig.courses()[..2],
        [
            "event failed by subscription:s: 0 pages 0 records 0 left out 2 attempts unavailable: busy",
            "event completed by subscription:s: 1 pages 1 records 0 left out 1 attempts",
        ]
    );
    assert_eq!(rig.world.runs.lock().expect("whole")[0].id, id);
    // Six o'clock is tomorrow's by now, or has a run of its own; either way nothing more comes of the event.
    rig.after(300).await;
    assert_eq!(rig.runs().iter().filter(|run| run.starts_with("event")).count(), 2, "{:?}", rig.runs());
}

#[tokio::test(start_paused = true)]
async fn who_asks_during_a_run_gets_one_behind_it_and_the_end_of_the_pulling_loses_none() {
    let mut answers = endless();
    answers.truncate(10);
    let rig = rig_of(at_six(MissedRuns::Skip), None, answers);
    let first = rig.pulls.ask("desk", "subscription:s").await.expect("on disk");
    rig.when("it is under way", |world| world.asked.lock().expect("whole").len() > 2).await;
    let second = rig.pulls.ask("desk", "subscription:s").await.expect("on disk");
    assert_ne!(first, second);
    rig.pulls.stop().await;
    assert!(rig.world.wanted.lock().expect("whole").is_some(), "the next start has it");

    // Held while it is asked for: waited for, though what is missed of the schedule is skipped.
    let rig = rig_of(at_six(MissedRuns::Skip), None, (0..30).map(|_| held()).collect());
    rig.pulls.ask("desk", "subscription:s").await.expect("on disk");
    rig.when("it is done", |world| world.wanted.lock().expect("whole").is_none()).await;
    assert!(rig.runs().iter().any(|run| run.starts_with("event completed by subscription:s 3")), "{:?}", rig.runs());
    assert!(!rig.runs().iter().any(|run| run.contains("failed")), "{:?}", rig.runs());
}

#[tokio::test(start_paused = true)]
async fn what_an_event_asked_for_goes_with_the_lease_and_waits_for_the_store() {
    let rig = rig_of(at_six(MissedRuns::Run), None, Vec::new());
    rig.world.hand(2, true);
    rig.after(2).await;
    // Asked here, where the lease is not.
    let id = rig.pulls.ask("desk", "subscription:s").await.expect("on disk");
    rig.after(30).await;
    assert_eq!((rig.asked().len(), rig.world.wanted.lock().expect("whole").as_ref().map(|wanted| wanted.id)), (0, Some(id)));
    rig.world.hand(3, true);
    rig.when("it is done", |world| world.wanted.lock().expect("whole").is_none()).await;
    assert!(rig.courses().iter().any(|run| run.starts_with("event completed by subscription:s: 1 pages")), "{:?}", rig.runs());

    rig.world.broken.store(true, Ordering::SeqCst);
    assert_eq!(rig.pulls.ask("desk", "subscription:s").await, Err(SyncRefused::Store("the disk is full".into())));
    rig.world.broken.store(false, Ordering::SeqCst);
    // Asked on another host: this one hears of it.
    *rig.world.wanted.lock().expect("whole") = Some(AskedRun { id: Uuid::now_v7(), by: "subscription:far".into(), begun: false });
    rig.pulls.asked_elsewhere(&["nobody".into(), "desk".into()]);
    rig.when("it is done", |world| world.wanted.lock().expect("whole").is_none()).await;
    assert!(rig.courses().iter().any(|run| run.contains("by subscription:far")), "{:?}", rig.runs());
}

#[tokio::test(start_paused = true)]
async fn a_schedule_that_does_not_count_begins_nothing_by_itself() {
    let rig = rig_of(PullSettings { active: false, ..at_six(MissedRuns::Run) }, Some(BEGIN_MS - 5 * 86_400_000), vec![page(&[], "", false), down()]);
    rig.after(3 * 86_400).await;
    assert_eq!((rig.asked().len(), rig.pulls.schedules()[0].1.next_ms), (0, None));
    rig.pulls.sync("desk", "ada").await.expect("begins");
    rig.after(5).await;
    // What an event asks for is tried again, as ever.
    rig.pulls.ask("desk", "subscription:s").await.expect("on disk");
    rig.when("it is done", |world| world.wanted.lock().expect("whole").is_none()).await;
    let runs = rig.courses();
    let begins = ["manual completed by ada", "event failed by subscription:s", "event completed by subscription:s"];
    assert!(runs.len() == 3 && runs.iter().zip(begins).all(|(run, begin)| run.starts_with(begin)), "{runs:?}");
}
