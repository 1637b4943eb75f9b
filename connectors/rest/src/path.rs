//! Request paths that the host takes: only the one form that every server reads alike. What an event puts into one is
//! checked here, so that it costs the event and not the instance.

/// Longest path with query.
const MAX_PATH: usize = 8 * 1024;

/// What is wrong with a path and its query; the words follow "the path".
pub fn check(text: &str) -> Result<(), String> {
    if text.len() > MAX_PATH {
        return Err(format!("is {} bytes long, at most {MAX_PATH} are possible", text.len()));
    }
    let (path, query) = text.split_at(text.find('?').unwrap_or(text.len()));
    if !path.is_empty() && !path.starts_with('/') {
        return Err("does not begin with `/`".to_owned());
    }
    for (part, in_query) in [(path, false), (query, true)] {
        let mut bytes = part.bytes();
        while let Some(byte) = bytes.next() {
            if byte == b'%' {
                let mut digit = || bytes.next().and_then(|byte| char::from(byte).to_digit(16));
                let (high, low) = (digit(), digit());
                let decoded = high.zip(low).and_then(|(high, low)| u8::try_from(high << 4 | low).ok()).ok_or("has `%` without two hex digits")?;
                if unreserved(decoded) {
                    return Err(format!("writes `{}` as `%{decoded:02X}`; write the character itself", char::from(decoded)));
                }
                if !in_query && (matches!(decoded, b'/' | b'\\' | b'%' | 0x7f) || decoded < 0x20) {
                    return Err(format!("would hold the byte `%{decoded:02X}`, which servers read differently; only a query can carry it"));
                }
            } else if !(unreserved(byte) || b"!$&()*+,;=:@/".contains(&byte) || byte == b'\'' && !in_query || byte == b'?' && in_query) {
                return Err(format!("holds the byte `{}`; percent-encode it", byte.escape_ascii()));
            }
        }
    }
    if path.contains("//") {
        return Err("has an empty segment (`//`)".to_owned());
    }
    for segment in path.split('/').skip(1) {
        match segment.split(';').next() {
            Some("." | "..") => return Err("has a `.` or `..` segment".to_owned()),
            Some("") if !segment.is_empty() => return Err("has a segment of parameters only (`;`)".to_owned()),
            _ => {}
        }
    }
    Ok(())
}

fn unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}
