//! Fields of events, sealed or redacted before anything is formatted.
//!
//! What comes out is a stored event like the one that went in, with other text in the places that the
//! rules name and in every place that follows from them: attributes that lie within, attributes that
//! intake derived from such a place, and the original. Formatters and connectors see that event and no
//! other, so no field that they ask for, `original` included, holds the clear text.
//!
//! * A sealed value is a string that says what it needs to be opened: `bhs1:<key>:<period>:<base64url>`
//!   (`value`). Sealing the same value of the same event again gives the same string: an event that is
//!   delivered twice looks the same twice.
//! * A redacted value is the string `[redacted]`.
//! * What an attribute is taken from and what is taken from it are sealed with it (`sources`). Where the
//!   attribute itself is not named by a rule its value is sealed under its own pointer. A severity is left
//!   out then, and the time becomes that of receipt, since neither can be a sealed string.
//! * An event whose payload is not its original (syslog) has its original sealed as a whole once
//!   anything in it is.
//! * An id that lies within is sealed with an empty id, and that string is the event's id from there on,
//!   for the other fields too. A redacted one becomes a keyed digest, so that events stay apart.

mod rules;
mod sources;
mod value;
mod walk;

use std::ops::Range;

use bulkhead_core::json::write_escaped;
use bulkhead_core::projection::write_rfc3339;
use bulkhead_core::{Attr, EventBuilder, EventRef, Kind, Shape};
use ring::hmac;

pub use rules::{FieldRules, RuleFault};
pub use value::{OpenFault, open_value, sealed_values};

use crate::key::Keyring;
use rules::{Action, Rule};
use sources::sources;
use value::Sealer;

/// What stands in the place of a redacted value.
pub const REDACTED: &str = "[redacted]";
/// In place of a value that would not fit into an event once it is sealed.
const TOO_LARGE: &str = "[too large to be sealed]";

/// Rules with the keys that they need.
#[derive(Debug)]
pub struct Fields {
    rules: FieldRules,
    /// None where nothing is sealed.
    sealer: Option<Sealer>,
    /// Keeps events apart whose id is redacted.
    ids: hmac::Key,
}

/// A place that gets other text.
#[derive(Debug, Clone)]
struct Edit {
    /// In the event's body; a string with its quotes, except in `bare`.
    range: Range<usize>,
    /// A string beside the original, which has no quotes there.
    bare: bool,
    rule: usize,
}

/// Most places of one event; an event with more loses its payload.
pub(crate) const MOST_PLACES: usize = 4096;

/// How far sealing may go; each step is tried where the one before is too large for an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effort {
    All,
    /// Masks in place of sealed values.
    Masks,
    /// Nothing of the original.
    Head,
}

impl Fields {
    /// Nothing where the rules name nothing. A keyring is needed where they seal; `every` is the time after
    /// which another key is derived, in seconds.
    pub fn new(rules: FieldRules, keyring: Option<&Keyring>, every: u64) -> Result<Option<Self>, RuleFault> {
        if rules.is_empty() {
            return Ok(None);
        }
        let sealer = keyring.map(|keys| Sealer::new(keys.current(), every));
        if sealer.is_none() && rules.seals() {
            return Err(RuleFault::NoKey);
        }
        let ids = match keyring {
            Some(keys) => keys.current().mac("redacted ids"),
            None => hmac::Key::new(hmac::HMAC_SHA256, &crate::random::<32>()),
        };
        Ok(Some(Self { rules, sealer, ids }))
    }

    /// Appends the event with its fields sealed; false where it has none of them, and nothing was written.
    pub fn apply(&self, event: &EventRef<'_>, out: &mut Vec<u8>) -> bool {
        let edits = self.edits(event);
        if edits.is_empty() {
            return false;
        }
        let start = out.len();
        let efforts: &[Effort] = if edits.len() > MOST_PLACES { &[Effort::Head] } else { &[Effort::All, Effort::Masks, Effort::Head] };
        for effort in efforts.iter().copied() {
            let work = Work { fields: self, event, edits: &edits, original: event.body().len() - event.original().len(), effort };
            if work.write(out) {
                return true;
            }
            out.truncate(start);
        }
        let mut builder = EventBuilder::new();
        builder.text(Attr::Id, &self.digest(&event.id()));
        builder.finish(event.shape(), None, event.received(), format!("\"{REDACTED}\"").as_bytes(), out).expect("some bytes are an event");
        true
    }

