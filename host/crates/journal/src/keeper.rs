//! The keeper: one OS thread for all that is not on the way of an append. It syncs the lanes' logs,
//! rewrites those that grew long, deletes segments that every lane has settled, cuts full segments to
//! their contents and makes the next segment file ahead of time.
//!
//! Lanes' logs are synced here and not by the committer, so that producers wait for one sync each
//! group and not for one more per lane.

use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::fs::no_room;
use crate::lane::Lane;
use crate::shared::{Shared, Spare};

/// The longest that something flushed or acknowledged as `os` stays without a sync.
pub(crate) const SYNC_EVERY: Duration = Duration::from_millis(200);
/// Room kept for lanes' logs, given up when the disk is full: without it nothing could be marked as
/// settled, nothing deleted, and the disk would stay full.
const RESERVE_NAME: &str = "reserve.bhr";
const RESERVE_BYTES: u64 = 1 << 20;

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

    /// Waits for work; false: stop after this turn.
    fn wait(&self) -> bool {
        let mut wanted = self.lock();
        while !wanted.now && !wanted.later && !wanted.stop {
            wanted = self.changed.wait(wanted).unwrap_or_else(PoisonError::into_inner);
        }
        if !wanted.now && !wanted.stop {
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
            let go_on = self.shared.keeper.wait();
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
        freed
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

    fn delete(&self) {
        if !self.shared.lanes_ready.load(Ordering::Acquire) {
            return;
        }
        let taken = {
            // Held, so that no lane is made in the middle of what goes.
            let lanes = self.shared.lanes();
            let settled = lanes.values().map(|lane| lane.durable_cursor()).min().unwrap_or(u64::MAX);
            self.shared.catalog.take_settled(settled)
        };
        if taken.is_empty() {
            return;
        }
        for segment in &taken {
            match self.shared.fs.remove(&segment.path) {
                Ok(()) => {
                    self.shared.give_back(segment.bytes());
                    self.shared.counters.deleted.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => self.shared.give_back(segment.bytes()),
                // Counted as used, and deleted at the next start.
                Err(error) => tracing::warn!(segment = %segment.path.display(), %error, "cannot delete a settled segment"),
            }
        }
        if let Err(error) = self.shared.fs.sync_dir(&self.shared.dir) {
            tracing::warn!(dir = %self.shared.dir.display(), %error, "cannot sync the journal's folder after deleting segments");
        }
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
