//! A receiver that fails by script: what `bulkhead dev` and the conformance suite run connectors against, and what
//! the proofs measure with. It listens on the loopback only, and everything it keeps and answers has a bound.
//!
//! Promised: it plays one step for each request, in order, and shows what it saw. Refused: any other address, and
//! knowledge of the host: it sees what a receiver sees.

pub mod histogram;
pub mod http;
pub mod marker;
pub mod port;
pub mod receiver;
pub mod wait;
