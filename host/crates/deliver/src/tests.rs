//! The room as a whole: real journal, real store, guests and receiver in memory, time under control.

mod faults;
mod flow;
mod order;
mod receive;
mod rig;
mod sim;
mod survive;
mod upkeep;
