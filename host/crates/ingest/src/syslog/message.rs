//! One syslog message: RFC 5424, or what RFC 3164 describes, or just text. Everything is a message:
//! what does not parse as a header is content, so that nothing that a device says is lost.

/// A parsed message; the parts borrow from it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Message<'a> {
    /// Facility 0 to 23; absent where there was no priority.
    pub facility: Option<u8>,
    /// Severity 0 (emergency) to 7 (debug).
    pub severity: Option<u8>,
    /// RFC 3339 as sent (RFC 5424), or `Mmm dd hh:mm:ss` as sent (RFC 3164).
    pub timestamp: Option<&'a str>,
    pub hostname: Option<&'a str>,
    pub app_name: Option<&'a str>,
    pub proc_id: Option<&'a str>,
    pub msg_id: Option<&'a str>,
    /// The structured data as sent; check with [`elements`].
    pub structured_data: Option<&'a str>,
    pub content: &'a str,
    pub version: Version,
}

/// Which description the header followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Version {
    Rfc5424,
    Rfc3164,
    /// No header that either describes.
    #[default]
    Text,
}

impl Version {
    pub fn name(self) -> &'static str {
        match self {
            Self::Rfc5424 => "rfc5424",
            Self::Rfc3164 => "rfc3164",
            Self::Text => "text",
        }
    }
}

const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp", "audit", "alert", "clock", "local0", "local1",
    "local2", "local3", "local4", "local5", "local6", "local7",
];

/// The keyword of a facility (RFC 5424 table 1, as rsyslog spells them).
pub fn facility_name(facility: u8) -> Option<&'static str> {
    FACILITIES.get(usize::from(facility)).copied()
}

impl<'a> Message<'a> {
    /// Never fails.
    pub fn parse(text: &'a str) -> Self {
        let text = text.trim_end_matches(['\r', '\n']);
        let Some((priority, rest)) = priority(text) else { return Self { content: text, ..Self::default() } };
        let base = Self { facility: Some(priority / 8), severity: Some(priority % 8), ..Self::default() };
        rfc5424(&base, rest).or_else(|| rfc3164(&base, rest)).unwrap_or(Self { content: rest, ..base })
    }
}

/// `<PRI>` with a value of 0 to 191 without leading zeros.
fn priority(text: &str) -> Option<(u8, &str)> {
    let (digits, rest) = text.strip_prefix('<')?.split_once('>')?;
    let plain = (1..=3).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    let value: u8 = plain.then(|| digits.parse().ok())??;
    (value <= 191).then_some((value, rest))
}

fn rfc5424<'a>(base: &Message<'a>, rest: &'a str) -> Option<Message<'a>> {
    let mut fields = rest.strip_prefix("1 ")?.splitn(6, ' ');
    let mut next = |longest: usize| {
        let field = fields.next()?;
        let printable = !field.is_empty() && field.len() <= longest && field.bytes().all(|b| (33..=126).contains(&b));
        printable.then_some(if field == "-" { None } else { Some(field) })
    };
    let timestamp = next(64)?;
    let (hostname, app_name, proc_id, msg_id) = (next(255)?, next(48)?, next(128)?, next(32)?);
    if timestamp.is_some_and(|time| !crate::timestamp::is_rfc3339(time.as_bytes())) {
        return None;
    }
    let tail = fields.next()?;
    let (structured_data, content) = if let Some(content) = tail.strip_prefix('-') {
        (None, content)
    } else {
        let end = structured_end(tail)?;
        (Some(&tail[..end]), &tail[end..])
    };
    let content = match content.strip_prefix(' ') {
        Some(content) => content.strip_prefix('\u{feff}').unwrap_or(content),
        None if content.is_empty() => "",
        None => return None,
    };
    Some(Message { timestamp, hostname, app_name, proc_id, msg_id, structured_data, content, version: Version::Rfc5424, ..base.clone() })
}

/// Where the structured data ends that `text` begins with.
fn structured_end(text: &str) -> Option<usize> {
    let mut at = 0;
    while text[at..].starts_with('[') {
        let mut walk = Elements { rest: &text[at..] };
        walk.element()?;
        at = text.len() - walk.rest.len();
    }
    (at > 0).then_some(at)
}

/// The elements of structured data, each with its id and its parameters, values unescaped.
pub fn elements(structured_data: &str) -> Vec<(&str, Vec<(&str, String)>)> {
    let mut walk = Elements { rest: structured_data };
    std::iter::from_fn(|| walk.element()).collect()
}

