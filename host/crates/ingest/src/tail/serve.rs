//! Runs a follower: scans, reads, hands over to the journal, keeps positions, tells what is wrong. Files are
//! touched on threads for blocking work only.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bulkhead_core::Clock;
use bulkhead_journal::{AppendBatch, Durability};
use bulkhead_observe::Metrics;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::follower::Follower;
use super::{FilesHandle, FilesNotice, FilesSettings};
use crate::gate::Gate;
use crate::sink::Sink;

/// Positions are written once in this time, or in ten times what writing took.
const SAVE: Duration = Duration::from_secs(1);
/// What an append under way gets when the host stops.
const LAST_APPEND: Duration = Duration::from_secs(2);
/// Notices of one scan; the rest is in the status.
const NOTICES: usize = 20;

/// Reads an entry's files until cancelled; `kept` is the file of its positions. Not cancel safe, but lines
/// are read twice then rather than not at all.
#[expect(clippy::too_many_arguments, reason = "the rooms' handles, once")]
pub async fn serve_files(
    mut settings: FilesSettings,
    kept: PathBuf,
    handle: FilesHandle,
    gate: Gate,
    metrics: Metrics,
    clock: Arc<dyn Clock>,
    notify: Arc<dyn Fn(FilesNotice) + Send + Sync>,
    cancel: CancellationToken,
) {
    // A stored line is at most seven times as long (each byte once as it came, once as `\u00xx`), with some
    // attributes; it must go into a segment of the journal.
    let longest = gate.journal().largest_append(1) / 16;
    if settings.max_line > longest {
        tracing::warn!(files = settings.name, longest, "max_line is lowered to what a segment of the journal takes (journal.segment_bytes)");
        settings.max_line = longest;
    }
    let mut sink = Sink::new(gate, metrics, clock, &format!("files:{}", settings.name), Durability::Fsync);
    sink.blocked = Arc::clone(&handle.blocked);
    let (name, interval) = (Arc::clone(&handle.name), settings.interval);
    let run = Run { sink, handle: handle.clone(), notify: Arc::clone(&notify), interval, unreadable: BTreeMap::new(), saved: Duration::ZERO, save_every: SAVE };
    let ended = match blocking(move || Follower::open(settings, kept)).await {
        Ok(Ok(follower)) => run.run(follower, &cancel).await,
        Ok(Err(error)) | Err(error) => Err(error),
    };
    if let Err(error) = ended {
        tracing::error!(files = %name, error, "files are not read any more");
        handle.set(|status| status.stopped = Some(error.clone()));
        notify(FilesNotice::Stopped { files: name, error });
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    spawn_blocking(work).await.map_err(|_| "the reading of files broke; the log of the service says more".to_owned())
}

struct Run {
    sink: Sink,
    handle: FilesHandle,
    notify: Arc<dyn Fn(FilesNotice) + Send + Sync>,
    interval: Duration,
    /// As it was told.
    unreadable: BTreeMap<PathBuf, String>,
    /// When positions were last written, by the clock's monotonic time.
    saved: Duration,
    save_every: Duration,
}

impl Run {
    async fn run(mut self, mut follower: Follower, cancel: &CancellationToken) -> Result<(), String> {
        loop {
            let (scanned, now) = (self.sink.clock.monotonic(), self.sink.clock.unix_nanos());
            follower = blocking(move || {
                follower.scan(now);
                follower
            })
            .await?;
            self.tell(&follower);
            let mut got = false;
            while !cancel.is_cancelled() && self.sink.clock.monotonic().saturating_sub(scanned) < self.interval.max(SAVE) {
                let (sink, received) = (self.sink.clone(), self.sink.clock.unix_nanos());
                let (back, mut batch) = blocking(move || {
                    let mut batch = AppendBatch::new();
                    follower.read(received, &mut batch, &|batch| sink.is_full(batch));
                    (follower, batch)
                })
                .await?;
                follower = back;
                if batch.is_empty() {
                    follower.commit();
                    break;
                }
                got = true;
                tokio::select! {
                    biased;
                    appended = self.sink.append(&mut batch) => appended.map_err(|error| error.to_string())?,
                    // What waits for a full journal is in the files still.
                    () = last_append(cancel) => break,
                }
                follower.commit();
                follower = self.save(follower, false).await?;
            }
            follower = self.save(follower, cancel.is_cancelled()).await?;
            self.tell(&follower);
            if cancel.is_cancelled() {
                return Ok(());
            }
            // What is there and was not read cannot be read yet: positions, for one, that cannot be written.
            if !got || !follower.pending() {
                tokio::select! {
                    () = tokio::time::sleep(self.interval) => {}
                    () = cancel.cancelled() => {}
                }
            }
        }
    }

    /// Positions that changed, once in a while; `now` where it is the last time.
    async fn save(&mut self, mut follower: Follower, now: bool) -> Result<Follower, String> {
        let begin = self.sink.clock.monotonic();
        if !follower.dirty() || !(now || begin.saturating_sub(self.saved) >= self.save_every) {
            return Ok(follower);
        }
        let (follower, saved) = blocking(move || {
            let saved = follower.save();
            (follower, saved)
        })
        .await?;
        if let Err(error) = saved {
            tracing::error!(files = %self.handle.name, %error, "positions cannot be written; after a crash more lines are read again, with the same ids");
        }
        self.saved = self.sink.clock.monotonic();
        self.save_every = SAVE.max((self.saved.saturating_sub(begin)) * 10);
        Ok(follower)
    }

    fn tell(&mut self, follower: &Follower) {
        let unreadable = follower.unreadable();
        let status = follower.status(&unreadable);
        let files = &self.handle.name;
        self.sink.metrics.files(files, "followed").set(i64::try_from(status.followed).unwrap_or(i64::MAX));
        self.sink.metrics.files(files, "unreadable").set(i64::try_from(status.unreadable_count).unwrap_or(i64::MAX));
        self.sink.metrics.files_behind(files).set(i64::try_from(status.behind).unwrap_or(i64::MAX));
        let (beyond, before) = (status.beyond, self.handle.status().beyond);
        // Before anybody is told: who hears of it and looks finds it.
        self.handle.set(|known| *known = status);
        for (path, error) in unreadable.iter().filter(|(path, _)| !self.unreadable.contains_key(*path)).take(NOTICES) {
            tracing::warn!(%files, path = %path.display(), error, "cannot read");
            (self.notify)(FilesNotice::Unreadable { files: Arc::clone(files), path: path.display().to_string(), error: error.clone() });
        }
        for path in self.unreadable.keys().filter(|path| !unreadable.contains_key(*path)).take(NOTICES) {
            tracing::info!(%files, path = %path.display(), "can be read again, or is gone");
            (self.notify)(FilesNotice::Recovered { files: Arc::clone(files), path: path.display().to_string() });
        }
        if beyond > 0 && before == 0 {
            tracing::error!(%files, beyond, limit = super::MAX_FILES, "more files than one entry follows; name fewer in `paths`");
        }
        self.unreadable = unreadable;
    }
}

/// Ends some time after the host began to stop.
async fn last_append(cancel: &CancellationToken) {
    cancel.cancelled().await;
    tokio::time::sleep(LAST_APPEND).await;
}
