//! How often wrong credentials may come from one place, or for one name. Secrets of keys have some 380 random
//! bits and are not guessed; there this keeps the noise of trying, and the work for it, small. Passwords
//! and codes of people are guessed: there it is what holds.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use bulkhead_core::TokenBucket;

/// Sources that are remembered; beyond it the one that has been quiet longest is forgotten.
pub const MOST_SOURCES: usize = 4_096;
/// Wrong credentials at once.
const AT_ONCE: u64 = 10;

/// What guesses are counted by.
pub trait Source: Clone + Eq + Hash {
    /// Seconds that bring one more.
    const EACH: u64;

    /// What stands for all that look different and are the same.
    fn source(self) -> Self {
        self
    }
}

impl Source for IpAddr {
    const EACH: u64 = 30;

    /// An address, or a network of 64 bits in IPv6, which is what one customer is given.
    fn source(self) -> Self {
        match self.to_canonical() {
            Self::V6(addr) if addr != Ipv6Addr::LOCALHOST => Self::V6(Ipv6Addr::from_bits(addr.to_bits() & !u128::from(u64::MAX))),
            addr => addr,
        }
    }
}

/// Wrong credentials by where they came from, or for whom they were.
#[derive(Debug)]
pub struct Guesses<S = IpAddr> {
    by_source: HashMap<S, TokenBucket>,
}

impl<S> Default for Guesses<S> {
    fn default() -> Self {
        Self { by_source: HashMap::new() }
    }
}

impl<S: Source> Guesses<S> {
    /// Whether credentials from there are looked at now, or after how long. Right ones are not looked at
    /// either: an answer would tell a guess that was right from one that was wrong.
    pub fn check(&mut self, from: S, now: Duration) -> Result<(), Duration> {
        match self.by_source.get_mut(&from.source()).map_or(Duration::ZERO, |bucket| bucket.wait(S::EACH, now)) {
            Duration::ZERO => Ok(()),
            wait => Err(wait),
        }
    }

    /// Wrong credentials came from there.
    pub fn wrong(&mut self, from: S, now: Duration) {
        let source = from.source();
        if !self.by_source.contains_key(&source) {
            self.make_room(now);
        }
        let bucket = self.by_source.entry(source).or_insert_with(|| TokenBucket::new(1, AT_ONCE * S::EACH));
        // Time first: a new bucket begins now.
        let _ = bucket.wait(0, now);
        bucket.pay(S::EACH);
    }

    fn make_room(&mut self, now: Duration) {
        if self.by_source.len() < MOST_SOURCES {
            return;
        }
        self.by_source.retain(|_, bucket| bucket.wait(AT_ONCE * S::EACH, now) > Duration::ZERO);
        if self.by_source.len() >= MOST_SOURCES {
            let debts = self.by_source.iter_mut().map(|(source, bucket)| (bucket.wait(AT_ONCE * S::EACH, now), source));
            if let Some(quietest) = debts.min_by_key(|(debt, _)| *debt).map(|(_, source)| source.clone()) {
                self.by_source.remove(&quietest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::person::Person;
    use crate::user::UserName;

    const EACH: u64 = <IpAddr as Source>::EACH;

    fn addr(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn ten_wrong_ones_close_a_source_and_time_opens_it() {
        let mut guesses = Guesses::default();
        let (bad, good) = (addr("203.0.113.9"), addr("203.0.113.10"));
        let start = seconds(5_000);
        for n in 0..AT_ONCE {
            assert_eq!(guesses.check(bad, start), Ok(()), "{n}");
            guesses.wrong(bad, start);
        }
        assert_eq!(guesses.check(bad, start), Err(seconds(EACH)));
        assert_eq!(guesses.check(addr("::ffff:203.0.113.9"), start), Err(seconds(EACH)), "the same in other clothes");
        assert_eq!(guesses.check(good, start), Ok(()), "others are not concerned");
        assert_eq!(guesses.check(bad, start + seconds(EACH - 1)), Err(seconds(1)));
        assert_eq!(guesses.check(bad, start + seconds(EACH)), Ok(()));
        guesses.wrong(bad, start + seconds(EACH));
        assert_eq!(guesses.check(bad, start + seconds(EACH)), Err(seconds(EACH)), "one more, not ten");
    }

    #[test]
    fn a_network_of_64_bits_is_one_source() {
        let mut guesses = Guesses::default();
        for n in 0..AT_ONCE {
            guesses.wrong(addr(&format!("2001:db8::{n}")), seconds(0));
        }
        assert!(guesses.check(addr("2001:db8::ffff"), seconds(0)).is_err());
        assert_eq!(guesses.check(addr("2001:db8:0:1::1"), seconds(0)), Ok(()));
    }

    #[test]
    fn names_are_counted_apart_and_recover_more_slowly() {
        let mut guesses = Guesses::<Person>::default();
        let name = |text: &str| Person::User(UserName::parse(text).expect("a name"));
        for _ in 0..AT_ONCE {
            guesses.wrong(name("ada"), seconds(0));
        }
        assert_eq!(guesses.check(name("Ada"), seconds(0)), Err(seconds(60)));
        assert_eq!(guesses.check(name("eve"), seconds(0)), Ok(()));
        assert_eq!(guesses.check(name("ada"), seconds(60)), Ok(()));
    }

    #[test]
    fn memory_has_a_bound_and_forgets_the_quietest() {
        let mut guesses = Guesses::default();
        let nth = |n: u32| IpAddr::from(std::net::Ipv4Addr::from_bits(n));
        for n in 0..2 * MOST_SOURCES as u32 {
            guesses.wrong(nth(n), seconds(u64::from(n / 1_000)));
        }
        assert_eq!(guesses.by_source.len(), MOST_SOURCES);
        assert!(guesses.by_source.contains_key(&nth(2 * MOST_SOURCES as u32 - 1)) && !guesses.by_source.contains_key(&nth(0)));
        // All have recovered: one more finds room.
        guesses.wrong(nth(1 << 20), seconds(1_000_000));
        assert_eq!(guesses.by_source.len(), 1);
    }
}