struct Elements<'a> {
    rest: &'a str,
}

impl<'a> Elements<'a> {
    fn element(&mut self) -> Option<(&'a str, Vec<(&'a str, String)>)> {
        self.rest = self.rest.strip_prefix('[')?;
        let id = self.name(|b| b == b' ' || b == b']')?;
        let mut parameters = Vec::new();
        loop {
            if let Some(rest) = self.rest.strip_prefix(']') {
                self.rest = rest;
                return Some((id, parameters));
            }
            self.rest = self.rest.strip_prefix(' ')?;
            let name = self.name(|b| b == b'=')?;
            self.rest = self.rest.strip_prefix("=\"")?;
            parameters.push((name, self.value()?));
        }
    }

    fn name(&mut self, ends: impl Fn(u8) -> bool) -> Option<&'a str> {
        let end = self.rest.bytes().position(ends)?;
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        let fits = (1..=32).contains(&name.len()) && name.bytes().all(|b| (33..=126).contains(&b) && !b"=]\"".contains(&b));
        fits.then_some(name)
    }

    /// Up to the closing quote; a backslash escapes only `"`, `\` and `]` (RFC 5424 §6.3.3).
    fn value(&mut self) -> Option<String> {
        let mut value = String::new();
        let mut chars = self.rest.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.rest = &self.rest[at + 1..];
                    return Some(value);
                }
                '\\' => match chars.clone().next() {
                    Some((_, escaped @ ('"' | '\\' | ']'))) => {
                        value.push(escaped);
                        chars.next();
                    }
                    _ => value.push('\\'),
                },
                ']' => return None,
                _ => value.push(c),
            }
        }
        None
    }
}

/// `Mmm dd hh:mm:ss HOST TAG[pid]: content`; an RFC 3339 time in the first place is taken too, as many
/// devices send it.
fn rfc3164<'a>(base: &Message<'a>, rest: &'a str) -> Option<Message<'a>> {
    let (timestamp, rest) = match rest.split_once(' ') {
        Some((time, tail)) if crate::timestamp::is_rfc3339(time.as_bytes()) => (time, tail),
        _ => (bsd_time(rest)?, rest.get(16..)?),
    };
    let (hostname, tail) = rest.split_once(' ')?;
    if hostname.is_empty() || hostname.ends_with(':') || hostname.contains('[') {
        // No host: the first word is the tag already.
        return Some(tagged(base, timestamp, None, rest));
    }
    Some(tagged(base, timestamp, Some(hostname), tail))
}

fn bsd_time(text: &str) -> Option<&str> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (time, rest) = text.split_at_checked(15)?;
    let b = time.as_bytes();
    let digits = |range: std::ops::Range<usize>| b[range].iter().all(u8::is_ascii_digit);
    let day = (b[4] == b' ' || b[4].is_ascii_digit()) && b[5].is_ascii_digit();
    let fits = MONTHS.contains(&time.get(..3)?)
        && b[3] == b' '
        && day
        && b[6] == b' '
        && digits(7..9)
        && b[9] == b':'
        && digits(10..12)
        && b[12] == b':'
        && digits(13..15);
    (fits && rest.starts_with(' ')).then_some(time)
}

/// Splits `TAG[pid]: content` where the text has that form.
fn tagged<'a>(base: &Message<'a>, timestamp: &'a str, hostname: Option<&'a str>, text: &'a str) -> Message<'a> {
    let plain = Message { timestamp: Some(timestamp), hostname, content: text, version: Version::Rfc3164, ..base.clone() };
    let end = text.bytes().position(|b| matches!(b, b'[' | b':' | b' ')).unwrap_or(text.len());
    let (tag, rest) = text.split_at(end);
    if tag.is_empty() || tag.len() > 48 {
        return plain;
    }
    if let Some((proc_id, content)) = rest.strip_prefix('[').and_then(|rest| rest.split_once("]:"))
        && !proc_id.is_empty()
        && proc_id.len() <= 128
        && !proc_id.contains(' ')
    {
        return Message { app_name: Some(tag), proc_id: Some(proc_id), content: content.trim_start_matches(' '), ..plain };
    }
    match rest.strip_prefix(':') {
        Some(content) => Message { app_name: Some(tag), content: content.trim_start_matches(' '), ..plain },
        None => plain,
    }
}

#[cfg(test)]
mod tests;
