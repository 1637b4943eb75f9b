//! One chain: which event it stands at, what came lately, what waits for the one before it.
//!
//! An event that does not follow on the head waits: the one before it may be late. Only when more wait
//! than `reorder`, or one waits longer than `late`, is there a gap, and the chain goes on behind it. What
//! comes twice is known by its hash and passes. A finding is told once and opens an incident; further ones
//! of its kind are counted until the chain is whole again: after [`HEAL`] events in a row that follow, or
//! when all that was missing has come.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Events in a row that follow on each other, after which a chain is whole again.
pub const HEAL: u32 = 32;

/// A name for a hash or a number, short and of one size.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Id([u8; 16]);

impl Id {
    /// Of a hash as it is compared, or of anything else that names one thing.
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let mut id = [0; 16];
        id.copy_from_slice(&hash.finalize()[..16]);
        Self(id)
    }
}

impl std::fmt::Debug for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from(*self))
    }
}

impl From<Id> for String {
    fn from(id: Id) -> Self {
        format!("{:032x}", u128::from_be_bytes(id.0))
    }
}

impl TryFrom<String> for Id {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        u128::from_str_radix(&text, 16).map(|number| Self(number.to_be_bytes()))
    }
}

/// What an event says of its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    pub id: Id,
    /// Nothing for the first of a chain.
    pub previous: Option<Id>,
    pub sequence: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Gap,
    Fork,
    Tampered,
    Restarted,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Gap, Self::Fork, Self::Tampered, Self::Restarted];

    pub fn name(self) -> &'static str {
        match self {
            Self::Gap => "gap",
            Self::Fork => "fork",
            Self::Tampered => "tampered",
            Self::Restarted => "restarted",
        }
    }
}

/// What exactly is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The event before did not come.
    Missing,
    /// It follows on the one before, yet its number does not.
    Sequence { expected: u64, found: u64 },
    /// Another event follows on the same one.
    SamePrevious,
    /// The hash is another than that of what it stands for.
    Mismatch,
    /// There is no hash.
    NoHash,
    /// The hash, the one before, or the number is nothing of the kind.
    Malformed,
    /// The chain begins anew.
    NewStart,
}

impl Reason {
    pub fn name(self) -> &'static str {
        match self {
            Self::Missing => "previous_missing",
            Self::Sequence { .. } => "sequence",
            Self::SamePrevious => "same_previous",
            Self::Mismatch => "hash_differs",
            Self::NoHash => "hash_missing",
            Self::Malformed => "malformed",
            Self::NewStart => "new_start",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding {
    pub kind: Kind,
    pub reason: Reason,
    /// The event it was found at: the journal's number.
    pub at: u64,
}

/// Findings of an incident by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    pub gap: u64,
    pub fork: u64,
    pub tampered: u64,
    pub restarted: u64,
}

impl Counts {
    pub fn of(&self, kind: Kind) -> u64 {
        match kind {
            Kind::Gap => self.gap,
            Kind::Fork => self.fork,
            Kind::Tampered => self.tampered,
            Kind::Restarted => self.restarted,
        }
    }

    fn add(&mut self, kind: Kind) -> u64 {
        let count = match kind {
            Kind::Gap => &mut self.gap,
            Kind::Fork => &mut self.fork,
            Kind::Tampered => &mut self.tampered,
            Kind::Restarted => &mut self.restarted,
        };
        *count += 1;
        *count
    }
}

/// A chain that is whole again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resolved {
    /// All that was found since it was not.
    pub counts: Counts,
    /// Everything that was missing has come.
    pub complete: bool,
    pub at: u64,
}

/// What a chain has to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// `first` of its kind since the chain was whole: to be told; the others are only counted.
    Found {
        finding: Finding,
        first: bool,
    },
    Resolved(Resolved),
}

/// How patient a chain is.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Events that may wait for one that is late.
    pub reorder: usize,
    /// How long one may wait.
    pub late: Duration,
    /// Events that are known when they are sent again.
    pub remember: usize,
}

impl Patience {
    fn room(&self) -> usize {
        self.remember.max(2 * self.reorder + 1)
    }
}

