//! The validating scanner: one pass over a value, without recursion, that checks everything and
//! hands over the members of the objects that were asked for.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::Write as _;
use std::ops::Range;

use super::decode_string;
use super::text::{fingerprint, fingerprint_at, next_special, skip_space};
use crate::attr::Kind;

/// Up to this many keys an object's keys are compared one by one; above, by a keyed hash set.
const FEW: usize = 64;
/// Pointers in faults are cut here: keys are input from outside.
const MAX_POINTER: usize = 512;

/// Bounds of what is accepted.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Containers within each other.
    pub depth: usize,
    /// Members of one object.
    pub members: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: 128, members: 65_536 }
    }
}

/// Why text was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// Not JSON (RFC 8259).
    Syntax(&'static str),
    DuplicateKey,
    /// A surrogate escape without its partner.
    Surrogate,
    /// More containers within each other than the limit.
    Depth(usize),
    /// More members in one object than the limit.
    Members(usize),
}

impl std::fmt::Display for FaultKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Syntax(reason) => f.write_str(reason),
            Self::DuplicateKey => f.write_str("the key occurs twice in its object"),
            Self::Surrogate => f.write_str("a surrogate escape stands without its partner"),
            Self::Depth(limit) => write!(f, "nested deeper than {limit} levels"),
            Self::Members(limit) => write!(f, "more than {limit} members in one object"),
        }
    }
}

/// A refusal and its place. Carries keys on the way to it, but no values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} (byte {at}, pointer \"{pointer}\")")]
pub struct Fault {
    pub kind: FaultKind,
    /// Position in the text that was scanned.
    pub at: usize,
    /// RFC 6901, from the scanned value; cut at 512 bytes.
    pub pointer: String,
    /// Where the value ends, where its grammar held: the reader can go on behind it.
    pub end: Option<usize>,
}

/// A number for an object whose members somebody wants to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group(pub u8);

impl Group {
    pub const NONE: Self = Self(0);
}

/// A member of an object that was asked for.
#[derive(Debug, Clone)]
pub struct Member {
    pub group: Group,
    /// Between the quotes.
    pub key: Range<usize>,
    pub key_escaped: bool,
    pub kind: Kind,
    /// Strings without their quotes.
    pub value: Range<usize>,
}

/// Takes what the scanner finds. An object's members come before the member whose value it is.
pub trait Collect {
    /// The group of the object under `key` (decoded) in an object of the group `parent`.
    fn enter(&mut self, parent: Group, key: &[u8]) -> Group;
    fn member(&mut self, text: &[u8], member: Member);
}

/// Validates without collecting.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ignore;

impl Collect for Ignore {
    fn enter(&mut self, _: Group, _: &[u8]) -> Group {
        Group::NONE
    }
    fn member(&mut self, _: &[u8], _: Member) {}
}

/// What was scanned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scanned {
    pub kind: Kind,
    /// Strings without their quotes.
    pub span: Range<usize>,
    /// Behind the value.
    pub end: usize,
}

#[derive(Debug, Clone, Copy)]
struct Frame {
    object: bool,
    group: Group,
    start: usize,
    /// Where this object's keys begin on the stack of keys.
    keys: usize,
    /// The key before the current value; `None` between members.
    key: Option<Key>,
    /// Members or elements before the current one.
    index: usize,
}

#[derive(Debug, Clone, Copy)]
struct Key {
    start: usize,
    end: usize,
    escaped: bool,
}

impl Key {
    fn bytes<'t>(&self, text: &'t [u8]) -> Cow<'t, [u8]> {
        let raw = text.get(self.start..self.end).unwrap_or_default();
        match self.escaped.then(|| decode_string(raw)).flatten() {
            Some(decoded) => decoded.into_bytes().into(),
            None => raw.into(),
        }
    }
}

/// Validates values; one scanner serves many, keeping its buffers.
#[derive(Debug, Default)]
pub struct Scanner {
    limits: Limits,
    frames: Vec<Frame>,
    prints: Vec<u32>,
    keys: Vec<Key>,
    /// The first fault that does not stop the pass.
    soft: Option<Fault>,
}

