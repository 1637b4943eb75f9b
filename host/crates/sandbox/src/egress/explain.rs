//! The decision about a request, told step by step, without sending anything: for people who want to
//! know why, and for tests of a configuration.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Asked, Destination, HostRule, Place, Refusal, Resolve, address, decide, decide_datagram, decide_stream};
use crate::limits::{Limit, Limits};

/// The rules of [`decide`] in words, in the order of evaluation.
pub const RULES: [&str; 8] = [
    "the destination is one that the operator named for this instance",
    "the interface is the destination's; the method is well formed, neither CONNECT nor TRACE, and among its methods",
    "the path, or the member, has the one form that everybody reads alike",
    "the path lies below one of the destination's prefixes, by whole segments; the member matches one of its patterns",
    "header fields are well formed, within their limits, and none is the host's or the credential's",
    "the body is within its limit",
    "every address of the destination's host may be connected to",
    "the destination's credential can be had, where it is not fixed",
];

/// Limits that hold for one request.
pub const LIMITS: [Limit; 7] =
    [Limit::HttpRequest, Limit::HttpResponse, Limit::HttpHeaderBytes, Limit::HttpHeaderFields, Limit::HttpConcurrent, Limit::HostcallData, Limit::Deadline];

/// What would become of a request.
#[derive(Debug)]
pub struct Explained {
    pub verdict: Verdict,
    /// What would be sent; none where the rules before the address refuse.
    pub wire: Option<Wire>,
    pub addresses: Vec<Looked>,
    /// Name and kind of the credential that the host would put in.
    pub credential: Option<(String, String)>,
}

#[derive(Debug)]
pub enum Verdict {
    /// The first seven hold; whether a token or a command's answer can be had, only a request tells.
    Allowed,
    /// The first rule that does not.
    Refused(Refusal),
    /// The first six hold, and the name does not resolve now.
    Unresolved(io::Error),
}

/// A request as it goes on the wire, the credential aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wire {
    /// Scheme and authority.
    pub origin: String,
    pub method: String,
    /// Path and query; the query of the operator's own URL is hidden.
    pub target: String,
}

/// One address that the host's name has now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looked {
    pub address: IpAddr,
    /// Its class in words.
    pub class: &'static str,
    /// Why it may not be connected to.
    pub refused: Option<String>,
}

/// What is asked about.
#[derive(Debug, Clone, Copy)]
pub enum Question<'a> {
    /// A request with no header fields of its own and an empty body.
    Http { method: &'a str, path: &'a str },
    /// A connection, to a member of the destination where one is named.
    Tcp { member: &'a str },
    /// A datagram.
    Udp,
}

/// Decides, and looks the addresses up. Of a destination with several URLs all places are looked at; one
/// that may be connected to is enough, as it is for the host. Cancel safe.
pub async fn explain(
    destinations: &BTreeMap<String, Destination>,
    limits: &Limits,
    resolver: &dyn Resolve,
    destination: &str,
    question: Question<'_>,
) -> Explained {
    let credential = destinations.get(destination).and_then(Destination::credential).map(|credential| (credential.name().to_owned(), credential.kind_name()));
    let (places, wire) = match decided(destinations, limits, destination, question) {
        Err(refusal) => return Explained { verdict: Verdict::Refused(refusal), wire: None, addresses: Vec::new(), credential },
        Ok(decided) => decided,
    };
    let (mut verdict, mut addresses) = (None, Vec::new());
    for place in &places {
        let found = match &place.host {
            HostRule::Literal(address) => Ok(vec![*address]),
            HostRule::Localhost => Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]),
            HostRule::Name(name) => resolver.resolve(name).await,
        };
        let here = match found {
            Err(error) => Verdict::Unresolved(error),
            Ok(found) => {
                let check = |addresses: &[IpAddr]| place.destination.check_addresses(&place.host, addresses);
                addresses.extend(found.iter().map(|address| Looked {
                    address: *address,
                    class: address::classify(*address).name(),
                    refused: check(std::slice::from_ref(address)).err().map(|refusal| refusal.text),
                }));
                check(&found).map_or_else(Verdict::Refused, |()| Verdict::Allowed)
            }
        };
        if verdict.is_none() || matches!(here, Verdict::Allowed) {
            verdict = Some(here);
        }
    }
    let verdict = verdict.unwrap_or_else(|| Verdict::Refused(Refusal::denied(7, "the destination leads nowhere")));
    Explained { verdict, wire: Some(wire), addresses, credential }
}

/// The rules before the address.
fn decided<'a>(
    destinations: &'a BTreeMap<String, Destination>,
    limits: &Limits,
    destination: &str,
    question: Question<'_>,
) -> Result<(Vec<Place<'a>>, Wire), Refusal> {
    Ok(match question {
        Question::Http { method, path } => {
            let allowed = decide(destinations, &Asked { destination, method, path, headers: &[], body_bytes: 0, gzip: false }, limits)?;
            let target = allowed.destination.without_own_query(&allowed.target);
            let wire = Wire { origin: allowed.destination.origin().into(), method: allowed.method.as_str().into(), target };
            (allowed.destination.places().map(Destination::own_place).collect(), wire)
        }
        Question::Tcp { member } => {
            let place = decide_stream(destinations, destination, member)?;
            let host = match &place.host {
                HostRule::Literal(IpAddr::V6(address)) => format!("[{address}]"),
                HostRule::Literal(address) => address.to_string(),
                HostRule::Localhost => "localhost".into(),
                HostRule::Name(name) => name.clone(),
            };
            let origin = format!("{}://{host}:{}", place.destination.transport().scheme(), place.port);
            (vec![place], Wire { origin, method: "connect".into(), target: String::new() })
        }
        Question::Udp => {
            let destination = decide_datagram(destinations, destination, 0)?;
            (vec![destination.own_place()], Wire { origin: destination.origin().into(), method: "datagram".into(), target: String::new() })
        }
    })
}

