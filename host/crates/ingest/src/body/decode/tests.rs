use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use super::*;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("into memory");
    encoder.finish().expect("into memory")
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    compress_to_vec(bytes, CompressionLevel::Fastest)
}

fn unpacked(encoding: Encoding, packed: &[u8], limit: usize) -> Result<Vec<u8>, DecodeFault> {
    let mut out = b"left over".to_vec();
    decode(encoding, packed, limit, &mut out).map(|()| out)
}

#[test]
fn bodies_are_unpacked_up_to_the_limit() {
    let body = br#"{"a":1}"#.repeat(1_000);
    for (encoding, packed) in [(Encoding::Gzip, gzip(&body)), (Encoding::Zstd, zstd(&body)), (Encoding::Identity, body.clone())] {
        assert_eq!(unpacked(encoding, &packed, body.len()), Ok(body.clone()), "{encoding:?}");
        assert_eq!(unpacked(encoding, &packed, body.len() - 1), Err(DecodeFault::TooLarge { limit: body.len() - 1 }), "{encoding:?}");
    }
}

#[test]
fn members_and_frames_may_follow_each_other() {
    assert_eq!(unpacked(Encoding::Gzip, &[gzip(b"one "), gzip(b"two")].concat(), 100), Ok(b"one two".to_vec()));
    let skippable = [&0x184d_2a51_u32.to_le_bytes()[..], &3_u32.to_le_bytes(), b"xyz"].concat();
    assert_eq!(unpacked(Encoding::Zstd, &[skippable, zstd(b"one "), zstd(b"two")].concat(), 100), Ok(b"one two".to_vec()));
    assert_eq!(unpacked(Encoding::Zstd, &[zstd(b"one "), zstd(b"two")].concat(), 5), Err(DecodeFault::TooLarge { limit: 5 }));
}

#[test]
fn bombs_stop_at_the_limit() {
    let zeroes = vec![0; 64 << 20];
    for (encoding, bomb) in [(Encoding::Gzip, gzip(&zeroes)), (Encoding::Zstd, zstd(&zeroes))] {
        assert!(bomb.len() < 100_000, "{}", bomb.len());
        let mut out = Vec::new();
        assert_eq!(decode(encoding, &bomb, 8 << 20, &mut out), Err(DecodeFault::TooLarge { limit: 8 << 20 }), "{encoding:?}");
        assert!(out.capacity() <= 32 << 20, "{encoding:?} kept {} bytes", out.capacity());
    }
}

#[test]
fn damage_is_refused() {
    for (encoding, name, packed) in [(Encoding::Gzip, "gzip", gzip(b"some text")), (Encoding::Zstd, "zstd", zstd(&b"some text".repeat(40)))] {
        let malformed = Err(DecodeFault::Malformed(name));
        assert_eq!(unpacked(encoding, b"", 100), malformed);
        assert_eq!(unpacked(encoding, b"{\"plain\":1}", 100), malformed);
        assert_eq!(unpacked(encoding, &packed[..packed.len() - 3], 1_000), malformed, "{name} cut");
        assert_eq!(unpacked(encoding, &[&packed[..], b"garbage"].concat(), 1_000), malformed, "{name} with garbage behind");
    }
    // A frame that asks for a window of 1 GiB.
    let wide = [&0xfd2f_b528_u32.to_le_bytes()[..], &[0x00, 0xa0, 0x01, 0x00, 0x00]].concat();
    assert_eq!(unpacked(Encoding::Zstd, &wide, 100), Err(DecodeFault::Malformed("zstd")));
}

#[test]
fn encodings_are_known_by_name() {
    for (name, encoding) in [
        ("gzip", Some(Encoding::Gzip)),
        ("X-GZIP", Some(Encoding::Gzip)),
        (" zstd ", Some(Encoding::Zstd)),
        ("identity", Some(Encoding::Identity)),
        ("br", None),
        ("gzip, gzip", None),
        ("", None),
    ] {
        assert_eq!(Encoding::from_header(name), encoding, "{name}");
    }
}
