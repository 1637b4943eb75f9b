//! The thread that writes receipts, and the queue before it.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bulkhead_core::BoxFuture;
use bulkhead_core::receipt::{Receipt, ReceiptRoom, ReceiptSink};
use bulkhead_observe::Metrics;
use serde_json::{Map, Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::chain::{AuditSettings, Chain, fields, now};
use crate::record;
use crate::trail::TrailKind;

/// Receipts that wait to be written, those of calls under way included. When it is full, deliveries
/// wait: nothing is lost, and whoever looks at the lanes sees it.
const QUEUE: usize = 1_024;
/// Receipts that are handed to the system in one go.
const BATCH: usize = 64;
/// A disk that stays full is in the log this often.
const COMPLAIN: Duration = Duration::from_secs(30);

/// Why there are no receipts.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the receipts below {dir} cannot be continued (audit)")]
    Chain {
        dir: String,
        #[source]
        source: io::Error,
    },
    #[error("the thread that writes receipts does not start")]
    Thread(#[source] io::Error),
}

enum Message {
    Put(Entry, OwnedSemaphorePermit),
    Stop,
}

/// A record to be written.
enum Entry {
    Receipt(Box<Receipt>),
    Trail(TrailKind, Map<String, Value>),
}

impl Entry {
    fn record(&self) -> (&'static str, Map<String, Value>) {
        match self {
            Self::Receipt(receipt) => (receipt.call, record::receipt(receipt)),
            Self::Trail(kind, fields) => (kind.name(), fields.clone()),
        }
    }
}

/// Takes receipts and writes them on a thread of its own.
pub struct Receipts {
    queue: SyncSender<Message>,
    room: Arc<Semaphore>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Receipts {
    /// Continues the chain and starts the thread.
    pub fn open(settings: &AuditSettings, metrics: &Metrics) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Chain { dir: settings.dir.display().to_string(), source };
        let (mut chain, marks) = Chain::open(settings).map_err(failed)?;
        let begin = (|| {
            for (kind, fields) in &marks {
                tracing::warn!(mark = kind, detail = %serde_json::Value::Object(fields.clone()), "the chain of receipts goes on after a crash");
                chain.push(kind, fields)?;
            }
            chain.push("start", &fields(json!({"at": now(), "version": env!("CARGO_PKG_VERSION")})))?;
            chain.prune()?;
            chain.flush()?;
            chain.sync()
        })();
        begin.map_err(failed)?;
        let (queue, messages) = sync_channel(QUEUE + 1);
        let writer = Writer { chain, sync: settings.sync, metrics: metrics.clone(), lost: 0, dirty: None, complained: None };
        writer.metrics.receipts_bytes.set(writer.chain.bytes().cast_signed());
        let thread = std::thread::Builder::new().name("receipts".into()).spawn(move || writer.run(&messages)).map_err(OpenError::Thread)?;
        Ok(Self { queue, room: Arc::new(Semaphore::new(QUEUE)), thread: Mutex::new(Some(thread)) })
    }

    /// Puts an entry of the trail on record. Waits for a place. Cancel safe: dropped, nothing is written.
    pub async fn trail(&self, kind: TrailKind, action: &str, about: Map<String, Value>) {
        // Never closed.
        let Ok(permit) = Arc::clone(&self.room).acquire_owned().await else { return };
        let mut fields = Map::with_capacity(about.len() + 2);
        fields.insert("at".into(), now().into());
        fields.insert("action".into(), action.into());
        fields.extend(about);
        let _ = self.queue.try_send(Message::Put(Entry::Trail(kind, fields), permit));
    }

    /// Writes what waits, says in the chain that the host stopped, syncs, and ends the thread. Blocks.
    pub fn close(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // Without a thread there is nobody to tell.
            let _ = self.queue.send(Message::Stop);
            if thread.join().is_err() {
                tracing::error!("the thread that writes receipts broke off");
            }
        }
    }
}

impl Drop for Receipts {
    fn drop(&mut self) {
        self.close();
    }
}

impl std::fmt::Debug for Receipts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receipts").field("room", &self.room.available_permits()).finish_non_exhaustive()
    }
}