#[cfg(test)]
mod tests {
    use bulkhead_core::BoxFuture;

    use super::*;
    use crate::credentials::Credential;
    use crate::egress::DestinationSettings;

    /// `rebind.test` has a public and a private address, other names none.
    struct Names;

    impl Resolve for Names {
        fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
            let found = match name {
                "good.test" => Ok(vec!["93.184.216.34".parse().expect("an address")]),
                "rebind.test" => Ok(["93.184.216.34", "10.0.0.7", "169.254.169.254"].map(|text| text.parse().expect("an address")).to_vec()),
                _ => Err(io::Error::other("no such host")),
            };
            Box::pin(async { found })
        }
    }

    fn destinations(url: &str) -> BTreeMap<String, Destination> {
        let credential = Credential::bearer("hec", secrecy::SecretString::from("hunter2-hunter2")).expect("a credential");
        let settings = DestinationSettings {
            url: url.into(),
            methods: vec!["POST".into()],
            paths: vec!["/in".into()],
            credential: Some(std::sync::Arc::new(credential)),
            ..DestinationSettings::default()
        };
        BTreeMap::from([("primary".to_owned(), Destination::new("primary", settings).expect("a destination"))])
    }

    async fn told(url: &str, request: [&str; 3]) -> Explained {
        let question = Question::Http { method: request[0], path: request[2] };
        explain(&destinations(url), &Limits::default(), &Names, request[1], question).await
    }

    #[tokio::test]
    async fn each_rule_is_named_where_it_refuses() {
        for (request, rule) in [
            (["POST", "secondary", "/in"], 1),
            (["GET", "primary", "/in"], 2),
            (["TRACE", "primary", "/in"], 2),
            (["POST", "primary", "/in/../admin"], 3),
            (["POST", "primary", "/inside"], 4),
        ] {
            let told = told("https://good.test/base", request).await;
            let Verdict::Refused(refusal) = told.verdict else { panic!("{request:?}: {:?}", told.verdict) };
            assert_eq!(refusal.rule, rule, "{request:?}: {refusal}");
            assert!(told.wire.is_none() && told.addresses.is_empty());
        }
    }

    #[tokio::test]
    async fn what_is_allowed_is_told_as_it_would_be_sent() {
        let told = told("https://good.test/base?token=hunter2-hunter2", ["POST", "primary", "/in/a?b=c"]).await;
        assert!(matches!(told.verdict, Verdict::Allowed), "{:?}", told.verdict);
        assert_eq!(told.wire, Some(Wire { origin: "https://good.test".into(), method: "POST".into(), target: "/base/in/a?(hidden)&b=c".into() }));
        assert_eq!(told.credential, Some(("hec".into(), "header authorization".into())));
        assert_eq!(told.addresses, [Looked { address: "93.184.216.34".parse().expect("an address"), class: "public", refused: None }]);
    }

    #[tokio::test]
    async fn every_address_is_told_with_its_class_and_one_spoils_all() {
        let told = told("https://rebind.test", ["POST", "primary", "/in"]).await;
        let Verdict::Refused(refusal) = told.verdict else { panic!("{:?}", told.verdict) };
        assert_eq!(refusal.rule, 7);
        let classes: Vec<_> = told.addresses.iter().map(|looked| (looked.class, looked.refused.is_some())).collect();
        assert_eq!(classes, [("public", false), ("private", true), ("cloud metadata", true)]);
        let told = self::told("https://nowhere.test", ["POST", "primary", "/in"]).await;
        assert!(matches!(told.verdict, Verdict::Unresolved(_)));
    }

    #[tokio::test]
    async fn streams_and_datagrams_are_told_by_the_same_rules() {
        let stream =
            DestinationSettings { url: "tls://good.test:6514".into(), members: vec!["broker-*.good.test:9092".into()], ..DestinationSettings::default() };
        let datagram = DestinationSettings { url: "udp://10.0.0.7:514".into(), ..DestinationSettings::default() };
        let all = BTreeMap::from(
            [("primary", stream), ("log", datagram)].map(|(name, settings)| (name.to_owned(), Destination::new(name, settings).expect("a destination"))),
        );
        let ask = async |destination, question| explain(&all, &Limits::default(), &Names, destination, question).await;
        let told = ask("primary", Question::Tcp { member: "" }).await;
        assert!(matches!(told.verdict, Verdict::Allowed), "{:?}", told.verdict);
        assert_eq!(told.wire.expect("told").origin, "tls://good.test:6514");
        let told = ask("log", Question::Udp).await;
        assert!(matches!(told.verdict, Verdict::Allowed), "{:?}", told.verdict);
        assert_eq!((told.addresses[0].class, told.addresses[0].refused.as_ref()), ("private", None), "the operator's own literal");
        for (destination, question, rule) in [
            ("primary", Question::Udp, 2),
            ("log", Question::Tcp { member: "" }, 2),
            ("primary", Question::Http { method: "POST", path: "/" }, 2),
            ("primary", Question::Tcp { member: "broker-1.good.test" }, 3),
            ("primary", Question::Tcp { member: "evil.test:9092" }, 4),
        ] {
            let told = ask(destination, question).await;
            let Verdict::Refused(refusal) = told.verdict else { panic!("{question:?}: {:?}", told.verdict) };
            assert_eq!(refusal.rule, rule, "{question:?}: {refusal}");
        }
    }
}
