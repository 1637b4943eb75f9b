//! Sealed and packed journals as a whole: readers, starts with other keys, damage, the offline tools.

use std::ops::ControlFlow;

use bulkhead_seal::{AtRest, Keyring};

use super::*;
use crate::stored::tests::key;
use crate::{Compression, tools};

fn sealed(keys: &[u8], seal: bool, compression: Compression) -> JournalSettings {
    let mut keys = keys.iter().map(|seed| key(*seed));
    let keyring = keys.next().map(|current| Keyring::new(current, keys));
    // Nothing from memory: all is read from the disk.
    JournalSettings { compression, at_rest: AtRest { keyring, seal }, tail_bytes: 0, ..settings(16 * SEGMENT) }
}

fn open(sim: &SimFs, keys: &[u8], seal: bool, compression: Compression) -> Rig {
    Rig::try_open(sim, sealed(keys, seal, compression)).unwrap()
}

fn contents(sim: &SimFs) -> Vec<u8> {
    segment_files(sim).into_iter().flat_map(|(name, _)| sim.contents(format!("{DIR}/{name}")).unwrap()).collect()
}

/// Where the events of a text lie on disk, in the clear.
fn in_clear(sim: &SimFs, text: &str) -> bool {
    contents(sim).windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn keys_and_forms_change_with_a_backlog_and_every_event_is_read() {
    let sim = SimFs::new(1);
    let starts: [(&[u8], bool, Compression); 6] = [
        (&[], false, Compression::None),
        (&[1], true, Compression::None),
        (&[2, 1], true, Compression::Lz4),
        (&[2, 1], true, Compression::None),
        (&[2, 1], false, Compression::Lz4),
        (&[3, 1, 2], true, Compression::Lz4),
    ];
    let mut want = Vec::new();
    for (at, (keys, seal, compression)) in starts.into_iter().enumerate() {
        let mut rig = open(&sim, keys, seal, compression);
        for event in 0..3 {
            let text = format!("start {at} event {event} ");
            want.push(format!("{}:{text}", want.len() + 1));
            rig.event(&text, 3_000).unwrap();
            assert_eq!(in_clear(&sim, &text), !seal, "{text}");
        }
        assert_eq!(brief(&rig.journal, 0), want);
        assert_eq!(brief(&rig.journal, 4), want[4.min(want.len())..]);
        rig.keeper.turn();
    }
    // With another key a new segment begins; with another packing it does not.
    assert_eq!(segment_files(&sim).len(), 5);
    let fs: Arc<dyn Fs> = Arc::new(sim.clone());
    let unread = |keys: &[u8]| {
        let mut keys = keys.iter().map(|seed| key(*seed));
        let keyring = keys.next().map(|current| Keyring::new(current, keys));
        let mut exported = 0;
        let report = tools::export(&fs, Path::new(DIR), keyring.as_ref(), Seq(1)..=Seq(u64::MAX), |_, _, _| {
            exported += 1;
            ControlFlow::Continue(())
        });
        let verified = tools::verify(&fs, Path::new(DIR), keyring.as_ref()).unwrap();
        let report = report.unwrap();
        assert_eq!((report.faults.len(), verified.faults.len(), &verified.unread), (0, 0, &report.unread));
        (exported, report.unread.values().sum::<u64>())
    };
    assert_eq!([unread(&[]), unread(&[1]), unread(&[1, 2]), unread(&[3, 2, 1])], [(6, 12), (9, 9), (15, 3), (18, 0)]);
}

#[test]
fn a_missing_key_refuses_the_start_and_changes_nothing() {
    let sim = SimFs::new(1);
    for keys in [&[1][..], &[2, 1]] {
        open(&sim, keys, true, Compression::None).event("x", 100).unwrap();
    }
    let before = contents(&sim);
    for (keys, lacking) in [(&[][..], vec![1, 2]), (&[1], vec![2]), (&[2], vec![1]), (&[3], vec![1, 2])] {
        let Some(OpenError::KeyMissing { missing, .. }) = Rig::try_open(&sim, sealed(keys, true, Compression::None)).err() else { panic!("{keys:?}") };
        let mut ids: Vec<_> = lacking.into_iter().map(|seed| key(seed).id()).collect();
        ids.sort_unstable();
        assert_eq!(missing, ids);
    }
    let error = Rig::try_open(&sim, sealed(&[], false, Compression::None)).err().unwrap().to_string();
    assert!(error.contains(&key(1).id().to_string()) && error.contains("encryption.older_keys"), "{error}");
    assert_eq!(contents(&sim), before);
    // The first frame of a segment is damaged: the next one says which key it is.
    let first = format!("{DIR}/{}", segment_files(&sim)[0].0);
    open(&sim, &[1, 2], true, Compression::None);
    sim.flip(&first, 4096 + 20);
    assert!(matches!(Rig::try_open(&sim, sealed(&[3], false, Compression::None)).err(), Some(OpenError::KeyMissing { .. })));
}

/// Changes bytes of a frame on disk with checksums set right, as somebody would who wants to deceive.
fn forge(sim: &SimFs, change: impl FnOnce(&mut Vec<u8>, u64)) {
    let name = format!("{DIR}/{}", segment_files(sim)[0].0);
    let mut bytes = sim.contents(&name).unwrap();
    let salt = crate::layout::u64_at(&bytes, 24);
    change(&mut bytes, salt);
    sim.put(&name, &bytes);
}

#[test]
fn frames_that_were_changed_or_moved_are_lost_and_said_to_be() {
    use crate::layout::{FRAME_HEADER, FrameHeader, HEADER_BLOCK, u32_at};
    let written = || {
        let sim = SimFs::new(1);
        let mut rig = open(&sim, &[1], true, Compression::None);
        for event in 1..=3 {
            rig.event(&format!("event {event}"), 200).unwrap();
        }
        sim
    };
    let read = |sim: &SimFs| brief(&open(sim, &[1], true, Compression::None).journal, 0);
    let sim = written();
    assert_eq!(read(&sim), ["1:event 1", "2:event 2", "3:event 3"]);
    let length = u32_at(&sim.contents(format!("{DIR}/{}", segment_files(&sim)[0].0)).unwrap(), HEADER_BLOCK + 4) as usize;
    let at = |frame: usize| HEADER_BLOCK + (frame - 1) * length;
    let seal_right = |bytes: &mut Vec<u8>, frame: usize, first: u64, salt: u64| {
        let header = FrameHeader::decode(&bytes[at(frame)..], salt).unwrap();
        let body = at(frame) + FRAME_HEADER..at(frame) + FRAME_HEADER + header.body as usize;
        let header = FrameHeader { first, body_checksum: crc32c::crc32c(&bytes[body]), ..header };
        header.encode_into(&mut bytes[at(frame)..at(frame) + FRAME_HEADER], salt);
    };
    // A bit of the sealed body, its checksum made right.
    forge(&sim, |bytes, salt| {
        bytes[at(2) + 100] ^= 1;
        seal_right(bytes, 2, 2, salt);
    });
    assert_eq!(read(&sim), ["1:event 1", "lost 2-2", "3:event 3"]);
    // Two bodies exchanged.
    let sim = written();
    forge(&sim, |bytes, salt| {
        let (one, two) = (bytes[at(1)..at(2)].to_vec(), bytes[at(2)..at(3)].to_vec());
        bytes[at(1)..at(2)].copy_from_slice(&two);
        bytes[at(2)..at(3)].copy_from_slice(&one);
        seal_right(bytes, 1, 1, salt);
        seal_right(bytes, 2, 2, salt);
    });
    assert_eq!(read(&sim), ["lost 1-2", "3:event 3"]);
    let fs: Arc<dyn Fs> = Arc::new(sim.clone());
    assert_eq!(tools::verify(&fs, Path::new(DIR), None).unwrap().faults.len(), 0, "checksums are right");
    let faults = tools::verify(&fs, Path::new(DIR), Some(&Keyring::new(key(1), []))).unwrap().faults;
    assert_eq!(faults.iter().map(|fault| fault.lost).collect::<Vec<_>>(), [Some((Seq(1), Seq(1))), Some((Seq(2), Seq(2)))]);
    assert!(faults[0].what.contains("seal"), "{faults:?}");
    // A flag taken away.
    let sim = written();
    forge(&sim, |bytes, salt| {
        let header = FrameHeader { flags: 0, ..FrameHeader::decode(&bytes[at(3)..], salt).unwrap() };
        header.encode_into(&mut bytes[at(3)..at(3) + FRAME_HEADER], salt);
    });
    let got = read(&sim);
    assert!(got[..2] == ["1:event 1", "2:event 2"] && !got.iter().any(|item| item.starts_with("3:event")), "{got:?}");
}

#[test]
fn any_flipped_bit_of_a_sealed_frame_costs_that_frame_alone() {
    let sim = SimFs::new(1);
    let mut rig = open(&sim, &[1], true, Compression::Lz4);
    for event in 1..=3 {
        rig.event(&format!("event {event}"), 40).unwrap();
    }
    drop(rig);
    let name = format!("{DIR}/{}", segment_files(&sim)[0].0);
    let whole = sim.contents(&name).unwrap();
    let length = crate::layout::u32_at(&whole, 4096 + 4) as usize;
    for byte in 4096 + length..4096 + 2 * length {
        let mut bytes = whole.clone();
        bytes[byte] ^= 4;
        let sim = SimFs::new(2);
        sim.make_dir(Path::new("/data/journal/lanes")).unwrap();
        sim.put(&name, &bytes);
        let got = brief(&open(&sim, &[1], true, Compression::None).journal, 0);
        // Padding is nobody's.
        assert!(got == ["1:event 1", "lost 2-2", "3:event 3"] || got == ["1:event 1", "2:event 2", "3:event 3"], "byte {byte}: {got:?}");
    }
}

#[test]
fn a_packed_backlog_is_read_in_bounded_pieces() {
    let sim = SimFs::new(1);
    let settings = JournalSettings { segment_bytes: 8 << 20, ..sealed(&[], false, Compression::Lz4) };
    let settings = JournalSettings { max_bytes: 64 << 20, ..settings };
    let mut rig = Rig::try_open(&sim, settings).unwrap();
    // 40 requests of 400 KB that lie on disk as a few KB each.
    for event in 0..40 {
        rig.event(&format!("{event} "), 400_000).unwrap();
    }
    assert!(rig.journal.stats().appended_bytes < 200_000, "{:?}", rig.journal.stats());
    let mut reader = rig.journal.reader(Seq(0));
    let mut read = 0;
    while let Some(frame) = reader.try_next().unwrap() {
        read += frame.len();
        assert!(reader.buffered() <= 2 << 20, "{} bytes read ahead", reader.buffered());
    }
    assert_eq!(read, 40);
}
