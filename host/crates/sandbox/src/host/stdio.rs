//! Standard output and standard error of guests: lines for the log, at `info` and `warn`.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use super::log::{GuestLog, Level};

/// Hands the engine fresh streams into the log.
pub struct Stdio {
    pub log: Arc<GuestLog>,
    pub level: Level,
}

impl IsTerminal for Stdio {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Stdio {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        // Only WASI 0.1 and 0.3 come this way, and neither is linked.
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(Lines { log: Arc::clone(&self.log), level: self.level, line: Vec::new() })
    }
}

struct Lines {
    log: Arc<GuestLog>,
    level: Level,
    line: Vec<u8>,
}

/// What a guest may write at once; the engine copies as much.
const PERMIT: usize = 4_096;

impl Lines {
    fn emit(&mut self) {
        if !self.line.is_empty() {
            self.log.write(self.level, &String::from_utf8_lossy(&self.line));
            self.line.clear();
        }
    }
}

impl OutputStream for Lines {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        // One byte more than the limit shows the log that the line was cut.
        let limit = self.log.line_limit() + 1;
        for (i, part) in bytes.split(|byte| *byte == b'\n').enumerate() {
            if i > 0 {
                self.emit();
            }
            let room = limit.saturating_sub(self.line.len());
            self.line.extend_from_slice(&part[..part.len().min(room)]);
        }
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        // Standard error is flushed in the middle of lines: they end at their line break.
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PERMIT)
    }
}

impl Pollable for Lines {
    fn ready<'life, 'ready>(&'life mut self) -> Pin<Box<dyn Future<Output = ()> + Send + 'ready>>
    where
        'life: 'ready,
        Self: 'ready,
    {
        Box::pin(std::future::ready(()))
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.emit();
    }
}
