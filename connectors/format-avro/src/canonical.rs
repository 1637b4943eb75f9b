//! Fingerprints of schemas: CRC-64-AVRO over the parsing canonical form (Avro 1.12, "Schema Fingerprints").

const EMPTY: u64 = 0xc15d_213a_a4d7_a795;

pub fn fingerprint(canonical: &str) -> u64 {
    canonical.bytes().fold(EMPTY, |print, byte| print >> 8 ^ step(u64::from(byte) ^ print & 0xff))
}

/// Eight steps of the division, without a table: a schema is read once.
fn step(mut print: u64) -> u64 {
    for _ in 0..8 {
        print = print >> 1 ^ if print & 1 == 1 { EMPTY } else { 0 };
    }
    print
}
