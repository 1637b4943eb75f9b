//! Names of connectors: one word for the folder, the package, the manifest and the component's file.

use std::fmt;
use std::str::FromStr;

/// With `format-` in front a name still fits the 64 bytes of a manifest's.
pub const MAX: usize = 57;

/// A name that Cargo, npm and Python packages, manifests and file systems all take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(String);

/// Why a name is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("the name is empty")]
    Empty,
    #[error("the name has {0} bytes; it may have {MAX}")]
    Long(usize),
    #[error("the name is kebab-case: lower case letters, digits and single hyphens between them, a letter first, such as acme-siem; this one {0}")]
    Shape(&'static str),
    #[error("`{0}` is taken: {1}")]
    Taken(String, &'static str),
}

impl Name {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As identifiers write it.
    pub fn snake(&self) -> String {
        self.0.replace('-', "_")
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Keywords of Rust (reference, "Keywords") and Python; a package of such a name cannot be used by it.
const KEYWORDS: &[&str] = &[
    "abstract", "and", "as", "assert", "async", "await", "become", "box", "break", "class", "const", "continue", "crate", "def", "del", "do", "dyn", "elif",
    "else", "enum", "except", "extern", "false", "final", "finally", "fn", "for", "from", "gen", "global", "if", "impl", "import", "in", "is", "lambda", "let",
    "loop", "macro", "match", "mod", "move", "mut", "nonlocal", "not", "or", "override", "pass", "priv", "pub", "raise", "ref", "return", "self", "static",
    "struct", "super", "trait", "true", "try", "type", "typeof", "union", "unsafe", "unsized", "use", "virtual", "where", "while", "with", "yield",
];
/// Names that Cargo refuses or that its own folders have.
const CARGO: &[&str] = &["build", "deps", "examples", "incremental", "test"];
const LIBRARIES: &[&str] = &["alloc", "core", "proc-macro", "std", "bulkhead", "bulkhead-sdk", "bulkhead-sdk-derive", "wit"];
/// Device names of Windows.
const DEVICES: &[&str] = &["aux", "con", "nul", "prn"];

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let shape = |problem| Err(NameError::Shape(problem));
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > MAX {
            return Err(NameError::Long(text.len()));
        }
        if text.contains(['/', '\\']) || text.contains("..") {
            return shape("is a path; go to the folder that it shall lie in, or name that with `--into`");
        }
        if text.bytes().any(|b| b.is_ascii_uppercase()) {
            return shape("has capitals");
        }
        if text.contains('_') {
            return shape("has underscores");
        }
        if !text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
            return shape("has other characters");
        }
        if !text.starts_with(|c: char| c.is_ascii_lowercase()) {
            return shape("does not begin with a letter");
        }
        if text.ends_with('-') || text.contains("--") {
            return shape("has a hyphen at its end or two in a row");
        }
        if text.starts_with("format-") {
            return shape("begins with `format-`, which a formatter's component gets by itself");
        }
        let taken = [
            (KEYWORDS, "it is a keyword of Rust or Python"),
            (CARGO, "Cargo has a folder or a package of that name"),
            (LIBRARIES, "a library that connectors use has it"),
            (DEVICES, "Windows has a device of that name"),
        ];
        match taken.iter().find(|(names, _)| names.contains(&text)) {
            Some((_, why)) => Err(NameError::Taken(text.to_owned(), why)),
            None => Ok(Self(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: Option<&str>) {
        match (text.parse::<Name>(), want) {
            (Ok(name), None) => assert_eq!(name.as_str(), text),
            (Err(error), Some(part)) => assert!(error.to_string().contains(part), "{text}: {error}"),
            (other, _) => panic!("{text}: {other:?}, wanted {want:?}"),
        }
    }

    #[test]
    fn names_are_kebab_case_and_nobody_elses() {
        for good in ["a", "acme-siem", "s3", "x1-2-y"] {
            check(good, None);
        }
        for (bad, part) in [
            ("", "is empty"),
            ("Acme", "capitals"),
            ("acme_siem", "underscores"),
            ("../acme", "a path"),
            ("/tmp/acme", "a path"),
            ("..", "a path"),
            ("acme siem", "other characters"),
            ("acme.siem", "other characters"),
            ("ac\u{e9}", "other characters"),
            ("a\nb", "other characters"),
            ("7up", "begin with a letter"),
            ("-x", "begin with a letter"),
            ("x-", "hyphen"),
            ("x--y", "hyphen"),
            ("format-x", "by itself"),
            ("loop", "keyword"),
            ("lambda", "keyword"),
            ("test", "Cargo"),
            ("core", "library"),
            ("con", "device"),
        ] {
            check(bad, Some(part));
        }
        check(&"x".repeat(MAX), None);
        check(&"x".repeat(MAX + 1), Some("may have 57"));
    }
}
