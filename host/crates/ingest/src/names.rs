//! Names as sources write them (`MaterialTransaction`, `PCI-DSS`, `SOX`) in the one spelling used
//! inside: lower case with underscores.

/// Whether a name has that spelling already, so that it can stay where it is.
pub(crate) fn is_snake(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'.') || byte >= 0x80)
}

/// Appends a name in snake case. A word begins at a capital behind a small letter or digit, and at
/// the last capital of a run (`PIIData` is `pii_data`); what is neither letter, digit nor dot parts words.
/// Goes by bytes: those of other letters stay as they are, and nothing that is written needs an escape in JSON.
pub(crate) fn write_snake(name: &str, out: &mut Vec<u8>) {
    let name = name.as_bytes();
    out.reserve(name.len() + 8);
    let start = out.len();
    let mut before = b'_';
    for (place, &byte) in name.iter().enumerate() {
        let word_before = out.len() > start && !matches!(out.last(), Some(b'_' | b'.'));
        match byte {
            b'A'..=b'Z' => {
                let begins = match before {
                    b'a'..=b'z' | b'0'..=b'9' => true,
                    b'A'..=b'Z' => name.get(place + 1).is_some_and(u8::is_ascii_lowercase),
                    _ => false,
                };
                if begins && word_before {
                    out.push(b'_');
                }
                out.push(byte.to_ascii_lowercase());
            }
            b'a'..=b'z' | b'0'..=b'9' | b'.' | 0x80.. => out.push(byte),
            _ if word_before => out.push(b'_'),
            _ => {}
        }
        before = byte;
    }
    while out.len() > start && out.last() == Some(&b'_') {
        out.pop();
    }
}

#[cfg(test)]
mod tests;
