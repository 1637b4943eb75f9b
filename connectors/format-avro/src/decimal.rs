//! Decimal numbers as big-endian two's complement of their digits without the point.

/// Bytes of `digits` with `scale` decimals and at most `precision` digits; nothing where they do not fit without
/// being cut.
pub fn unscaled(digits: &str, precision: usize, scale: usize) -> Option<Vec<u8>> {
    let (negative, digits) = digits.strip_prefix('-').map_or((false, digits), |digits| (true, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let extra = fraction.get(scale..).unwrap_or_default();
    if !extra.bytes().all(|byte| byte == b'0') || !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) || whole.is_empty() {
        return None;
    }
    let kept = fraction.get(..scale).unwrap_or(fraction);
    let all: Vec<u8> = whole.bytes().chain(kept.bytes()).chain(std::iter::repeat_n(b'0', scale - kept.len())).collect();
    let significant = all.iter().skip_while(|digit| **digit == b'0').count();
    if significant > precision {
        return None;
    }
    // The magnitude, lowest byte first.
    let mut magnitude = vec![0_u8];
    for digit in all {
        let mut carry = u32::from(digit - b'0');
        for byte in &mut magnitude {
            let value = u32::from(*byte) * 10 + carry;
            *byte = value as u8;
            carry = value >> 8;
        }
        if carry > 0 {
            magnitude.push(carry as u8);
        }
    }
    if negative {
        let mut carry = true;
        for byte in &mut magnitude {
            (*byte, carry) = (!*byte).overflowing_add(u8::from(carry));
        }
    }
    // The highest bit is the sign.
    let sign = if negative && magnitude.iter().any(|byte| *byte != 0) { 0xff } else { 0 };
    if magnitude.last().is_none_or(|byte| byte & 0x80 != sign & 0x80) {
        magnitude.push(sign);
    }
    while let [.., below, last] = magnitude.as_slice()
        && *last == sign
        && below & 0x80 == sign & 0x80
    {
        magnitude.pop();
    }
    magnitude.reverse();
    Some(magnitude)
}

/// The same in exactly `size` bytes.
pub fn fixed(unscaled: &[u8], size: usize) -> Option<Vec<u8>> {
    let missing = size.checked_sub(unscaled.len())?;
    let sign = if unscaled.first().is_some_and(|byte| byte & 0x80 != 0) { 0xff } else { 0 };
    Some(std::iter::repeat_n(sign, missing).chain(unscaled.iter().copied()).collect())
}
