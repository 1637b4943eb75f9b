//! An event as a template sees it: looked into where the template looks, never parsed as a whole.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bulkhead_sdk::{Event, Field, Kind, Value as Seen};
use minijinja::Value;
use minijinja::value::{Enumerator, Object, ObjectRepr};

use crate::number;
use crate::paths::{Node, Paths};

/// The fields of one event, one behind the other. Values of a template outlive the call that reads the
/// event, so they cannot borrow its bytes.
pub struct Fields {
    bytes: Vec<u8>,
    spans: Vec<Span>,
}

#[derive(Debug, Clone)]
struct Span {
    kind: Kind,
    range: Range<usize>,
}

impl Fields {
    pub fn of(event: &Event<'_>, count: usize) -> Self {
        let (mut bytes, mut spans) = (Vec::new(), Vec::with_capacity(count));
        for field in 0..count {
            let value = event.get(Field(field as u16));
            let start = bytes.len();
            bytes.extend_from_slice(value.raw());
            spans.push(Span { kind: value.kind(), range: start..bytes.len() });
        }
        Self { bytes, spans }
    }

    fn seen(&self, span: &Span) -> Seen<'_> {
        Seen::new(&self.bytes, span.range.start, span.range.end, span.kind)
    }

    /// Where a value of these bytes lies.
    fn span(&self, value: Seen<'_>) -> Span {
        let start = (value.raw().as_ptr() as usize).saturating_sub(self.bytes.as_ptr() as usize);
        Span { kind: value.kind(), range: start..start + value.raw().len() }
    }
}

/// A value of a template; nothing for a missing one.
fn value(fields: &Arc<Fields>, span: &Span) -> Option<Value> {
    let seen = fields.seen(span);
    match seen.kind() {
        Kind::Missing => None,
        Kind::Null => Some(Value::from(())),
        Kind::Bool => Some(Value::from(seen.raw() == b"true")),
        Kind::Number => std::str::from_utf8(seen.raw()).ok().map(number::value),
        Kind::String | Kind::EscapedString => Some(Value::from(String::from_utf8_lossy(&seen.text()?))),
        Kind::Array | Kind::Object => Some(Value::from_object(Json { fields: Arc::clone(fields), span: span.clone(), last: AtomicUsize::new(0) })),
    }
}

/// The event itself, or a part of it of which only what lies below is asked for.
pub struct Root {
    fields: Arc<Fields>,
    node: Arc<Node>,
}

impl Root {
    pub fn new(paths: &Paths, fields: Fields) -> Self {
        Self { fields: Arc::new(fields), node: Arc::clone(&paths.root) }
    }
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("event")
    }
}

impl Object for Root {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let node = self.node.child(key)?;
        match node.field {
            Some(field) => value(&self.fields, self.fields.spans.get(usize::from(field.0))?),
            None => Some(Value::from_object(Self { fields: Arc::clone(&self.fields), node: Arc::clone(node) })),
        }
    }
}

/// A list or an object of the event. Nothing of it is kept twice, however long it is.
pub struct Json {
    fields: Arc<Fields>,
    span: Span,
    /// Where the walk behind the member found last stands: a loop over an object asks for its members in turn.
    last: AtomicUsize,
}

impl Json {
    /// The JSON text as it came.
    pub fn raw(&self) -> &[u8] {
        self.seen().raw()
    }

    fn seen(&self) -> Seen<'_> {
        self.fields.seen(&self.span)
    }

    fn is_list(&self) -> bool {
        self.span.kind == Kind::Array
    }

    fn count(&self) -> usize {
        if self.is_list() { self.seen().elements().count() } else { self.seen().members().count() }
    }

    /// The first member of this name, from a position on.
    fn member(&self, name: &str, from: usize) -> Option<Span> {
        let mut members = self.seen().members().resume(from);
        let found = members.by_ref().find(|(own, _)| own.is(name))?;
        self.last.store(members.position(), Ordering::Relaxed);
        Some(self.fields.span(found.1))
    }
}

/// Items of a container, one after the other: elements of a list, names of an object.
struct Items {
    of: Arc<Json>,
    position: usize,
    left: usize,
}

impl Iterator for Items {
    type Item = Value;

    fn next(&mut self) -> Option<Value> {
        self.left = self.left.checked_sub(1)?;
        if self.of.is_list() {
            let mut elements = self.of.seen().elements().resume(self.position);
            let element = elements.next()?;
            self.position = elements.position();
            value(&self.of.fields, &self.of.fields.span(element))
        } else {
            let mut members = self.of.seen().members().resume(self.position);
            let (name, _) = members.next()?;
            self.position = members.position();
            value(&self.of.fields, &self.of.fields.span(name))
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.raw()))
    }
}

impl Object for Json {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        if self.is_list() { ObjectRepr::Seq } else { ObjectRepr::Map }
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match key.as_str() {
            Some(name) => self.get_value_by_str(name),
            None => value(&self.fields, &self.fields.span(self.seen().elements().nth(key.as_usize()?)?)),
        }
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let last = self.last.load(Ordering::Relaxed);
        let span = self.member(key, last).or_else(|| if last > 0 { self.member(key, 0) } else { None });
        value(&self.fields, &span?)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Iter(Box::new(Items { of: Arc::clone(self), position: 0, left: self.count() }))
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
