//! YAML text → a tree with places. Scalars stay text (`1.10` is not a float until somebody asks for
//! one); aliases are expanded and `<<` merged, both within bounds; duplicate keys are faults.

use std::collections::HashMap;

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, Span as Mark, StrInput, Tag};

use super::fault::{FaultKind, Faults, Span};

/// Largest file.
pub(super) const MAX_BYTES: usize = 4 << 20;
/// Deepest nesting of lists and maps.
const MAX_DEPTH: usize = 96;
/// Most values, aliases counted as what they stand for.
const MAX_NODES: usize = 500_000;
/// Most bytes of text in all values, aliases and `${…}` counted as what they stand for.
pub(super) const MAX_TEXT: usize = 16 << 20;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub span: Span,
    pub value: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Scalar {
    pub text: String,
    /// Written without quotes, so that it may mean a number, a boolean or nothing.
    pub plain: bool,
    /// How it was written, where `${…}` stood in it.
    pub template: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub key: String,
    pub key_span: Span,
    pub value: Node,
}

impl Node {
    pub(super) fn map(span: Span, entries: Vec<Entry>) -> Self {
        Self { span, value: Value::Map(entries) }
    }

    pub(super) fn plain(span: Span, text: &str) -> Self {
        Self { span, value: Value::Scalar(Scalar { text: text.into(), plain: true, template: None }) }
    }

    /// `null`, `~` or nothing at all.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(scalar) if scalar.plain && scalar.template.is_none() && matches!(scalar.text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// Every scalar below, this one included.
    pub(super) fn scalars(&self, visit: &mut dyn FnMut(Span, &Scalar)) {
        match &self.value {
            Value::Scalar(scalar) => visit(self.span, scalar),
            Value::List(items) => items.iter().for_each(|item| item.scalars(visit)),
            Value::Map(entries) => entries.iter().for_each(|entry| entry.value.scalars(visit)),
        }
    }

    /// What it is, for messages.
    pub(super) fn describe(&self) -> &'static str {
        match &self.value {
            _ if self.is_null() => "nothing",
            Value::Scalar(_) => "a single value",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }
}

/// Parses one document. What is wrong goes to `faults`; `None` where there is no tree to go on with.
pub(super) fn parse(text: &str, faults: &mut Faults) -> Option<Node> {
    if text.len() > MAX_BYTES {
        let message = format!("the file has {} bytes; at most {MAX_BYTES} are read", text.len());
        faults.push(FaultKind::Syntax, Span::default(), "", message, None);
        return None;
    }
    let mut builder = Builder { parser: Parser::new_from_str(text), faults, anchors: HashMap::new(), nodes: 0, text: 0, path: String::new() };
    match builder.document() {
        Ok(node) => Some(node),
        Err(Stop { span, message, hint }) => {
            faults.push(FaultKind::Syntax, span, "", message, hint);
            None
        }
    }
}

/// Why the text cannot be read any further.
struct Stop {
    span: Span,
    message: String,
    hint: Option<String>,
}

impl Stop {
    fn new(span: Span, message: impl Into<String>, hint: &str) -> Self {
        Self { span, message: message.into(), hint: (!hint.is_empty()).then(|| hint.to_owned()) }
    }
}

struct Builder<'a, 'f> {
    parser: Parser<'a, StrInput<'a>>,
    faults: &'f mut Faults,
    /// Anchored values with the number of nodes and bytes they stand for.
    anchors: HashMap<usize, (Node, usize, usize)>,
    nodes: usize,
    text: usize,
    /// Of the value that is being read.
    path: String,
}

