use std::fs;

use proptest::prelude::*;
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::chain::{AuditSettings, Chain, fields};
use crate::line::seal;

/// A chain of three files, the first two dropped from a longer one where `rotated`.
struct Made {
    dir: TempDir,
}

impl Made {
    fn new(max_bytes: u64, records: u64) -> Self {
        let made = Self { dir: TempDir::new().expect("a folder") };
        let settings = AuditSettings { dir: made.path(), max_bytes, sync: Duration::from_secs(1) };
        let (mut chain, _) = Chain::open(&settings).expect("opens");
        for i in 0..records {
            let receipt = fields(json!({"begun": "2026-11-02T08:00:00Z", "instance": "siem", "events": {"count": i}, "outcomes": {"accepted": i}}));
            chain.push("deliver", &receipt).expect("pushes");
        }
        chain.flush().expect("flushes");
        made
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("audit")
    }

    fn file(&self, number: u64) -> PathBuf {
        files::path(&self.path(), number)
    }

    fn lines(&self, number: u64) -> Vec<String> {
        fs::read_to_string(self.file(number)).expect("reads").lines().map(str::to_owned).collect()
    }

    fn put(&self, number: u64, lines: &[String]) {
        fs::write(self.file(number), lines.iter().map(|line| format!("{line}\n")).collect::<String>()).expect("written");
    }

    fn report(&self) -> Report {
        verify(&self.path(), None).expect("reads")
    }

    #[track_caller]
    fn fault(&self, file: u64, line: u64, n: u64, what: &str) {
        let fault = self.report().fault.expect("a fault");
        assert_eq!((fault.file.clone(), fault.line, fault.n), (self.file(file), line, n), "{}", fault.what);
        assert!(fault.what.contains(what), "{}; want {what}", fault.what);
    }
}

/// One file, records 1 (begin) to 21.
fn small() -> Made {
    Made::new(1 << 20, 20)
}

/// The hash that the record in this line should have.
fn reseal(line: &str) -> String {
    let Line { n, kind, prev, mut fields, .. } = parse(line.as_bytes()).expect("a record");
    ["n", "kind", "prev", "hash"].iter().for_each(|name| drop(fields.shift_remove(*name)));
    let (sealed, _) = seal(n, &kind, &fields, &prev);
    String::from_utf8(sealed).expect("UTF-8").trim_end().to_owned()
}

#[test]
fn a_clean_chain_has_no_fault() {
    let report = small().report();
    assert_eq!(report.fault, None);
    assert_eq!((report.begins, report.counts.records, report.counts.receipts), (1, 21, 20));
}

#[test]
fn a_changed_byte_names_its_record() {
    for record in [1, 2, 11, 21] {
        let made = small();
        let mut lines = made.lines(1);
        let at = record as usize - 1;
        lines[at] = lines[at].replacen("2026", "2025", 1).replacen("bulkhead ", "bulkhaed ", 1);
        made.put(1, &lines);
        made.fault(1, record, record, "the record was changed: its content hashes to ");
    }
}

/// Whoever also mends the record's own hash is found by the next record.
#[test]
fn a_record_that_was_sealed_anew_is_named_by_what_the_next_says() {
    let made = small();
    let mut lines = made.lines(1);
    lines[9] = reseal(&lines[9].replacen("\"accepted\":8", "\"accepted\":9", 1));
    made.put(1, &lines);
    made.fault(1, 10, 10, "the record was replaced: its hash is ");
}

#[test]
fn a_removed_record_is_named() {
    for record in [2, 11, 20] {
        let made = small();
        let mut lines = made.lines(1);
        lines.remove(record - 1);
        made.put(1, &lines);
        let n = record as u64;
        made.fault(1, n, n, &format!("record {n} is missing: record {} stands in this line", n + 1));
    }
    let made = small();
    let mut lines = made.lines(1);
    lines.drain(4..9);
    made.put(1, &lines);
    made.fault(1, 5, 5, "records 5 to 9 are missing: record 10 stands in this line");
}

#[test]
fn records_that_changed_places_are_named() {
    let made = small();
    let mut lines = made.lines(1);
    lines.swap(6, 7);
    made.put(1, &lines);
    made.fault(1, 7, 7, "records are out of order: record 8 stands here, record 7 in line 8");
}

#[test]
fn a_doubled_record_is_named() {
    let made = small();
    let mut lines = made.lines(1);
    lines.insert(7, lines[6].clone());
    made.put(1, &lines);
    made.fault(1, 8, 7, "record 7 stands here again; record 8 is due");
}