    /// In place of an id that is redacted.
    fn digest(&self, id: &str) -> String {
        hmac::sign(&self.ids, id.as_bytes()).as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Every place that a rule names, in order, none within another.
    fn edits(&self, event: &EventRef<'_>) -> Vec<Edit> {
        let body = event.body();
        let original = body.len() - event.original().len();
        let document = document(event);
        let mut edits = Vec::new();
        let mut found = Vec::new();
        for (place, rule) in self.rules.all().iter().enumerate() {
            found.clear();
            if let Some((kind, range)) = event.span(rule.root) {
                if rule.path.is_empty() {
                    edits.push(Edit { bare: is_text(kind) && range.start < original, range: full(kind, &range, original), rule: place });
                } else if !is_text(kind) {
                    walk::find(body, range.start, range.end, &rule.path, false, &mut found);
                } else if rule.root == Attr::Data && may_hold_json(&body[range.clone()]) {
                    // JSON in a string, or JSON that is broken: where in it the place is, nobody can say.
                    edits.push(Edit { bare: range.start < original, range: full(kind, &range, original), rule: place });
                }
            }
            // A payload that is no text is the payload too, and nobody can look into it.
            if rule.root == Attr::Data
                && let Some((kind, range)) = event.span(Attr::DataBase64)
            {
                edits.push(Edit { bare: range.start < original, range: full(kind, &range, original), rule: place });
            }
            if let Some(document) = &document {
                for source in sources(event.shape(), is_beside(event), rule.root) {
                    walk::find_below(body, document, source, &rule.path, may_be_text(rule.root), &mut found);
                }
                self.extensions(event, rule, document, &mut found);
            }
            edits.extend(found.drain(..).map(|range| Edit { range, bare: false, rule: place }));
        }
        // The outermost first, and of two at the same place the rule that comes first.
        edits.sort_by_key(|edit| (edit.range.start, std::cmp::Reverse(edit.range.end), edit.rule));
        let mut end = 0;
        edits.retain(|edit| {
            let keep = edit.range.start >= end;
            if keep {
                end = edit.range.end;
            }
            keep
        });
        edits
    }

    /// A CloudEvent's extensions stand in the original as members, and once more beside it.
    fn extensions(&self, event: &EventRef<'_>, rule: &Rule, document: &Range<usize>, found: &mut Vec<Range<usize>>) {
        if !matches!(event.shape(), Shape::CloudEvents | Shape::Datavault | Shape::Own) {
            return;
        }
        let Some((Kind::Object, extensions)) = event.span(Attr::Extensions) else { return };
        let body = event.body();
        if rule.root != Attr::Extensions {
            return walk::find_below(body, &extensions, &[rule.root.name()], &rule.path, may_be_text(rule.root), found);
        }
        for name in walk::names(body, &extensions) {
            match rule.path.split_first() {
                None => walk::find_below(body, document, &[&name], &[], false, found),
                Some((first, rest)) if first.is(&name) => walk::find_below(body, document, &[&name], rest, false, found),
                Some(_) => {}
            }
        }
    }

    fn text(&self, action: Action, id: &str, pointer: &str, json: &[u8], received: u64, effort: Effort) -> String {
        match (action, &self.sealer) {
            (Action::Redact, _) | (_, None) => REDACTED.into(),
            (Action::Seal, Some(_)) if effort != Effort::All => TOO_LARGE.into(),
            (Action::Seal, Some(sealer)) => sealer.seal(id, pointer, json, received),
        }
    }
}

/// Whether intake takes this attribute from text that holds a list or an object.
fn may_be_text(attr: Attr) -> bool {
    matches!(attr, Attr::Roles | Attr::Compliance | Attr::Metadata)
}

/// Whether text looks like an object or a list, escaped or not.
fn may_hold_json(text: &[u8]) -> bool {
    matches!(text.trim_ascii_start().first(), Some(b'{' | b'['))
}

fn is_text(kind: Kind) -> bool {
    matches!(kind, Kind::String | Kind::EscapedString)
}

/// Whether the payload was made beside the original.
fn is_beside(event: &EventRef<'_>) -> bool {
    let original = event.body().len() - event.original().len();
    [Attr::Data, Attr::DataBase64].into_iter().any(|attr| event.span(attr).is_some_and(|(_, range)| range.start < original))
}

/// The JSON text that attributes were taken from.
fn document(event: &EventRef<'_>) -> Option<Range<usize>> {
    let body = event.body();
    let original = body.len() - event.original().len();
    if is_beside(event) {
        return event.span(Attr::Data).map(|(_, range)| range);
    }
    (body.get(original) == Some(&b'{')).then_some(original..body.len())
}

/// One event on its way.
struct Work<'a> {
    fields: &'a Fields,
    event: &'a EventRef<'a>,
    edits: &'a [Edit],
    /// Where the original begins in the body.
    original: usize,
    effort: Effort,
}

