use super::*;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// 2026-11-26T00:00:00Z.
const MIDNIGHT: i64 = 1_795_651_200_000;

/// Both clocks; the timer is looked at as often as it says.
struct World {
    timer: Timer,
    wall: i64,
    monotonic: i64,
    /// When it was due, since midnight by the wall clock.
    due: Vec<i64>,
}

impl World {
    fn new(text: &str, settled: i64, at: i64) -> Self {
        let cron = Cron::new(text, "UTC").expect("an expression");
        let timer = Timer::new(cron, MIDNIGHT + settled, MIDNIGHT + at, Duration::from_secs(5));
        Self { timer, wall: MIDNIGHT + at, monotonic: 5_000, due: Vec::new() }
    }

    /// Time goes by, by both clocks.
    fn pass(mut self, mut time: i64) -> Self {
        loop {
            let wait = match self.timer.look(self.wall, Duration::from_millis(self.monotonic as u64)) {
                Look::Due => {
                    self.due.push(self.wall - MIDNIGHT);
                    continue;
                }
                Look::Wait(wait, _) => i64::try_from(wait.as_millis()).expect("short").clamp(1, 10_000),
            };
            let step = wait.min(time);
            if step == 0 {
                return self;
            }
            (self.wall, self.monotonic, time) = (self.wall + step, self.monotonic + step, time - step);
        }
    }

    /// Somebody sets the wall clock.
    fn jump(mut self, by: i64) -> Self {
        self.wall += by;
        self
    }

    #[track_caller]
    fn was_due(self, want: &[i64]) {
        assert_eq!(self.due, want);
    }
}

#[test]
fn it_is_due_at_its_times() {
    World::new("0 6 * * *", 0, 0).pass(2 * DAY).was_due(&[6 * HOUR, DAY + 6 * HOUR]);
    World::new("*/20 * * * *", 0, 0).pass(HOUR).was_due(&[20 * MINUTE, 40 * MINUTE, HOUR]);
    let mut world = World::new("0 6 * * *", 0, 0);
    assert_eq!(world.timer.look(world.wall, Duration::ZERO), Look::Wait(LOOK, Some(MIDNIGHT + 6 * HOUR)));
    assert_eq!(world.timer.look(MIDNIGHT + 6 * HOUR - 300, Duration::ZERO), Look::Wait(Duration::from_millis(300), Some(MIDNIGHT + 6 * HOUR)));
}

#[test]
fn what_was_missed_is_known_and_due_once() {
    let world = World::new("0 6 * * *", -3 * DAY, HOUR);
    assert!(world.timer.is_behind(world.wall));
    world.pass(DAY).was_due(&[HOUR, 6 * HOUR]);
    let mut skipped = World::new("0 6 * * *", -3 * DAY, HOUR);
    skipped.timer.settle(skipped.wall);
    assert!(!skipped.timer.is_behind(skipped.wall));
    skipped.pass(DAY).was_due(&[6 * HOUR]);
}

#[test]
fn a_clock_that_jumps_ahead_leaves_nothing_out_and_repeats_nothing() {
    // Over one time, over several, and over none.
    World::new("0 6 * * *", 0, 5 * HOUR).pass(MINUTE).jump(2 * HOUR).pass(DAY).was_due(&[7 * HOUR + MINUTE, DAY + 6 * HOUR]);
    World::new("0 6 * * *", 0, 5 * HOUR).pass(MINUTE).jump(3 * DAY).pass(DAY).was_due(&[3 * DAY + 5 * HOUR + MINUTE, 3 * DAY + 6 * HOUR]);
    World::new("0 6 * * *", 7 * HOUR, 7 * HOUR).pass(MINUTE).jump(2 * HOUR).pass(DAY).was_due(&[DAY + 6 * HOUR]);
}

#[test]
fn a_clock_that_is_set_back_repeats_no_time_of_the_day() {
    // An hour, just after six; some seconds; a second before it would have been.
    World::new("0 6 * * *", 0, 5 * HOUR).pass(HOUR + MINUTE).jump(-HOUR).pass(DAY + HOUR).was_due(&[6 * HOUR, DAY + 6 * HOUR]);
    World::new("0 6 * * *", 0, 5 * HOUR).pass(HOUR).jump(-3_000).pass(DAY + 3_000).was_due(&[6 * HOUR, DAY + 6 * HOUR]);
    World::new("0 6 * * *", 0, 5 * HOUR).pass(HOUR - 1_000).jump(-HOUR).pass(2 * HOUR).was_due(&[6 * HOUR]);
    // Of two times close to each other.
    World::new("0 6,7 * * *", 0, 5 * HOUR).pass(2 * HOUR + MINUTE).jump(-90 * MINUTE).pass(DAY).was_due(&[6 * HOUR, 7 * HOUR]);
    // It was days ahead: it goes by the right days from now on, half a day later at the latest.
    let world = World::new("0 6 * * *", 0, 5 * HOUR).jump(30 * DAY).pass(2 * HOUR).jump(-30 * DAY).pass(2 * DAY);
    world.was_due(&[30 * DAY + 5 * HOUR, 30 * DAY + 6 * HOUR, DAY + 6 * HOUR, 2 * DAY + 6 * HOUR]);
}

#[test]
fn a_clock_that_is_set_back_does_not_stop_what_runs_all_the_time() {
    let world = World::new("* * * * *", 0, 0).pass(3 * MINUTE).jump(-2 * HOUR).pass(3 * MINUTE);
    // 02:03 back to 00:03, in other words.
    world.was_due(&[MINUTE, 2 * MINUTE, 3 * MINUTE, 4 * MINUTE - 2 * HOUR, 5 * MINUTE - 2 * HOUR, 6 * MINUTE - 2 * HOUR]);
    let world = World::new("0 * * * *", 0, 0).pass(HOUR + 10 * MINUTE).jump(-20 * MINUTE).pass(2 * HOUR);
    // One o'clock comes again after ten minutes, and is passed over.
    world.was_due(&[HOUR, 2 * HOUR]);
}

#[test]
fn a_clock_that_was_set_back_while_the_host_was_down() {
    // Settled at 06:00:30, started at "05:59": six o'clock is not run again, every minute is.
    World::new("0 6 * * *", 6 * HOUR + 30_000, 6 * HOUR - MINUTE).pass(DAY).was_due(&[]);
    World::new("* * * * *", 6 * HOUR + 30_000, 5 * HOUR).pass(2 * MINUTE).was_due(&[5 * HOUR + MINUTE, 5 * HOUR + 2 * MINUTE]);
    // A year ahead: at most half a day is waited more.
    World::new("0 6 * * *", 365 * DAY, 0).pass(2 * DAY).was_due(&[DAY + 6 * HOUR]);
}
