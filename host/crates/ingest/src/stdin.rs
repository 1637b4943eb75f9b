//! Lines of a stream that ends, such as standard input. It has no position and nobody to answer: what was
//! read before a crash and not yet in the journal is lost with the pipe.

use std::io::Read;
use std::sync::Arc;

use bulkhead_core::{Clock, Tenant};
use bulkhead_journal::{AppendBatch, Durability, Journal};
use bulkhead_observe::Metrics;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::lines::split;
use crate::origin::Origin;
use crate::sink::Sink;
use crate::text::{Line, LineFormat, LineNormaliser};

/// Bytes of one read.
const READ: usize = 64 << 10;
/// Bytes that are looked at together.
const TOGETHER: usize = 1 << 20;
/// Reads that wait to be looked at.
const READS: usize = 4;

/// How lines are read.
#[derive(Debug, Clone)]
pub struct StdinSettings {
    pub format: LineFormat,
    /// Longest line in bytes; longer ones come in pieces.
    pub max_line: usize,
    pub tenant: Tenant,
}

/// Reads until the end or until cancelled: how many events went into the journal. The last line counts
/// without its end. Reading stops while the journal is full.
pub async fn serve_stdin(
    reader: impl Read + Send + 'static,
    settings: StdinSettings,
    journal: Journal,
    metrics: Metrics,
    clock: Arc<dyn Clock>,
    cancel: CancellationToken,
) -> Result<u64, String> {
    // As for files: a line goes into a segment however it is written.
    let max_line = settings.max_line.min(journal.largest_append(1) / 16);
    let sink = Sink::new(journal, metrics, clock, "stdin", Durability::Fsync);
    let mut lines = LineNormaliser::new(settings.format, settings.tenant);
    lines.source("stdin:".into());
    let mut reads = read(reader)?;
    let (mut text, mut pieces, mut events) = (Vec::new(), 0, 0);
    let mut batch = AppendBatch::new();
    let mut end = false;
    while !end {
        let mut next = tokio::select! {
            next = reads.recv() => next,
            () = cancel.cancelled() => return Ok(events),
        };
        let mut broken = None;
        loop {
            match next {
                Some(Ok(bytes)) => text.extend_from_slice(&bytes),
                Some(Err(error)) => broken = Some(format!("cannot read standard input: {error}")),
                None => end = true,
            }
            if broken.is_some() || text.len() >= TOGETHER {
                break;
            }
            // What came meanwhile shares the sync.
            match reads.try_recv() {
                Ok(more) => next = Some(more),
                Err(_) => break,
            }
        }
        let received = sink.clock.unix_nanos();
        let mut at = 0;
        loop {
            let taken = split(&text[at..], max_line, end, &mut pieces, |_, bytes, piece| {
                lines.event(&Line { bytes, piece, origin: Origin::Nowhere, id: None }, received, &mut batch);
                !sink.is_full(&batch)
            });
            at += taken;
            events += batch.len() as u64;
            if batch.is_empty() {
                break;
            }
            sink.append(&mut batch).await.map_err(|error| error.to_string())?;
        }
        text.drain(..at);
        if let Some(broken) = broken {
            return Err(broken);
        }
    }
    Ok(events)
}

/// Reading blocks, so it has a thread of its own, which ends with the stream or with the process.
fn read(mut reader: impl Read + Send + 'static) -> Result<mpsc::Receiver<std::io::Result<Vec<u8>>>, String> {
    let (sender, reads) = mpsc::channel(READS);
    let work = move || {
        let mut buffer = vec![0; READ];
        loop {
            let read = match reader.read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => Ok(buffer[..count].to_vec()),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
            let failed = read.is_err();
            if sender.blocking_send(read).is_err() || failed {
                return;
            }
        }
    };
    std::thread::Builder::new().name("stdin".into()).spawn(work).map(|_| reads).map_err(|error| format!("cannot start a thread for standard input: {error}"))
}
