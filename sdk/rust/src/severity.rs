//! The five severities of an event.

use crate::value::Value;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    Info,
    Low,
    Medium,
    High,
    Critical,
}

impl Severity {
    /// Reads `/severity`; an event may have none.
    #[inline]
    pub fn of(value: Value<'_>) -> Option<Self> {
        match value.raw() {
            b"info" => Some(Self::Info),
            b"low" => Some(Self::Low),
            b"medium" => Some(Self::Medium),
            b"high" => Some(Self::High),
            b"critical" => Some(Self::Critical),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        self.pick(["info", "low", "medium", "high", "critical"])
    }

    /// What stands in its place: for info, low, medium, high, critical.
    pub fn pick<T: Copy>(self, by: [T; 5]) -> T {
        by[self as usize]
    }
}
