//! Base64 with padding (RFC 4648 §4).

use crate::writer::Writer;

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Writes bytes as base64.
pub fn encode(bytes: &[u8], out: &mut Writer) {
    out.reserve(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0_u32, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        let digit = |place: usize| {
            let six = (group >> (18 - 6 * place)) as usize & 63;
            if place <= chunk.len() { DIGITS.get(six).copied().unwrap_or(b'=') } else { b'=' }
        };
        out.literal(&[digit(0), digit(1), digit(2), digit(3)]);
    }
}

/// The bytes of a base64 text; `None` where it is none. Padding may be left out.
pub fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let digits = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
    if digits.len() % 4 == 1 || digits.len() < text.len() && !text.len().is_multiple_of(4) {
        return None;
    }
    let mut out = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    for chunk in digits.chunks(4) {
        let mut group = 0_u32;
        for digit in chunk {
            group = group << 6 | value(*digit)?;
        }
        let bytes = (group << (6 * (4 - chunk.len()))).to_be_bytes();
        out.extend(bytes.iter().skip(1).take(chunk.len() * 6 / 8));
    }
    Some(out)
}

fn value(digit: u8) -> Option<u32> {
    Some(u32::from(match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_of_the_standard() {
        for (plain, encoded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="), ("foobar", "Zm9vYmFy")]
        {
            let mut out = Writer::default();
            encode(plain.as_bytes(), &mut out);
            assert_eq!(out.as_bytes(), encoded.as_bytes());
            assert_eq!(decode(encoded.as_bytes()).as_deref(), Some(plain.as_bytes()));
            assert_eq!(decode(encoded.trim_end_matches('=').as_bytes()).as_deref(), Some(plain.as_bytes()));
        }
        let all: Vec<u8> = (0..=255).collect();
        let mut out = Writer::default();
        encode(&all, &mut out);
        assert!(out.as_bytes().contains(&b'+') && out.as_bytes().contains(&b'/'));
        assert_eq!(decode(out.as_bytes()), Some(all));
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in ["Z", "Zg=", "Zg===", "Zm9vY", "Zm 9", "Zm9-", "====", "=", "Zm9v="] {
            assert_eq!(decode(text.as_bytes()), None, "{text}");
        }
    }
}
