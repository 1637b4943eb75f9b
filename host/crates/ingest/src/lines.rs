//! Lines of a byte stream: where one ends. One rule for syslog's newline framing, for files and for
//! standard input; what becomes of a line beyond the limit is the caller's to say.

/// What a buffer begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// A line of `length` bytes; the next begins behind `taken`.
    Line { length: usize, taken: usize },
    /// No end of line yet; the bytes that are there were looked at.
    Open,
    /// More bytes than the limit and no end of line among them.
    Long,
}

/// Looks for the end of the first line: LF, with a CR before it that does not count. `searched` bytes
/// were looked at before. `nul` ends a line, too, as some senders of syslog write it (RFC 6587 §3.4.2).
pub(crate) fn cut(text: &[u8], searched: usize, limit: usize, nul: bool) -> Cut {
    // One more for the CR.
    let window = &text[..text.len().min(limit + 2)];
    let rest = window.get(searched..).unwrap_or_default();
    let end = if nul { memchr::memchr2(b'\n', 0, rest) } else { memchr::memchr(b'\n', rest) };
    let Some(end) = end.map(|end| searched.min(window.len()) + end) else {
        return if without_cr(window).len() > limit { Cut::Long } else { Cut::Open };
    };
    let length = without_cr(&text[..end]).len();
    if length > limit { Cut::Long } else { Cut::Line { length, taken: end + 1 } }
}

pub(crate) fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// The longest piece of a line beyond the limit that does not end within a character of UTF-8.
pub(crate) fn piece(text: &[u8], limit: usize) -> usize {
    let continues = |byte: &u8| byte & 0xc0 == 0x80;
    let back = text.get(..=limit).unwrap_or_default().iter().rev().take_while(|byte| continues(byte)).count();
    // Four bytes and more that continue nothing are no UTF-8; a limit is at least a character.
    if back > 3 || back >= limit { limit } else { limit - back }
}

/// A piece of a line beyond the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece {
    /// From 1.
    pub number: u32,
    pub last: bool,
}

/// Hands out the lines of a text, lines beyond the limit in pieces, empty lines not at all; how many bytes
/// were taken. What follows the last end of line is left, unless this is the end and nothing comes behind
/// it. `pieces` counts those of the line under way from one call to the next. `take` hears where each
/// begins, and says whether there is room for more.
///
/// A text of more than `limit` + 2 bytes always gets on.
pub(crate) fn split(text: &[u8], limit: usize, end: bool, pieces: &mut u32, mut take: impl FnMut(usize, &[u8], Option<Piece>) -> bool) -> usize {
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let (length, taken, last) = match cut(rest, 0, limit, false) {
            Cut::Line { length, taken } => (length, taken, true),
            Cut::Long => {
                let length = piece(rest, limit);
                (length, length, false)
            }
            Cut::Open if end => (without_cr(rest).len(), rest.len(), true),
            Cut::Open => break,
        };
        let part = (*pieces > 0 || !last).then_some(Piece { number: *pieces + 1, last });
        let room = (length == 0 && part.is_none()) || take(at, &rest[..length], part);
        *pieces = if last { 0 } else { *pieces + 1 };
        at += taken;
        if !room {
            break;
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_at_lf_without_their_cr() {
        assert_eq!(cut(b"one\r\ntwo", 0, 8, false), Cut::Line { length: 3, taken: 5 });
        assert_eq!(cut(b"one\n", 2, 8, false), Cut::Line { length: 3, taken: 4 });
        assert_eq!(cut(b"\n", 0, 8, false), Cut::Line { length: 0, taken: 1 });
        assert_eq!(cut(b"one\0\n", 0, 8, true), Cut::Line { length: 3, taken: 4 });
        assert_eq!(cut(b"one\0\n", 0, 8, false), Cut::Line { length: 4, taken: 5 });
        assert_eq!(cut(b"", 0, 8, false), Cut::Open);
        assert_eq!(cut(b"one", 3, 8, false), Cut::Open);
    }

    #[test]
    fn the_limit_holds_to_the_byte() {
        assert_eq!(cut(b"12345678\n", 0, 8, false), Cut::Line { length: 8, taken: 9 });
        assert_eq!(cut(b"12345678\r\n", 0, 8, false), Cut::Line { length: 8, taken: 10 });
        assert_eq!(cut(b"12345678", 8, 8, false), Cut::Open);
        assert_eq!(cut(b"12345678\r", 8, 8, false), Cut::Open, "the CR may belong to the end");
        assert_eq!(cut(b"123456789", 0, 8, false), Cut::Long);
        assert_eq!(cut(b"123456789\n", 0, 8, false), Cut::Long);
        assert_eq!(cut(b"123456789\n", 9, 8, false), Cut::Long);
    }

    #[test]
    fn pieces_end_between_characters() {
        let text = "aäöü€x".as_bytes();
        let mut at = 0;
        let mut pieces = Vec::new();
        while text.len() - at > 4 {
            let length = piece(&text[at..], 4);
            pieces.push(std::str::from_utf8(&text[at..at + length]).expect("whole characters"));
            at += length;
        }
        assert_eq!((pieces, &text[at..]), (vec!["aä", "öü"], "€x".as_bytes()));
        assert_eq!(piece(&[0x80; 9], 4), 4, "garbage is cut anywhere");
        assert_eq!(piece(b"abcdefgh", 4), 4);
    }

    #[test]
    fn a_text_comes_in_lines_and_pieces_however_it_is_cut() {
        let text = "one\r\n\n  \ntwo\n0123456789abcdefäöü!\nlast".as_bytes();
        type Want<'a> = (usize, &'a str, Option<(u32, bool)>);
        let want: Vec<Want<'_>> = vec![
            (0, "one", None),
            (6, "  ", None),
            (9, "two", None),
            (13, "01234567", Some((1, false))),
            (21, "89abcdef", Some((2, false))),
            (29, "äöü!", Some((3, true))),
            (37, "last", None),
        ];
        for step in 10..text.len() + 1 {
            for room in [1, 100] {
                let (mut got, mut at, mut pieces) = (Vec::new(), 0, 0);
                while at < text.len() {
                    let end = (at + step).min(text.len());
                    let mut left = room;
                    at += split(&text[at..end], 8, end == text.len(), &mut pieces, |offset, line, piece| {
                        let line = String::from_utf8(line.to_vec()).expect("whole characters");
                        got.push((at + offset, line, piece.map(|piece| (piece.number, piece.last))));
                        left -= 1;
                        left > 0
                    });
                }
                let got: Vec<_> = got.iter().map(|(at, line, piece)| (*at, line.as_str(), *piece)).collect();
                assert_eq!(got, want, "steps of {step}, room for {room}");
            }
        }
    }
}
