//! Stories: the real binary, real sockets, real files. One test binary, so that one link serves all.

mod audit;
mod bad_input;
mod cli;
mod clock;
mod crash;
mod credentials;
mod deliver;
mod formats;
mod independent;
mod intake;
mod lifecycle;
mod limits;
mod made;
mod observe;
mod operate;
mod own_events;
mod pki;
mod reload;
mod route;
mod scale;
mod story;
mod streams;
mod syslog;
mod syslog_tls;
mod upkeep;
mod upload;
