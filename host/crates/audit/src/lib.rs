//! Delivery receipts: a record of every call into a connector that delivers, or that lets anything leave
//! the host, and the trail of what people did, in one chain of files that can be checked without the host.
//!
//! Files are `receipts-<number>.jsonl` in `<data_dir>/audit`, numbers rising from 1. A line is a record:
//!
//! ```text
//! {"n":17,"kind":"deliver", … ,"prev":"<64 hex digits>","hash":"<64 hex digits>"}
//! ```
//!
//! `hash` is SHA-256 over the bytes of the line before `,"hash":`; `prev` is the hash of record `n - 1`,
//! zeros for record 1. The first line of a file is a record of kind `begin` that names format and file.
//! The trail: `change`, `refusal`, `sign_in` and `act` ([`TrailKind`]). Marks of the chain itself: `start` and
//! `stop` of the host; `torn`, an unfinished line that a crash left and that was cut; `damaged`, a line that could not be read when the host started and was left as it is; `lost`,
//! receipts that could not be written; `dropped`, the oldest file, removed to keep to `audit.max_bytes`:
//! it holds where that file ended, which is what the oldest file that is left must continue from.
//!
//! Promises: a call is not begun before its receipt has a place in the queue; what cannot be written is
//! counted, said in the log and, once writing works again, in the chain; `max_bytes` holds; a byte
//! changed, a record removed, doubled, moved or put in is found and named. Refuses: bodies, secrets,
//! texts of guests. Receipts are evidence about deliveries, not what acknowledges them: they are synced
//! about once a second, and a power cut may take that much from the end. Whoever may write the files
//! may also write a whole new chain, or cut its end: keep `bulkhead audit head` somewhere else.

mod blind;
mod chain;
mod files;
mod line;
mod read;
mod record;
mod trail;
mod verify;
mod writer;

pub use blind::Blind;
pub use chain::AuditSettings;
pub use files::folder;
pub use read::{Filter, Outcome, list, show};
pub use trail::TrailKind;
pub use verify::{Counts, Expected, Fault, FileReport, Found, Report, head, verify};
pub use writer::{OpenError, Receipts};
