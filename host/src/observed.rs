//! What is told of events, instances and runs to people: the live view (`tap`), the log of each instance (`logs`),
//! its figures by the hour and the day (`periods`), and the index of events (`index`).
//!
//! Promises: none of it holds up an event or a request of a producer, whatever becomes of its reader or of the store;
//! what is left out is counted and said; events are shown as guests see them (`guise`) and in no other way.

mod guise;
pub mod index;
pub mod logs;
mod onlooker;
pub mod periods;
pub mod shown;
pub mod tap;

pub use guise::Guise;
pub use onlooker::Looking;
