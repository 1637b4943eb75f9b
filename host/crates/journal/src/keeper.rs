//! The keeper: one OS thread for all that is not on the way of an append. It syncs the lanes' logs,
//! rewrites those that grew long, deletes segments that every lane has settled and nobody keeps, cuts full segments to
//! their contents and makes the next segment file ahead of time.
//!
//! Lanes' logs are synced here and not by the committer, so that producers wait for one sync each
//! group and not for one more per lane.

use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::fs::no_room;
use crate::lane::Lane;
use crate::segment::{Segment, Unopened};
use crate::shared::{Shared, Spare};

/// The longest that something flushed or acknowledged as `os` stays without a sync.
pub(crate) const SYNC_EVERY: Duration = Duration::from_millis(200);
/// Room kept for lanes' logs, given up when the disk is full: without it nothing could be marked as
/// settled, nothing deleted, and the disk would stay full.
const RESERVE_NAME: &str = "reserve.bhr";
const RESERVE_BYTES: u64 = 1 << 20;
/// How often what is kept for a time is looked at, at least and at most.
const OLD_LOOK: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

#[derive(Default)]
struct Wanted {
    now: bool,
    later: bool,
    stop: bool,
}

/// Wakes the keeper.
#[derive(Default)]
pub(crate) struct Signal {
    wanted: Mutex<Wanted>,
    changed: Condvar,
}

impl Signal {
    /// There is work that something may wait for.
    pub fn now(&self) {
        let mut wanted = self.lock();
        if !wanted.now {
            wanted.now = true;
            self.changed.notify_one();
        }
    }

    /// There is work within [`SYNC_EVERY`].
    pub fn later(&self) {
        let mut wanted = self.lock();
        if !wanted.later {
            wanted.later = true;
            self.changed.notify_one();
        }
    }

    pub fn stop(&self) {
        self.lock().stop = true;
        self.changed.notify_one();
    }

    /// Waits for work, at most this long where something grows old; false: stop after this turn.
    fn wait(&self, most: Option<Duration>) -> bool {
        let mut wanted = self.lock();
        let idle = |wanted: &mut Wanted| !wanted.now && !wanted.later && !wanted.stop;
        wanted = match most {
            None => self.changed.wait_while(wanted, idle).unwrap_or_else(PoisonError::into_inner),
            Some(most) => self.changed.wait_timeout_while(wanted, most, idle).unwrap_or_else(PoisonError::into_inner).0,
        };
        if wanted.later && !wanted.now && !wanted.stop {
            let hurried = self.changed.wait_timeout_while(wanted, SYNC_EVERY, |wanted| !wanted.now && !wanted.stop);
            wanted = hurried.unwrap_or_else(PoisonError::into_inner).0;
        }
        (wanted.now, wanted.later) = (false, false);
        !wanted.stop
    }

    fn lock(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) struct Keeper {
    shared: Arc<Shared>,
    has_reserve: bool,
}

impl Keeper {
    pub fn new(shared: Arc<Shared>) -> Self {
        let has_reserve = shared.fs.open(&shared.dir.join(RESERVE_NAME)).is_ok();
        Self { shared, has_reserve }
    }

    pub fn run(mut self) {
        loop {
            let go_on = self.shared.keeper.wait(self.shared.keep.max_age.map(|age| (age / 10).clamp(OLD_LOOK.0, OLD_LOOK.1)));
            self.turn();
            if !go_on {
                return;
            }
        }
    }

    /// Does all work there is.
    pub fn turn(&mut self) {
        self.sync_lanes();
        self.trim();
        self.delete();
        self.make_spare();
        self.make_reserve();
    }

    fn sync_lanes(&mut self) {
        let lanes: Vec<Arc<Lane>> = self.shared.lanes().values().cloned().collect();
        let mut failed = false;
        for lane in lanes {
            let mut done = self.sync_lane(&lane);
            if done.as_ref().is_err_and(no_room) && self.give_up_room() {
                done = self.sync_lane(&lane);
            }
            if let Err(error) = done {
                failed = true;
                tracing::warn!(lane = lane.name, %error, "cannot sync a lane log; after power loss more events would be delivered again");
            }
        }
        if failed {
            self.shared.keeper.later();
        }
    }

    fn sync_lane(&self, lane: &Lane) -> io::Result<()> {
        let fs = &*self.shared.fs;
        if lane.wants_rewrite() {
            lane.rewrite(fs)?;
        }
        if lane.is_dirty() { lane.sync(fs) } else { Ok(()) }
    }

