use std::path::Path;

use super::*;
use crate::frame::AppendBatch;
use crate::fs::Fs;
use crate::sim::SimFs;
use crate::tests::stored;

const SALT: u64 = 11;

/// A frame of one event with this original, as it lies on disk.
fn frame(first: u64, original: &[u8], salt: u64) -> Vec<u8> {
    let mut batch = AppendBatch::new();
    batch.buffer().extend_from_slice(&stored(original));
    batch.push_event().unwrap();
    let (mut bytes, mut header) = batch.seal();
    header.first = first;
    header.encode_into(&mut bytes, salt);
    bytes
}

/// Walks a segment with these bytes behind its header: what each step is, in short.
#[track_caller]
fn check(what: &str, parts: &[&[u8]], want: &[&str]) {
    let sim = SimFs::new(1);
    let mut bytes = vec![0; HEADER_BLOCK];
    parts.iter().for_each(|part| bytes.extend_from_slice(part));
    sim.put("/s", &bytes);
    let mut walker = Walker::new(sim.open(Path::new("/s")).unwrap(), SALT, 0, bytes.len() as u64);
    let mut got = Vec::new();
    loop {
        let at = |offset: u64| offset - HEADER_BLOCK as u64;
        match walker.next(0).unwrap() {
            Step::Frame { header, .. } => got.push(format!("frame {}", header.first)),
            Step::Damage { from, to, events, .. } => got.push(format!("damage {}-{} {events:?}", at(from), at(to))),
            Step::End { at: end } => {
                got.push(format!("end {}", at(end)));
                break;
            }
        }
    }
    assert_eq!(got, want, "{what}");
}

#[test]
fn frames_come_in_order_and_damage_costs_only_itself() {
    let (one, two, three) = (frame(1, b"first", SALT), frame(2, b"second!", SALT), frame(3, b"third", SALT));
    let length = one.len();
    assert!(length == 80 && two.len() == 80);
    check("nothing", &[], &["end 0"]);
    check("zeroes", &[&[0; 10_000]], &["end 0"]);
    check("in order", &[&one, &two, &three, &[0; 4096]], &["frame 1", "frame 2", "frame 3", "end 240"]);
    check("no room behind", &[&one, &two], &["frame 1", "frame 2", "end 160"]);

    let mut body = two.clone();
    body[60] ^= 1;
    check("a damaged body", &[&one, &body, &three], &["frame 1", "damage 80-160 Some((2, 2))", "frame 3", "end 240"]);
    let mut head = two.clone();
    head[9] ^= 1;
    check("a damaged header", &[&one, &head, &three], &["frame 1", "damage 80-160 None", "frame 3", "end 240"]);
    check("a lost page", &[&one, &[0; 8192], &three], &["frame 1", "damage 80-8272 None", "frame 3", "end 8352"]);
    check("garbage at the end", &[&one, &[7; 20], &[0; 100]], &["frame 1", "damage 80-104 None", "end 200"]);
    check("a frame cut short", &[&one, &two[..50]], &["frame 1", "damage 80-130 None", "end 130"]);
    check("a few bytes", &[&one, &[1, 2, 3]], &["frame 1", "damage 80-83 None", "end 83"]);
}

#[test]
fn a_frame_inside_an_event_is_not_found_behind_damage() {
    // An event that carries a whole frame, made by someone who does not know the salt.
    let forged = frame(99, b"not acknowledged", SALT + 1);
    let mut carrier = frame(1, &[&[b' '; 8][..], &forged].concat(), SALT);
    carrier[8] ^= 1;
    let length = carrier.len();
    check("forged", &[&carrier, &frame(2, b"x", SALT)], &[&format!("damage 0-{length} None"), "frame 2", &format!("end {}", length + 72)]);
}

#[test]
fn damage_larger_than_a_chunk_and_frames_larger_than_a_chunk_are_walked_through() {
    let large = frame(1, &vec![b'l'; 3 * CHUNK + 5], SALT);
    let end = large.len();
    check("a large frame", &[&large, &frame(2, b"x", SALT)], &["frame 1", "frame 2", &format!("end {}", end + 72)]);
    let mut broken = large.clone();
    broken[4] ^= 1;
    check("large damage", &[&broken, &frame(2, b"x", SALT)], &[&format!("damage 0-{end} None"), "frame 2", &format!("end {}", end + 72)]);
}

#[test]
fn frames_before_the_wanted_one_are_passed_over_and_errors_can_be_tried_again() {
    let sim = SimFs::new(1);
    let mut bytes = vec![0; HEADER_BLOCK];
    (1..=50).for_each(|seq| bytes.extend(frame(seq, b"event", SALT)));
    sim.put("/s", &bytes);
    let mut walker = Walker::new(sim.open(Path::new("/s")).unwrap(), SALT, 0, bytes.len() as u64);
    sim.fail_reads(2);
    assert!(walker.next(40).is_err_and(|error| error.to_string().contains("simulated")));
    assert!(walker.next(40).is_err_and(|error| error.to_string().contains("simulated")));
    assert!(matches!(walker.next(40), Ok(Step::Frame { header, .. }) if header.first == 40));
    assert!(walker.is_buffered());
}
