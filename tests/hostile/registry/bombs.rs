//! H03: components that are small and dear to compile. Written in binary: no text format gets that far.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::upload_within;
use crate::toolkit::story::{Story, copybook, file};

fn leb(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn section(id: u8, body: &[u8]) -> Vec<u8> {
    [&[id][..], &leb(body.len()), body].concat()
}

/// Function type 0 of the module: nothing to nothing, or number to number.
const NOTHING: &[u8] = b"\x60\0\0";
const NUMBER: &[u8] = b"\x60\x01\x7f\x01\x7f";

/// A connector's frame around a core module: a component that exports `delivering` as an empty instance, so
/// that it is one by its name and everything else is the compiler's to find.
fn bomb(kind: &[u8], functions: usize, body: &[u8]) -> Vec<u8> {
    let types = section(1, &[&leb(1)[..], kind].concat());
    let declared = section(3, &[leb(functions), vec![0; functions]].concat());
    let one = [leb(body.len()), body.to_vec()].concat();
    let code = section(10, &[leb(functions), one.repeat(functions)].concat());
    let module = [b"\0asm\x01\0\0\0".to_vec(), types, declared, code].concat();
    framed(&section(1, &module))
}

fn framed(sections: &[u8]) -> Vec<u8> {
    let name = b"bulkhead:connector/delivering@0.1.0";
    // (instance) and (export "…" (instance 0)).
    let instance = section(5, b"\x01\x01\0");
    let export = section(11, &[b"\x01\x01".to_vec(), leb(name.len()), name.to_vec(), b"\x05\0\0".to_vec()].concat());
    [b"\0asm\x0d\0\x01\0".to_vec(), sections.to_vec(), instance, export].concat()
}

/// What may come of a bomb: refused or stopped in these words, or compiled within its bounds.
#[track_caller]
fn goes_off(story: &Story, what: &str, bytes: &[u8], wanted: &[&str]) {
    let answer = upload_within(story, &format!("?name=bomb&version=1.{}", bytes.len()), bytes, Duration::from_secs(25));
    let body = answer.json().expect("JSON");
    let said = if answer.status == 201 { TAKEN } else { body["detail"].as_str().unwrap_or_default() };
    assert!(matches!(answer.status, 201 | 422), "{what}: {body}");
    assert!(wanted.iter().any(|words| said.starts_with(words)), "{what}: {body}");
    assert!(said.len() < 1_500 && !said.contains(char::is_control), "{what}: {said:?}");
}

const TAKEN: &str = "taken";
const SLOW: &str = "compiling `bomb` took longer than 5 s and was stopped; raise `upload.compile_time` to allow more";
const LARGE: &str = "compiling `bomb` needed more than 512 MiB of memory and was stopped; raise `upload.compile_memory` to allow more";
const BUSY: &str = "compiling `bomb` took more than";
const LOCALS: &str = "component `bomb` does not compile: failed to compile: wasm[0]::function[0]: WebAssembly translation error: Invalid input WebAssembly code at offset 33: too many locals: locals exceed maximum";
/// The validator's own stack runs over; only the worker dies of it.
const BROKE: &str = "compiling `bomb` broke off (signal 6); the component is not taken";

#[test]
fn h03_compile_bombs_are_stopped_and_the_host_goes_on() {
    let story = Story::start(&format!(
        "upload: {{compile_time: 5s, compile_memory: 512MiB}}\ninstances:\n{}default_route: [{{instance: archive, format: jsonl}}]\n",
        file("archive")
    ));
    let before = story.host.memory().expect("readable").now;
    let done = AtomicBool::new(false);
    let (sent, slowest) = std::thread::scope(|scope| {
        let ends = Ends(&done);
        // The neighbour: events go on being taken all the time.
        let neighbour = scope.spawn(|| {
            let (mut sent, mut slowest) = (0, Duration::ZERO);
            while !done.load(Ordering::Relaxed) {
                let start = Instant::now();
                story.accept("application/x-ndjson", &copybook(&format!("n{sent}"), 1));
                slowest = slowest.max(start.elapsed());
                sent += 1;
                std::thread::sleep(Duration::from_millis(20));
            }
            (sent, slowest)
        });
        // One function of a million multiplications.
        let step = b"\x20\0\x20\0\x6c\x21\0";
        goes_off(
            &story,
            "one huge function",
            &bomb(NUMBER, 1, &[b"\0".to_vec(), step.repeat(1_000_000), b"\x20\0\x0b".to_vec()].concat()),
            &[SLOW, LARGE, BUSY],
        );
        goes_off(&story, "a million locals", &bomb(NOTHING, 1, &[b"\x01".to_vec(), leb(1_000_000), b"\x7e\x0b".to_vec()].concat()), &[LOCALS]);
        let nested = [b"\0".to_vec(), b"\x02\x40".repeat(100_000), b"\x0b".repeat(100_001)].concat();
        goes_off(&story, "blocks nested deeply", &bomb(NOTHING, 1, &nested), &[TAKEN, SLOW, LARGE, BUSY]);
        goes_off(&story, "a hundred thousand functions", &bomb(NOTHING, 100_000, b"\0\x0b"), &[SLOW, LARGE, BUSY, TAKEN]);
        let types = (0..10_000).fold(b"\x41\0".to_vec(), |inner, _| [b"\x41\x01\x01", &inner[..]].concat());
        goes_off(&story, "ten thousand nested types", &framed(&section(7, &[&b"\x01"[..], &types].concat())), &[BROKE]);
        drop(ends);
        neighbour.join().expect("goes on")
    });
    assert!(sent > 10 && slowest < Duration::from_secs(10), "{sent} requests, the slowest {slowest:?}");
    story.settled();
    assert_eq!(story.lines("archive.ndjson").len(), sent);
    let grown = story.host.memory().expect("readable").now.saturating_sub(before);
    assert!(grown < 256 << 20, "the host's memory grew by {grown} bytes");
    assert!(workers(story.host.pid()).is_empty(), "no worker outlives its compilation");
}

/// Lets the neighbour end, whatever becomes of the bombs.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Children of a process.
fn workers(pid: u32) -> Vec<u32> {
    let all = std::fs::read_dir("/proc").expect("there").filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let parent = |child: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).ok()?;
        // The command in parentheses may hold blanks; behind it come the state and the parent.
        stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse::<u32>().ok()
    };
    all.filter(|child| parent(child) == Some(pid)).collect()
}
