//! The fields that a guest wants from each event.

/// A checked list of pointers.
#[derive(Debug, Default)]
pub struct Projection;
