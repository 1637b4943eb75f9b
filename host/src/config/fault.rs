//! What is wrong with a configuration: where, what, what to do. Source lines are shown with every value
//! masked that may be a secret, so a fault can be pasted into a ticket.

use std::fmt;
use std::path::{Path, PathBuf};

/// Most faults that are kept; a file with more is broken beyond listing.
const MAX_FAULTS: usize = 200;
/// Longest source line that is shown, in characters.
const MAX_EXCERPT: usize = 200;

/// A place in the file. Lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Span {
    pub line: usize,
    pub column: usize,
    pub end_line: usize,
    pub end_column: usize,
}

/// The sort of a fault; its code is stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// The file cannot be read.
    Unreadable,
    /// The text is not YAML, or YAML beyond the bounds.
    Syntax,
    UnknownKey,
    DuplicateKey,
    WrongType,
    OutOfRange,
    Missing,
    /// A name that is defined nowhere.
    UnknownReference,
    /// A key of a later version.
    Unsupported,
    /// A variable or file of a `${…}` is not there.
    Interpolation,
    /// Two settings that do not go together.
    Conflict,
    /// A component refuses its part.
    Component,
}

impl FaultKind {
    pub fn code(self) -> &'static str {
        match self {
            Self::Unreadable => "config.unreadable",
            Self::Syntax => "config.syntax",
            Self::UnknownKey => "config.unknown_key",
            Self::DuplicateKey => "config.duplicate_key",
            Self::WrongType => "config.wrong_type",
            Self::OutOfRange => "config.out_of_range",
            Self::Missing => "config.missing",
            Self::UnknownReference => "config.unknown_reference",
            Self::Unsupported => "config.unsupported",
            Self::Interpolation => "config.interpolation",
            Self::Conflict => "config.conflict",
            Self::Component => "config.component",
        }
    }
}

/// One fault. `Display` writes the place, the message, the source line with a caret, and the hint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub kind: FaultKind,
    pub file: PathBuf,
    pub span: Span,
    /// Dotted path of the key, for example `instances.siem.batch.max_events`; may be empty.
    pub key: String,
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
    excerpt: Option<String>,
}

impl Fault {
    /// The same about another key.
    pub fn about(self, key: String) -> Self {
        Self { key, ..self }
    }

    /// That there is such a fault, in other words and without its place.
    pub fn without_place(self, message: &str) -> Self {
        Self { span: Span::default(), key: String::new(), message: message.to_owned(), hint: None, excerpt: None, ..self }
    }

    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "code": self.kind.code(), "file": self.file, "line": self.span.line, "column": self.span.column,
            "key": self.key, "message": self.message, "hint": self.hint,
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { span, key, .. } = self;
        write!(f, "{}", self.file.display())?;
        if span.line > 0 {
            write!(f, ":{}:{}", span.line, span.column)?;
        }
        write!(f, ": ")?;
        if !key.is_empty() {
            write!(f, "{key}: ")?;
        }
        writeln!(f, "{}", self.message)?;
        if let Some(excerpt) = &self.excerpt {
            let number = span.line.to_string();
            let gutter = " ".repeat(number.len());
            let width = if span.end_line == span.line { span.end_column.saturating_sub(span.column) } else { 1 };
            let from = span.column.saturating_sub(1);
            writeln!(f, " {number} | {excerpt}")?;
            if from < MAX_EXCERPT {
                writeln!(f, " {gutter} | {}{}", " ".repeat(from), "^".repeat(width.clamp(1, MAX_EXCERPT - from)))?;
            }
        }
        match &self.hint {
            Some(hint) => writeln!(f, "   = {hint}"),
            None => Ok(()),
        }
    }
}

/// The text of a configuration file, kept so that later checks can point into it.
#[derive(Debug, Clone, Default)]
pub struct Source {
    path: PathBuf,
    /// Lines as they may be shown.
    lines: Vec<String>,
}

impl Source {
    /// A source whose values are all hidden: what to show before anything is known about the text.
    pub fn veiled(path: &Path, text: &str) -> Self {
        let lines = text.lines().map(|line| shorten(&line.split_once(": ").map_or_else(|| line.to_owned(), |(key, _)| format!("{key}: …"))));
        Self { path: path.to_owned(), lines: lines.collect() }
    }

    /// A source in which these places are hidden.
    pub fn masked(path: &Path, text: &str, secrets: &[Span]) -> Self {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        for span in secrets {
            for number in span.line..=span.end_line.max(span.line) {
                let Some(line) = number.checked_sub(1).and_then(|at| lines.get_mut(at)) else { continue };
                let from = if number == span.line { span.column.saturating_sub(1) } else { 0 };
                let to = if number == span.end_line { span.end_column.saturating_sub(1) } else { usize::MAX };
                // As many stars as characters, so that carets below other places of the line stay right.
                *line = line.chars().enumerate().map(|(at, c)| if (from..to).contains(&at) && c != ' ' { '*' } else { c }).collect();
            }
        }
        Self { path: path.to_owned(), lines: lines.iter().map(|line| shorten(line)).collect() }
    }

    /// A fault at a place of this file.
    pub fn fault(&self, kind: FaultKind, span: Span, key: impl Into<String>, message: impl Into<String>, hint: Option<String>) -> Fault {
        let excerpt = span.line.checked_sub(1).and_then(|at| self.lines.get(at)).cloned();
        Fault { kind, file: self.path.clone(), span, key: key.into(), message: message.into(), hint, excerpt }
    }
}

/// Control characters would garble a terminal.
fn shorten(line: &str) -> String {
    line.chars().take(MAX_EXCERPT).map(|c| if c == '\t' || c.is_control() { ' ' } else { c }).collect()
}

/// Faults as they are found, in any order, without their source lines yet.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// Values that may be secrets, for masking source lines.
    pub veil: Vec<Span>,
    found: Vec<(FaultKind, Span, String, String, Option<String>)>,
}

impl Faults {
    pub(super) fn push(&mut self, kind: FaultKind, span: Span, key: impl Into<String>, message: impl Into<String>, hint: Option<String>) {
        if self.found.len() < MAX_FAULTS {
            self.found.push((kind, span, key.into(), message.into(), hint));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// In the order of the file.
    pub(super) fn finish(mut self, source: &Source) -> Vec<Fault> {
        self.found.sort_by_key(|(_, span, ..)| *span);
        self.found.into_iter().map(|(kind, span, key, message, hint)| source.fault(kind, span, key, message, hint)).collect()
    }
}
