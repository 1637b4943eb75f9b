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
}
