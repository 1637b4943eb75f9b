//! Rust bindings of `wit/`, generated at build time from one world that holds every import and both
//! exports; callers use the interfaces one by one. Byte and integer lists that go to a guest are
//! borrowed, so a batch is copied once: into the guest's memory.

mod generated {
    wasmtime::component::bindgen!({
        path: "../../../wit",
        inline: "
            package bulkhead:host;
            world all {
                include bulkhead:connector/connector-all@0.1.0;
                export bulkhead:connector/formatting@0.1.0;
            }
        ",
        world: "bulkhead:host/all",
        imports: {
            "bulkhead:connector/log@0.1.0": trappable,
            "bulkhead:connector/metrics@0.1.0": trappable,
            default: async | trappable,
        },
        exports: { default: async },
        with: { "bulkhead:connector/tcp.connection": crate::egress::stream::Stream },
        ownership: Borrowing { duplicate_if_necessary: true },
    });
}

pub use generated::bulkhead::connector::{credentials, files, http, log, metrics, state, tcp, types, udp};
pub use generated::exports::bulkhead::connector::{delivering, formatting};
