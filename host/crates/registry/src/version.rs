//! Versions as components write them: compared by their numbers, matched by their beginning.

use std::cmp::Ordering;

/// 1 to 64 letters, digits, `.`, `-`, `+`, `_`; begins with a digit. So a version is one path segment, and
/// no version is a digest.
pub fn is_version(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'+' | b'_'))
}

/// 1 to 64 of a-z, 0-9, `-`, `_`, `.`; begins with a letter or digit.
pub fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.'))
}

/// `1.2` matches 1.2, 1.2.0, 1.2.7-rc1, and not 1.20.
pub fn matches(wanted: &str, version: &str) -> bool {
    version.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-', '+']))
}

/// By the numbers between the dots; a version with a suffix behind `-` comes before the same without
/// (semver 2.0.0 §11). Equal ones stay in the order of their text.
pub fn compare(a: &str, b: &str) -> Ordering {
    fn parts(text: &str) -> (Vec<u64>, bool) {
        let release = text.split(['-', '+']).next().unwrap_or_default();
        let numbers = release
            .split('.')
            .map(|part| part.bytes().take_while(u8::is_ascii_digit).fold(0_u64, |n, b| n.saturating_mul(10).saturating_add(u64::from(b - b'0'))));
        (numbers.collect(), !text[release.len()..].starts_with('-'))
    }
    parts(a).cmp(&parts(b)).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_not_compared_as_text() {
        for (less, more) in
            [("1.9.0", "1.10.0"), ("1.2.0-rc1", "1.2.0"), ("0.9", "1"), ("1.2", "1.2.1"), ("1.2.0-a", "1.2.0-b"), ("1.99999999999999999999", "2")]
        {
            assert_eq!((compare(less, more), compare(more, less)), (Ordering::Less, Ordering::Greater), "{less} {more}");
        }
    }

    #[test]
    fn a_beginning_ends_at_a_dot() {
        assert!(matches("1.2", "1.2") && matches("1.2", "1.2.0") && matches("1.2", "1.2-rc1"));
        assert!(!matches("1.2", "1.20.0") && !matches("1.2", "1.1.2") && !matches("1.2.0", "1.2"));
    }

    #[test]
    fn names_and_versions_are_path_segments() {
        for bad in ["", ".", "..", "../x", "a/b", "a\\b", "-a", "A", "a b", "a\0", "é", &"a".repeat(65)] {
            assert!(!is_name(bad), "{bad:?}");
        }
        for bad in ["", "v1", "1/2", "1 2", "../1", "1\n", &"1".repeat(65)] {
            assert!(!is_version(bad), "{bad:?}");
        }
        assert!(is_name("splunk-hec") && is_version("1.2.0-rc.1+build"));
    }
}