impl<'a> Builder<'a, '_> {
    fn next(&mut self) -> Result<(Event<'a>, Span), Stop> {
        match self.parser.next_event() {
            Some(Ok((event, mark))) => Ok((event, span(mark))),
            Some(Err(error)) => {
                let (line, column) = (error.marker().line(), error.marker().col() + 1);
                let place = Span { line, column, end_line: line, end_column: column + 1 };
                let hint = "quote values with special characters; inside { } or [ ] a value with ${…} needs quotes";
                Err(Stop::new(place, format!("not valid YAML: {}", error.kind()), hint))
            }
            None => Err(Stop::new(Span::default(), "the text ends too early", "")),
        }
    }

    fn document(&mut self) -> Result<Node, Stop> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamStart | Event::DocumentEnd => {}
                Event::StreamEnd => return Ok(root.unwrap_or_else(|| Node::plain(Span { line: 1, column: 1, end_line: 1, end_column: 1 }, ""))),
                Event::DocumentStart(..) if root.is_some() => {
                    return Err(Stop::new(span, "a second document", "keep one document in the file: remove the `---`"));
                }
                Event::DocumentStart(..) => {
                    let (event, span) = self.next()?;
                    root = Some(self.node(event, span, 0)?);
                }
                _ => return Err(Stop::new(span, "something outside the document", "")),
            }
        }
    }

    fn node(&mut self, event: Event<'a>, at: Span, depth: usize) -> Result<Node, Stop> {
        if depth > MAX_DEPTH {
            return Err(Stop::new(at, format!("nested deeper than {MAX_DEPTH}"), ""));
        }
        let (nodes, bytes) = (self.nodes, self.text);
        let (node, anchor) = match event {
            Event::Alias(id) => {
                let Some((node, nodes, bytes)) = self.anchors.get(&id).cloned() else {
                    return Err(Stop::new(at, "an alias inside the value it stands for", ""));
                };
                self.count(nodes, bytes, at)?;
                return Ok(node);
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.count(1, text.len(), at)?;
                let plain = style == ScalarStyle::Plain && !is_string(tag.as_deref(), at)?;
                (Node { span: at, value: Value::Scalar(Scalar { text: text.into_owned(), plain, template: None }) }, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.count(1, 0, at)?;
                refuse_tag(tag.as_deref(), at)?;
                (self.list(at, depth)?, anchor)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.count(1, 0, at)?;
                refuse_tag(tag.as_deref(), at)?;
                (self.map(at, depth)?, anchor)
            }
            _ => return Err(Stop::new(at, "a value is missing here", "")),
        };
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), self.nodes - nodes, self.text - bytes));
        }
        Ok(node)
    }

    fn list(&mut self, at: Span, depth: usize) -> Result<Node, Stop> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                return Ok(Node { span: at, value: Value::List(items) });
            }
            let item = format!("[{}]", items.len());
            items.push(self.child(&item, event, span, depth)?);
        }
    }

    fn map(&mut self, at: Span, depth: usize) -> Result<Node, Stop> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut seen: HashMap<String, Span> = HashMap::new();
        let mut merged = Vec::new();
        loop {
            let (event, key_span) = self.next()?;
            if event == Event::MappingEnd {
                break;
            }
            let key = match event {
                Event::Scalar(text, ..) => text.into_owned(),
                _ => return Err(Stop::new(key_span, "a key that is not a single word", "keys are plain text")),
            };
            self.count(1, key.len(), key_span)?;
            let (event, span) = self.next()?;
            let value = self.child(&key, event, span, depth)?;
            if key == "<<" {
                merged.push(value);
                continue;
            }
            if let Some(first) = seen.get(&key) {
                let key = if self.path.is_empty() { key } else { format!("{}.{key}", self.path) };
                let message = format!("given twice; the first is in line {}", first.line);
                self.faults.push(FaultKind::DuplicateKey, key_span, key, message, Some("keep one of the two".into()));
                value.scalars(&mut |span, _| self.faults.veil.push(span));
                continue;
            }
            seen.insert(key.clone(), key_span);
            entries.push(Entry { key, key_span, value });
        }
        for value in merged {
            merge(&mut entries, value, &mut self.faults.veil)?;
        }
        Ok(Node::map(at, entries))
    }

    fn child(&mut self, step: &str, event: Event<'a>, span: Span, depth: usize) -> Result<Node, Stop> {
        let length = self.path.len();
        if length > 0 && !step.starts_with('[') {
            self.path.push('.');
        }
        self.path.extend(step.chars().take(64));
        let node = self.node(event, span, depth + 1);
        self.path.truncate(length);
        node
    }

    fn count(&mut self, nodes: usize, bytes: usize, at: Span) -> Result<(), Stop> {
        self.nodes += nodes;
        self.text += bytes;
        if self.nodes > MAX_NODES {
            return Err(Stop::new(at, format!("more than {MAX_NODES} values, aliases counted as what they stand for"), ""));
        }
        if self.text > MAX_TEXT {
            return Err(Stop::new(at, format!("more than {MAX_TEXT} bytes of text, aliases counted as what they stand for"), ""));
        }
        Ok(())
    }
}

/// `<<: *base` or `<<: [*a, *b]`: keys that are not there yet.
fn merge(entries: &mut Vec<Entry>, value: Node, veil: &mut Vec<Span>) -> Result<(), Stop> {
    match value.value {
        Value::Map(more) => {
            for entry in more {
                if entries.iter().all(|known| known.key != entry.key) {
                    entries.push(entry);
                } else {
                    entry.value.scalars(&mut |span, _| veil.push(span));
                }
            }
            Ok(())
        }
        Value::List(maps) => maps.into_iter().try_for_each(|map| match map.value {
            Value::Map(_) => merge(entries, map, veil),
            _ => Err(Stop::new(map.span, "`<<` takes maps", "")),
        }),
        Value::Scalar(_) => Err(Stop::new(value.span, "`<<` takes a map or a list of maps", "write `<<: *name`")),
    }
}

fn is_string(tag: Option<&Tag>, at: Span) -> Result<bool, Stop> {
    match tag {
        Some(tag) if tag.is_yaml_core_schema_tag("str") => Ok(true),
        other => refuse_tag(other, at).map(|()| false),
    }
}

fn refuse_tag(tag: Option<&Tag>, at: Span) -> Result<(), Stop> {
    match tag {
        Some(tag) if !tag.is_yaml_core_schema() => Err(Stop::new(at, "a tag (`!name`) that means nothing here", "remove the tag")),
        _ => Ok(()),
    }
}

fn span(mark: Mark) -> Span {
    Span { line: mark.start.line(), column: mark.start.col() + 1, end_line: mark.end.line(), end_column: mark.end.col() + 1 }
}