/// What becomes of an attribute.
enum Fate {
    /// It has nothing to do with any edit.
    Untouched,
    /// Edits lie within it.
    Contains,
    /// It is an edit's whole value.
    Is(usize),
    /// It lies within one, or was derived from there.
    Within(Action),
}

impl Work<'_> {
    fn write(&self, out: &mut Vec<u8>) -> bool {
        let (body, original) = (self.event.body(), self.original);
        // A payload beside an original that was touched: what is where in the original is not known.
        let replaced = self.effort == Effort::Head || (is_beside(self.event) && !self.edits.is_empty());
        let id = self.id();
        let texts: Vec<String> = self.edits.iter().map(|edit| self.replacement(edit, &id)).collect();
        let mut builder = EventBuilder::new();
        let mut severity = self.event.severity();
        for (attr, kind, range) in self.event.attrs() {
            let fate = if attr == Attr::Id { Fate::Untouched } else { self.fate(attr, kind, &range) };
            match (attr, fate) {
                (Attr::Id, _) => builder.text(Attr::Id, &id),
                (Attr::Lane | Attr::Tenant | Attr::TimeSource, _) => builder.raw(attr, kind, &body[range]),
                (Attr::Severity, Fate::Is(_) | Fate::Within(_)) => severity = None,
                (Attr::Time, Fate::Is(_) | Fate::Within(_)) => {
                    let mut time = Vec::new();
                    write_rfc3339(self.event.received(), &mut time);
                    builder.raw(Attr::Time, Kind::String, &time);
                    builder.text(Attr::TimeSource, "receipt");
                }
                (_, Fate::Is(edit)) => builder.text(attr, &texts[edit]),
                (_, Fate::Within(action)) => {
                    let json = json(body, kind, &range);
                    builder.text(attr, &self.fields.text(action, &id, &format!("/{}", attr.name()), &json, self.event.received(), self.effort));
                }
                _ if self.effort == Effort::Head && !matches!(attr, Attr::Source | Attr::Type | Attr::Time | Attr::Severity) => {}
                (_, Fate::Untouched) if range.start < original => builder.raw(attr, kind, &body[range]),
                (_, Fate::Contains) if range.start < original => builder.raw(attr, kind, &self.spliced(range, &texts)),
                (_, Fate::Untouched | Fate::Contains) if replaced => builder.raw(attr, kind, &self.spliced(range, &texts)),
                (_, Fate::Untouched | Fate::Contains) => {
                    let moved = |at: usize| self.moved(at, original, &texts);
                    builder.span(attr, kind, moved(range.start)..moved(range.end));
                }
            }
        }
        let whole = if replaced {
            let action = self.edits.first().map_or(Action::Redact, |edit| self.rule(edit).action);
            let mut clear = vec![b'"'];
            write_escaped(&String::from_utf8_lossy(self.event.original()), &mut clear);
            clear.push(b'"');
            format!("\"{}\"", self.fields.text(action, &id, "/original", &clear, self.event.received(), self.effort)).into_bytes()
        } else {
            self.spliced(original..body.len(), &texts)
        };
        builder.finish(self.event.shape(), severity, self.event.received(), &whole, out).is_ok()
    }

    fn rule(&self, edit: &Edit) -> &Rule {
        &self.fields.rules.all()[edit.rule]
    }

    /// The event's id as receivers see it.
    fn id(&self) -> String {
        let clear = self.event.id();
        let Some((kind, range)) = self.event.span(Attr::Id) else { return clear.into_owned() };
        let action = match self.fate(Attr::Id, kind, &range) {
            Fate::Untouched | Fate::Contains => return clear.into_owned(),
            Fate::Is(edit) => self.rule(&self.edits[edit]).action,
            Fate::Within(action) => action,
        };
        if action == Action::Seal && self.fields.sealer.is_some() && self.effort == Effort::All {
            return self.fields.text(action, "", "/id", &json(self.event.body(), kind, &range), self.event.received(), self.effort);
        }
        self.fields.digest(&clear)
    }

    fn replacement(&self, edit: &Edit, id: &str) -> String {
        if let Some((kind, range)) = self.event.span(Attr::Id)
            && edit.range == full(kind, &range, self.original)
        {
            return id.into();
        }
        let body = self.event.body();
        let clear = &body[edit.range.clone()];
        let quoted = [&b"\""[..], clear, b"\""].concat();
        let rule = self.rule(edit);
        self.fields.text(rule.action, id, &rule.pointer, if edit.bare { &quoted } else { clear }, self.event.received(), self.effort)
    }

    fn fate(&self, attr: Attr, kind: Kind, range: &Range<usize>) -> Fate {
        let mut fate = Fate::Untouched;
        for (place, edit) in self.edits.iter().enumerate() {
            let full = full(kind, range, self.original);
            if edit.range == full {
                return Fate::Is(place);
            }
            if edit.range.start <= full.start && full.end <= edit.range.end && !full.is_empty() {
                return Fate::Within(self.rule(edit).action);
            }
            if full.start <= edit.range.start && edit.range.end <= full.end {
                fate = Fate::Contains;
            }
        }
        // Beside the original it may be taken from a place that is sealed there.
        if range.start < self.original
            && attr != Attr::Extensions
            && matches!(fate, Fate::Untouched)
            && let Some(document) = document(self.event)
        {
            let mut from = Vec::new();
            for source in sources(self.event.shape(), is_beside(self.event), attr) {
                walk::find_below(self.event.body(), &document, source, &[], true, &mut from);
            }
            let touched = |edit: &&Edit| from.iter().any(|from| from.start < edit.range.end && edit.range.start < from.end);
            if let Some(edit) = self.edits.iter().find(touched) {
                return Fate::Within(self.rule(edit).action);
            }
        }
        fate
    }

    /// A part of the body with the replacements in it; no edit reaches over its ends.
    fn spliced(&self, range: Range<usize>, texts: &[String]) -> Vec<u8> {
        let body = self.event.body();
        let mut out = Vec::with_capacity(range.len());
        let mut at = range.start;
        for (edit, text) in self.edits.iter().zip(texts).filter(|(edit, _)| range.start <= edit.range.start && edit.range.end <= range.end) {
            out.extend_from_slice(&body[at..edit.range.start]);
            out.push(b'"');
            out.extend_from_slice(text.as_bytes());
            out.push(b'"');
            at = edit.range.end;
        }
        out.extend_from_slice(&body[at..range.end]);
        out
    }

    /// Where a place of the original is once everything before it was replaced.
    fn moved(&self, at: usize, original: usize, texts: &[String]) -> usize {
        let before = self.edits.iter().zip(texts).filter(|(edit, _)| edit.range.start >= original && edit.range.end <= at);
        let (gone, come) = before.fold((0, 0), |(gone, come), (edit, text)| (gone + edit.range.len(), come + text.len() + 2));
        at - original + come - gone
    }
}

