//! `bulkhead`: takes in audit and security events, keeps them, routes them, formats them and delivers
//! them through sandboxed components.

mod access;
mod answers;
mod api;
mod cli;
mod components;
mod config;
mod guests;
mod integrity;
mod keys;
mod lease;
mod own_events;
mod pipeline;
mod receipts;
mod replay;
mod state;
mod trail;
mod unverified;

fn main() -> std::process::ExitCode {
    cli::main()
}
