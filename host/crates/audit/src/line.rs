//! One line: sealed with its hash, and read back with everything about its form checked.

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

/// Longest line that is read. Ours are below 16 KiB: names, paths and lists are bounded.
pub const MAX_LINE: usize = 64 << 10;
/// What the first record continues from.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// Version of the format.
pub const FORMAT: u64 = 1;

const HASH_AT: &[u8] = b",\"hash\":\"";
/// `,"hash":"` + 64 digits + `"}`.
const TAIL: usize = HASH_AT.len() + 64 + 2;

/// A line, with its line feed, and its hash.
pub fn seal(n: u64, kind: &str, fields: &Map<String, Value>, prev: &str) -> (Vec<u8>, String) {
    let mut all = Map::with_capacity(fields.len() + 4);
    all.insert("n".into(), n.into());
    all.insert("kind".into(), kind.into());
    all.extend(fields.iter().map(|(name, value)| (name.clone(), value.clone())));
    all.insert("prev".into(), prev.into());
    let mut line = Value::Object(all).to_string().into_bytes();
    line.pop(); // the closing brace
    let hash = hex(&Sha256::digest(&line));
    line.extend_from_slice(HASH_AT);
    line.extend_from_slice(hash.as_bytes());
    line.extend_from_slice(b"\"}\n");
    (line, hash)
}

/// A line that has the form of a record.
#[derive(Debug, Clone)]
pub struct Line {
    pub n: u64,
    pub kind: String,
    pub prev: String,
    /// The hash that the line says it has.
    pub hash: String,
    /// The hash that it has.
    pub computed: String,
    pub fields: Map<String, Value>,
}

/// Reads a line without its line feed; the error says what it lacks.
pub fn parse(bytes: &[u8]) -> Result<Line, &'static str> {
    let body = bytes.len().checked_sub(TAIL).and_then(|end| bytes.get(..end)).ok_or("it is too short")?;
    let tail = bytes.get(body.len()..).unwrap_or_default();
    let hash = tail.strip_prefix(HASH_AT).and_then(|rest| rest.strip_suffix(b"\"}")).ok_or("it does not end in its hash")?;
    let hash = std::str::from_utf8(hash).ok().filter(|hash| is_hash(hash)).ok_or("its hash is not 64 hexadecimal digits")?;
    let Ok(Value::Object(fields)) = serde_json::from_slice::<Value>(bytes) else { return Err("it is no JSON object") };
    let text = |name: &str| fields.get(name).and_then(Value::as_str);
    Ok(Line {
        n: fields.get("n").and_then(Value::as_u64).ok_or("it has no number `n`")?,
        kind: text("kind").ok_or("it has no `kind`")?.into(),
        prev: text("prev").filter(|prev| is_hash(prev)).ok_or("its `prev` is not 64 hexadecimal digits")?.into(),
        hash: hash.into(),
        computed: hex(&Sha256::digest(body)),
        fields,
    })
}

pub fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // writing to a string does not fail
        text
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields() -> Map<String, Value> {
        json!({"instance": "siem", "path": "/a\"b\\c", "sent": 12}).as_object().expect("an object").clone()
    }

    #[test]
    fn a_sealed_line_reads_back_and_hashes_to_what_it_says() {
        let (line, hash) = seal(7, "deliver", &fields(), GENESIS);
        assert!(line.starts_with(b"{\"n\":7,\"kind\":\"deliver\",\"instance\":\"siem\"") && line.ends_with(b"\"}\n"));
        let read = parse(&line[..line.len() - 1]).expect("a record");
        assert_eq!((read.n, read.kind.as_str(), read.prev.as_str()), (7, "deliver", GENESIS));
        assert_eq!((&read.hash, &read.computed), (&hash, &hash));
        assert_eq!(read.fields["path"], "/a\"b\\c");
    }

    /// Any program can check the hash: here a line made by hand, its digest by `sha256sum`.
    #[test]
    fn the_hash_is_plain_sha_256_of_what_stands_before_it() {
        let (line, hash) = seal(1, "start", &Map::new(), GENESIS);
        let body = format!("{{\"n\":1,\"kind\":\"start\",\"prev\":\"{GENESIS}\"");
        assert_eq!(line, format!("{body},\"hash\":\"{hash}\"}}\n").into_bytes());
        assert_eq!(hash, "28aa76a9de53db23f624d651e1fdd61756dfd8451eae6b8dd62800aad08a5936");
    }

    #[test]
    fn what_is_no_record_says_why() {
        let (line, _) = seal(7, "deliver", &fields(), GENESIS);
        let text = String::from_utf8(line).expect("UTF-8");
        let text = text.trim_end();
        for (bad, why) in [
            (String::new(), "it is too short"),
            (text[..text.len() - 1].into(), "it does not end in its hash"),
            (format!("{text} "), "it does not end in its hash"),
            (text.replacen("\"n\"", "\"m\"", 1), "it has no number `n`"),
            (text.replacen("{\"n\"", "[\"n\"", 1), "it is no JSON object"),
            (text.replacen("\"kind\"", "\"kin\"", 1), "it has no `kind`"),
            (text.replacen(GENESIS, "00", 1), "its `prev` is not 64 hexadecimal digits"),
        ] {
            assert_eq!(parse(bad.as_bytes()).expect_err("refused"), why, "{bad}");
        }
        let mut upper = text.as_bytes().to_vec();
        let at = upper.len() - 3;
        upper[at] = b'G';
        assert_eq!(parse(&upper).expect_err("refused"), "its hash is not 64 hexadecimal digits");
    }
}
