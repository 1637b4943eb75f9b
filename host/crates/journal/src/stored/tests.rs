use bulkhead_seal::{Key, Keyring};

use super::*;
use crate::frame::AppendBatch;
use crate::tests::{padded as text, stored};

pub(crate) fn key(seed: u8) -> Key {
    let bytes: String = (0..32_u8).map(|place| format!("{:02x}", place.wrapping_mul(7).wrapping_add(seed))).collect();
    Key::parse(&bytes).unwrap()
}

fn form(compression: Compression, keys: &[u8], seal: bool) -> Form {
    let mut keys = keys.iter().map(|seed| key(*seed));
    Form { compression, at_rest: AtRest { keyring: keys.next().map(|current| Keyring::new(current, keys)), seal } }
}

/// A frame of these events at `first`, as it lies on disk.
fn written(form: &Form, sealer: &mut Option<Sealer>, first: u64, originals: &[Vec<u8>]) -> (FrameHeader, Vec<u8>) {
    let mut batch = AppendBatch::new();
    for original in originals {
        batch.buffer().extend_from_slice(&stored(original));
        batch.push_event().unwrap();
    }
    let (mut bytes, mut plain) = batch.seal();
    let mut to_disk = Stored::new(&bytes, &plain, form);
    for header in [&mut plain, &mut to_disk.header] {
        (header.first, header.time) = (first, 9);
    }
    let out = match sealer {
        Some(sealer) => {
            let mut out = Vec::new();
            sealer.seal(&to_disk, &bytes[FRAME_HEADER..FRAME_HEADER + plain.body as usize], &mut out);
            out
        }
        None => to_disk.encode(&mut bytes, 5).to_vec(),
    };
    let header = FrameHeader::decode(&out, 5).expect("a sound header");
    assert_eq!((out.len(), header.length as usize, header.check_body(&out)), (header.length as usize, out.len(), Ok(())));
    (header, out)
}

#[test]
fn a_frame_comes_back_from_every_form() {
    let events = [b"one".to_vec(), text("two", 3_000), b"".to_vec()];
    for compression in [Compression::None, Compression::Lz4] {
        for keys in [&[][..], &[1], &[1, 2]] {
            let form = form(compression, keys, true);
            let mut sealer = form.sealer(5, 7);
            assert_eq!(sealer.is_some(), !keys.is_empty());
            for first in [7, 10, 13] {
                let (header, bytes) = written(&form, &mut sealer, first, &events);
                assert_eq!((header.flags & SEALED != 0, header.flags & PACKED != 0), (!keys.is_empty(), compression == Compression::Lz4));
                let frame = form.opener(5, 7).open(&header, bytes.into()).unwrap();
                assert_eq!((frame.first().0, frame.len(), frame.time()), (first, 3, 9));
                for (index, event) in events.iter().enumerate() {
                    assert_eq!(frame.event(index).original(), event);
                }
            }
        }
    }
}

#[test]
fn what_does_not_shrink_stays_as_it_is() {
    let form = form(Compression::Lz4, &[], false);
    let noise = random::<2_000>().to_vec();
    assert_eq!(written(&form, &mut None, 1, &[noise]).0.flags, 0);
    let (header, bytes) = written(&form, &mut None, 1, &[text("much air", 4_000)]);
    assert!(header.flags == PACKED && bytes.len() < 200, "{} bytes", bytes.len());
}

