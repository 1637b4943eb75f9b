//! Rules: which fields of an event are its place in a chain, and how its hash is made; and what is known
//! of all chains of a rule, bounded: beyond `max_chains` the one that was quiet longest is forgotten, and
//! begins anew, without a finding, where it goes on.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256, Sha512};
use subtle::ConstantTimeEq as _;

use crate::canonical::Form;
use crate::chain::{Chain, Id, Kind, Link, Patience, Reason, Told};

/// Longest hash that is looked at, as text.
const LONGEST_HASH: usize = 256;
/// Characters of a chain's name that are shown.
const SHOWN: usize = 128;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    Sha256,
    Sha512,
    HmacSha256,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Either case.
    Hex,
    /// RFC 4648 §4, padded or not.
    Base64,
}

/// Where an event says its place, as JSON pointers into it as it was sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields {
    pub hash: Option<String>,
    pub previous: Option<String>,
    pub sequence: Option<String>,
    /// What tells chains apart; the event's source where empty.
    pub chain: Vec<String>,
}

/// How a hash is made again.
pub struct Check {
    pub algorithm: Algorithm,
    pub encoding: Encoding,
    pub form: Form,
    /// Of `hmac-sha256`; it is never shown.
    pub secret: Vec<u8>,
}

pub struct Rule {
    pub fields: Fields,
    /// Absent: only the places of events are looked at.
    pub check: Option<Check>,
    pub patience: Patience,
    pub max_chains: usize,
    /// Changes where the rule means something else: what was known of its chains is then worth nothing.
    pub definition: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    #[error("without `previous` or `sequence` nothing says which event follows on which")]
    NoOrder,
    #[error("`previous` is the hash of another event, so `hash` must be there too")]
    NoHash,
}

/// One thing to be told or counted of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The chain's name, cut.
    pub chain: String,
    pub told: Told,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    pub chains: usize,
    /// Of them, those that are not whole.
    pub broken: usize,
    /// Forgotten for want of room, since the start.
    pub forgotten: u64,
}

/// What is known of a rule's chains, to be written down.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Saved {
    definition: String,
    /// Those that were quiet longest come first.
    chains: Vec<(Id, String, Chain)>,
}

/// A rule at work.
pub struct Verifier {
    rule: Rule,
    chains: HashMap<Id, Known>,
    uses: u64,
    forgotten: u64,
    told: Vec<Told>,
}

struct Known {
    name: String,
    chain: Chain,
    used: u64,
}

/// Whether text is a pointer (RFC 6901); the empty one is the whole.
pub fn pointer_is_sound(text: &str) -> bool {
    text.is_empty() || (text.starts_with('/') && text.split('~').skip(1).all(|behind| behind.starts_with(['0', '1'])))
}

impl Verifier {
    pub fn new(rule: Rule) -> Result<Self, SetupError> {
        if rule.fields.previous.is_none() && rule.fields.sequence.is_none() {
            return Err(SetupError::NoOrder);
        }
        if (rule.fields.previous.is_some() || rule.check.is_some()) && rule.fields.hash.is_none() {
            return Err(SetupError::NoHash);
        }
        Ok(Self { rule, chains: HashMap::new(), uses: 0, forgotten: 0, told: Vec::new() })
    }

    /// Takes up what an earlier process knew, where it had the same rule.
    pub fn restore(&mut self, saved: Saved) {
        if saved.definition != self.rule.definition {
            return;
        }
        for (id, name, chain) in saved.chains {
            self.uses += 1;
            self.chains.insert(id, Known { name, chain, used: self.uses });
        }
        self.make_room(0);
    }

    pub fn save(&self) -> Saved {
        let mut chains: Vec<_> = self.chains.iter().map(|(id, known)| (known.used, *id, known)).collect();
        chains.sort_unstable_by_key(|(used, ..)| *used);
        let chains = chains.into_iter().map(|(_, id, known)| (id, known.name.clone(), known.chain.clone())).collect();
        Saved { definition: self.rule.definition.clone(), chains }
    }

    pub fn stats(&self) -> Stats {
        Stats { chains: self.chains.len(), broken: self.chains.values().filter(|known| !known.chain.is_whole()).count(), forgotten: self.forgotten }
    }

    /// An event as it was sent. `scope` parts the chains of tenants; `at` is its number in the journal,
    /// `now` when it was accepted (ns since 1970).
    pub fn event(&mut self, text: &[u8], scope: &str, source: &str, at: u64, now: u64, reports: &mut Vec<Report>) {
        let parsed = std::str::from_utf8(text).ok().and_then(|text| Some((text, serde_json::from_str::<Value>(text).ok()?)));
        let (id, name) = self.chain_of(parsed.as_ref().map(|(_, value)| value), scope, source);
        let verdict = match &parsed {
            Some((text, value)) => self.look(text, value),
            // A line of syslog, or the like: it has none of the fields.
            None => Verdict { fault: Some(Reason::NoHash), link: None },
        };
        if !self.chains.contains_key(&id) {
            self.make_room(1);
        }
        self.uses += 1;
        let (uses, patience) = (self.uses, self.rule.patience);
        let known = self.chains.entry(id).or_insert_with(|| Known { name, chain: Chain::default(), used: 0 });
        known.used = uses;
        if let Some(reason) = verdict.fault {
            known.chain.fault(Kind::Tampered, reason, at, &mut self.told);
        }
        if let Some(mut link) = verdict.link {
            // Some count from 0 and some from 1.
            if link.previous == Some(number(0)) && !known.chain.knows(&number(0)) {
                link.previous = None;
            }
            known.chain.event(link, at, now, patience, &mut self.told);
        }
        reports.extend(self.told.drain(..).map(|told| Report { chain: known.name.clone(), told }));
    }

