use super::*;
use crate::tests::stored;

#[test]
fn a_batch_becomes_a_frame_in_the_same_buffer() {
    let mut batch = AppendBatch::with_capacity(100, 3);
    let events = [stored(b"one"), stored(b"two and more"), stored(b"")];
    for event in &events {
        batch.buffer().extend_from_slice(event);
        batch.push_event().unwrap();
    }
    assert_eq!((batch.len(), batch.stored(1)), (3, Some(&events[1][..])));
    assert_eq!(batch.stored(3), None);
    let (length, place) = (batch.frame_length(), batch.buffer().as_ptr());
    let (bytes, mut header) = batch.seal();
    assert_eq!((bytes.len() as u64, bytes.as_ptr()), (length, place), "nothing moved");
    assert_eq!(header.check_body(&bytes), Ok(()));
    (header.first, header.time) = (10, 5);
    let frame = Frame::new(bytes.into(), &header);
    assert_eq!((frame.first(), frame.last(), frame.len(), frame.seq(2), frame.time()), (Seq(10), Seq(12), 3, Seq(12), 5));
    for (index, event) in events.iter().enumerate() {
        assert_eq!(frame.stored(index), event);
        assert_eq!(frame.stored_bytes(index), event);
    }
    assert_eq!(frame.events().map(|(seq, event)| (seq.0, event.original().len())).collect::<Vec<_>>(), [(10, 3), (11, 12), (12, 0)]);
}

#[test]
fn what_is_no_stored_event_does_not_get_in() {
    let mut batch = AppendBatch::new();
    batch.buffer().extend_from_slice(&stored(b"good"));
    batch.push_event().unwrap();
    for bad in [&b""[..], b"x", &[9; 40]] {
        batch.buffer().extend_from_slice(bad);
        assert!(matches!(batch.push_event(), Err(CorruptEvent(_))));
    }
    batch.buffer().extend_from_slice(b"given up");
    batch.discard();
    batch.buffer().extend_from_slice(b"left over");
    assert_eq!(batch.len(), 1);
    let (bytes, header) = batch.seal();
    assert_eq!((header.count, header.check_body(&bytes)), (1, Ok(())));
}

#[test]
fn room_that_was_not_used_is_not_kept() {
    let mut batch = AppendBatch::with_capacity(1 << 20, 3);
    batch.buffer().extend_from_slice(&stored(b"small"));
    batch.push_event().unwrap();
    assert!(batch.seal().0.capacity() < 1000);
}

#[test]
fn buffers_are_used_again() {
    let batch = AppendBatch::with_buffers(vec![7; 500], vec![1, 2, 3]);
    assert_eq!((batch.len(), batch.bytes(), batch.is_empty()), (0, 0, true));
}

#[test]
fn a_body_with_any_bit_wrong_is_refused() {
    let mut batch = AppendBatch::new();
    batch.buffer().extend_from_slice(&stored(b"abc"));
    batch.push_event().unwrap();
    let (bytes, header) = batch.seal();
    for bit in FRAME_HEADER * 8..(FRAME_HEADER + header.body as usize) * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(header.check_body(&damaged), Err("the checksum of the events is wrong"), "bit {bit}");
    }
    assert_eq!(header.check_body(&bytes[..bytes.len() - 8]), Err("the frame is cut short"));
}

#[test]
fn ends_that_lie_are_refused_even_with_a_right_checksum() {
    for (what, ends) in [("past the events", vec![100_u32, 19]), ("back", vec![19, 3]), ("short", vec![19]), ("inside an event", vec![5, 19])] {
        let mut body = stored(b"abc");
        assert_eq!(body.len(), 19);
        ends.iter().for_each(|end| body.extend_from_slice(&end.to_le_bytes()));
        if what == "short" {
            body.splice(19..19, *b"junk");
        }
        let mut bytes = vec![0; FRAME_HEADER];
        bytes.extend_from_slice(&body);
        let header = FrameHeader {
            length: 0,
            first: 1,
            count: ends.len() as u32,
            durable: 0,
            time: 0,
            body: body.len() as u32,
            body_checksum: crc32c::crc32c(&body),
            flags: 0,
        };
        assert!(header.check_body(&bytes).is_err_and(|why| !why.contains("checksum")), "{what}");
    }
}
