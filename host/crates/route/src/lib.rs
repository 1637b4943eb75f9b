//! Event → lanes: which lanes an event goes to, and what filters keep back. Pure: no IO, no clock, no
//! allocation in the ordinary case. It reads stored events in place and never parses a payload.

mod condition;
mod filter;
mod json_scan;
mod lanes;
mod names;
mod router;

pub use condition::{Condition, MAX_DEPTH, SeveritySet};
pub use filter::{Filter, FilterChain, FilterSettings, OnExcess, RateLimit, Verdict};
pub use lanes::{LaneIndex, LaneSet, MAX_LANES};
pub use names::{FoldedType, Name, TypeName};
pub use router::{Decision, Route, Router, RouterError};
