//! Names that come in two spellings. Sources write `SecurityEvent`, `MaterialTransaction`, `SOX`; inside
//! they are `copybook.security_event`, `material_transaction`, `sox`. A rule may use either, and an
//! event may carry either. So names are compared without ASCII case and without `_`, `-` and spaces;
//! dots count. The folding of a rule's name happens once, that of an event's on the fly.

/// The namespace that copybook's bare type names belong to.
const COPYBOOK: &[u8] = b"copybook.";

/// A classification or a compliance profile of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(Box<[u8]>);

impl Name {
    pub fn new(written: &str) -> Self {
        Self(fold(written.as_bytes()).collect())
    }

    pub fn matches(&self, name: &[u8]) -> bool {
        fold(name).eq(self.0.iter().copied())
    }
}

/// An event type of a rule: a type, or `some.namespace.*` for all types below.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeName {
    /// Folded; without the copybook namespace where a whole type is meant.
    name: Box<[u8]>,
    below: bool,
}

impl TypeName {
    pub fn new(written: &str) -> Self {
        match written.strip_suffix('*') {
            Some(namespace) if namespace.ends_with('.') => Self { name: fold(namespace.as_bytes()).collect(), below: true },
            _ => Self { name: fold(without_copybook(written.as_bytes())).collect(), below: false },
        }
    }

    pub fn matches(&self, event_type: &[u8]) -> bool {
        if self.below {
            let mut folded = fold(event_type);
            return self.name.iter().all(|byte| folded.next() == Some(*byte)) && folded.next().is_some();
        }
        fold(without_copybook(event_type)).eq(self.name.iter().copied())
    }
}

/// Whether a type is copybook's `PerformanceMeasurement`.
pub(crate) fn is_performance(event_type: &[u8]) -> bool {
    fold(without_copybook(event_type)).eq(*b"performancemeasurement")
}

fn fold(name: &[u8]) -> impl Iterator<Item = u8> + '_ {
    name.iter().filter(|byte| !matches!(byte, b'_' | b'-' | b' ')).map(u8::to_ascii_lowercase)
}

fn without_copybook(name: &[u8]) -> &[u8] {
    match name.split_at_checked(COPYBOOK.len()) {
        Some((namespace, rest)) if namespace.eq_ignore_ascii_case(COPYBOOK) => rest,
        _ => name,
    }
}

#[cfg(test)]
mod tests;
