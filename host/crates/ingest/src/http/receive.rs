//! Reading a request's body within its bounds.

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};

/// Why a body was not read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadFault {
    TooLarge,
    /// The peer went away, or its framing is wrong.
    Broken,
}

/// Reads a body. One that comes in one piece is handed over as it is; the pieces of others are
/// gathered in `into`, and `None` says so.
pub(super) async fn read(body: &mut Incoming, limit: usize, into: &mut Vec<u8>) -> Result<Option<Bytes>, ReadFault> {
    into.clear();
    let mut first: Option<Bytes> = None;
    while let Some(frame) = body.frame().await {
        // Trailers are no part of the body.
        let Ok(data) = frame.map_err(|_| ReadFault::Broken)?.into_data() else { continue };
        if into.len() + first.as_ref().map_or(0, Bytes::len) + data.len() > limit {
            return Err(ReadFault::TooLarge);
        }
        match first.take() {
            None if into.is_empty() => first = Some(data),
            None => into.extend_from_slice(&data),
            Some(first) => {
                into.reserve(first.len() + data.len() + usize::try_from(body.size_hint().lower()).unwrap_or(0).min(limit));
                into.extend_from_slice(&first);
                into.extend_from_slice(&data);
            }
        }
    }
    Ok(first.or_else(|| into.is_empty().then(Bytes::new)))
}

/// Reads a body that nobody wants, so that its sender gets to read the answer instead of a reset.
/// False where it goes on beyond `limit`.
pub(super) async fn discard(body: &mut Incoming, limit: usize) -> bool {
    let mut seen = 0;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return false };
        seen += frame.data_ref().map_or(0, Bytes::len);
        if seen > limit {
            return false;
        }
    }
    true
}