impl ReceiptSink for Receipts {
    fn room(&self) -> BoxFuture<'_, Box<dyn ReceiptRoom>> {
        Box::pin(async move {
            // Never closed.
            let permit = Arc::clone(&self.room).acquire_owned().await.ok();
            Box::new(Room { queue: self.queue.clone(), permit }) as Box<dyn ReceiptRoom>
        })
    }
}

struct Room {
    queue: SyncSender<Message>,
    permit: Option<OwnedSemaphorePermit>,
}

impl ReceiptRoom for Room {
    fn put(self: Box<Self>, receipt: Receipt) {
        let Some(permit) = self.permit else { return };
        // There is a place for each permit; a writer that ended is in the log.
        let _ = self.queue.try_send(Message::Put(Entry::Receipt(Box::new(receipt)), permit));
    }
}

struct Writer {
    chain: Chain,
    sync: Duration,
    metrics: Metrics,
    /// Receipts that the chain does not know of yet.
    lost: u64,
    /// When the first receipt since the last sync was written.
    dirty: Option<Instant>,
    complained: Option<Instant>,
}

impl Writer {
    fn run(mut self, messages: &Receiver<Message>) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let wait = self.dirty.map_or(Duration::from_secs(3600), |since| self.sync.saturating_sub(since.elapsed()));
            let mut stop = false;
            match messages.recv_timeout(wait) {
                Ok(Message::Put(entry, permit)) => batch.push((entry, permit)),
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => stop = true,
                Err(RecvTimeoutError::Timeout) => {}
            }
            while !stop && batch.len() < BATCH {
                match messages.try_recv() {
                    Ok(Message::Put(entry, permit)) => batch.push((entry, permit)),
                    Ok(Message::Stop) => stop = true,
                    Err(_) => break,
                }
            }
            if !batch.is_empty() {
                let entries: Vec<&Entry> = batch.iter().map(|(entry, _)| entry).collect();
                self.write(&entries);
                batch.clear();
            }
            if stop || self.dirty.is_some_and(|since| since.elapsed() >= self.sync) {
                self.synced();
            }
            if stop {
                self.end();
                return;
            }
        }
    }

    fn write(&mut self, batch: &[&Entry]) {
        let written = (|| {
            if self.lost > 0 {
                self.chain.push("lost", &fields(json!({"at": now(), "count": self.lost})))?;
            }
            for entry in batch {
                let (kind, fields) = entry.record();
                self.chain.push(kind, &fields)?;
            }
            self.chain.flush()
        })();
        let count = batch.len() as u64;
        match written {
            Ok(()) => {
                if self.lost > 0 {
                    tracing::info!(lost = self.lost, "receipts are written again; the chain says how many are missing");
                }
                (self.lost, self.complained) = (0, None);
                self.metrics.receipts.inc_by(count);
                self.dirty.get_or_insert_with(Instant::now);
            }
            Err(error) => {
                self.lost += count;
                self.metrics.receipts_lost.inc_by(count);
                if self.complained.is_none_or(|at| at.elapsed() >= COMPLAIN) {
                    self.complained = Some(Instant::now());
                    tracing::error!(%error, lost = self.lost, "receipts cannot be written; deliveries go on without (audit)");
                }
            }
        }
        self.metrics.receipts_bytes.set(self.chain.bytes().cast_signed());
    }

    fn synced(&mut self) {
        if self.dirty.take().is_some()
            && let Err(error) = self.chain.sync()
        {
            tracing::error!(%error, "receipts cannot be synced: a power cut may take the newest (audit)");
        }
    }

    fn end(&mut self) {
        let lost = self.lost;
        let ended = (|| {
            if lost > 0 {
                self.chain.push("lost", &fields(json!({"at": now(), "count": lost})))?;
            }
            self.chain.push("stop", &fields(json!({"at": now()})))?;
            self.chain.flush()?;
            self.chain.sync()
        })();
        if let Err(error) = ended {
            tracing::error!(%error, lost, "the end of the receipts cannot be written (audit)");
        }
        self.metrics.receipts_bytes.set(self.chain.bytes().cast_signed());
    }
}

#[cfg(test)]
mod tests;
