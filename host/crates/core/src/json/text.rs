//! The bytes of JSON text, eight at a time: ends of strings, space, fingerprints of keys.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Space between tokens (RFC 8259 §2).
#[inline]
pub fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// The next position that is not space.
#[inline]
pub fn skip_space(text: &[u8], mut at: usize) -> usize {
    while text.get(at).is_some_and(|byte| *byte <= b' ' && is_space(*byte)) {
        at += 1;
    }
    at
}

#[inline]
fn word(text: &[u8], at: usize) -> Option<u64> {
    text.get(at..)?.first_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes))
}

/// High bit of every byte that is zero. Bytes above the lowest such one may be marked wrongly, so
/// that only the lowest mark counts.
#[inline]
fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & HIGHS
}

/// Marks quotes, backslashes and control characters.
#[inline]
fn specials(word: u64) -> u64 {
    zeros(word ^ (ONES * b'"' as u64)) | zeros(word ^ (ONES * b'\\' as u64)) | (word.wrapping_sub(ONES * 0x20) & !word & HIGHS)
}

/// Position of the next quote, backslash or control character; the text's length where there is none.
#[inline]
pub(super) fn next_special(text: &[u8], mut at: usize) -> usize {
    while let Some(word) = word(text, at) {
        let marks = specials(word);
        if marks != 0 {
            return at + (marks.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while text.get(at).is_some_and(|byte| *byte >= 0x20 && *byte != b'"' && *byte != b'\\') {
        at += 1;
    }
    at
}

/// Where a string ends whose text starts at `at` (behind the opening quote), in text that was
/// validated before: the position of the closing quote, and whether the string holds escapes.
#[inline]
pub fn string_end(text: &[u8], at: usize) -> Option<(usize, bool)> {
    let end = next_quote(text, at);
    if text.get(end)? == &b'"' { Some((end, false)) } else { escaped_string_end(text, end) }
}

#[inline(never)]
fn escaped_string_end(text: &[u8], mut at: usize) -> Option<(usize, bool)> {
    while text.get(at)? != &b'"' {
        // What a backslash stands before belongs to the string.
        at = next_quote(text, at + 2);
    }
    Some((at, true))
}

/// Position of the next quote or backslash; the text's length, or more, where there is none.
#[inline]
fn next_quote(text: &[u8], mut at: usize) -> usize {
    while let Some(word) = word(text, at) {
        let marks = zeros(word ^ (ONES * b'"' as u64)) | zeros(word ^ (ONES * b'\\' as u64));
        if marks != 0 {
            return at + (marks.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while text.get(at).is_some_and(|byte| *byte != b'"' && *byte != b'\\') {
        at += 1;
    }
    at
}

/// A number that equal keys share and different ones seldom do: from the length, the first and the
/// last eight bytes. An attacker can make it collide, so whoever relies on it bounds the number of keys.
#[inline]
pub fn fingerprint(key: &[u8]) -> u32 {
    fingerprint_at(key, 0, key.len())
}

/// [`fingerprint`] of `text[start..start + length]`, which is quicker where more text follows.
#[inline]
pub fn fingerprint_at(text: &[u8], start: usize, length: usize) -> u32 {
    let first = match word(text, start) {
        Some(word) if length >= 8 => word,
        Some(word) => word & ((1 << (length * 8)) - 1),
        None => {
            let mut bytes = [0; 8];
            for (to, from) in bytes.iter_mut().zip(text.get(start..start + length).unwrap_or_default()) {
                *to = *from;
            }
            u64::from_le_bytes(bytes)
        }
    };
    let last = if length > 8 { word(text, start + length - 8).unwrap_or(0) } else { 0 };
    let mixed = (first ^ last.rotate_left(23) ^ (length as u64).rotate_left(53)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 32) as u32
}
