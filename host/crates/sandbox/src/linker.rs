//! Linkers, one for each set of grants: what was not granted is absent, not refused.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use wasmtime::Engine;
use wasmtime::component::{HasData, HasSelf, Linker, ResourceTable};
use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView as _};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView as _};
use wasmtime_wasi::p2::bindings::{cli, clocks, filesystem, random};
use wasmtime_wasi::random::{WasiRandom, WasiRandomView as _};

use crate::bindings::{credentials, files, http, log, metrics, state, tcp, types, udp};
use crate::egress::Destination;
use crate::inspect::WASI_HTTP;
use crate::store::Guest;
use crate::wasi::HasPolling;

/// Which interfaces are there beside those that are always there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct GrantSet {
    /// False for formatters: they see the log only.
    pub connector: bool,
    pub http: bool,
    pub tcp: bool,
    pub udp: bool,
    pub credentials: bool,
    pub files: bool,
    pub state: bool,
    /// WASI's own HTTP.
    pub wasi_http: bool,
}

impl GrantSet {
    /// True for an interface of the contract that this set links.
    pub fn links(self, interface: &str) -> bool {
        match interface {
            "log" => true,
            "metrics" => self.connector,
            "http" => self.http,
            "tcp" => self.tcp,
            "udp" => self.udp,
            "credentials" => self.credentials,
            "files" => self.files,
            "state" => self.state,
            WASI_HTTP => self.wasi_http,
            _ => false,
        }
    }
}

impl GrantSet {
    /// What a connector's destinations link: an interface for each scheme among them. `credentials` comes with
    /// streams, bound or not: for protocols in which a secret is optional, and without one every function of it
    /// is denied (rule 5).
    pub fn of(destinations: &[Destination], files: bool, state: bool) -> Self {
        let any = |interface: &str| destinations.iter().any(|destination| destination.transport().interface() == interface);
        Self { connector: true, http: any("http"), tcp: any("tcp"), udp: any("udp"), credentials: any("tcp"), files, state, wasi_http: false }
    }
}

/// What would have to be configured for an interface.
pub fn remedy(interface: &str) -> &'static str {
    match interface {
        "http" => "name a destination with an http:// or https:// URL under `destinations` of the instance",
        "tcp" => "name a destination with a tcp:// or tls:// URL under `destinations` of the instance",
        "udp" => "name a destination with a udp:// URL under `destinations` of the instance",
        "credentials" => "name a destination with a tcp:// or tls:// URL, whose `credential` it may use",
        "files" => "name a directory under `files` of the instance",
        "state" => "give the host a state store (`data_dir`)",
        WASI_HTTP => "write `grants: {wasi_http: true}` at the instance; its requests go to the instance's destinations only",
        _ => "this host does not offer it yet",
    }
}

/// Linkers made so far.
#[derive(Default)]
pub struct Linkers(Mutex<HashMap<GrantSet, Arc<Linker<Guest>>>>);

/// Types only; it has no functions.
impl types::Host for Guest {}

struct HasTable;

impl HasData for HasTable {
    type Data<'a> = &'a mut ResourceTable;
}

impl Linkers {
    pub fn get(&self, engine: &Engine, grants: GrantSet) -> wasmtime::Result<Arc<Linker<Guest>>> {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(linker) = made.get(&grants) {
            return Ok(Arc::clone(linker));
        }
        let linker = Arc::new(build(engine, grants)?);
        made.insert(grants, Arc::clone(&linker));
        Ok(linker)
    }
}

fn build(engine: &Engine, grants: GrantSet) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::<Guest>::new(engine);
    inert_wasi(&mut linker)?;
    types::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    log::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    if grants.connector {
        metrics::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    }
    if grants.http {
        http::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    }
    if grants.tcp {
        tcp::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    }
    if grants.udp {
        udp::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    }
    if grants.credentials {
        credentials::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    }
    if grants.files {
        files::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    }
    if grants.state {
        state::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    }
    if grants.wasi_http {
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    }
    Ok(linker)
}

/// What toolchains import unasked. It leads nowhere; sockets are not among it.
fn inert_wasi(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    use wasmtime_wasi_io::bindings::wasi::io;
    io::error::add_to_linker::<Guest, HasTable>(linker, Guest::table)?;
    io::poll::add_to_linker::<Guest, HasPolling>(linker, Guest::polling)?;
    io::streams::add_to_linker::<Guest, HasTable>(linker, Guest::table)?;
    clocks::wall_clock::add_to_linker::<Guest, WasiClocks>(linker, Guest::clocks)?;
    clocks::monotonic_clock::add_to_linker::<Guest, WasiClocks>(linker, Guest::clocks)?;
    random::random::add_to_linker::<Guest, WasiRandom>(linker, Guest::random)?;
    random::insecure::add_to_linker::<Guest, WasiRandom>(linker, Guest::random)?;
    random::insecure_seed::add_to_linker::<Guest, WasiRandom>(linker, Guest::random)?;
    filesystem::types::add_to_linker::<Guest, WasiFilesystem>(linker, Guest::filesystem)?;
    filesystem::preopens::add_to_linker::<Guest, WasiFilesystem>(linker, Guest::filesystem)?;
    cli::exit::add_to_linker::<Guest, WasiCli>(linker, Guest::cli)?;
    cli::environment::add_to_linker::<Guest, WasiCli>(linker, Guest::cli)?;
    cli::stdin::add_to_linker::<Guest, WasiCli>(linker, Guest::cli)?;
    cli::stdout::add_to_linker::<Guest, WasiCli>(linker, Guest::cli)?;
    cli::stderr::add_to_linker::<Guest, WasiCli>(linker, Guest::cli)?;
    cli::terminal_input::add_to_linker::<Guest, WasiCli>(linker, Guest::cli)?;
    cli::terminal_output::add_to_linker::<Guest, WasiCli>(linker, Guest::cli)?;
    cli::terminal_stdin::add_to_linker::<Guest, WasiCli>(linker, Guest::cli)?;
    cli::terminal_stdout::add_to_linker::<Guest, WasiCli>(linker, Guest::cli)?;
    cli::terminal_stderr::add_to_linker::<Guest, WasiCli>(linker, Guest::cli)?;
    Ok(())
}
