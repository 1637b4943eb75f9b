//! What is sealed and what is redacted: RFC 6901 pointers that begin with an attribute, as projections
//! have them, with `*` for every member or element.

use bulkhead_core::Attr;
use bulkhead_core::projection::tokens;

/// Most pointers of one configuration.
const MOST: usize = 64;
/// Tokens of one pointer: each is a level that the stack goes down.
const DEEPEST: usize = 32;
/// Attributes that events are told apart, put in order or kept apart by.
const KEPT: [Attr; 8] = [Attr::Id, Attr::Source, Attr::Type, Attr::Time, Attr::TimeSource, Attr::Severity, Attr::Tenant, Attr::Lane];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Seal,
    Redact,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    Name(String),
    Any,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    /// As it was written; sealed with the value.
    pub pointer: String,
    pub root: Attr,
    pub path: Vec<Token>,
    pub action: Action,
}

/// Why rules cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleFault {
    #[error("{0}")]
    Pointer(String),
    #[error("`{0}` begins with `*`; a pointer begins with an attribute, for example /data or /user")]
    Root(String),
    #[error("`/{0}` is what events are told apart or put in order by; it stays readable")]
    Kept(&'static str),
    #[error("`{0}` has more than {DEEPEST} tokens")]
    Deep(String),
    #[error("more than {MOST} pointers")]
    Many,
    #[error("`{0}` is both sealed and redacted")]
    Both(String),
    #[error("fields are sealed, and there is no key (encryption.key)")]
    NoKey,
}

/// Checked pointers. The default names none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldRules(Vec<Rule>);

impl FieldRules {
    pub fn parse(seal: &[String], redact: &[String]) -> Result<Self, RuleFault> {
        if seal.len() + redact.len() > MOST {
            return Err(RuleFault::Many);
        }
        // Redaction first: of two rules for one place it is the stronger.
        let redacted = redact.iter().map(|pointer| Rule::parse(pointer, Action::Redact));
        let rules = redacted.chain(seal.iter().map(|pointer| Rule::parse(pointer, Action::Seal))).collect::<Result<Vec<_>, _>>()?;
        match seal.iter().find(|pointer| redact.contains(pointer)) {
            Some(both) => Err(RuleFault::Both(both.clone())),
            None => Ok(Self(rules)),
        }
    }

    /// The fault of a single pointer.
    pub fn check(pointer: &str) -> Result<(), RuleFault> {
        Rule::parse(pointer, Action::Redact).map(drop)
    }

    /// What any of these hide. Where one redacts what another seals it is redacted.
    pub fn union<'a>(all: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut rules: Vec<Rule> = Vec::new();
        let all: Vec<&Rule> = all.into_iter().flat_map(|rules| &rules.0).collect();
        for action in [Action::Redact, Action::Seal] {
            for rule in all.iter().filter(|rule| rule.action == action) {
                if !rules.iter().any(|known| known.pointer == rule.pointer) {
                    rules.push((*rule).clone());
                }
            }
        }
        Self(rules)
    }

    /// As they were written.
    pub fn pointers(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|rule| &*rule.pointer)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a key is needed.
    pub fn seals(&self) -> bool {
        self.0.iter().any(|rule| rule.action == Action::Seal)
    }

    pub(super) fn all(&self) -> &[Rule] {
        &self.0
    }
}

impl Rule {
    fn parse(pointer: &str, action: Action) -> Result<Self, RuleFault> {
        let tokens = tokens(pointer).map_err(|error| RuleFault::Pointer(error.to_string()))?;
        let (first, path) = tokens.split_first().ok_or_else(|| RuleFault::Root(pointer.into()))?;
        if first == "*" {
            return Err(RuleFault::Root(pointer.into()));
        }
        // The original holds what attributes are taken from: naming those is enough.
        let unknown = || RuleFault::Pointer(format!("`{pointer}` begins with no attribute that can be sealed; /data is the payload"));
        let root = Attr::from_name(first).ok_or_else(unknown)?;
        if KEPT.contains(&root) {
            return Err(RuleFault::Kept(root.name()));
        }
        if path.len() > DEEPEST {
            return Err(RuleFault::Deep(pointer.into()));
        }
        let path = path.iter().map(|token| if token == "*" { Token::Any } else { Token::Name(token.clone()) }).collect();
        Ok(Self { pointer: pointer.into(), root, path, action })
    }
}
