use super::*;

const HEADER: FrameHeader = FrameHeader { length: 80, first: 7, count: 3, durable: 4096, time: 99, body: 28, body_checksum: 5, flags: 0 };

#[test]
fn a_segment_header_survives_the_loss_of_either_copy() {
    let header = SegmentHeader { first: 42, salt: 0xfeed, created: 12 };
    let block = header.encode();
    assert_eq!(block.len(), HEADER_BLOCK);
    assert_eq!(SegmentHeader::decode(&block, 42), Ok(header));
    for at in [0, SECOND_COPY] {
        for byte in 0..SEGMENT_HEADER {
            let mut damaged = block.clone();
            damaged[at + byte] ^= 1;
            assert_eq!(SegmentHeader::decode(&damaged, 42), Ok(header), "byte {byte} of the copy at {at}");
            damaged[SECOND_COPY - at + byte] ^= 1;
            assert_eq!(SegmentHeader::decode(&damaged, 42), Err(HeaderFault::Damaged));
        }
    }
    assert_eq!(SegmentHeader::decode(&block, 43), Err(HeaderFault::Misplaced));
    assert_eq!(SegmentHeader::decode(&block[..10], 42), Err(HeaderFault::Damaged));
    assert_eq!(SegmentHeader::decode(&[], 42), Err(HeaderFault::Damaged));
}

#[test]
fn a_segment_of_another_version_is_said_to_be_that() {
    let mut block = SegmentHeader { first: 1, salt: 2, created: 3 }.encode();
    for at in [0, SECOND_COPY] {
        block[at + 8] = 9;
        let checksum = crc32c::crc32c(&block[at..at + SEGMENT_HEADER - 4]);
        block[at + SEGMENT_HEADER - 4..at + SEGMENT_HEADER].copy_from_slice(&checksum.to_le_bytes());
    }
    assert_eq!(SegmentHeader::decode(&block, 1), Err(HeaderFault::Version(9)));
}

#[test]
fn a_frame_header_is_known_only_whole_and_under_its_own_salt() {
    let mut bytes = [0; FRAME_HEADER];
    HEADER.encode_into(&mut bytes, 77);
    assert_eq!(FrameHeader::decode(&bytes, 77), Some(HEADER));
    assert_eq!(FrameHeader::decode(&bytes, 78), None, "another segment's frame");
    assert_eq!(FrameHeader::decode(&bytes[..FRAME_HEADER - 1], 77), None);
    for bit in 0..FRAME_HEADER * 8 {
        let mut damaged = bytes;
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(FrameHeader::decode(&damaged, 77), None, "bit {bit}");
    }
}

#[test]
fn headers_that_make_no_sense_are_no_frames() {
    for (what, header) in [
        ("no events", FrameHeader { count: 0, ..HEADER }),
        ("seq 0", FrameHeader { first: 0, ..HEADER }),
        ("seqs past the end", FrameHeader { first: u64::MAX - 1, ..HEADER }),
        ("a table larger than the body", FrameHeader { count: 8, ..HEADER }),
        ("a length that is not the body's", FrameHeader { length: 88, ..HEADER }),
        ("a body of 4 GiB", FrameHeader { body: u32::MAX, ..HEADER }),
    ] {
        let mut bytes = [0; FRAME_HEADER];
        header.encode_into(&mut bytes, 1);
        assert_eq!(FrameHeader::decode(&bytes, 1), None, "{what}");
    }
}

#[test]
fn file_names_sort_by_sequence_number_and_others_are_not_taken() {
    assert_eq!(parse_segment_name(&segment_name(1)), Some(1));
    assert_eq!(parse_segment_name(&segment_name(u64::MAX)), Some(u64::MAX));
    assert!(segment_name(9) < segment_name(10) && segment_name(999) < segment_name(1 << 60));
    for other in ["seg-1.bhj", "seg-0000000000000000000x.bhj", "seg-99999999999999999999.bhj", "seg-00000000000000000001.bhj.bad", "spare.tmp"] {
        assert_eq!(parse_segment_name(other), None, "{other}");
    }
}
