//! Request paths. A path is taken only in the one form that every server reads alike (RFC 3986 §6);
//! anything that some server would fold, decode or cut is refused, so that a prefix rule holds.

/// Longest path with query.
pub const MAX_PATH: usize = 8 * 1024;

/// Checks a path with an optional query, as a guest or an operator wrote it. Answers where it ends
/// and the query begins (the `?`), if there is one. The error says what is wrong and where.
pub fn check(text: &str) -> Result<Option<usize>, String> {
    if text.len() > MAX_PATH {
        return Err(format!("is {} bytes long, at most {MAX_PATH} are allowed", text.len()));
    }
    let question = text.find('?');
    let (path, query) = text.split_at(question.unwrap_or(text.len()));
    if path.is_empty() && query.is_empty() {
        return Ok(None);
    }
    if !path.is_empty() && !path.starts_with('/') {
        return Err("does not begin with `/`".into());
    }
    let mut at = 0;
    while let Some(&byte) = text.as_bytes().get(at) {
        let in_query = question.is_some_and(|q| at >= q);
        match byte {
            b'%' => {
                let decoded = hex_pair(text.as_bytes(), at + 1).ok_or_else(|| format!("has `%` without two hex digits at byte {at}"))?;
                if is_unreserved(decoded) {
                    return Err(format!("writes `{}` as `%{decoded:02X}` at byte {at}; write the character itself", char::from(decoded)));
                }
                if !in_query && (matches!(decoded, b'/' | b'\\' | b'%' | 0x7f) || decoded < 0x20) {
                    return Err(format!("hides the byte `%{decoded:02X}` at byte {at}, which servers read differently"));
                }
                at += 3;
                continue;
            }
            b'#' => return Err(format!("has a fragment at byte {at}")),
            b'\\' => return Err(format!("has a backslash at byte {at}")),
            b'\'' if in_query => return Err(format!("has `'` in its query at byte {at}; write it as %27")),
            _ if is_unreserved(byte) || b"!$&'()*+,;=:@/".contains(&byte) || (in_query && byte == b'?') => {}
            _ if byte.is_ascii_graphic() => return Err(format!("has `{}` at byte {at}; write it as %{byte:02X}", char::from(byte))),
            _ => return Err(format!("has the byte 0x{byte:02x} at byte {at}; percent-encode it")),
        }
        at += 1;
    }
    if path.contains("//") {
        return Err("has an empty segment (`//`)".into());
    }
    // Parameters (`;x`) are cut from a segment by some servers before they fold dots.
    if path.split('/').any(|segment| matches!(segment.split(';').next(), Some("." | ".."))) {
        return Err("has a `.` or `..` segment".into());
    }
    if path.split('/').skip(1).any(|segment| segment.starts_with(';')) {
        return Err("has a segment of parameters only (`;`)".into());
    }
    Ok(question)
}

/// True where `path` is `prefix` or lies below it, compared by whole segments.
pub fn below(path: &str, prefix: &str) -> bool {
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    match path.strip_prefix(prefix) {
        Some(rest) => rest.is_empty() || rest.starts_with('/'),
        None => false,
    }
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

fn hex_pair(bytes: &[u8], at: usize) -> Option<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(bytes.get(at)?)? << 4 | digit(bytes.get(at + 1)?)?)
}

#[cfg(test)]
mod tests;
