//! Members of a destination, for protocols whose servers tell where the others are (Kafka's brokers,
//! for example): the operator writes patterns, the guest names one member as `host:port`.
//!
//! A pattern is `host:port`. In each label of the host (the parts between dots) `*` stands for any
//! number of letters, digits, `-` and `_`, none included; it never stands for a dot, so a member has as
//! many labels as its pattern. The last label and the port are written out. A pattern without `*` may
//! also be an address literal or `localhost`, which grants exactly that.

use super::base::{Authority, HostRule};

/// One pattern, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pattern {
    Exact(Authority),
    Labels { labels: Vec<String>, port: u16 },
}

impl Pattern {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if !text.contains('*') {
            return Authority::parse(text).map(Self::Exact);
        }
        // With a letter in the place of each `*` it must be an authority like any other.
        let plain = Authority::parse(&text.replace('*', "x"))?;
        if !matches!(plain.host, HostRule::Name(_)) {
            return Err("has a `*` in an address; write the address out".into());
        }
        // Digits only: with a `*` in the port there was none above.
        let (host, _) = text.rsplit_once(':').ok_or("is not written as host:port")?;
        let labels: Vec<String> = host.split('.').map(str::to_owned).collect();
        match labels.last() {
            Some(last) if !last.contains('*') && labels.len() > 1 => Ok(Self::Labels { labels, port: plain.port }),
            _ => Err("has a `*` in its last label, which would be most of the internet; write the last label out".into()),
        }
    }

    pub(super) fn matches(&self, member: &Authority) -> bool {
        match self {
            Self::Exact(exact) => exact == member,
            Self::Labels { labels, port } => {
                let HostRule::Name(name) = &member.host else { return false };
                let mut parts = name.split('.');
                *port == member.port && labels.iter().all(|label| parts.next().is_some_and(|part| label_matches(label, part))) && parts.next().is_none()
            }
        }
    }
}

/// `pattern` has any number of `*`; `text` has no dots.
fn label_matches(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = pieces.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut pieces: Vec<&str> = pieces.collect();
    // No `*` at all.
    let Some(last) = pieces.pop() else { return rest.is_empty() };
    for piece in pieces {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stays_within_its_label() {
        let matches = |pattern: &str, member: &str| {
            let member = Authority::parse(member).unwrap_or_else(|problem| panic!("{member}: {problem}"));
            Pattern::parse(pattern).unwrap_or_else(|problem| panic!("{pattern}: {problem}")).matches(&member)
        };
        for (pattern, member, want) in [
            ("broker-*.acme.example:9092", "broker-1.acme.example:9092", true),
            ("broker-*.acme.example:9092", "broker-.acme.example:9092", true),
            ("broker-*.acme.example:9092", "broker-1.eu.acme.example:9092", false),
            ("broker-*.acme.example:9092", "broker-1.acme.example:9093", false),
            ("broker-*.acme.example:9092", "broker-1.acme.example.evil.example:9092", false),
            ("broker-*.acme.example:9092", "evil.example:9092", false),
            ("broker-*.acme.example:9092", "xbroker-1.acme.example:9092", false),
            ("broker-*.acme.example:9092", "10.0.0.1:9092", false),
            ("broker-*.acme.example:9092", "localhost:9092", false),
            ("*.acme.example:9092", "a.acme.example:9092", true),
            ("*.acme.example:9092", "acme.example:9092", false),
            ("*.*.example:1", "a.b.example:1", true),
            ("*.*.example:1", "b.example:1", false),
            ("b*-*-c.example:1", "b1-22-c.example:1", true),
            ("b*-*-c.example:1", "b1-c.example:1", false),
            ("a*a.example:1", "a.example:1", false),
            ("a*a.example:1", "aa.example:1", true),
            ("10.0.0.5:9092", "10.0.0.5:9092", true),
            ("10.0.0.5:9092", "10.0.0.6:9092", false),
            ("[::1]:9092", "[::1]:9092", true),
            ("localhost:9092", "localhost:9092", true),
            ("localhost:9092", "127.0.0.1:9092", false),
            ("db.example:1", "db.example:1", true),
        ] {
            assert_eq!(matches(pattern, member), want, "{pattern} {member}");
        }
    }

    #[test]
    fn patterns_that_say_too_much_or_nothing_are_refused() {
        for (pattern, want) in [
            ("*:9092", "last label"),
            ("broker.*:9092", "last label"),
            ("10.0.0.*:9092", "last label"),
            ("10.0.*.1:9092", "not written as host:port"),
            ("broker-*.acme.example", "form"),
            ("broker-*.acme.example:*", "not written as host:port"),
            ("broker-*.acme.example:0", "port 0"),
            ("Broker-*.acme.example:9092", "misread"),
            ("tcp://broker-*.acme.example:9092", "host:port"),
            ("", "host:port"),
            ("127.1:9092", "misread"),
            ("a@b.example:9092", "host:port"),
            ("b.example.:9092", "dot"),
        ] {
            let problem = Pattern::parse(pattern).expect_err(pattern);
            assert!(problem.contains(want), "{pattern}: {problem}");
        }
    }

    #[test]
    fn members_have_one_form() {
        for member in
            ["", "broker", "broker:9092/x", "user@broker:9092", "BROKER:9092", "broker:09092", "0x7f.1:9092", "broker:9092\r\n", "broker\\x:1", "bro ker:1"]
        {
            assert!(Authority::parse(member).is_err(), "{member:?}");
        }
    }
}
