//! Looking at 16 bytes at once. In WebAssembly by vector instructions where the build has them (a loop
//! over bytes becomes 16 single loads there); elsewhere a loop that compilers turn into them.

use super::Escape;

#[inline]
pub fn is_special<E: Escape>(byte: u8) -> bool {
    (byte < E::BELOW) | (byte == E::BYTES[0]) | (byte == E::BYTES[1]) | (byte == E::BYTES[2])
}

/// One bit for each special byte, the first lowest.
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
#[inline]
pub fn specials<E: Escape>(step: &[u8; 16]) -> u32 {
    use core::arch::wasm32::{u8x16_bitmask, u8x16_eq, u8x16_lt, u8x16_splat, v128_or};
    let bytes = load(step);
    let equal = |byte| u8x16_eq(bytes, u8x16_splat(byte));
    let [first, second, third] = E::BYTES;
    let found = v128_or(v128_or(equal(first), equal(second)), v128_or(equal(third), u8x16_lt(bytes, u8x16_splat(E::BELOW))));
    u32::from(u8x16_bitmask(found))
}

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
#[inline]
fn load(step: &[u8; 16]) -> core::arch::wasm32::v128 {
    let (low, high) = step.split_at(8);
    let word = |half: &[u8]| half.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    core::arch::wasm32::u64x2(word(low), word(high))
}

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
#[inline]
pub fn specials<E: Escape>(step: &[u8; 16]) -> u32 {
    if !step.iter().fold(false, |any, byte| any | is_special::<E>(*byte)) {
        return 0;
    }
    step.iter().enumerate().fold(0, |bits, (at, byte)| bits | u32::from(is_special::<E>(*byte)) << at)
}

/// How many bytes stand before the first special one.
#[inline]
pub fn quiet<E: Escape>(text: &[u8]) -> usize {
    let (steps, rest) = text.as_chunks::<16>();
    for (place, step) in steps.iter().enumerate() {
        let found = specials::<E>(step);
        if found != 0 {
            return place * 16 + found.trailing_zeros() as usize;
        }
    }
    steps.len() * 16 + rest.iter().take_while(|byte| !is_special::<E>(**byte)).count()
}

/// No byte beyond ASCII.
#[inline]
pub fn is_ascii(text: &[u8]) -> bool {
    let (steps, rest) = text.as_chunks::<16>();
    steps.iter().all(no_high_bit) && rest.is_ascii()
}

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
#[inline]
fn no_high_bit(step: &[u8; 16]) -> bool {
    core::arch::wasm32::u8x16_bitmask(load(step)) == 0
}

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
#[inline]
fn no_high_bit(step: &[u8; 16]) -> bool {
    u128::from_ne_bytes(*step) & u128::from_ne_bytes([0x80; 16]) == 0
}
