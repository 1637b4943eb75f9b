//! The fields that a guest wants from each event: RFC 6901 pointers, compiled once, extracted in at
//! most one pass over each attribute that is looked into.
//!
//! The first token names an attribute as in Bulkhead's own shape, or `original` (the bytes as they
//! came in) or `received` (the time of receipt). Deeper tokens walk into the attribute, array
//! indices included. Refused: the empty pointer, wildcards (RFC 6901 has none, so `*` is a plain
//! name), more than [`MAX_FIELDS`] pointers, names that no event has. Extraction is total: what is
//! not there, or not as expected, is missing.

mod rfc3339;
mod trie;

use std::ops::Range;

use crate::attr::{Attr, Kind};
use crate::event::EventRef;
use crate::json::skip_value;
use trie::{Trie, Walk};

pub use rfc3339::write_rfc3339;

/// Most pointers in a projection; part of the contract with guests.
pub const MAX_FIELDS: usize = 64;
/// Tokens in a pointer: no event is nested deeper.
const MAX_TOKENS: usize = 128;
/// Where an event is not longer than this for each wanted field, one copy of it is cheaper than many small ones.
const BYTES_PER_FIELD: usize = 96;
const CODES: usize = 64;

/// Why a list of fields is not a projection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProjectionError {
    #[error("{count} fields, at most {MAX_FIELDS} are possible")]
    TooMany { count: usize },
    #[error("field \"{field}\" is no RFC 6901 pointer: {problem}")]
    Malformed { field: String, problem: &'static str },
    #[error("field \"{field}\" has more than {MAX_TOKENS} tokens")]
    TooDeep { field: String },
    #[error("field \"{field}\" begins with no attribute of an event; known are original, received, {}", known())]
    Unknown { field: String },
}

fn known() -> String {
    Attr::ALL.iter().map(|attr| attr.name()).collect::<Vec<_>>().join(", ")
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Root {
    Attr(Attr),
    Original,
    Received,
}

/// A checked list of pointers.
#[derive(Debug)]
pub struct Projection {
    roots: Vec<Root>,
    /// For each attribute code, the place of its trie in `tries`, `NONE` where no field wants it.
    by_code: [u8; CODES],
    tries: Vec<Trie>,
    original: bool,
    /// Events up to this length are copied as a whole.
    whole_limit: usize,
}

const NONE: u8 = u8::MAX;

impl Default for Projection {
    /// No fields.
    fn default() -> Self {
        Self { roots: Vec::new(), by_code: [NONE; CODES], tries: Vec::new(), original: false, whole_limit: 0 }
    }
}

impl Projection {
    pub fn parse(fields: &[String]) -> Result<Self, ProjectionError> {
        if fields.len() > MAX_FIELDS {
            return Err(ProjectionError::TooMany { count: fields.len() });
        }
        let mut projection = Self { whole_limit: fields.len() * BYTES_PER_FIELD, ..Self::default() };
        for (place, field) in fields.iter().enumerate() {
            let tokens = tokens(field)?;
            let unknown = || ProjectionError::Unknown { field: field.clone() };
            let Some((first, deeper)) = tokens.split_first() else { return Err(unknown()) };
            let root = match first.as_str() {
                "original" | "received" if !deeper.is_empty() => {
                    return Err(ProjectionError::Malformed { field: field.clone(), problem: "nothing lies within this one" });
                }
                "original" => Root::Original,
                "received" => Root::Received,
                name => Root::Attr(Attr::from_name(name).ok_or_else(unknown)?),
            };
            projection.roots.push(root);
            projection.original |= root == Root::Original;
            if let Root::Attr(attr) = root {
                if attr == Attr::Data && deeper.is_empty() {
                    projection.whole_limit = usize::MAX;
                }
                let slot = &mut projection.by_code[usize::from(attr as u8) % CODES];
                if *slot == NONE {
                    *slot = projection.tries.len() as u8;
                    projection.tries.push(Trie::default());
                }
                projection.tries[usize::from(*slot)].insert(deeper, place as u8);
            }
        }
        if projection.original {
            projection.whole_limit = usize::MAX;
        }
        for trie in &mut projection.tries {
            trie.seal();
        }
        Ok(projection)
    }

    pub fn len(&self) -> usize {
        self.roots.len()
    }

    pub fn is_empty(&self) -> bool {
        self.roots.is_empty()
    }

    /// Appends what the fields need to the block, and offset, length and kind for each field to the
    /// spans. Blocks are bounded by the caller, below 4 GiB.
    pub fn extract(&self, event: &EventRef<'_>, block: &mut Vec<u8>, spans: &mut Vec<u32>) {
        let body = event.body();
        let mut found: [(Kind, Range<u32>); MAX_FIELDS] = [const { (Kind::Missing, 0..0) }; MAX_FIELDS];
        for (attr, kind, range) in event.attrs() {
            let slot = self.by_code[usize::from(attr as u8) % CODES];
            if let Some(trie) = self.tries.get(usize::from(slot)) {
                trie.extract(body, kind, range, &mut Walk::new(&mut found, trie.wanted()));
            }
        }
        let whole = body.len() <= self.whole_limit && !self.is_empty();
        let base = block.len();
        if whole {
            block.extend_from_slice(body);
        }
        spans.reserve(self.roots.len() * 3);
        for (root, (kind, range)) in self.roots.iter().zip(&found) {
            let (kind, range) = match root {
                Root::Attr(_) => (*kind, range.start as usize..range.end as usize),
                Root::Original => original(event),
                Root::Received => {
                    let start = block.len();
                    write_rfc3339(event.received(), block);
                    spans.extend_from_slice(&[start as u32, (block.len() - start) as u32, Kind::String as u32]);
                    continue;
                }
            };
            let offset = if whole { base + range.start } else { block.len() };
            if !whole {
                block.extend_from_slice(body.get(range.clone()).unwrap_or_default());
            }
            spans.extend_from_slice(&[offset as u32, range.len() as u32, kind as u32]);
        }
    }
}

/// The original bytes as a value of the body. Events are objects; anything else only a damaged event holds.
fn original(event: &EventRef<'_>) -> (Kind, Range<usize>) {
    let (body, start) = (event.body(), event.body().len() - event.original().len());
    match body.get(start) {
        Some(b'{') => (Kind::Object, start..body.len()),
        Some(b'[') => (Kind::Array, start..body.len()),
        _ => skip_value(body, start).map_or((Kind::Missing, 0..0), |value| (value.kind, value.span)),
    }
}

/// The tokens of an RFC 6901 pointer that is not empty.
pub fn tokens(field: &str) -> Result<Vec<String>, ProjectionError> {
    let malformed = |problem| Err(ProjectionError::Malformed { field: field.to_owned(), problem });
    let Some(rest) = field.strip_prefix('/') else {
        return malformed(if field.is_empty() { "the whole event is not offered, ask for /original or for attributes" } else { "it must begin with /" });
    };
    let mut tokens = Vec::new();
    for token in rest.split('/') {
        if token.split('~').skip(1).any(|behind| !behind.starts_with(['0', '1'])) {
            return malformed("~ must be followed by 0 or 1");
        }
        tokens.push(token.replace("~1", "/").replace("~0", "~"));
    }
    if tokens.len() > MAX_TOKENS {
        return Err(ProjectionError::TooDeep { field: field.to_owned() });
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests;
