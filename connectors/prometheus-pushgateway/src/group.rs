//! The path of a group: `/metrics/job/<job>{/<label>/<value>}`.

/// Text that a path carries as it is; everything else goes in base64.
fn is_plain(value: &str) -> bool {
    value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte)) && !matches!(value, "" | "." | "..")
}

/// Prometheus, "Data model"; names with two underscores in front are its own.
fn is_label(name: &str) -> bool {
    name.bytes().enumerate().all(|(at, byte)| byte.is_ascii_alphabetic() || byte == b'_' || at > 0 && byte.is_ascii_digit())
        && !name.is_empty()
        && !name.starts_with("__")
}

pub fn path<'a>(job: &str, grouping: impl Iterator<Item = (&'a String, &'a String)>, own: &[&str]) -> Result<String, String> {
    let mut path = "/metrics".to_owned();
    segment("job", job, &mut path);
    for (name, value) in grouping {
        if !is_label(name) {
            return Err(format!("`grouping` names \"{name}\"; a label is a letter or _, then letters, digits and _, and does not begin with __"));
        }
        if name == "job" || own.contains(&name.as_str()) {
            return Err(format!(
                "`grouping` names \"{name}\", which {}",
                if name == "job" { "is set by `job`" } else { "is a label of the metrics themselves" }
            ));
        }
        if value.is_empty() {
            return Err(format!("`grouping.{name}` is empty; to Prometheus that is no label"));
        }
        segment(name, value, &mut path);
    }
    Ok(path)
}

fn segment(name: &str, value: &str, path: &mut String) {
    path.push('/');
    path.push_str(name);
    if is_plain(value) {
        path.push('/');
        path.push_str(value);
    } else {
        path.push_str("@base64/");
        base64(value.as_bytes(), path);
    }
}

/// RFC 4648 §5, without padding.
fn base64(bytes: &[u8], out: &mut String) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            let six = bits >> (18 - 6 * place) & 63;
            out.push(char::from(ALPHABET[six as usize]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(job: &str, grouping: &[(&str, &str)]) -> Result<String, String> {
        let grouping: Vec<_> = grouping.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        path(job, grouping.iter().map(|(name, value)| (name, value)), &["severity"])
    }

    /// The examples of the Pushgateway's README.
    #[test]
    fn published_paths() {
        assert_eq!(group("/var/tmp", &[]).as_deref(), Ok("/metrics/job@base64/L3Zhci90bXA"));
        assert_eq!(group("titan", &[("name", "Προμηθεύς")]).as_deref(), Ok("/metrics/job/titan/name@base64/zqDPgc6_zrzOt864zrXPjc-C"));
        assert_eq!(group("some_job", &[("instance", "some-instance")]).as_deref(), Ok("/metrics/job/some_job/instance/some-instance"));
    }

    /// RFC 4648 §10, in the other alphabet and without padding.
    #[test]
    fn base64_vectors() {
        for (bytes, text) in [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg"), ("\u{fb}\u{ff}", "w7vDvw")] {
            let mut out = String::new();
            base64(bytes.as_bytes(), &mut out);
            assert_eq!(out, text);
        }
    }

    #[test]
    fn paths_stay_paths() {
        assert_eq!(group("..", &[]).as_deref(), Ok("/metrics/job@base64/Li4"));
        assert_eq!(group("a b", &[("x", "a?b#c%41")]).as_deref(), Ok("/metrics/job@base64/YSBi/x@base64/YT9iI2MlNDE"));
        for (name, value, words) in [
            ("job", "x", "is set by `job`"),
            ("severity", "x", "is a label of the metrics themselves"),
            ("a-b", "x", "a label is a letter"),
            ("__x", "x", "a label is a letter"),
            ("", "x", "a label is a letter"),
            ("a", "", "`grouping.a` is empty"),
        ] {
            let error = group("j", &[(name, value)]).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
