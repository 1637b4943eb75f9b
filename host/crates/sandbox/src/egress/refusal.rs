//! Why nothing was sent: the number of the rule that decided, and words for the guest's author and
//! the operator.

use crate::limits::{Limit, Limits};

/// How the guest hears about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// The grant does not allow it.
    Denied,
    /// The request is not well formed.
    Invalid,
    /// A limit was reached.
    Limit,
}

impl RefusalKind {
    /// The word in receipts and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Invalid => "invalid",
            Self::Limit => "limit",
        }
    }
}

/// A refused request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text} (rule {rule})")]
pub struct Refusal {
    /// Number in the order of evaluation, see [`decide`](super::decide).
    pub rule: u8,
    pub kind: RefusalKind,
    pub text: String,
    /// The limit that was reached, where it was one.
    pub limit: Option<Limit>,
}

impl Refusal {
    pub fn denied(rule: u8, text: impl Into<String>) -> Self {
        Self { rule, kind: RefusalKind::Denied, text: text.into(), limit: None }
    }

    pub fn invalid(rule: u8, text: impl Into<String>) -> Self {
        Self { rule, kind: RefusalKind::Invalid, text: text.into(), limit: None }
    }

    pub fn limit(rule: u8, text: impl Into<String>) -> Self {
        Self { rule, kind: RefusalKind::Limit, text: text.into(), limit: None }
    }

    /// Beyond a limit of the table.
    pub fn over(rule: u8, limits: &Limits, limit: Limit, asked: u64) -> Self {
        Self { rule, kind: RefusalKind::Limit, text: limits.refusal(limit, asked), limit: Some(limit) }
    }
}
