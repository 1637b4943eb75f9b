//! After a start in order: what waits for another attempt keeps its key, or the whole lane, from what is later.
//!
//! The lane's log says what waits. A power cut may have left the mark of a later event and taken that of an
//! earlier one; then the later one waits no more by itself, it is read again behind the earlier.

use std::collections::{BTreeMap, HashSet};

use bulkhead_core::Seq;
use bulkhead_journal::{Frame, LaneState, ReadError};

use super::Driver;
use crate::ordering::Ordering;
use crate::schedule::Waiting;

/// What waits, by place, and keys of which something earlier does not.
struct Marked {
    waiting: BTreeMap<Seq, Waiting>,
    overtaken: HashSet<u64>,
}

impl Driver<'_> {
    pub(super) async fn restore_order(&mut self) {
        let waiting: BTreeMap<Seq, Waiting> = self.schedule.take_oldest(usize::MAX).into_iter().map(|entry| (entry.seq, entry)).collect();
        let Some(last) = waiting.last_key_value().map(|(seq, _)| *seq) else { return };
        let state = self.log.state();
        let mut marked = Marked { waiting, overtaken: HashSet::new() };
        let mut at = state.cursor();
        self.again.seek(at);
        while at < last {
            match self.again.next().await {
                Ok(frame) => {
                    self.restore_frame(&frame, &state, &mut marked);
                    at = frame.last();
                }
                Err(ReadError::Lost { first, last, .. } | ReadError::Gone { first, last }) => {
                    let gone: Vec<Seq> = marked.waiting.range(first..=last).map(|(seq, _)| *seq).collect();
                    for seq in gone {
                        marked.waiting.remove(&seq);
                        self.lost(seq, seq);
                    }
                    at = last;
                }
                Err(error) => {
                    // Its order is lost with the disk's answer; the event is not.
                    self.read_failed(&error, self.context.now());
                    for entry in marked.waiting.into_values() {
                        self.restore(entry);
                    }
                    break;
                }
            }
        }
        self.schedule.line_up(self.instance.settings.ordering == Ordering::Key);
    }

    fn restore_frame(&mut self, frame: &Frame, state: &LaneState, marked: &mut Marked) {
        let Some(last) = marked.waiting.last_key_value().map(|(seq, _)| *seq) else { return };
        for index in 0..frame.len() {
            let seq = frame.seq(index);
            if seq > last || state.is_settled(seq) {
                continue;
            }
            let event = frame.event(index);
            let key = self.feed.keys().map_or(0, |keys| keys.key(&event));
            match marked.waiting.remove(&seq) {
                Some(_) if marked.overtaken.contains(&key) => self.feed.forget(seq),
                Some(mut entry) => {
                    entry.key = key;
                    entry.received_ms = i64::try_from(event.received() / 1_000_000).unwrap_or(i64::MAX);
                    self.restore(entry);
                }
                None if self.feed.would_take(frame, index) => {
                    marked.overtaken.insert(key);
                }
                None => {}
            }
        }
    }

    fn restore(&mut self, entry: Waiting) {
        if let Some(keys) = self.feed.keys() {
            keys.hold(entry.key);
        }
        self.schedule.add(entry);
    }
}