    /// Frees what is only there to make things quick or safe.
    fn give_up_room(&mut self) -> bool {
        let mut freed = false;
        if self.has_reserve {
            freed |= self.shared.fs.remove(&self.shared.dir.join(RESERVE_NAME)).is_ok();
            self.has_reserve = false;
        }
        if let Some(spare) = self.shared.take_spare() {
            freed |= self.shared.fs.remove(&spare.path).is_ok();
            self.shared.give_back(self.shared.segment_size);
        }
        freed | self.shared.evict()
    }

    /// Gives back the room behind the last frame of full segments.
    fn trim(&self) {
        for segment in self.shared.catalog.all() {
            let Some(end) = segment.slack() else { continue };
            match self.shared.fs.open(&segment.path).and_then(|file| file.truncate(end)) {
                Ok(()) => self.shared.give_back(segment.trimmed()),
                Err(error) => tracing::warn!(segment = %segment.path.display(), %error, "cannot cut a full segment to its contents"),
            }
        }
    }

    /// Deletes what every lane has settled and nobody keeps.
    fn delete(&self) {
        let shared = &*self.shared;
        shared.delete_settled(|settled, behind| {
            let beyond = if shared.keep.anything() { self.beyond(settled, behind) } else { settled.len() };
            // Those that begin before what is held reach into it where the next begins behind it.
            let held = shared.held().map_or(settled.len(), |held| {
                let next = settled.iter().skip(1).map(|segment| segment.first).chain(behind.map(|behind| behind.first));
                next.take_while(|next| *next <= held).count()
            });
            beyond.min(held)
        });
    }

    /// How many of the oldest are beyond what is kept.
    fn beyond(&self, settled: &[Arc<Segment>], behind: Option<&Segment>) -> usize {
        let shared = &*self.shared;
        let mut room = shared.keep.max_bytes.unwrap_or(u64::MAX);
        let too_many = settled.iter().rev().position(|segment| match room.checked_sub(segment.bytes()) {
            Some(left) => {
                room = left;
                false
            }
            None => true,
        });
        let by_bytes = too_many.map_or(0, |newer| settled.len() - newer);
        let Some(max_age) = shared.keep.max_age else { return by_bytes };
        let before = shared.clock.unix_nanos().saturating_sub(u64::try_from(max_age.as_nanos()).unwrap_or(u64::MAX));
        // A segment's events are older than the one behind it.
        let next = settled.iter().skip(1).map(|segment| &**segment).chain(behind);
        let is_old = |segment: &Segment| match segment.created(&*shared.fs) {
            Ok(created) => created < before,
            Err(Unopened::Header(_)) => true,
            // Not to be read right now says nothing of its age.
            Err(Unopened::Io(_)) => false,
        };
        let by_age = next.take_while(|next| is_old(next)).count();
        by_bytes.max(by_age)
    }

    /// Makes the next segment file once the current one is half full.
    fn make_spare(&self) {
        let shared = &*self.shared;
        let mut spare = shared.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let half_full = shared.catalog.all().last().is_some_and(|current| current.extent().end >= shared.segment_size / 2);
        if spare.is_some() || !half_full || shared.fault.get().is_some() || shared.claim(shared.segment_size).is_err() {
            return;
        }
        let path = shared.temporary();
        match self.allocate(&path) {
            Ok(file) => *spare = Some(Spare { path, file }),
            Err(error) => {
                // The committer makes one itself, without room reserved if need be.
                tracing::debug!(%error, "no segment made ahead of time");
                let _ = shared.fs.remove(&path);
                shared.give_back(shared.segment_size);
            }
        }
    }

    fn allocate(&self, path: &Path) -> io::Result<Arc<dyn crate::fs::File>> {
        let file = self.shared.fs.create(path)?;
        file.allocate(self.shared.segment_size)?;
        file.sync_all()?;
        Ok(file)
    }

    fn make_reserve(&mut self) {
        let shared = &*self.shared;
        if self.has_reserve || !shared.fs.available(&shared.dir).is_ok_and(|free| free > 2 * shared.segment_size.max(RESERVE_BYTES)) {
            return;
        }
        let path = shared.dir.join(RESERVE_NAME);
        self.has_reserve = shared.fs.create(&path).and_then(|file| file.allocate(RESERVE_BYTES)).is_ok();
        if !self.has_reserve {
            let _ = shared.fs.remove(&path);
        }
    }
}
