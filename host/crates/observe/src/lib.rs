//! What operators see: metrics, the log, its formats. Knows no other room.

pub mod logging;
pub mod metrics;

pub use logging::{LogFormat, LogSettings};
pub use metrics::{GuestCosts, GuestMetrics, InboundMetrics, InstanceMetrics, IntegrityMetrics, LaneMetrics, Metrics, WindowMetrics};