#[test]
fn a_record_put_in_is_named() {
    let made = small();
    let mut lines = made.lines(1);
    let before = parse(lines[6].as_bytes()).expect("a record");
    let (forged, _) = seal(8, "deliver", &fields(json!({"instance": "siem"})), &before.hash);
    lines.insert(7, String::from_utf8(forged).expect("UTF-8").trim_end().to_owned());
    made.put(1, &lines);
    made.fault(1, 9, 8, "record 8 stands here again");
    // In the place of another: the next one tells.
    lines.remove(8);
    made.put(1, &lines);
    made.fault(1, 8, 8, "the record was replaced");
}

#[test]
fn a_cut_line_is_named() {
    let made = small();
    let bytes = fs::read(made.file(1)).expect("reads");
    fs::write(made.file(1), &bytes[..bytes.len() - 7]).expect("written");
    made.fault(1, 21, 21, "the record is cut off");
}

#[test]
fn what_is_no_record_is_named() {
    for (bad, why) in
        [("", "too short"), ("hello, hello, hello, hello, hello, hello, hello, hello, hello, hello, hello, hello, hello", "does not end in its hash")]
    {
        let made = small();
        let mut lines = made.lines(1);
        bad.clone_into(&mut lines[5]);
        made.put(1, &lines);
        made.fault(1, 6, 6, why);
    }
    let made = small();
    fs::write(made.file(1), "x".repeat(MAX_LINE * 2)).expect("written");
    made.fault(1, 1, 1, "the line is longer than 65536 bytes");
    fs::write(made.file(1), "").expect("written");
    made.fault(1, 1, 1, "the file is empty");
}

/// Between the first file that is left and its end: 64 KiB in files of 8 KiB.
fn rotated() -> (Made, u64, u64) {
    let made = Made::new(64 << 10, 400);
    let report = made.report();
    assert_eq!(report.fault, None);
    let all = files(&made.path()).expect("reads");
    let (first, last) = (all[0].0, all[all.len() - 1].0);
    assert!(first > 2 && last > first + 3, "{first} {last}");
    (made, first, last)
}

#[test]
fn files_taken_away_are_named() {
    let (made, first, _) = rotated();
    let begins = made.report().begins;
    // In the middle.
    let gone = parse(made.lines(first + 1)[0].as_bytes()).expect("a record").n;
    let kept = fs::read(made.file(first + 1)).expect("reads");
    fs::remove_file(made.file(first + 1)).expect("removed");
    made.fault(first + 1, 1, gone, "the file is missing");
    fs::write(made.file(first + 1), kept).expect("written");
    // At the front: the chain knows what it dropped itself.
    fs::remove_file(made.file(first)).expect("removed");
    made.fault(first + 1, 1, gone, &format!("the chain begins here, but no record says that {} was dropped", files::name(first)));
    assert!(begins < gone);
}

#[test]
fn a_file_that_ends_too_early_is_named_at_its_end() {
    let (made, first, _) = rotated();
    let mut lines = made.lines(first + 1);
    let cut = parse(lines[lines.len() - 2].as_bytes()).expect("a record").n;
    lines.truncate(lines.len() - 2);
    made.put(first + 1, &lines);
    made.fault(first + 1, lines.len() as u64 + 1, cut, "the file ends too early");
}

#[test]
fn an_edited_anchor_is_named() {
    let (made, first, _) = rotated();
    let begins = made.report().begins;
    let mut lines = made.lines(first);
    let record = parse(lines[0].as_bytes()).expect("a record");
    lines[0] = lines[0].replacen(&record.prev, GENESIS, 1);
    made.put(first, &lines);
    made.fault(first, 1, begins, "the record was changed");
    lines[0] = reseal(&lines[0]);
    made.put(first, &lines);
    made.fault(first, 1, begins, "the record was replaced");
    // All of the first file sealed anew.
    let mut prev = GENESIS.to_owned();
    for line in &mut lines {
        let Line { n, kind, mut fields, .. } = parse(line.as_bytes()).expect("a record");
        ["n", "kind", "prev", "hash"].iter().for_each(|name| drop(fields.shift_remove(*name)));
        let (sealed, hash) = seal(n, &kind, &fields, &prev);
        *line = String::from_utf8(sealed).expect("UTF-8").trim_end().to_owned();
        prev = hash;
    }
    let end = parse(lines[lines.len() - 1].as_bytes()).expect("a record").n;
    made.put(first, &lines);
    made.fault(first, lines.len() as u64, end, "the record was replaced");
}

