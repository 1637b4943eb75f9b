//! Kinds of records that say what people, and rules that they set, did to the host and to events.

/// One kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrailKind {
    /// What was done to events: replayed, changed, deleted, by a person or by a rule.
    Act,
    /// A request that changes something, as it was answered.
    Change,
    /// A request that was not let through, or several of one kind.
    Refusal,
    /// A key that was used for the first time since the start, or from another place.
    SignIn,
}

impl TrailKind {
    pub const ALL: [Self; 4] = [Self::Act, Self::Change, Self::Refusal, Self::SignIn];

    pub fn name(self) -> &'static str {
        match self {
            Self::Act => "act",
            Self::Change => "change",
            Self::Refusal => "refusal",
            Self::SignIn => "sign_in",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}
