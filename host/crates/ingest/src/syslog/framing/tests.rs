use super::*;

/// Every way to cut the stream into two reads gives the same messages.
#[track_caller]
fn check(framing: Framing, stream: &[u8], want: Result<&[&str], FramingError>) {
    for cut in 0..=stream.len() {
        let mut deframer = Deframer::new(framing, 32);
        let mut got = Vec::new();
        let mut failed = None;
        for part in [&stream[..cut], &stream[cut..]] {
            deframer.push(part);
            loop {
                match deframer.next_message() {
                    Ok(Some(message)) => got.push(String::from_utf8_lossy(message).into_owned()),
                    Ok(None) => break,
                    Err(error) => {
                        failed = Some(error);
                        break;
                    }
                }
            }
            if failed.is_some() {
                break;
            }
        }
        if failed.is_none() {
            got.extend(deframer.finish().map(|rest| String::from_utf8_lossy(rest).into_owned()));
        }
        match want {
            Ok(messages) => assert_eq!((got.iter().map(String::as_str).collect::<Vec<_>>(), failed), (messages.to_vec(), None), "cut at {cut}"),
            Err(FramingError::TooLong { limit, .. }) => {
                assert!(matches!(failed, Some(FramingError::TooLong { limit: had, .. }) if had == limit), "cut at {cut}: {failed:?}");
            }
            Err(error) => assert_eq!(failed, Some(error), "cut at {cut}"),
        }
    }
}

#[test]
fn both_framings_are_told_apart_message_by_message() {
    check(Framing::Auto, b"6 <1>abc<2>line\r\n\n5 <3>xy<4>last", Ok(&["<1>abc", "<2>line", "<3>xy", "<4>last"]));
    check(Framing::Newline, b"12 monkeys\n<1>b\0<2>c\n", Ok(&["12 monkeys", "<1>b", "<2>c"]));
    check(Framing::OctetCounting, b"5 <1>a\n4 <2>b", Ok(&["<1>a", "<2>b"]));
}

#[test]
fn half_a_counted_message_is_no_message() {
    check(Framing::OctetCounting, b"9 <1>abc", Ok(&[]));
    check(Framing::Auto, b"9 <1>abc", Ok(&[]));
}

#[test]
fn what_cannot_be_framed_ends_the_stream() {
    check(Framing::OctetCounting, b"<1>abc\n", Err(FramingError::Length));
    check(Framing::OctetCounting, b"05 <1>a", Err(FramingError::Length));
    check(Framing::Auto, b"1234567890 x", Err(FramingError::Length));
    check(Framing::Auto, b"3x<1>", Err(FramingError::Length));
    check(Framing::Auto, b"33 <1>", Err(FramingError::TooLong { length: 33, limit: 32 }));
    check(Framing::Newline, &[b'a'; 70], Err(FramingError::Line { limit: 32 }));
}
