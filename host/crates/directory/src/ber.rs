//! The little of BER that LDAP needs (X.690 §8, RFC 4511 §5.1): tags of one byte, definite lengths. Reading goes no
//! deeper than the caller asks, so that no nesting of a peer takes any stack.

pub const BOOLEAN: u8 = 0x01;
pub const INTEGER: u8 = 0x02;
pub const OCTETS: u8 = 0x04;
pub const ENUMERATED: u8 = 0x0a;
pub const SEQUENCE: u8 = 0x30;
pub const SET: u8 = 0x31;

/// What came is no BER, or not what belongs there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server's answer is malformed")]
pub struct Malformed;

/// One element at the end of `out`.
pub fn put(out: &mut Vec<u8>, tag: u8, content: &[u8]) {
    out.push(tag);
    match content.len() {
        length @ 0..=0x7f => out.push(length as u8),
        length => {
            let bytes = length.to_be_bytes();
            let bytes = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
            out.push(0x80 | bytes.len() as u8);
            out.extend_from_slice(bytes);
        }
    }
    out.extend_from_slice(content);
}

/// The shortest form of a number that is not negative.
pub fn put_number(out: &mut Vec<u8>, tag: u8, value: u32) {
    let bytes = [[0].as_slice(), &value.to_be_bytes()].concat();
    // A first bit that is set would make it negative.
    let spare = bytes.windows(2).take_while(|pair| pair[0] == 0 && pair[1] < 0x80).count();
    put(out, tag, &bytes[spare..]);
}

/// Bytes of the head and of the content of the element that begins there; nothing where more is needed to tell.
pub fn head(bytes: &[u8]) -> Result<Option<(usize, usize)>, Malformed> {
    let [_, first, rest @ ..] = bytes else { return Ok(None) };
    match *first {
        length @ 0..=0x7f => Ok(Some((2, usize::from(length)))),
        // Active Directory writes four bytes where one would do.
        of @ 0x81..=0x84 => {
            let of = usize::from(of & 0x7f);
            let Some(length) = rest.get(..of) else { return Ok(None) };
            Ok(Some((2 + of, length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)))))
        }
        _ => Err(Malformed),
    }
}

/// Elements one after the other.
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next element: its tag and its content; nothing at the end.
    pub fn element(&mut self) -> Result<Option<(u8, &'a [u8])>, Malformed> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let (from, length) = head(self.0)?.ok_or(Malformed)?;
        let content = self.0[from..].get(..length).ok_or(Malformed)?;
        let tag = self.0[0];
        self.0 = &self.0[from + length..];
        Ok(Some((tag, content)))
    }

    /// The content of the next element, which must have this tag.
    pub fn content(&mut self, tag: u8) -> Result<&'a [u8], Malformed> {
        self.element()?.filter(|(found, _)| *found == tag).map(|(_, content)| content).ok_or(Malformed)
    }

    pub fn number(&mut self, tag: u8) -> Result<u32, Malformed> {
        let content = self.content(tag)?;
        let fits = (1..=5).contains(&content.len()) && content[0] < 0x80 && (content.len() < 5 || content[0] == 0);
        fits.then(|| content.iter().fold(0, |value: u32, byte| value << 8 | u32::from(*byte))).ok_or(Malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_lengths_have_their_shortest_form() {
        for (value, want) in
            [(0, &[2, 1, 0][..]), (127, &[2, 1, 127]), (128, &[2, 2, 0, 128]), (256, &[2, 2, 1, 0]), (u32::MAX, &[2, 5, 0, 255, 255, 255, 255])]
        {
            let mut out = Vec::new();
            put_number(&mut out, INTEGER, value);
            assert_eq!(out, want, "{value}");
            assert_eq!(Reader::new(&out).number(INTEGER), Ok(value));
        }
        let mut out = Vec::new();
        put(&mut out, OCTETS, &[7; 300]);
        assert_eq!((&out[..4], out.len()), (&[4, 0x82, 1, 44][..], 304));
        assert_eq!(Reader::new(&out).content(OCTETS), Ok(&[7; 300][..]));
    }

    #[test]
    fn long_forms_are_read_and_what_is_cut_off_is_not() {
        assert_eq!(Reader::new(&[4, 0x84, 0, 0, 0, 1, 9]).content(OCTETS), Ok(&[9][..]), "as Active Directory writes");
        assert_eq!((head(&[]), head(&[4]), head(&[4, 0x82, 1])), (Ok(None), Ok(None), Ok(None)));
        for bad in [&[4, 0x80, 0, 0][..], &[4, 0x85, 0, 0, 0, 0, 1, 9], &[4, 2, 9], &[2, 1], &[4, 0xff]] {
            assert_eq!(Reader::new(bad).content(bad[0]), Err(Malformed), "{bad:?}");
        }
        for bad in [&[2, 0][..], &[2, 1, 0x80], &[2, 5, 1, 0, 0, 0, 0], &[2, 6, 0, 0, 0, 0, 0, 1]] {
            assert_eq!(Reader::new(bad).number(INTEGER), Err(Malformed), "{bad:?}");
        }
    }
}