/// The keys of one object with more than [`FEW`] of them, beside the depth of its frame.
type ManyKeys<'t> = Vec<(usize, HashSet<Cow<'t, [u8]>>)>;

impl Scanner {
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Validates text that is one value and space around it.
    pub fn document<C: Collect>(&mut self, text: &[u8], root: Group, collect: &mut C) -> Result<Scanned, Fault> {
        let scanned = self.value(text, 0, root, collect)?;
        let end = skip_space(text, scanned.end);
        if end < text.len() {
            return Err(Fault { kind: FaultKind::Syntax("more text behind the value"), at: end, pointer: String::new(), end: None });
        }
        Ok(scanned)
    }

    /// Validates the value at `at`; space before it is allowed. Where it is an object, its members
    /// belong to the group `root`. Positions count from the start of `text`.
    pub fn value<C: Collect>(&mut self, text: &[u8], at: usize, root: Group, collect: &mut C) -> Result<Scanned, Fault> {
        self.frames.clear();
        self.prints.clear();
        self.keys.clear();
        self.soft = None;
        let mut many: ManyKeys<'_> = Vec::new();
        let mut pos = at;
        'value: loop {
            pos = skip_space(text, pos);
            let (mut kind, mut span);
            match text.get(pos) {
                Some(b'"') => {
                    let (end, escaped) = self.string(text, pos + 1)?;
                    (kind, span) = (if escaped { Kind::EscapedString } else { Kind::String }, pos + 1..end);
                    pos = end + 1;
                }
                Some(b'{') => {
                    let group = match self.frames.last() {
                        None => root,
                        Some(Frame { group: Group::NONE, .. }) => Group::NONE,
                        Some(Frame { group, key: Some(key), .. }) => collect.enter(*group, &key.bytes(text)),
                        Some(_) => Group::NONE,
                    };
                    self.open(text, pos, true, group)?;
                    let inside = skip_space(text, pos + 1);
                    if text.get(inside) != Some(&b'}') {
                        pos = self.key(text, inside, &mut many)?;
                        continue 'value;
                    }
                    self.frames.pop();
                    (kind, span) = (Kind::Object, pos..inside + 1);
                    pos = inside + 1;
                }
                Some(b'[') => {
                    self.open(text, pos, false, Group::NONE)?;
                    let inside = skip_space(text, pos + 1);
                    if text.get(inside) != Some(&b']') {
                        pos = inside;
                        continue 'value;
                    }
                    self.frames.pop();
                    (kind, span) = (Kind::Array, pos..inside + 1);
                    pos = inside + 1;
                }
                Some(b'-' | b'0'..=b'9') => {
                    let end = number(text, pos).map_err(|(at, reason)| self.syntax(text, at, reason))?;
                    (kind, span) = (Kind::Number, pos..end);
                    pos = end;
                }
                Some(b't' | b'f' | b'n') => {
                    let rest = &text[pos..];
                    let length;
                    (kind, length) = if rest.starts_with(b"true") {
                        (Kind::Bool, 4)
                    } else if rest.starts_with(b"false") {
                        (Kind::Bool, 5)
                    } else if rest.starts_with(b"null") {
                        (Kind::Null, 4)
                    } else {
                        return Err(self.syntax(text, pos, "expected true, false or null"));
                    };
                    span = pos..pos + length;
                    pos += length;
                }
                Some(_) => return Err(self.syntax(text, pos, "expected a value")),
                None => return Err(self.syntax(text, pos, "the text ends where a value was expected")),
            }
            // A value is complete: tell, and close what it completes.
            loop {
                let Some(frame) = self.frames.last_mut() else {
                    return match self.soft.take() {
                        Some(fault) => Err(Fault { end: Some(pos), ..fault }),
                        None => Ok(Scanned { kind, span, end: pos }),
                    };
                };
                if frame.group != Group::NONE
                    && let Some(key) = frame.key
                {
                    collect.member(text, Member { group: frame.group, key: key.start..key.end, key_escaped: key.escaped, kind, value: span.clone() });
                }
                pos = skip_space(text, pos);
                match (text.get(pos), frame.object) {
                    (Some(b','), true) => {
                        frame.index += 1;
                        frame.key = None;
                        pos = skip_space(text, pos + 1);
                        pos = self.key(text, pos, &mut many)?;
                        continue 'value;
                    }
                    (Some(b','), false) => {
                        frame.index += 1;
                        pos += 1;
                        continue 'value;
                    }
                    (Some(b'}'), true) | (Some(b']'), false) => {
                        let frame = *frame;
                        pos += 1;
                        (kind, span) = (if frame.object { Kind::Object } else { Kind::Array }, frame.start..pos);
                        self.frames.pop();
                        if frame.object {
                            self.prints.truncate(frame.keys);
                            self.keys.truncate(frame.keys);
                            if many.last().is_some_and(|(depth, _)| *depth > self.frames.len()) {
                                many.pop();
                            }
                        }
                    }
                    (Some(_), object) => return Err(self.syntax(text, pos, if object { "expected , or }" } else { "expected , or ]" })),
                    (None, object) => {
                        return Err(self.syntax(text, pos, if object { "the text ends within an object" } else { "the text ends within an array" }));
                    }
                }
            }
        }
    }

    fn open(&mut self, text: &[u8], at: usize, object: bool, group: Group) -> Result<(), Fault> {
        if self.frames.len() >= self.limits.depth {
            return Err(self.fault(text, at, FaultKind::Depth(self.limits.depth)));
        }
        self.frames.push(Frame { object, group, start: at, keys: self.keys.len(), key: None, index: 0 });
        Ok(())
    }

    /// Reads a key and its colon; the position behind them.
    #[inline]
    fn key<'t>(&mut self, text: &'t [u8], at: usize, many: &mut ManyKeys<'t>) -> Result<usize, Fault> {
        if text.get(at) != Some(&b'"') {
            return Err(self.syntax(text, at, "expected a key in double quotes"));
        }
        let start = at + 1;
        let (end, escaped) = self.string(text, start)?;
        let key = Key { start, end, escaped };
        let colon = skip_space(text, end + 1);
        let depth = self.frames.len();
        let Some(frame) = self.frames.last_mut() else { return Err(self.syntax(text, at, "a key outside an object")) };
        frame.key = Some(key);
        let (first, count) = (frame.keys, frame.index);
        if text.get(colon) != Some(&b':') {
            return Err(self.syntax(text, colon, "expected a colon behind the key"));
        }
        let print = if escaped { fingerprint(&key.bytes(text)) } else { fingerprint_at(text, start, end - start) };
        let twice = if count < FEW {
            let alike = self.prints[first..].iter().fold(false, |alike, other| alike | (*other == print));
            let twice = alike && self.is_known(text, first, key, print);
            self.prints.push(print);
            self.keys.push(key);
            twice
        } else {
            if count == FEW {
                many.push((depth, self.keys[first..].iter().map(|key| key.bytes(text)).collect()));
            }
            if count == self.limits.members {
                self.soft(text, start, FaultKind::Members(self.limits.members));
            }
            // Beyond the limit of members the object is refused already; only its end is wanted.
            count < self.limits.members && many.last_mut().is_some_and(|(_, keys)| !keys.insert(key.bytes(text)))
        };
        if twice {
            self.soft(text, start, FaultKind::DuplicateKey);
        }
        Ok(colon + 1)
    }

    #[cold]
    fn is_known(&self, text: &[u8], first: usize, key: Key, print: u32) -> bool {
        let own = key.bytes(text);
        self.keys[first..].iter().zip(&self.prints[first..]).any(|(other, alike)| *alike == print && other.bytes(text) == own)
    }

    /// Checks a string whose text starts at `at`: the position of its closing quote, and whether it
    /// holds escapes.
    #[inline]
    fn string(&mut self, text: &[u8], at: usize) -> Result<(usize, bool), Fault> {
        let end = next_special(text, at);
        if text.get(end) == Some(&b'"') { Ok((end, false)) } else { self.string_slow(text, end) }
    }

    #[inline(never)]
    fn string_slow(&mut self, text: &[u8], mut at: usize) -> Result<(usize, bool), Fault> {
        let mut escaped = false;
        loop {
            match text.get(at) {
                Some(b'"') => return Ok((at, escaped)),
                Some(b'\\') => {
                    escaped = true;
                    at = self.escape(text, at)?;
                }
                Some(_) => return Err(self.syntax(text, at, "a control character in a string must be escaped")),
                None => return Err(self.syntax(text, at, "the text ends within a string")),
            }
            at = next_special(text, at);
        }
    }

    /// Checks the escape whose backslash is at `at`; the position behind it.
    fn escape(&mut self, text: &[u8], at: usize) -> Result<usize, Fault> {
        match text.get(at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
            Some(b'u') => {
                let Some(code) = hex4(text, at + 2) else { return Err(self.syntax(text, at, "four hexadecimal digits must follow \\u")) };
                match code {
                    0xd800..=0xdbff => {
                        let low = if text.get(at + 6) == Some(&b'\\') && text.get(at + 7) == Some(&b'u') { hex4(text, at + 8) } else { None };
                        if matches!(low, Some(0xdc00..=0xdfff)) {
                            return Ok(at + 12);
                        }
                        self.soft(text, at, FaultKind::Surrogate);
                    }
                    0xdc00..=0xdfff => self.soft(text, at, FaultKind::Surrogate),
                    _ => {}
                }
                Ok(at + 6)
            }
            Some(_) => Err(self.syntax(text, at, "unknown escape in a string")),
            None => Err(self.syntax(text, at, "the text ends within a string")),
        }
    }

    #[cold]
    fn soft(&mut self, text: &[u8], at: usize, kind: FaultKind) {
        if self.soft.is_none() {
            self.soft = Some(self.fault(text, at, kind));
        }
    }

    #[cold]
    fn syntax(&self, text: &[u8], at: usize, reason: &'static str) -> Fault {
        self.fault(text, at, FaultKind::Syntax(reason))
    }

    #[cold]
    fn fault(&self, text: &[u8], at: usize, kind: FaultKind) -> Fault {
        let mut pointer = String::new();
        for frame in &self.frames {
            let token = match (frame.object, frame.key) {
                (false, _) => frame.index.to_string(),
                (true, Some(key)) => String::from_utf8_lossy(&key.bytes(text)).replace('~', "~0").replace('/', "~1"),
                (true, None) => break,
            };
            if pointer.len() + token.len() >= MAX_POINTER {
                pointer.push_str("/…");
                break;
            }
            let _ = write!(pointer, "/{token}");
        }
        Fault { kind, at, pointer, end: None }
    }
}

fn hex4(text: &[u8], at: usize) -> Option<u32> {
    text.get(at..at + 4)?.iter().try_fold(0, |code, byte| Some(code << 4 | char::from(*byte).to_digit(16)?))
}

/// The end of the number at `at`, or where and why it is none.
#[inline]
fn number(text: &[u8], at: usize) -> Result<usize, (usize, &'static str)> {
    let digits = |mut at: usize| {
        while text.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        at
    };
    let some_digits = |from: usize, reason| {
        let end = digits(from);
        if end == from { Err((from, reason)) } else { Ok(end) }
    };
    let whole = at + usize::from(text.get(at) == Some(&b'-'));
    let mut end = some_digits(whole, "digits must follow the minus sign")?;
    if text.get(whole) == Some(&b'0') && end > whole + 1 {
        return Err((whole, "a number must not begin with a needless 0"));
    }
    if text.get(end) == Some(&b'.') {
        end = some_digits(end + 1, "digits must follow the decimal point")?;
    }
    if matches!(text.get(end), Some(b'e' | b'E')) {
        end += 1;
        end += usize::from(matches!(text.get(end), Some(b'+' | b'-')));
        end = some_digits(end, "digits must follow the exponent sign")?;
    }
    Ok(end)
}
