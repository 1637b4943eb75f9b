//! Names as sources write them (`MaterialTransaction`, `PCI-DSS`, `SOX`) in the one spelling used
//! inside: lower case with underscores.

/// Whether a name has that spelling already, so that it can stay where it is.
pub(crate) fn is_snake(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'.') || byte >= 0x80)
}

/// Appends a name in snake case. A word begins at a capital behind a small letter or digit, and at
/// the last capital of a run (`PIIData` is `pii_data`); what is neither letter, digit nor dot parts words.
pub(crate) fn write_snake(name: &str, out: &mut String) {
    out.reserve(name.len() + 8);
    let start = out.len();
    let mut chars = name.chars().peekable();
    let mut before = '_';
    while let Some(char) = chars.next() {
        let word_before = out.len() > start && !matches!(out.as_bytes().last(), Some(b'_' | b'.'));
        if char.is_ascii_uppercase() {
            let begins =
                before.is_ascii_lowercase() || before.is_ascii_digit() || (before.is_ascii_uppercase() && chars.peek().is_some_and(char::is_ascii_lowercase));
            if begins && word_before {
                out.push('_');
            }
            out.push(char.to_ascii_lowercase());
        } else if char.is_ascii_lowercase() || char.is_ascii_digit() || char == '.' || !char.is_ascii() {
            out.push(char);
        } else if word_before {
            out.push('_');
        }
        before = char;
    }
    while out.len() > start && out.as_bytes().last() == Some(&b'_') {
        out.pop();
    }
}

#[cfg(test)]
mod tests;
