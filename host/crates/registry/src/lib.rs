//! Uploaded components: stored, versioned, approved, revoked.
