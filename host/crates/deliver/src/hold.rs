//! Why an instance sends nothing although its receiver may be well: people must act, or its guests break
//! on everything. The events wait; now and then one batch probes. Pure: time is an argument.
//!
//! An event that breaks a guest alone, twice, on fresh stores is to blame itself. When different events do
//! so in a row and nothing succeeds in between, the guest is to blame, and the instance is quarantined. An
//! event that breaks it again after others were served is to blame after all.

use std::time::Duration;

/// Why the instance is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldCause {
    /// The receiver refused the credential.
    Unauthorized,
    /// The configuration cannot work.
    Configuration,
    /// Guests cannot be opened, or different events break them.
    Quarantine,
    /// The component was revoked.
    Revoked,
    /// By hand; only by hand it goes on.
    Paused,
}

impl HoldCause {
    pub fn name(self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::Configuration => "configuration",
            Self::Quarantine => "quarantine",
            Self::Revoked => "revoked",
            Self::Paused => "paused",
        }
    }
}

/// First wait, doubled from probe to probe.
const FIRST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(300);
/// Different events blamed in a row, none delivered in between, that put the blame on the guest.
pub const BLAMED_IN_A_ROW: u32 = 5;
/// The same for a version that was activated a moment ago and has served nothing yet: the one before it
/// stands ready, so the first event is enough.
const BLAMED_ON_TRIAL: u32 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    Free,
    /// The one call that finds out.
    Probe,
    Until(Duration),
    /// A probe is under way, or people must act.
    Wait,
}

#[derive(Debug, Default)]
pub struct Hold {
    held: Option<Held>,
    paused: bool,
    rounds: u32,
    blamed: u32,
    served: u64,
    trial: bool,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    cause: HoldCause,
    until: Duration,
    probing: bool,
}

impl Hold {
    /// For a component that is new here where `trial`.
    pub fn new(trial: bool) -> Self {
        Self { trial, ..Self::default() }
    }

    fn bearable(&self) -> u32 {
        if self.trial && self.served == 0 { BLAMED_ON_TRIAL } else { BLAMED_IN_A_ROW }
    }

    pub fn cause(&self) -> Option<HoldCause> {
        if self.paused { Some(HoldCause::Paused) } else { self.held.map(|held| held.cause) }
    }

    /// When the next probe may go.
    pub fn until(&self) -> Option<Duration> {
        self.held.filter(|_| !self.paused).map(|held| held.until)
    }

    pub fn ask(&mut self, now: Duration) -> Leave {
        if self.paused {
            return Leave::Wait;
        }
        match &mut self.held {
            None => Leave::Free,
            Some(held) if held.probing => Leave::Wait,
            Some(held) if now < held.until => Leave::Until(held.until),
            Some(held) => {
                held.probing = true;
                Leave::Probe
            }
        }
    }

    /// Holds the instance; longer each time until something succeeds. Returns the time of the next probe,
    /// and whether this is news. A failure of calls that began before changes nothing while no probe runs.
    pub fn hold(&mut self, cause: HoldCause, now: Duration) -> (Duration, bool) {
        if let Some(held) = &mut self.held
            && !held.probing
        {
            return (held.until, false);
        }
        let news = self.held.is_none_or(|held| held.cause != cause);
        let until = now + FIRST.saturating_mul(1 << self.rounds.min(16)).min(LONGEST);
        self.rounds = self.rounds.saturating_add(1);
        self.held = Some(Held { cause, until, probing: false });
        self.blamed = 0;
        (until, news)
    }

    /// A guest served a call to its end. Returns the cause that is over, if any.
    pub fn served(&mut self) -> Option<HoldCause> {
        self.served += 1;
        self.blamed = 0;
        self.rounds = 0;
        self.held.take().map(|held| held.cause)
    }

    /// Calls that guests served to their end.
    pub fn count_served(&self) -> u64 {
        self.served
    }

    /// The probe ended without an answer.
    pub fn abandon_probe(&mut self) {
        if let Some(held) = &mut self.held {
            held.probing = false;
        }
    }

    /// One more event broke a fresh guest twice, alone. True where the guest itself is to blame by now.
    pub fn blame(&mut self) -> bool {
        self.blamed += 1;
        self.blamed >= self.bearable()
    }

    /// Whether the guest itself is to blame for what broke it: it has served nothing since others broke
    /// it in a row, or since its quarantine began.
    pub fn blamed(&self) -> bool {
        self.blamed >= self.bearable() || self.held.is_some_and(|held| held.cause == HoldCause::Quarantine)
    }

    pub fn pause(&mut self) {
        self.paused = true;
    }

    /// By hand: goes on at once, with one probe where something was wrong.
    pub fn resume(&mut self, now: Duration) {
        self.paused = false;
        self.rounds = 0;
        if let Some(held) = &mut self.held {
            held.until = now;
            held.probing = false;
        }
    }
}

#[cfg(test)]
mod tests;