/// What is remembered of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    id: Id,
    previous: Option<Id>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Waiting {
    link: Link,
    at: u64,
    /// Nanoseconds since 1970, so that it means the same after a restart.
    since: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Hole {
    /// What the event behind the gap follows on.
    wanted: Id,
    /// Where the chain stood.
    head: Option<Id>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Incident {
    counts: Counts,
    /// Events in a row that follow since the last finding.
    good: u32,
    /// Gaps that nothing has filled yet; the newest.
    holes: VecDeque<Hole>,
    /// Something else than gaps was found, or more gaps than are remembered.
    lasting: bool,
}

/// Gaps of one incident that are watched for what was missing.
const HOLES: usize = 8;

/// What is known of one chain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    head: Option<Link>,
    /// What came lately, oldest first, the head among them.
    recent: VecDeque<Place>,
    waiting: Vec<Waiting>,
    incident: Option<Incident>,
}

impl Chain {
    /// An event without fault of its own takes its place.
    pub fn event(&mut self, link: Link, at: u64, now: u64, patience: Patience, told: &mut Vec<Told>) {
        if self.knows(&link.id) {
            // Sent again. Where it names another predecessor its hash covers that or the check of the hash
            // has said so.
            return;
        }
        let room = patience.room();
        match (self.head, link.previous) {
            (None, _) => self.follow(link, at, room, told),
            (Some(head), Some(previous)) if previous == head.id => self.follow(link, at, room, told),
            // The first of all, and late: before what we know, or when we know hardly anything yet.
            (Some(_), None) if self.is_before(&link.id) || self.recent.len() <= patience.reorder => {
                self.remember(link, room);
                self.filled(at, told);
            }
            (Some(_), None) => {
                // What still waits belongs to the chain that ended.
                self.give_up(room, told);
                self.found(Kind::Restarted, Reason::NewStart, at, told);
                self.remember(link, room);
                self.head = Some(link);
            }
            (Some(_), Some(previous)) => {
                if self.recent.iter().any(|other| other.previous == Some(previous)) {
                    self.found(Kind::Fork, Reason::SamePrevious, at, told);
                    self.remember(link, room);
                } else if self.recent.iter().any(|other| other.id == previous) {
                    // Follows on something that nothing follows on: late, and no loss.
                    self.remember(link, room);
                    self.filled(at, told);
                } else if self.is_before(&link.id) {
                    // Stands before what we know: before all that we began with, or the last of what was
                    // missing while more of it is.
                    self.remember(link, room);
                    self.filled(at, told);
                } else {
                    self.waiting.push(Waiting { link, at, since: now });
                    if self.waiting.len() > patience.reorder {
                        self.open_gap(room, told);
                    }
                }
            }
        }
        self.drain(room, told);
    }

    /// Something is wrong with an event itself, whatever its place.
    pub fn fault(&mut self, kind: Kind, reason: Reason, at: u64, told: &mut Vec<Told>) {
        self.found(kind, reason, at, told);
    }

    /// Time has passed.
    pub fn tick(&mut self, now: u64, patience: Patience, told: &mut Vec<Told>) {
        let late = u64::try_from(patience.late.as_nanos()).unwrap_or(u64::MAX);
        let room = patience.room();
        while self.waiting.iter().any(|waiting| waiting.since.saturating_add(late) <= now) {
            self.open_gap(room, told);
            self.drain(room, told);
        }
    }

    /// Events that wait for one before them.
    pub fn waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub fn is_whole(&self) -> bool {
        self.incident.is_none()
    }

    pub(crate) fn knows(&self, id: &Id) -> bool {
        self.recent.iter().any(|link| link.id == *id) || self.waiting.iter().any(|waiting| waiting.link.id == *id)
    }

    fn follow(&mut self, link: Link, at: u64, room: usize, told: &mut Vec<Told>) {
        let expected = self.head.and_then(|head| head.sequence).and_then(|sequence| sequence.checked_add(1));
        self.remember(link, room);
        self.head = Some(link);
        match (expected, link.sequence) {
            (Some(expected), Some(found)) if expected != found => self.found(Kind::Gap, Reason::Sequence { expected, found }, at, told),
            _ => self.good(at, told),
        }
    }

    fn remember(&mut self, link: Link, room: usize) {
        self.recent.push_back(Place { id: link.id, previous: link.previous });
        while self.recent.len() > room {
            self.recent.pop_front();
        }
    }

    /// Takes what waits for the head.
    fn drain(&mut self, room: usize, told: &mut Vec<Told>) {
        loop {
            let known = |waiting: &Waiting, recent: &VecDeque<Place>| recent.iter().any(|link| Some(link.id) == waiting.link.previous);
            let Some(place) = self.waiting.iter().position(|waiting| known(waiting, &self.recent)) else { return };
            let Waiting { link, at, .. } = self.waiting.remove(place);
            if link.previous == self.head.map(|head| head.id) {
                self.follow(link, at, room, told);
            } else if self.recent.iter().any(|other| other.previous == link.previous) {
                self.found(Kind::Fork, Reason::SamePrevious, at, told);
                self.remember(link, room);
            } else {
                self.remember(link, room);
                self.filled(at, told);
            }
        }
    }

    /// Goes on behind what did not come: at the first of what waits that follows on nothing that waits.
    fn open_gap(&mut self, room: usize, told: &mut Vec<Told>) {
        let root = |waiting: &Waiting| !self.waiting.iter().any(|other| Some(other.link.id) == waiting.link.previous);
        // In a circle there is none: any will do.
        let place = self.waiting.iter().position(root).unwrap_or(0);
        if place >= self.waiting.len() {
            return;
        }
        let Waiting { link, at, .. } = self.waiting.remove(place);
        let hole = link.previous.map(|wanted| Hole { wanted, head: self.head.map(|head| head.id) });
        self.found(Kind::Gap, Reason::Missing, at, told);
        if let (Some(incident), Some(hole)) = (&mut self.incident, hole) {
            incident.holes.push_back(hole);
            if incident.holes.len() > HOLES {
                incident.holes.pop_front();
                incident.lasting = true;
            }
        }
        // Where the one behind it has come meanwhile, the chain stands further on already.
        let behind = !self.recent.iter().any(|other| other.previous == Some(link.id));
        self.remember(link, room);
        if behind {
            self.head = Some(link);
        }
    }

    /// What waits is behind gaps of a chain that has ended.
    fn give_up(&mut self, room: usize, told: &mut Vec<Told>) {
        while self.waits() {
            self.open_gap(room, told);
            self.drain(room, told);
        }
    }

    fn is_before(&self, id: &Id) -> bool {
        let hole = |incident: &Incident| incident.holes.iter().any(|hole| hole.wanted == *id);
        self.recent.iter().any(|other| other.previous == Some(*id)) || self.incident.as_ref().is_some_and(hole)
    }

    /// Something that was missing has come: looks whether all of a gap has.
    fn filled(&mut self, at: u64, told: &mut Vec<Told>) {
        let Some(incident) = &mut self.incident else { return };
        let recent = &self.recent;
        let whole = |hole: &Hole| {
            let mut place = Some(hole.wanted);
            for _ in 0..=recent.len() {
                if place.is_some() && place == hole.head {
                    return true;
                }
                let Some(link) = place.and_then(|id| recent.iter().find(|link| link.id == id)) else { return false };
                place = link.previous;
            }
            false
        };
        let before = incident.holes.len();
        incident.holes.retain(|hole| !whole(hole));
        if incident.holes.is_empty() && before > 0 && !incident.lasting {
            let counts = incident.counts;
            self.incident = None;
            told.push(Told::Resolved(Resolved { counts, complete: true, at }));
        }
    }

    fn found(&mut self, kind: Kind, reason: Reason, at: u64, told: &mut Vec<Told>) {
        let incident = self.incident.get_or_insert_default();
        incident.good = 0;
        incident.lasting |= reason != Reason::Missing;
        let first = incident.counts.add(kind) == 1;
        told.push(Told::Found { finding: Finding { kind, reason, at }, first });
    }

    fn good(&mut self, at: u64, told: &mut Vec<Told>) {
        let Some(incident) = &mut self.incident else { return };
        incident.good += 1;
        if incident.good >= HEAL {
            let counts = incident.counts;
            self.incident = None;
            told.push(Told::Resolved(Resolved { counts, complete: false, at }));
        }
    }
}

#[cfg(test)]
mod tests;
