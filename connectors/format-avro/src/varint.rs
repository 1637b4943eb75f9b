//! Integers of Avro, which Protocol Buffers write the same way.

use bulkhead_sdk::{Writer, protobuf};

pub fn long(number: i64, out: &mut Writer) {
    protobuf::varint(protobuf::zigzag(number), out);
}

/// Bytes behind their length.
pub fn bytes(bytes: &[u8], out: &mut Writer) {
    long(bytes.len() as i64, out);
    out.bytes(bytes);
}
