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
            _ => Self { name: without_copybook(&fold(written.as_bytes()).collect::<Vec<_>>()).into(), below: false },
        }
    }

    /// The one type that is meant, as [`FoldedType::exact`] tells it; none for a namespace.
    pub(crate) fn exact(&self) -> Option<&[u8]> {
        (!self.below).then_some(&*self.name)
    }

    pub fn matches(&self, event_type: &FoldedType) -> bool {
        if self.below {
            return event_type.name().strip_prefix(&*self.name).is_some_and(|rest| !rest.is_empty());
        }
        event_type.name()[event_type.namespace..] == *self.name
    }
}

/// An event's type, folded once for all rules.
#[derive(Debug, Clone)]
pub struct FoldedType {
    /// Nearly every type fits, so that nothing is allocated.
    short: [u8; Self::SHORT],
    length: usize,
    long: Vec<u8>,
    /// Length of copybook's namespace, if it has that.
    namespace: usize,
}

impl FoldedType {
    const SHORT: usize = 64;

    pub fn new(event_type: &[u8]) -> Self {
        let mut folded = Self { short: [0; Self::SHORT], length: 0, long: Vec::new(), namespace: 0 };
        if event_type.len() > Self::SHORT {
            folded.long = fold(event_type).collect();
        } else {
            // Without a branch: every byte is written, separators are written over.
            for byte in event_type {
                folded.short[folded.length] = byte.to_ascii_lowercase();
                folded.length += usize::from(!is_separator(*byte));
            }
        }
        folded.namespace = folded.name().len() - without_copybook(folded.name()).len();
        folded
    }

    fn name(&self) -> &[u8] {
        if self.long.is_empty() { &self.short[..self.length] } else { &self.long }
    }

    /// Without the copybook namespace.
    pub(crate) fn exact(&self) -> &[u8] {
        &self.name()[self.namespace..]
    }

    /// Whether it is copybook's `PerformanceMeasurement`.
    pub(crate) fn is_performance(&self) -> bool {
        self.name()[self.namespace..] == *b"performancemeasurement"
    }
}

fn fold(name: &[u8]) -> impl Iterator<Item = u8> + '_ {
    name.iter().filter(|byte| !is_separator(**byte)).map(u8::to_ascii_lowercase)
}

fn is_separator(byte: u8) -> bool {
    matches!(byte, b'_' | b'-' | b' ')
}

/// Takes the namespace off a folded type.
fn without_copybook(folded: &[u8]) -> &[u8] {
    folded.strip_prefix(COPYBOOK).unwrap_or(folded)
}

#[cfg(test)]
mod tests;
