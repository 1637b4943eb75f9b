//! `cargo xtask samples`: writes the sample events of `examples/events/`. Nothing in them is random:
//! the same files come out every time, so that a change shows up in review.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

mod canonical;
mod cloudevents;
mod copybook;
mod datavault;
mod intelliguard;
mod plain;

/// Name of a file and its events.
type Writer = fn(&mut Dice) -> Vec<Value>;

pub const FILES: [(&str, Writer); 5] = [
    ("copybook.ndjson", copybook::events),
    ("intelliguard.ndjson", intelliguard::events),
    ("datavault.ndjson", datavault::events),
    ("cloudevents.ndjson", cloudevents::events),
    ("plain.ndjson", plain::events),
];

pub fn run(root: &Path) -> Result<()> {
    let folder = root.join("examples/events");
    fs::create_dir_all(&folder)?;
    let mut ids = std::collections::BTreeSet::new();
    for (seed, (name, write)) in (1..).zip(FILES) {
        let events = write(&mut Dice(seed));
        for event in &events {
            let id = ["event_id", "id"].iter().find_map(|key| event[key].as_str());
            if let Some(id) = id {
                ensure!(ids.insert(id.to_owned()), "{name}: id {id} is not unique");
            }
        }
        let text: String = events.iter().map(|event| format!("{}\n", lay_raw(&event.to_string()))).collect();
        let path = folder.join(name);
        fs::write(&path, &text).with_context(|| format!("cannot write {}", path.display()))?;
        println!("{:<20} {:>4} events {:>8} bytes", name, events.len(), text.len());
    }
    Ok(())
}

/// A small deterministic source of choices (splitmix64).
pub struct Dice(u64);

impl Dice {
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    /// True once in `n`.
    pub fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// A version 4 UUID (RFC 9562), made from our own numbers.
    pub fn uuid(&mut self) -> String {
        let (a, b) = (self.roll(), self.roll());
        format!("{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}", a >> 32, (a >> 16) & 0xffff, a & 0xfff, 0x8000 | (b >> 48 & 0x3fff), b & 0xffff_ffff_ffff)
    }

    pub fn hex(&mut self, digits: usize) -> String {
        let mut out = String::new();
        while out.len() < digits {
            let _ = write!(out, "{:016x}", self.roll());
        }
        out.truncate(digits);
        out
    }
}

/// RFC 3339 from seconds of the day on which the samples play; the fraction as given.
pub fn time(second: u64, fraction: &str) -> String {
    format!("2026-11-0{}T{:02}:{:02}:{:02}{fraction}Z", 2 + second / 86_400, second / 3600 % 24, second / 60 % 60, second % 60)
}

const OPEN: char = '\u{e000}';
const CLOSE: char = '\u{e001}';

/// JSON text that must come out as it is: digits no float holds, escapes no serialiser writes.
/// Carried through the tree as a string of hexadecimal digits between two private characters.
pub fn raw(json: &str) -> Value {
    let hex = json.bytes().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    Value::String(format!("{OPEN}{hex}{CLOSE}"))
}

fn lay_raw(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once(OPEN) {
        let (hex, after) = after.split_once(CLOSE).unwrap_or((after, ""));
        // The quotes of the carrying string go.
        out.push_str(before.strip_suffix('"').unwrap_or(before));
        let bytes: Vec<u8> = (0..hex.len() / 2).filter_map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).ok()).collect();
        out.push_str(&String::from_utf8_lossy(&bytes));
        rest = after.strip_prefix('"').unwrap_or(after);
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_text_is_laid_as_it_is() {
        let event = serde_json::json!({"n": raw("123456789012345678901234567890.5e-3"), "s": raw(r#""caf\u00e9 \/""#), "t": "x"});
        assert_eq!(lay_raw(&event.to_string()), r#"{"n":123456789012345678901234567890.5e-3,"s":"caf\u00e9 \/","t":"x"}"#);
    }

    #[test]
    fn the_same_files_come_out_and_every_line_parses() {
        for (seed, (name, write)) in (1..).zip(FILES) {
            let (first, second) = (write(&mut Dice(seed)), write(&mut Dice(seed)));
            assert_eq!(first, second, "{name}");
            for event in first {
                let line = lay_raw(&event.to_string());
                let parsed: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{name}: {error}: {line}"));
                assert!(parsed.is_object() && !line.contains(OPEN), "{name}: {line}");
            }
        }
    }

    #[test]
    fn what_is_committed_is_what_comes_out() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the root");
        for (seed, (name, write)) in (1..).zip(FILES) {
            let text: String = write(&mut Dice(seed)).iter().map(|event| format!("{}\n", lay_raw(&event.to_string()))).collect();
            let committed = fs::read_to_string(root.join("examples/events").join(name)).expect("is committed");
            assert!(committed == text, "examples/events/{name} differs; run `cargo xtask samples`");
        }
    }
}
