use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::verify::{Report, verify};

fn settings(dir: &TempDir, max_bytes: u64) -> AuditSettings {
    AuditSettings { dir: dir.path().join("audit"), max_bytes, sync: Duration::from_secs(1) }
}

fn deliver(i: u64) -> Map<String, Value> {
    fields(json!({"begun": "2026-11-02T08:00:00Z", "instance": "siem", "events": {"count": i}, "outcomes": {"accepted": i}}))
}

fn open(settings: &AuditSettings) -> Chain {
    let (mut chain, marks) = Chain::open(settings).expect("opens");
    marks.iter().for_each(|(kind, fields)| chain.push(kind, fields).expect("pushes"));
    chain
}

fn write(chain: &mut Chain, records: u64) {
    (0..records).for_each(|i| chain.push("deliver", &deliver(i)).expect("pushes"));
    chain.flush().expect("flushes");
}

#[track_caller]
fn clean(settings: &AuditSettings) -> Report {
    let report = verify(&settings.dir, None).expect("reads");
    assert_eq!(report.fault, None);
    report
}

#[test]
fn a_chain_begins_goes_on_after_a_restart_and_verifies() {
    let dir = TempDir::new().expect("a folder");
    let settings = settings(&dir, 1 << 20);
    write(&mut open(&settings), 10);
    write(&mut open(&settings), 5);
    let report = clean(&settings);
    assert_eq!((report.begins, report.counts.records, report.counts.receipts), (1, 16, 15));
    assert_eq!(report.head.expect("a head").0, 16);
}

#[test]
fn files_stay_within_their_bound_and_what_went_is_on_record() {
    let dir = TempDir::new().expect("a folder");
    let settings = settings(&dir, 64 << 10);
    let mut most = 0;
    for _ in 0..40 {
        write(&mut open(&settings), 50);
        let there = files(&settings.dir).expect("reads");
        let bytes: u64 = there.iter().map(|(_, path)| fs::metadata(path).expect("there").len()).sum();
        most = most.max(bytes);
        clean(&settings);
    }
    assert!(most <= settings.max_bytes && most > settings.max_bytes / 2, "{most}");
    let report = clean(&settings);
    assert!(report.begins > 1 && report.counts.dropped > 0, "{report:?}");
    assert!(report.files.first().expect("a file").first == report.begins);
    assert_eq!(report.head.expect("a head").0 - report.begins + 1, report.counts.records, "no gap");
}

/// A smaller bound holds from the next start on.
#[test]
fn a_smaller_bound_drops_files_at_once() {
    let dir = TempDir::new().expect("a folder");
    let large = settings(&dir, 256 << 10);
    write(&mut open(&large), 600);
    let small = settings(&dir, 64 << 10);
    let mut chain = open(&small);
    chain.push("start", &Map::new()).expect("pushes");
    chain.prune().expect("prunes");
    chain.flush().expect("flushes");
    assert!(chain.bytes() <= 64 << 10, "{}", chain.bytes());
    clean(&small);
}

#[test]
fn a_torn_tail_is_cut_and_said() {
    let dir = TempDir::new().expect("a folder");
    let settings = settings(&dir, 1 << 20);
    write(&mut open(&settings), 3);
    let path = files::path(&settings.dir, 1);
    let whole = fs::read(&path).expect("reads");
    for cut in [1, 20, 200] {
        fs::write(&path, &whole[..whole.len() - cut]).expect("written");
        assert!(verify(&settings.dir, None).expect("reads").fault.expect("a fault").what.contains("cut off"));
        write(&mut open(&settings), 1);
        let report = clean(&settings);
        assert_eq!((report.counts.torn, report.counts.receipts), (1, 3), "{cut}: two whole ones and a new one");
    }
}

