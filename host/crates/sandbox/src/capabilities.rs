//! What one connector instance may reach, shared by its stores.

use std::sync::Arc;

use crate::egress::client::Egress;
use crate::host::files::Files;
use crate::host::metrics::GuestSeries;
use crate::host::state::State;
use crate::limits::{Limits, Watch};
use crate::wasi::MachineGrants;

/// The granted things themselves. Whether an interface is linked at all is decided in the linker.
pub struct Capabilities {
    pub instance: Arc<str>,
    pub egress: Egress,
    pub files: Files,
    pub state: Option<Arc<State>>,
    pub series: GuestSeries,
    pub limits: Arc<Limits>,
    pub watch: Arc<Watch>,
    /// What it sees of the machine.
    pub machine: MachineGrants,
}
