//! Every limit of a guest: one table is the source of configuration keys, defaults, ceilings, units,
//! error texts, metric labels and the operators' page. A limit is never 0 and never above its ceiling;
//! there is no "unlimited". Most limits can be counted instead of enforced ([`Limits::count_only`]):
//! then only the ceiling holds.

use std::time::Duration;

use bulkhead_core::GuestFault;

pub mod page;
mod watch;

pub use watch::Watch;

/// What a limit's number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Plain number.
    Count,
    /// Units of fuel: roughly one per instruction.
    Fuel,
    /// Bytes, written with binary suffixes.
    Bytes,
    /// Milliseconds.
    Time,
    /// Number per second.
    PerSecond,
}

/// What becomes of a limit that an operator wants to be counted rather than enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CountOnly {
    /// It can be: up to the ceiling it only counts.
    Yes,
    /// It is always enforced: the engine or the store knows only "refuse".
    No,
    /// The value is the same for every guest and cannot be set: the engine has one.
    Fixed,
}

/// One row of [`TABLE`].
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Which one.
    pub limit: Limit,
    /// Name in faults, metrics and below `instances.<name>.limits`.
    pub name: &'static str,
    /// The key as error texts write it.
    pub key: &'static str,
    pub default: u64,
    pub ceiling: u64,
    pub unit: Unit,
    pub count_only: CountOnly,
    pub meaning: &'static str,
}

/// Length of the window of [`Limit::BytesOut`] and [`Limit::BytesIn`].
pub const WINDOW: Duration = Duration::from_secs(60);

macro_rules! limits {
    ($($limit:ident $name:literal $default:expr, $ceiling:expr, $unit:ident, $count_only:ident, $meaning:literal;)*) => {
        /// Names of all limits.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Limit { $(#[doc = $meaning] $limit,)* }

        /// All limits, in the order of the documents.
        pub const TABLE: &[Row] = &[$(Row {
            limit: Limit::$limit, name: $name, key: concat!("limits.", $name), default: $default, ceiling: $ceiling,
            unit: Unit::$unit, count_only: CountOnly::$count_only, meaning: $meaning,
        },)*];
    };
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const STACK: u64 = crate::engine::WASM_STACK as u64;

limits! {
    Fuel "fuel" 1_000_000_000, 20_000_000_000, Fuel, Yes, "Work of one call into the guest.";
    Cpu "cpu" 5_000, 60_000, Time, Yes, "Processor time of one call; waiting in host functions does not count.";
    Deadline "deadline" 30_000, 300_000, Time, Yes, "Wall time of one call, host functions included.";
    MaintainDeadline "maintain_deadline" 5_000, 60_000, Time, No, "Wall time of one call of `maintain`, between deliveries.";
    CloseDeadline "close_deadline" 2_000, 30_000, Time, No, "Wall time of `close`, the last call before a guest goes.";
    Memory "memory" 64 * MIB, 512 * MIB, Bytes, Yes, "Linear memories and tables of one store together.";
    Memories "memories" 4, 16, Count, No, "Linear memories of one store.";
    Tables "tables" 8, 64, Count, No, "Tables of one store.";
    Instances "instances" 32, 256, Count, No, "Core instances of one store.";
    TableElements "table_elements" 20_000, 200_000, Count, Yes, "Elements of all tables of one store together.";
    Stack "stack" STACK, STACK, Bytes, Fixed, "Stack of the guest's own calls; one engine serves all guests.";
    HostcallData "hostcall_data" 16 * MIB, 64 * MIB, Bytes, No, "Data that the guest hands the host in one call or answer.";
    HostCalls "host_calls" 1_000_000, 100_000_000, Count, Yes, "Calls of host functions within one call into the guest.";
    Handles "handles" 256, 4_096, Count, No, "Resource handles that one store holds at once.";
    HttpRequest "http_request" 8 * MIB, 64 * MIB, Bytes, Yes, "Body of one HTTP request, before compression.";
    HttpResponse "http_response" MIB, 16 * MIB, Bytes, Yes, "Body of one HTTP answer; what is longer is cut.";
    HttpHeaderBytes "http_header_bytes" 32 * KIB, 128 * KIB, Bytes, Yes, "Header names and values of one request or answer.";
    HttpHeaderFields "http_header_fields" 128, 512, Count, Yes, "Header fields of one request or answer.";
    HttpConcurrent "http_concurrent" 16, 256, Count, Yes, "HTTP requests of one instance at the same time; more wait until their own time is up.";
    HttpRate "http_rate" 10_000, 100_000, PerSecond, Yes, "HTTP requests of one instance; a second's worth may come at once.";
    TcpConnections "tcp_connections" 4, 64, Count, No, "TCP connections of one instance at the same time.";
    BytesOut "bytes_out" 16 * GIB, 1_024 * GIB, Bytes, Yes, "Bytes to one destination within 60 seconds: path, header and body as they are sent.";
    BytesIn "bytes_in" 4 * GIB, 1_024 * GIB, Bytes, Yes, "Bytes from one destination within 60 seconds; an answer that has begun is read, the next request is refused.";
    LogLine "log_line" KIB, 16 * KIB, Bytes, Yes, "One log line; what is longer is cut.";
    LogCall "log_call" 64 * KIB, MIB, Bytes, Yes, "Log lines of one call; what is more is left out.";
    LogRate "log_rate" 100, 1_000, PerSecond, Yes, "Log lines of one instance; what is more is left out.";
    State "state" MIB, 64 * MIB, Bytes, No, "Keys and values of one instance's state.";
    StateValue "state_value" 64 * KIB, 4 * MIB, Bytes, Yes, "One value of the state.";
    StateKeys "state_keys" 256, 65_536, Count, No, "Keys of one instance's state.";
    MetricSeries "metric_series" 1_000, 10_000, Count, No, "Series of the guest's own metrics of one instance; the rest falls into `other`.";
    ComponentSize "component_size" 16 * MIB, 64 * MIB, Bytes, No, "Size of a component's file.";
}

impl Limit {
    /// The row of this limit.
    pub fn row(self) -> &'static Row {
        // The macro writes rows and variants in the same order; a test holds it.
        &TABLE[self as usize]
    }

    /// The limit with that name.
    pub fn named(name: &str) -> Option<Self> {
        TABLE.iter().find(|row| row.name == name).map(|row| row.limit)
    }
}

