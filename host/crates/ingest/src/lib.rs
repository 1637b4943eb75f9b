//! Intake: bytes from outside become stored events, and "accepted" is said only once they are in the
//! journal.
//!
//! Promises: an event is kept byte for byte; its attributes are found in one pass; nothing of a
//! refused request is kept (unless the sender asked for the good part). Refuses what is not JSON,
//! what is ambiguous (duplicate keys, lone surrogates), what is too large or too deep, and what a
//! strict shape misses. Neither logs nor metrics carry anything of a body.

mod answers;
mod body;
mod fields;
mod gate;
mod http;
mod ids;
mod inbound;
mod lines;
mod lists;
mod names;
mod normalise;
mod origin;
mod pull;
mod record_log;
mod repeats;
mod seen;
mod shape;
mod sink;
mod stdin;
mod syslog;
mod tail;
mod text;
mod timestamp;

pub use answers::Answers;
pub use body::{BodyFault, Bounds, DecodeFault, Encoding, Listed, Media, Summary, decode, read_events};
pub use gate::Gate;
pub use http::{HttpIntakeSettings, IntakeToken, serve};
pub use inbound::{
    AddressKey, Digits, Hash, Inbound, InboundError, InboundSettings, InboundStatus, Prepared, Refused as RefusedRequest, RefusedStatus, Scheme, SignedParts,
    Verified, Verifier, VerifyKey,
};
pub use normalise::{EventFault, Form, Normaliser, Refused, Rules, ShapeRule, Taken};
pub use origin::Origin;
pub use pull::{
    AskedRun, Cron, CronFault, Cursors, Leases, MissedRuns, PullNotice, PullParts, PullSchedule, PullSettings, PullStatus, Pulls, Runs, SyncRefused, Under,
    zones as time_zones,
};
pub use repeats::{Follower, LANE as REPEATS_LANE, OpenRepeatsError, RepeatSettings, Repeats};
pub use seen::{Claim, Key, Seen};
pub use shape::binary::BinaryHead;
pub use stdin::{StdinSettings, serve_stdin};
pub use syslog::{Framing, Proto, SyslogNormaliser, SyslogSettings, serve_streams, serve_udp};
pub use tail::{FilesHandle, FilesNotice, FilesSettings, FilesStatus, Pattern, Start, serve_files};
pub use text::LineFormat;