    /// Time has passed.
    pub fn tick(&mut self, now: u64, reports: &mut Vec<Report>) {
        for known in self.chains.values_mut().filter(|known| known.chain.waits()) {
            known.chain.tick(now, self.rule.patience, &mut self.told);
            reports.extend(self.told.drain(..).map(|told| Report { chain: known.name.clone(), told }));
        }
    }

    fn make_room(&mut self, wanted: usize) {
        while self.chains.len() + wanted > self.rule.max_chains.max(1) {
            let Some(quiet) = self.chains.iter().min_by_key(|(_, known)| known.used).map(|(id, _)| *id) else { return };
            self.chains.remove(&quiet);
            self.forgotten += 1;
        }
    }

    fn chain_of(&self, value: Option<&Value>, scope: &str, source: &str) -> (Id, String) {
        let parts: Vec<String> = match self.rule.fields.chain.as_slice() {
            [] => vec![source.into()],
            pointers => pointers.iter().map(|pointer| value.and_then(|value| value.pointer(pointer)).map(scalar).unwrap_or_default()).collect(),
        };
        let mut hashed: Vec<&[u8]> = vec![scope.as_bytes()];
        hashed.extend(parts.iter().map(String::as_bytes));
        (Id::of(&hashed), parts.join(" ").chars().take(SHOWN).collect())
    }

    /// What an event says of its place, and whether its hash is that of its contents.
    fn look(&self, text: &str, value: &Value) -> Verdict {
        let fields = &self.rule.fields;
        let at = |pointer: &Option<String>| pointer.as_ref().and_then(|pointer| value.pointer(pointer)).filter(|value| !is_nothing(value));
        let mut fault = None;
        let sequence = at(&fields.sequence).map(|value| value.as_u64().or_else(|| value.as_str()?.parse().ok()).ok_or(()));
        let mut malformed = matches!(sequence, Some(Err(())));
        let sequence = sequence.and_then(Result::ok);
        let hash = at(&fields.hash);
        let stated = hash.and_then(|value| self.stated(value));
        malformed |= hash.is_some() && stated.is_none();
        if let Some(check) = &self.rule.check
            && let Some(stated) = &stated
            && !check.holds(text, stated)
        {
            fault = Some(Reason::Mismatch);
        }
        let link = if fields.previous.is_some() {
            let before = at(&fields.previous);
            let previous = before.and_then(|value| self.stated(value));
            malformed |= before.is_some() && previous.is_none();
            // Where its predecessor cannot be read, its place cannot be known.
            let placed = before.is_none() || previous.is_some();
            stated.as_ref().filter(|_| placed).map(|stated| Link { id: Id::of(&[stated]), previous: previous.map(|previous| Id::of(&[&previous])), sequence })
        } else {
            sequence.map(|n| Link { id: number(n), previous: n.checked_sub(1).map(number), sequence: None })
        };
        if malformed {
            fault = Some(Reason::Malformed);
        } else if (fields.hash.is_some() && hash.is_none()) || link.is_none() {
            fault = Some(Reason::NoHash);
        }
        Verdict { fault, link }
    }

    /// The bytes that a hash stands for. Without a check nobody said how it is written: its text counts.
    fn stated(&self, value: &Value) -> Option<Vec<u8>> {
        let text = value.as_str().map(str::trim).filter(|text| text.len() <= LONGEST_HASH)?;
        match self.rule.check.as_ref().map(|check| check.encoding) {
            Some(encoding) => encoding.decode(text),
            None => Some(text.as_bytes().to_vec()),
        }
    }
}

struct Verdict {
    fault: Option<Reason>,
    link: Option<Link>,
}

impl Check {
    fn holds(&self, text: &str, stated: &[u8]) -> bool {
        let Some(bytes) = self.form.bytes(text) else { return false };
        let made: Vec<u8> = match self.algorithm {
            Algorithm::Sha256 => Sha256::digest(&bytes).to_vec(),
            Algorithm::Sha512 => Sha512::digest(&bytes).to_vec(),
            Algorithm::HmacSha256 => match Hmac::<Sha256>::new_from_slice(&self.secret) {
                Ok(mut mac) => {
                    mac.update(&bytes);
                    mac.finalize().into_bytes().to_vec()
                }
                Err(_) => return false,
            },
        };
        made.ct_eq(stated).into()
    }
}

impl Encoding {
    fn decode(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Self::Hex => {
                let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                let pairs = text.as_bytes().chunks(2).map(|pair| match pair {
                    [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
                    _ => None,
                });
                pairs.collect()
            }
            Self::Base64 => STANDARD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text)).ok(),
        }
    }
}

/// The name of an event in a chain of numbers alone.
fn number(n: u64) -> Id {
    Id::of(&[b"number", &n.to_le_bytes()])
}

/// What stands for "none": nothing, null, no text, or a hash of zeroes only.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => {
            let text = text.trim();
            text.is_empty() || (text.len() >= 32 && text.bytes().all(|byte| byte == b'0'))
        }
        _ => false,
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
