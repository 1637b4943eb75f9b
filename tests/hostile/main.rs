//! The hostile cases of the threat model, H01 to H80: each a named test with an exact error and a bound on its time.
//! `docs/operators/threat-model.md` lists them; `cargo xtask hostile` runs them and holds the list against this binary.

mod abi;
mod address;
mod audit;
mod clock;
mod cpu;
mod credentials;
mod http;
mod lifecycle;
mod limits;
mod load;
mod memory;
mod model;
mod over_tls;
mod receivers;
mod registry;
mod secrets;
mod streams;
mod toolkit;

use toolkit::guests;