#[test]
fn a_sealed_frame_opens_with_its_key_at_its_place_and_nowhere_else() {
    let form_one = form(Compression::None, &[1], true);
    let (header, bytes) = written(&form_one, &mut form_one.sealer(5, 7), 8, &[b"marker".to_vec()]);
    assert!(!bytes.windows(6).any(|window| window == b"marker"));
    let open = |form: &Form, salt, first, header: &FrameHeader, bytes: &[u8]| form.opener(salt, first).open(header, bytes.to_vec().into()).err();
    assert_eq!(open(&form_one, 5, 7, &header, &bytes), None);
    assert_eq!(open(&form(Compression::None, &[2, 1], false), 5, 7, &header, &bytes), None, "rotated, and no longer sealing");
    assert_eq!(open(&form(Compression::None, &[2], true), 5, 7, &header, &bytes), Some(Unreadable::Key(key(1).id())));
    assert_eq!(open(&Form::default(), 5, 7, &header, &bytes), Some(Unreadable::Key(key(1).id())));
    let broken = Some(Unreadable::Broken("the seal of the frame is broken: it was changed, or belongs elsewhere"));
    assert_eq!(open(&form_one, 6, 7, &header, &bytes), broken, "another segment's salt");
    assert_eq!(open(&form_one, 5, 8, &header, &bytes), broken, "another segment's place");
    for other in
        [FrameHeader { first: 9, ..header }, FrameHeader { time: 1, ..header }, FrameHeader { durable: 1, ..header }, FrameHeader { count: 2, ..header }]
    {
        assert_eq!(open(&form_one, 5, 7, &other, &bytes), broken, "{other:?}");
    }
    for byte in FRAME_HEADER + 8..FRAME_HEADER + header.body as usize {
        let mut changed = bytes.clone();
        changed[byte] ^= 0x40;
        assert_eq!(open(&form_one, 5, 7, &header, &changed), broken, "byte {byte}");
    }
    assert_eq!(open(&form_one, 5, 7, &FrameHeader { flags: SEALED | 8, ..header }, &bytes), Some(Unreadable::Newer));
}

#[test]
fn no_nonce_is_used_twice() {
    let form = form(Compression::None, &[1], true);
    let mut nonces = std::collections::BTreeSet::new();
    // The same event at the same place: a crash took it back each time.
    for _ in 0..50 {
        let mut sealer = form.sealer(5, 7);
        for _ in 0..3 {
            let (_, bytes) = written(&form, &mut sealer, 7, &[b"same".to_vec()]);
            assert!(nonces.insert(bytes[FRAME_HEADER + 8..FRAME_HEADER + SEALED_HEAD].to_vec()));
        }
    }
    let mut sealer = form.sealer(5, 7).unwrap();
    (sealer.count, sealer.opened) = (u32::MAX - 1, [3; 8]);
    let mut sealer = Some(sealer);
    for _ in 0..4 {
        let (_, bytes) = written(&form, &mut sealer, 7, &[b"same".to_vec()]);
        assert!(nonces.insert(bytes[FRAME_HEADER + 8..FRAME_HEADER + SEALED_HEAD].to_vec()));
    }
    assert_ne!(sealer.unwrap().opened, [3; 8], "a counter that has run round begins with other bytes");
}

#[test]
fn packed_lies_are_refused_within_bounds() {
    let form = form(Compression::Lz4, &[], false);
    let (header, bytes) = written(&form, &mut None, 1, &[text("much air", 4_000)]);
    for length in [0_u32, 1, 4_000, u32::MAX] {
        let mut lie = bytes.clone();
        lie[FRAME_HEADER..FRAME_HEADER + 4].copy_from_slice(&length.to_le_bytes());
        assert!(matches!(form.opener(5, 1).open(&header, lie.into()), Err(Unreadable::Broken(_))), "{length}");
    }
    for byte in FRAME_HEADER..FRAME_HEADER + header.body as usize {
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[byte] ^= 1 << bit;
            // Whatever comes of it is an answer, never a panic.
            let _ = form.opener(5, 1).open(&header, damaged.into());
        }
    }
    let (mut header, bytes) = written(&form, &mut None, 1, &[b"plain".to_vec()]);
    header.flags = SEALED;
    assert!(matches!(form.opener(5, 1).open(&header, bytes.into()), Err(Unreadable::Broken(_) | Unreadable::Key(_))));
}
