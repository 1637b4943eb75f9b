//! Names of entries (RFC 4514): a typed text as a value in one, and a form in which two that mean the same are equal.

/// A text as the value of an attribute in a name (RFC 4514 §2.4).
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let last = text.chars().count().saturating_sub(1);
    for (at, c) in text.chars().enumerate() {
        match c {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' | '=' => out.extend(['\\', c]),
            '#' if at == 0 => out.push_str("\\#"),
            ' ' if at == 0 || at == last => out.push_str("\\ "),
            '\0' => out.push_str("\\00"),
            _ => out.push(c),
        }
    }
    out
}

/// A form of the name that is the same whatever the case, the spaces around `,` `=` `+` and the way of escaping; nothing
/// for a text that is no name. Types that have both a number and a word are not told to be one.
pub fn normal_name(text: &str) -> Option<String> {
    let parts = parts(text)?;
    let each = parts.iter().map(|(separator, kind, value)| format!("{separator}{kind}={}", escape(value)));
    Some(each.collect())
}

/// What the entry is called among its neighbours, where its name begins with `cn=`; the same form.
pub fn common_name(text: &str) -> Option<String> {
    let (_, kind, value) = parts(text)?.into_iter().next()?;
    (kind == "cn").then_some(value)
}

/// Separator before it, type, value: in lower case, unescaped, one space where there are several.
fn parts(text: &str) -> Option<Vec<(&'static str, String, String)>> {
    let mut out = Vec::new();
    let mut separator = "";
    let mut rest = text;
    loop {
        let (kind, after) = rest.split_once('=')?;
        let kind = kind.trim().to_lowercase();
        if kind.is_empty() || !kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte)) {
            return None;
        }
        let (value, end, next) = value(after)?;
        out.push((separator, kind, value));
        match end {
            None => return Some(out),
            Some(found) => (separator, rest) = (found, next),
        }
    }
}

/// A value, the separator that ends it, and what stands behind that.
fn value(text: &str) -> Option<(String, Option<&'static str>, &str)> {
    let mut bytes: Vec<u8> = Vec::new();
    // Spaces that are escaped stay; the others at the end do not count.
    let mut kept = 0;
    let mut chars = text.trim_start().char_indices();
    let text = text.trim_start();
    let mut end = (None, "");
    while let Some((at, c)) = chars.next() {
        match c {
            ',' | ';' | '+' => {
                end = (Some(if c == '+' { "+" } else { "," }), &text[at + 1..]);
                break;
            }
            '\\' => {
                let (at, next) = chars.next()?;
                match next.to_digit(16) {
                    Some(_) => {
                        chars.next()?;
                        bytes.push(u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?);
                    }
                    None => bytes.extend(next.encode_utf8(&mut [0; 4]).bytes()),
                }
                kept = bytes.len();
            }
            c => {
                bytes.extend(c.encode_utf8(&mut [0; 4]).bytes());
                if c != ' ' {
                    kept = bytes.len();
                }
            }
        }
    }
    bytes.truncate(kept);
    let value = String::from_utf8(bytes).ok()?.to_lowercase();
    let value = value.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    Some((value, end.0, end.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typed_texts_stay_values() {
        for (text, want) in [
            ("ada", "ada"),
            ("ada,ou=admins", "ada\\,ou\\=admins"),
            ("a+cn=b", "a\\+cn\\=b"),
            (" #x ", "\\ #x\\ "),
            ("#x", "\\#x"),
            ("a\\2c\"<>;", "a\\\\2c\\\"\\<\\>\\;"),
            ("a\0b", "a\\00b"),
            ("jos\u{e9}", "jos\u{e9}"),
            ("", ""),
        ] {
            assert_eq!(escape(text), want);
            let name = format!("uid={},dc=x", escape(text));
            assert_eq!(parts(&name).map(|parts| parts.len()), Some(2), "{name}");
        }
    }

    #[test]
    fn names_that_mean_the_same_are_equal() {
        let one = normal_name("CN=SOC  Admins\\, EU, OU = Groups,DC=example,dc=ORG").expect("a name");
        assert_eq!(one, "cn=soc admins\\, eu,ou=groups,dc=example,dc=org");
        assert_eq!(normal_name("cn=SOC Admins\\2C EU,ou=groups;dc=example,dc=org"), Some(one));
        assert_ne!(normal_name("cn=a\\,ou=b"), normal_name("cn=a,ou=b"), "an escaped comma separates nothing");
        assert_ne!(normal_name("cn=a+ou=b"), normal_name("cn=a,ou=b"));
        assert_eq!(normal_name("uid=jos\\c3\\a9"), normal_name("uid=JOS\u{c9}"));
        for bad in ["", "soc", "=x", "cn", "cn=a,", "cn=a,b", "c n=a", "cn=\\", "cn=\\f", "cn=\\ff", "\u{e9}=a"] {
            assert_eq!(normal_name(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_common_name_is_the_first_part_alone() {
        assert_eq!(common_name("CN=Soc Admins,OU=x"), Some("soc admins".into()));
        assert_eq!((common_name("ou=x,cn=soc"), common_name("soc")), (None, None));
    }
}
