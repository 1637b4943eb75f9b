//! A client for LDAP directories (RFC 4511): who somebody is, whether the password is theirs, which groups they are in.
//!
//! Promises: nothing is said before TLS stands and the server's certificate was found right (`ldaps://`, or StartTLS on
//! `ldap://`: there is no way in the clear). A text that somebody typed is a value in a filter (RFC 4515) or in a name
//! (RFC 4514), never a part of their structure. An empty password is sent to nobody: a server would take it for a
//! question without a name, and say yes (RFC 4513 §5.1.2). What a server answers is bounded in bytes, entries and time, and
//! what is malformed in it is an error. Refuses: referrals, SASL, changes of the directory, logs, tables, roles.
//!
//! Why not a library: `ldap3` 0.12 takes answers of any size and depth and panics on malformed ones, `ldap3_proto` has a
//! licence that `deny.toml` does not list. What is needed of the protocol is four requests.

mod ber;
mod client;
mod connection;
mod dn;
mod filter;
mod message;
mod server;

pub use client::{Account, Client, Groups, MOST_GROUPS, Person, Settings, Users};
pub use connection::DirectoryError;
pub use dn::{common_name, normal_name};
pub use filter::{FilterFault, FilterTemplate, MOST_FILTER};
pub use server::{Server, ServerFault};