/// Why a value for a limit was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    #[error("`limits.{name}` is no limit; {}", nearest(name))]
    Unknown { name: String },
    #[error("`{key}` is 0, which would stop everything; the default is {default}")]
    Zero { key: &'static str, default: String },
    #[error("`{key}` is {value}, above the ceiling of {ceiling}")]
    Ceiling { key: &'static str, value: String, ceiling: String },
    #[error("`{key}` is fixed at {value} for all guests and cannot be set")]
    Fixed { key: &'static str, value: String },
    #[error("`{key}` cannot be counted only, it is always enforced; possible are {}", countable().join(", "))]
    AlwaysEnforced { key: &'static str },
    #[error("`{key}` is `{value}`; expected {expected}")]
    Malformed { key: &'static str, value: String, expected: &'static str },
}

/// The limits in force for one instance: values within their ceilings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    values: [u64; TABLE.len()],
    /// One bit for each row that only counts.
    counting: u64,
}

const _: () = assert!(TABLE.len() <= 64, "a bit for each row");

impl Default for Limits {
    fn default() -> Self {
        Self { values: std::array::from_fn(|i| TABLE[i].default), counting: 0 }
    }
}

impl Limits {
    pub fn get(&self, limit: Limit) -> u64 {
        self.values[limit as usize]
    }

    /// What is enforced: the value, or the ceiling of a limit that is only counted.
    pub fn enforced(&self, limit: Limit) -> u64 {
        if self.counts(limit) { limit.row().ceiling } else { self.get(limit) }
    }

    /// What is enforced, as a size on this machine.
    pub fn size(&self, limit: Limit) -> usize {
        usize::try_from(self.enforced(limit)).unwrap_or(usize::MAX)
    }

    /// What is enforced of a limit in [`Unit::Time`].
    pub fn time(&self, limit: Limit) -> Duration {
        Duration::from_millis(self.enforced(limit))
    }

    /// True for a limit that is counted and, below its ceiling, not enforced.
    pub fn counts(&self, limit: Limit) -> bool {
        self.counting >> limit as u64 & 1 == 1
    }

    /// The limits that are only counted, in the order of the table.
    pub fn counting(&self) -> impl Iterator<Item = &'static Row> {
        TABLE.iter().filter(|row| self.counts(row.limit))
    }

    /// Counts a limit from now on instead of enforcing it; its ceiling still holds.
    pub fn count_only(&mut self, limit: Limit) -> Result<(), LimitError> {
        let row = limit.row();
        match row.count_only {
            CountOnly::Yes => {
                self.counting |= 1 << limit as u64;
                Ok(())
            }
            CountOnly::No | CountOnly::Fixed => Err(LimitError::AlwaysEnforced { key: row.key }),
        }
    }

    /// Sets a value in the unit of its row; times in milliseconds.
    pub fn set(&mut self, limit: Limit, value: u64) -> Result<(), LimitError> {
        let row = limit.row();
        if row.count_only == CountOnly::Fixed && value != row.default {
            return Err(LimitError::Fixed { key: row.key, value: written(row.unit, row.default) });
        }
        if value == 0 {
            return Err(LimitError::Zero { key: row.key, default: written(row.unit, row.default) });
        }
        if value > row.ceiling {
            return Err(LimitError::Ceiling { key: row.key, value: written(row.unit, value), ceiling: written(row.unit, row.ceiling) });
        }
        self.values[limit as usize] = value;
        Ok(())
    }

    /// Sets a value as people write it: `1G` fuel, `64MiB`, `5s`, `300ms`, `16`.
    pub fn set_text(&mut self, name: &str, text: &str) -> Result<(), LimitError> {
        let limit = Limit::named(name).ok_or_else(|| LimitError::Unknown { name: name.into() })?;
        let row = limit.row();
        let value = parse(row.unit, text).ok_or_else(|| LimitError::Malformed { key: row.key, value: text.into(), expected: expected(row.unit) })?;
        self.set(limit, value)
    }

    /// What is enforced in words, for messages.
    pub fn text(&self, limit: Limit) -> String {
        written(limit.row().unit, self.enforced(limit))
    }

    /// Raising its key is no remedy.
    fn at_ceiling(&self, limit: Limit) -> bool {
        self.enforced(limit) >= limit.row().ceiling
    }

    /// The fault of a guest that reached a limit.
    pub fn fault(&self, limit: Limit) -> GuestFault {
        GuestFault::Limit { limit: limit.row().name, value: self.text(limit), key: limit.row().key, ceiling: self.at_ceiling(limit) }
    }

    /// The text that a guest sees when a request of its own goes beyond a limit.
    pub fn refusal(&self, limit: Limit, asked: u64) -> String {
        let row = limit.row();
        let advice = bulkhead_core::advice(row.key, self.at_ceiling(limit));
        format!("{} of {} reached: {} asked for; {advice}", row.name, self.text(limit), written(row.unit, asked))
    }
}

/// A number with its unit, as messages and documents write it.
pub fn written(unit: Unit, value: u64) -> String {
    let scaled = |steps: [(u64, &'static str); 3]| {
        steps.into_iter().find(|(step, _)| value >= *step && value.is_multiple_of(*step)).map(|(step, name)| (value / step, name))
    };
    match unit {
        Unit::Count => value.to_string(),
        Unit::Fuel => match scaled([(1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")]) {
            Some((n, name)) => format!("{n}{name}"),
            None => value.to_string(),
        },
        Unit::Bytes => match scaled([(1 << 30, "GiB"), (MIB, "MiB"), (KIB, "KiB")]) {
            Some((n, name)) => format!("{n} {name}"),
            None => format!("{value} bytes"),
        },
        Unit::Time if value.is_multiple_of(1_000) => format!("{}s", value / 1_000),
        Unit::Time => format!("{value}ms"),
        Unit::PerSecond => format!("{value}/s"),
    }
}

/// Names of the limits that can be counted only.
pub fn countable() -> Vec<&'static str> {
    TABLE.iter().filter(|row| row.count_only == CountOnly::Yes).map(|row| row.name).collect()
}

fn expected(unit: Unit) -> &'static str {
    match unit {
        Unit::Count => "a whole number, for example 16",
        Unit::Fuel => "a number of fuel units, for example 1G or 500M",
        Unit::Bytes => "a size, for example 64MiB or 512KiB",
        Unit::Time => "a duration, for example 5s or 300ms",
        Unit::PerSecond => "a number a second, for example 100",
    }
}

fn parse(unit: Unit, text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = text.get(..digits)?.parse().ok()?;
    let factor = match (unit, text.get(digits..)?.trim_start()) {
        (Unit::Time, "") => return None,
        (_, "") => 1,
        (Unit::Fuel, "k" | "K") => 1_000,
        (Unit::Fuel, "M") => 1_000_000,
        (Unit::Fuel, "G") => 1_000_000_000,
        (Unit::Bytes, "B") => 1,
        (Unit::Bytes, "KiB") => KIB,
        (Unit::Bytes, "MiB") => MIB,
        (Unit::Bytes, "GiB") => 1 << 30,
        (Unit::Time, "ms") => 1,
        (Unit::Time, "s") => 1_000,
        (Unit::Time, "m") => 60_000,
        (Unit::PerSecond, "/s") => 1,
        _ => return None,
    };
    number.checked_mul(factor)
}

fn nearest(name: &str) -> String {
    let close = TABLE.iter().map(|row| row.name).min_by_key(|known| distance(name, known)).filter(|known| distance(name, known) <= 3);
    match close {
        Some(known) => format!("did you mean `limits.{known}`?"),
        None => format!("known are {}", TABLE.iter().map(|row| row.name).collect::<Vec<_>>().join(", ")),
    }
}

/// Edit distance; inputs are short keys, cut at 64 bytes.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<u8>, Vec<u8>) = (a.bytes().take(64).collect(), b.bytes().take(64).collect());
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let next = (row[j + 1] + 1).min(row[j] + 1).min(diagonal + usize::from(x != y));
            diagonal = std::mem::replace(&mut row[j + 1], next);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests;
