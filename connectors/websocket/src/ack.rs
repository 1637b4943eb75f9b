//! Acknowledgements: which event an answer is for, and what it says of it. Pure: answers in, outcomes out.

use std::collections::{BTreeMap, VecDeque};

use bulkhead_sdk::literal::check_pointer;
use bulkhead_sdk::{Expectation, Outcome, Value, json};

use crate::settings::Ack;

/// Bytes of an answer that go into a reason.
const REASON_BYTES: usize = 512;

/// How answers are read.
#[derive(Debug)]
pub struct Reader {
    id: Option<String>,
    yes: Option<Expectation>,
    again: Option<Expectation>,
    receipt: Option<String>,
}

impl Reader {
    pub fn new(ack: Ack) -> Result<Self, String> {
        for (key, pointer) in [("ack.id", &ack.id), ("ack.receipt", &ack.receipt)] {
            pointer.as_ref().map_or(Ok(()), |pointer| check_pointer(key, pointer))?;
        }
        let again = match ack.again {
            Some(_) if ack.pointer.is_none() => return Err("`ack.again` needs `ack.pointer`, which says where it stands".to_owned()),
            Some(list) => Expectation::new("ack", ack.pointer.clone(), Some(list))?,
            None => None,
        };
        Ok(Self { id: ack.id, yes: Expectation::new("ack", ack.pointer, ack.equals)?, again, receipt: ack.receipt })
    }

    /// Answers name no event: each is for the one that has waited longest.
    pub fn is_in_order(&self) -> bool {
        self.id.is_none()
    }

    fn outcome(&self, answer: Value<'_>, text: &[u8]) -> Outcome {
        // What is no JSON is not the receiver's own protocol: a refusal would be final.
        if !answer.is_some() || self.again.as_ref().is_some_and(|again| again.holds(answer)) {
            return Outcome::Retry(None);
        }
        if self.yes.as_ref().is_none_or(|yes| yes.holds(answer)) {
            return self.receipt.as_ref().map_or(Outcome::Accepted(None), |pointer| Outcome::accepted_as(answer.at(pointer)));
        }
        Outcome::Rejected(format!("the receiver answered: {}", String::from_utf8_lossy(bulkhead_sdk::writer::cut(text, REASON_BYTES))))
    }
}

/// Events that wait for their answers.
#[derive(Debug)]
pub struct Waiting<'a> {
    reader: &'a Reader,
    /// By key; several may have the same.
    keyed: BTreeMap<Vec<u8>, VecDeque<usize>>,
    in_order: VecDeque<usize>,
    count: usize,
}

impl<'a> Waiting<'a> {
    pub fn new(reader: &'a Reader) -> Self {
        Self { reader, keyed: BTreeMap::new(), in_order: VecDeque::new(), count: 0 }
    }

    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The event at this place of the batch was sent.
    pub fn sent(&mut self, place: usize, key: Vec<u8>) {
        match self.reader.id {
            Some(_) => self.keyed.entry(key).or_default().push_back(place),
            None => self.in_order.push_back(place),
        }
        self.count += 1;
    }

    /// The place that an answer is for and what it says; `None` for a message that answers nothing.
    pub fn heard(&mut self, text: &[u8]) -> Option<(usize, Outcome)> {
        let answer = std::str::from_utf8(text).ok().filter(|text| json::is_strict(text)).and_then(json::value).unwrap_or(Value::MISSING);
        let place = match &self.reader.id {
            None => self.in_order.pop_front()?,
            Some(pointer) => {
                let key = answer.at(pointer).text()?;
                self.keyed.get_mut(&*key)?.pop_front()?
            }
        };
        self.count -= 1;
        Some((place, self.reader.outcome(answer, text)))
    }
}
