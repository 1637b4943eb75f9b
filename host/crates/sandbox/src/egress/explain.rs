//! The decision about a request, told step by step, without sending anything: for people who want to
//! know why, and for tests of a configuration.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Asked, Destination, HostRule, Refusal, Resolve, address, decide};
use crate::limits::{Limit, Limits};

/// The rules of [`decide`] in words, in the order of evaluation.
pub const RULES: [&str; 8] = [
    "the destination is one that the operator named for this instance",
    "the method is well formed, neither CONNECT nor TRACE, and among the destination's methods",
    "the path has the one form that every server reads alike",
    "the path lies below one of the destination's prefixes, by whole segments",
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

/// Decides about a request with no header fields of its own and an empty body, and looks its addresses
/// up. Cancel safe.
pub async fn explain(
    destinations: &BTreeMap<String, Destination>,
    limits: &Limits,
    resolver: &dyn Resolve,
    destination: &str,
    method: &str,
    path: &str,
) -> Explained {
    let credential = destinations.get(destination).and_then(Destination::credential).map(|credential| (credential.name().to_owned(), credential.kind_name()));
    let asked = Asked { destination, method, path, headers: &[], body_bytes: 0, gzip: false };
    let (named, wire) = match decide(destinations, &asked, limits) {
        Err(refusal) => return Explained { verdict: Verdict::Refused(refusal), wire: None, addresses: Vec::new(), credential },
        Ok(allowed) => {
            let target = allowed.destination.without_own_query(&allowed.target);
            let wire = Wire { origin: allowed.destination.origin().into(), method: allowed.method.as_str().into(), target };
            (allowed.destination, wire)
        }
    };
    let found = match named.host() {
        HostRule::Literal(address) => Ok(vec![*address]),
        HostRule::Localhost => Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]),
        HostRule::Name(name) => resolver.resolve(name).await,
    };
    let (verdict, addresses) = match found {
        Err(error) => (Verdict::Unresolved(error), Vec::new()),
        Ok(found) => {
            let verdict = named.check_addresses(named.host(), &found).map_or_else(Verdict::Refused, |()| Verdict::Allowed);
            let look = |address: &IpAddr| Looked {
                address: *address,
                class: address::classify(*address).name(),
                refused: named.check_addresses(named.host(), std::slice::from_ref(address)).err().map(|refusal| refusal.text),
            };
            (verdict, found.iter().map(look).collect())
        }
    };
    Explained { verdict, wire: Some(wire), addresses, credential }
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
        explain(&destinations(url), &Limits::default(), &Names, request[1], request[0], request[2]).await
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
}
