//! What the proofs share: a load generator and a receiver that cost far less than the host between
//! them, a harness that runs the real binary, and readers for what it shows. Loopback only, bounded
//! in count, bytes and time. Nothing here is part of the product.

pub mod args;
pub mod cases;
pub mod crash;
pub mod disk;
pub mod generator;
pub mod host;
pub mod process;
pub mod prom;
pub mod skip;
pub mod soak;
pub mod template;
pub mod tokens;
pub mod tool;
pub mod wall_clock;

// The receiver and what it stands on are a part of the product: authors run connectors against them.
pub use bulkhead_fault_server::{histogram, http, marker, port, receiver, wait};