/// A crash while a file is begun leaves part of its first line.
#[test]
fn a_file_with_nothing_but_a_torn_line_goes() {
    let dir = TempDir::new().expect("a folder");
    let settings = settings(&dir, 1 << 20);
    write(&mut open(&settings), 3);
    fs::write(files::path(&settings.dir, 2), b"{\"n\":5,\"kind\":\"beg").expect("written");
    write(&mut open(&settings), 1);
    assert!(!files::path(&settings.dir, 2).exists());
    assert_eq!(clean(&settings).counts.torn, 1);
    // The very first file, too.
    let other = AuditSettings { dir: dir.path().join("other"), ..settings };
    fs::create_dir_all(&other.dir).expect("a folder");
    fs::write(files::path(&other.dir, 1), b"{").expect("written");
    write(&mut open(&other), 1);
    assert_eq!((clean(&other).counts.torn, clean(&other).begins), (1, 1));
}

/// Whoever damages the last line does not get rid of it by a restart.
#[test]
fn a_line_that_is_no_record_stays_and_the_chain_goes_on_in_a_new_file() {
    let dir = TempDir::new().expect("a folder");
    let settings = settings(&dir, 1 << 20);
    write(&mut open(&settings), 3);
    let path = files::path(&settings.dir, 1);
    let mut bytes = fs::read(&path).expect("reads");
    bytes.extend_from_slice(b"\0\0\0\0\0\0\n");
    fs::write(&path, &bytes).expect("written");
    write(&mut open(&settings), 2);
    assert_eq!(fs::read(&path).expect("reads"), bytes, "untouched");
    let report = verify(&settings.dir, None).expect("reads");
    let fault = report.fault.expect("a fault");
    assert_eq!((fault.file, fault.line, fault.n), (path, 5, 5));
    let second = fs::read_to_string(files::path(&settings.dir, 2)).expect("reads");
    assert!(second.starts_with("{\"n\":6,\"kind\":\"begin\"") && second.contains("\"kind\":\"damaged\""), "{second}");
    // The second file is a chain of its own right, anchored in the bytes of the damaged line.
    assert!(second.lines().next().expect("a line").contains(&hex(&Sha256::digest(b"\0\0\0\0\0\0"))), "{second}");
}

#[test]
fn a_full_disk_loses_what_is_not_written_and_nothing_else() {
    let dir = TempDir::new().expect("a folder");
    let settings = settings(&dir, 1 << 20);
    let mut chain = open(&settings);
    write(&mut chain, 3);
    chain.room = Some(100);
    for _ in 0..3 {
        chain.push("deliver", &deliver(9)).expect("pushes");
        assert_eq!(chain.flush().expect_err("full").kind(), io::ErrorKind::StorageFull);
        assert_eq!(clean(&settings).counts.receipts, 3, "no half line stays");
    }
    chain.room = None;
    chain.push("lost", &fields(json!({"count": 3}))).expect("pushes");
    write(&mut chain, 1);
    let report = clean(&settings);
    assert_eq!((report.counts.receipts, report.counts.lost), (4, 3));
}

/// The disk is full just when a new file is begun.
#[test]
fn a_full_disk_at_a_new_file_leaves_a_chain_that_goes_on() {
    let dir = TempDir::new().expect("a folder");
    let settings = settings(&dir, 64 << 10);
    let mut chain = open(&settings);
    let mut pushed = 0;
    loop {
        let (line, _) = seal(chain.next.n, "deliver", &deliver(pushed), &chain.next.prev);
        if chain.next.len + line.len() as u64 > chain.file_bytes() {
            break;
        }
        write(&mut chain, 1);
        pushed += 1;
    }
    for room in [0, 10, 300] {
        chain.room = Some(room);
        let done = chain.push("deliver", &deliver(pushed)).and_then(|()| chain.flush());
        assert_eq!(done.expect_err("full").kind(), io::ErrorKind::StorageFull);
    }
    chain.room = None;
    write(&mut chain, 5);
    let report = clean(&settings);
    assert_eq!((report.counts.receipts, report.files.len()), (pushed + 5, 2));
    drop(chain);
    write(&mut open(&settings), 1);
    clean(&settings);
}
