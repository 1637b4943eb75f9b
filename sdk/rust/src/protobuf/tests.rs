use super::*;

fn written(fill: impl FnOnce(&mut Message<'_>)) -> Vec<u8> {
    let mut out = Writer::default();
    fill(&mut Message::new(&mut out));
    out.into_bytes()
}

/// The examples of Protocol Buffers, "Encoding".
#[test]
fn published_encodings() {
    assert_eq!(written(|m| m.unsigned(1, 150)), [0x08, 0x96, 0x01]);
    assert_eq!(written(|m| m.string(2, b"testing")), [0x12, 0x07, 0x74, 0x65, 0x73, 0x74, 0x69, 0x6e, 0x67]);
    assert_eq!(written(|m| m.message(3, |m| m.integer(1, 150))), [0x1a, 0x03, 0x08, 0x96, 0x01]);
    assert_eq!(written(|m| m.integer(1, -2)), [0x08, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]);
    assert_eq!(
        written(|m| {
            m.string(4, b"hello");
            [1, 2, 3].into_iter().for_each(|number| m.unsigned(5, number));
        }),
        *b"\x22\x05hello\x28\x01\x28\x02\x28\x03"
    );
}

/// A series of remote write: the fact that its receivers are tested with.
#[test]
fn a_message_of_remote_write() {
    let label = |m: &mut Message<'_>, name: &[u8], value: &[u8]| {
        m.message(1, |m| {
            m.string(1, name);
            m.string(2, value);
        });
    };
    let have = written(|m| {
        m.message(1, |m| {
            label(m, b"__name__", b"up");
            label(m, b"job", b"x");
            m.message(2, |m| {
                m.double(1, 1.0);
                m.integer(2, 1_767_323_045_000);
            });
        });
    });
    let want = "0a2c0a0e0a085f5f6e616d655f5f120275700a080a036a6f62120178121009000000000000f03f108899a6e5b733";
    let have: String = have.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(have, want);
}

#[test]
fn numbers_of_every_length_come_back() {
    for bit in 0..64 {
        for number in [1_u64 << bit, (1 << bit) - 1, u64::MAX >> bit] {
            let message = written(|m| {
                m.unsigned(1, number);
                m.fixed64(2, number);
                m.fixed32(3, number as u32);
                m.unsigned(536_870_911, 0);
            });
            let fields: Vec<_> = Fields::new(&message).collect();
            assert_eq!(fields, [(1, Wire::Varint(number)), (2, Wire::I64(number)), (3, Wire::I32(number as u32)), (536_870_911, Wire::Varint(0))]);
        }
    }
}

#[test]
fn lengths_are_put_in_front_of_what_was_written() {
    for length in [0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152] {
        let text: Vec<u8> = (0..length).map(|at| at as u8 & 0x7f).collect();
        let nested = written(|m| m.message(9, |m| m.delimited(2, |out| out.bytes(&text))));
        let known = written(|m| {
            m.length(9, field_bytes(2, length));
            m.bytes(2, &text);
        });
        assert!(nested == known, "{length}");
        assert_eq!(nested.len(), field_bytes(9, field_bytes(2, length)));
        let Some((9, Wire::Len(inside))) = Fields::new(&nested).next() else { panic!("{length}") };
        assert!(Fields::new(inside).next() == Some((2, Wire::Len(&text))), "{length}");
    }
}

#[test]
fn texts_are_utf8_and_decoded() {
    let value = crate::json::value(r#""a\n\u00e9\ud83d""#).unwrap();
    assert_eq!(written(|m| m.text(1, value)), "\x0a\x07a\né\u{fffd}".as_bytes());
    assert_eq!(written(|m| m.text(1, crate::json::value("[1, 2]").unwrap())), b"\x0a\x06[1, 2]");
    assert_eq!(written(|m| m.string(1, b"a\xff")), "\x0a\x04a\u{fffd}".as_bytes());
    assert_eq!(written(|m| m.text(1, Value::MISSING)), b"\x0a\x00");
}

#[test]
fn malformed_messages_end_the_walk() {
    let whole = written(|m| {
        m.unsigned(1, u64::MAX);
        m.fixed64(2, 1);
        m.fixed32(3, 1);
        m.string(4, b"text");
    });
    let complete = |message: &[u8]| {
        let mut fields = Fields::new(message);
        (fields.by_ref().count(), fields.is_complete())
    };
    assert_eq!(complete(&whole), (4, true));
    for cut in 0..whole.len() {
        let (count, complete) = complete(&whole[..cut]);
        assert!(count < 4 && complete == [0, 11, 20, 25].contains(&cut), "{cut}");
    }
    // Field 0, a group, a varint of eleven bytes, one beyond 64 bits, a length beyond the end.
    for bad in [
        &b"\x00\x01"[..],
        b"\x0b",
        b"\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
        b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
    ] {
        assert_eq!(complete(bad), (0, false), "{bad:?}");
    }
}
