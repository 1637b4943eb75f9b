//! Who owes what: the numbers of a round that were acknowledged against those that a lane delivered or
//! buried. Pure.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use anyhow::{Result, ensure};

/// What became of a round's events in one lane.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    pub lane: &'static str,
    /// Taken by the receiver, each once.
    pub delivered: u64,
    /// In the dead letters, and not delivered.
    pub dead: u64,
    /// In the dead letters although the receiver took them: it lost its answer, or the host died before it.
    pub both: u64,
    /// Taken again.
    pub duplicates: u64,
    /// Most duplicates that the crashes and lost answers explain.
    pub bound: u64,
}

/// Most events that one kill can make a lane send again. Each of its workers holds one batch, which may
/// have arrived without its answer having been read; and one more, answered and on its way to the
/// lane's log while the worker has the next one already.
pub fn in_flight(concurrency: u64, batch: u64) -> u64 {
    2 * concurrency * batch
}

/// Holds a round against its promises. `taken` says whether the receiver has a number.
pub fn settle(mut tally: Tally, sent: u64, acked: &[RangeInclusive<u64>], taken: impl Fn(u64) -> bool, buried: &BTreeSet<u64>) -> Result<Tally> {
    let lane = tally.lane;
    if let Some(stranger) = buried.iter().find(|number| **number >= sent) {
        anyhow::bail!("lane {lane}: a dead letter of event {stranger}, which was never sent");
    }
    let lost: Vec<u64> = acked.iter().cloned().flatten().filter(|number| !taken(*number) && !buried.contains(number)).take(5).collect();
    ensure!(lost.is_empty(), "lane {lane}: acknowledged, and neither delivered nor in the dead letters: {lost:?} and perhaps more");
    tally.both = buried.iter().filter(|number| taken(**number)).count() as u64;
    tally.dead = buried.len() as u64 - tally.both;
    ensure!(tally.delivered + tally.dead <= sent, "lane {lane}: {} delivered and {} dead letters of {sent} events", tally.delivered, tally.dead);
    ensure!(
        tally.duplicates + tally.both <= tally.bound,
        "lane {lane}: {} duplicates and {} events both delivered and dead-lettered, where crashes and lost answers explain {}",
        tally.duplicates,
        tally.both,
        tally.bound
    );
    Ok(tally)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(delivered: &[u64], buried: &[u64], duplicates: u64) -> Result<Tally, String> {
        let tally = Tally { lane: "siem", delivered: delivered.len() as u64, duplicates, bound: 3, ..Tally::default() };
        settle(tally, 10, &[0..=3, 6..=7], |number| delivered.contains(&number), &buried.iter().copied().collect()).map_err(|error| error.to_string())
    }

    #[test]
    fn what_was_acknowledged_is_delivered_or_buried() {
        // 4 was sent and not acknowledged: it may arrive.
        let tally = verdict(&[0, 1, 2, 3, 4, 6], &[7, 2], 2).expect("in order");
        assert_eq!((tally.delivered, tally.dead, tally.both), (6, 1, 1));
        assert!(verdict(&[0, 1, 3, 6], &[7], 0).expect_err("2 is lost").contains("[2]"));
        assert!(verdict(&[0, 1, 2, 3, 6], &[7, 11], 0).expect_err("never sent").contains("event 11"));
    }

    #[test]
    fn duplicates_are_bounded_by_what_was_in_flight() {
        assert_eq!(in_flight(4, 100), 800);
        assert!(verdict(&[0, 1, 2, 3, 6, 7], &[], 3).is_ok());
        assert!(verdict(&[0, 1, 2, 3, 6, 7], &[], 4).expect_err("too many").contains("4 duplicates"));
        assert!(verdict(&[0, 1, 2, 3, 6, 7], &[7], 3).expect_err("too many").contains("1 events both"));
    }
}