/// The place of a value as edits count it: strings of the original have quotes.
fn full(kind: Kind, range: &Range<usize>, original: usize) -> Range<usize> {
    if is_text(kind) && range.start > original { range.start - 1..range.end + 1 } else { range.clone() }
}

/// A value as JSON text.
fn json(body: &[u8], kind: Kind, range: &Range<usize>) -> Vec<u8> {
    let raw = &body[range.clone()];
    if is_text(kind) { [b"\"", raw, b"\""].concat() } else { raw.to_vec() }
}

/// Events of a batch with their fields sealed, in buffers that are used again.
#[derive(Debug, Default)]
pub struct SealedBatch {
    bytes: Vec<u8>,
    /// Where each event is; none where it needed no change.
    ranges: Vec<Option<Range<usize>>>,
}

impl SealedBatch {
    /// Replaces what is in it.
    pub fn fill<'a>(&mut self, fields: Option<&Fields>, events: impl Iterator<Item = EventRef<'a>>) {
        self.bytes.clear();
        self.ranges.clear();
        let Some(fields) = fields else { return };
        for event in events {
            let start = self.bytes.len();
            let changed = fields.apply(&event, &mut self.bytes);
            self.ranges.push(changed.then_some(start..self.bytes.len()));
        }
    }

    /// The event at this place of the batch as it may leave.
    pub fn event<'a>(&'a self, place: usize, clear: EventRef<'a>) -> EventRef<'a> {
        match self.ranges.get(place) {
            Some(Some(range)) => EventRef::new(&self.bytes[range.clone()]).expect("written by this room"),
            _ => clear,
        }
    }
}

#[cfg(test)]
mod tests;
