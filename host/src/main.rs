//! `bulkhead`: takes in audit and security events, keeps them, routes them, formats them and delivers
//! them through sandboxed components.

mod access;
mod answers;
mod api;
mod captures;
mod cli;
mod components;
mod config;
mod directory;
mod durable;
mod guests;
mod idempotency;
mod integrity;
mod keys;
mod lease;
mod observed;
mod oidc;
mod own_events;
mod ownership;
mod people;
mod pipeline;
mod receipts;
mod replay;
mod state;
mod sync_action;
mod trail;
mod unverified;
mod webhooks;

fn main() -> std::process::ExitCode {
    cli::main()
}