#[test]
fn a_file_under_another_name_is_named() {
    let (made, first, last) = rotated();
    fs::rename(made.file(last), made.file(last + 7)).expect("renamed");
    made.fault(last, 1, parse(made.lines(last + 7)[0].as_bytes()).expect("a record").n, "the file is missing");
    fs::rename(made.file(last + 7), made.file(last)).expect("renamed");
    let (one, two) = (made.lines(first + 1), made.lines(first + 2));
    made.put(first + 1, &two);
    made.put(first + 2, &one);
    let fault = made.report().fault.expect("a fault");
    assert!(fault.what.contains("missing") || fault.what.contains("out of order"), "{}", fault.what);
}

/// Without a head from elsewhere nothing tells that the end is gone; with one it is named.
#[test]
fn a_missing_end_shows_against_an_expected_head_only() {
    let made = small();
    let (n, hash) = made.report().head.expect("a head");
    let expect = |text: &str| verify(&made.path(), Some(&text.parse().expect("a head"))).expect("reads");
    let noted = format!("{n}:{hash}");
    assert_eq!(expect(&noted).found, Some(Found { n: 21, since: 0 }));
    assert_eq!(expect(&hash).fault, None);
    let earlier = parse(made.lines(1)[4].as_bytes()).expect("a record").hash;
    assert_eq!(expect(&format!("5:{earlier}")).found, Some(Found { n: 5, since: 16 }));
    assert_eq!(head(&made.path()).expect("reads"), Some(Ok((n, hash.clone()))));

    let mut lines = made.lines(1);
    lines.truncate(18);
    made.put(1, &lines);
    assert_eq!(made.report().fault, None, "nothing tells");
    let fault = expect(&noted).fault.expect("a fault");
    assert_eq!((fault.line, fault.n), (19, 19));
    assert_eq!(fault.what, "the end is missing: the chain ends with record 18, expected was record 21");
    assert!(expect(&hash).fault.expect("a fault").what.contains("no record has the expected hash"));

    // A whole new chain of the same length.
    let other = Made::new(1 << 20, 20);
    let mut lines = other.lines(1);
    lines[20] = reseal(&lines[20].replacen("\"accepted\":19", "\"accepted\":18", 1));
    other.put(1, &lines);
    assert_eq!(other.report().fault, None);
    let fault = verify(&other.path(), Some(&noted.parse().expect("a head"))).expect("reads").fault.expect("a fault");
    assert_eq!((fault.line, fault.n), (21, 21));
    assert!(fault.what.contains("the chain was written anew: record 21 has the hash"), "{}", fault.what);
    for bad in ["", "xyz", "x:00", &hash.to_uppercase()] {
        assert!(bad.parse::<Expected>().is_err(), "{bad}");
    }
}

#[derive(Debug, Clone)]
enum Tamper {
    Flip { line: usize, at: usize, bit: u8 },
    Remove(usize),
    Double(usize),
    Swap(usize, usize),
    Cut(usize),
}

fn tamper() -> impl Strategy<Value = Tamper> {
    prop_oneof![
        (0..21usize, 0..500usize, 0..8u8).prop_map(|(line, at, bit)| Tamper::Flip { line, at, bit }),
        (0..20usize).prop_map(Tamper::Remove),
        (0..21usize).prop_map(Tamper::Double),
        (0..21usize, 0..21usize).prop_filter("two lines", |(a, b)| a != b).prop_map(|(a, b)| Tamper::Swap(a, b)),
        (1..200usize).prop_map(Tamper::Cut),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    /// Whatever is done to one place is found, at or before that place.
    #[test]
    fn one_change_anywhere_is_found(change in tamper()) {
        let made = small();
        let mut bytes = fs::read(made.file(1)).expect("reads");
        let mut lines = made.lines(1);
        let (latest, whole) = match change {
            Tamper::Flip { line, at, bit } => {
                let start: usize = lines[..line].iter().map(|line| line.len() + 1).sum();
                // The line feed is part of the line.
                bytes[start + at % (lines[line].len() + 1)] ^= 1 << bit;
                (line, false)
            }
            Tamper::Remove(line) => { lines.remove(line); (line, true) }
            Tamper::Double(line) => { lines.insert(line, lines[line].clone()); (line + 1, true) }
            Tamper::Swap(a, b) => { lines.swap(a, b); (a.min(b), true) }
            Tamper::Cut(most) => { let keep = bytes.len() - most.min(lines[20].len()); bytes.truncate(keep); (20, false) }
        };
        if whole { made.put(1, &lines) } else { fs::write(made.file(1), &bytes).expect("written") }
        let fault = made.report().fault;
        prop_assert!(fault.is_some(), "{change:?}");
        let fault = fault.expect("a fault");
        prop_assert!(fault.line <= latest as u64 + 1 && fault.line + 1 >= latest as u64, "{change:?}: {fault:?}");
    }
}
