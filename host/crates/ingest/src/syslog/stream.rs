//! One syslog connection, encrypted or not: bytes in, whole messages into the journal.

use std::io::ErrorKind;

use bulkhead_journal::AppendBatch;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio_util::sync::CancellationToken;

use super::event::SyslogNormaliser;
use super::framing::Deframer;
use super::settings::SyslogSettings;
use crate::origin::Origin;
use crate::sink::Sink;

/// Bytes of one read.
const READ: usize = 64 << 10;

/// Reads until the peer ends or the host does. What was read and whole is in the journal then.
pub(super) async fn read_events(
    stream: &mut (impl AsyncRead + Unpin),
    origin: Origin<'_>,
    settings: &SyslogSettings,
    sink: &Sink,
    cancel: &CancellationToken,
) -> Result<(), String> {
    let mut deframer = Deframer::new(settings.framing, settings.max_message);
    let mut normaliser = SyslogNormaliser::new(settings.tenant.clone());
    let mut read = vec![0; READ];
    let mut batch = AppendBatch::new();
    loop {
        let got = tokio::select! {
            got = tokio::time::timeout(settings.idle, stream.read(&mut read)) => got,
            () = cancel.cancelled() => return Ok(()),
        };
        let count = match got {
            Err(_) => return Err("nothing came for too long".into()),
            // Whoever cut the stream off may have cut a line in two: what is not whole is no message.
            Ok(Err(error)) if error.kind() == ErrorKind::UnexpectedEof => return Err("the peer closed without saying so (RFC 5425 §4.4)".into()),
            Ok(Err(error)) => return Err(error.to_string()),
            Ok(Ok(count)) => count,
        };
        let received = sink.clock.unix_nanos();
        let mut take = |message: &[u8], batch: &mut AppendBatch| {
            if normaliser.event(message, &origin, received, batch.buffer()) {
                let _ = batch.push_event(); // a stored event just written is one
            }
        };
        let mut fault = None;
        if count == 0 {
            if let Some(rest) = deframer.finish() {
                take(rest, &mut batch);
            }
        } else {
            deframer.push(&read[..count]);
            loop {
                match deframer.next_message() {
                    Ok(Some(message)) => take(message, &mut batch),
                    Ok(None) => break,
                    Err(error) => {
                        fault = Some(error.to_string());
                        break;
                    }
                }
                if sink.is_full(&batch) {
                    sink.append(&mut batch).await.map_err(|error| error.to_string())?;
                }
            }
        }
        // What came before a fault was whole and counts.
        sink.append(&mut batch).await.map_err(|error| error.to_string())?;
        match fault {
            Some(fault) => return Err(fault),
            None if count == 0 => return Ok(()),
            None => {}
        }
    }
}
