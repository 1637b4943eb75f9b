//! The chained record of delivery attempts.
