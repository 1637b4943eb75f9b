//! The end of the journal in memory: how far readers may read, and the most recent frames, so that
//! lanes that keep up do no IO and share one copy.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::frame::Frame;

/// How far readers may read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head {
    pub seq: u64,
    pub closed: bool,
}

#[derive(Default)]
struct Ring {
    /// Without a gap, the last one ending at the head.
    frames: VecDeque<Arc<Frame>>,
    bytes: usize,
}

pub(crate) struct Tail {
    head: watch::Sender<Head>,
    ring: Mutex<Ring>,
    limit: usize,
}

impl Tail {
    pub fn new(head: u64, limit: usize) -> Self {
        Self { head: watch::Sender::new(Head { seq: head, closed: false }), ring: Mutex::default(), limit }
    }

    pub fn head(&self) -> u64 {
        self.head.borrow().seq
    }

    pub fn subscribe(&self) -> watch::Receiver<Head> {
        self.head.subscribe()
    }

    pub fn close(&self) {
        self.head.send_modify(|head| head.closed = true);
    }

    /// Lets readers see `frames`, which follow on the head.
    pub fn publish(&self, frames: impl Iterator<Item = Arc<Frame>>) {
        let mut ring = self.lock();
        let mut head = None;
        for frame in frames {
            head = Some(frame.last().0);
            ring.bytes += frame.bytes();
            ring.frames.push_back(frame);
        }
        // The newest frame stays whatever its size: a lane that keeps up must find it.
        let mut old = Vec::new();
        while ring.bytes > self.limit && ring.frames.len() > 1 {
            if let Some(frame) = ring.frames.pop_front() {
                ring.bytes -= frame.bytes();
                old.push(frame);
            }
        }
        drop(ring);
        if let Some(seq) = head {
            self.head.send_modify(|head| head.seq = seq);
        }
    }

    /// The frame in memory that holds `seq`.
    pub fn get(&self, seq: u64) -> Option<Arc<Frame>> {
        let ring = self.lock();
        let at = ring.frames.partition_point(|frame| frame.last().0 < seq);
        ring.frames.get(at).filter(|frame| frame.first().0 <= seq).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
