use super::*;
use crate::pull::cron::Cron;

const S: Duration = Duration::from_secs(1);
/// 2026-11-26T05:59:50Z.
const NOW: i64 = 1_795_672_790_000;
use SyncTrigger::{Manual, Scheduled, Start};

fn cron() -> When {
    let cron = Cron::new("0 6 * * *", "UTC").expect("an expression");
    When::cron(Timer::new(cron, NOW, NOW, Duration::ZERO))
}

#[test]
fn an_interval_begins_at_once_and_counts_from_the_end() {
    let mut when = When::every(60 * S, S);
    assert_eq!(when.look(NOW, S), Turn::Run { trigger: Start, again: false });
    when.settle(NOW, 5 * S);
    // By the monotonic clock, whatever the wall clock says.
    assert_eq!(when.look(NOW - 1_000_000, 6 * S), Turn::Wait(59 * S, Some(NOW - 1_000_000 + 59_000)));
    assert_eq!(when.look(NOW, 65 * S), Turn::Run { trigger: Scheduled, again: false });
    when.again(Scheduled, 65 * S, 2 * S);
    assert_eq!(when.look(NOW, 66 * S), Turn::Wait(S, Some(NOW + 1_000)));
    assert_eq!(when.look(NOW, 67 * S), Turn::Run { trigger: Scheduled, again: true });
    when.again(Manual, 67 * S, S);
    assert_eq!(when.look(NOW, 68 * S), Turn::Run { trigger: Scheduled, again: true });
}

#[test]
fn cron_is_tried_again_until_it_is_settled() {
    let mut when = cron();
    assert_eq!(when.look(NOW, Duration::ZERO), Turn::Wait(10 * S, Some(NOW + 10_000)));
    assert_eq!(when.look(NOW + 10_000, 10 * S), Turn::Run { trigger: Scheduled, again: false });
    when.again(Scheduled, 10 * S, 4 * S);
    assert_eq!(when.look(NOW + 11_000, 11 * S), Turn::Wait(3 * S, Some(NOW + 14_000)));
    assert_eq!(when.look(NOW + 14_000, 14 * S), Turn::Run { trigger: Scheduled, again: true });
    // Days later: one run for all of them.
    let days = 3 * 86_400_000;
    when.settle(NOW + days, 20 * S);
    assert_eq!(when.look(NOW + days, 20 * S), Turn::Wait(10 * S, Some(NOW + days + 10_000)));
}

#[test]
fn by_hand_nothing_is_tried_again_but_with_what_was_due() {
    let mut when = cron();
    when.again(Manual, S, S);
    assert_eq!(when.look(NOW, 2 * S), Turn::Wait(10 * S, Some(NOW + 10_000)));
    when.again(Scheduled, S, S);
    when.again(Manual, S, 5 * S);
    assert_eq!(when.look(NOW, 6 * S), Turn::Run { trigger: Scheduled, again: true });
}

#[test]
fn what_was_missed_comes_first() {
    let mut when = cron().with_missed(S);
    assert_eq!(when.look(NOW, S), Turn::Run { trigger: Start, again: false });
    when.settle(NOW, 2 * S);
    assert_eq!(when.look(NOW, 2 * S), Turn::Wait(10 * S, Some(NOW + 10_000)));
}
