//! Where a request goes: hosts that can be misread, addresses in disguise, names that change their mind.

use std::collections::BTreeMap;
use std::net::IpAddr;

use bulkhead_sandbox::egress::address::classify;
use bulkhead_sandbox::egress::relative;
use bulkhead_sandbox::{ConnectorGrants, Destination, DestinationSettings};

use crate::toolkit::probe::Ask;
use crate::toolkit::receiver::{Answer, Receiver};
use crate::toolkit::{Host, NOW, Rebinding, SECONDS, bounded};

#[track_caller]
fn refused(url: &str) -> String {
    let settings = DestinationSettings { url: url.into(), ..DestinationSettings::default() };
    match Destination::new("primary", settings) {
        Err(error) => error.to_string().trim_start_matches("destination `primary`: `url` ").to_owned(),
        Ok(made) => panic!("{url} is taken: {made:?}"),
    }
}

/// The operator's URL has one spelling, so that what people read is what is dialled. A guest names no
/// authority at all.
#[test]
fn h46_hosts_that_can_be_misread() {
    for (url, canonical) in [
        ("https://EXAMPLE.com", "https://example.com"),
        ("HTTPS://example.com", "https://example.com"),
        ("https://example.com:0443", "https://example.com"),
        ("https://example.com:", "https://example.com"),
        ("https://ex%61mple.com", "https://example.com"),
        ("https://b\u{fc}cher.example", "https://xn--bcher-kva.example"),
        ("https://\u{0430}pple.com", "https://xn--pple-43d.com"),
        ("https://example\u{3002}com", "https://example.com"),
        ("https://\u{24d4}xample.com", "https://example.com"),
        ("https:\\\\example.com", "https://example.com"),
        ("https:/example.com", "https://example.com"),
        ("https://exam\tple.com", "https://example.com"),
        // Numbers that are addresses in disguise.
        ("http://2130706433", "http://127.0.0.1"),
        ("http://0x7f000001", "http://127.0.0.1"),
        ("http://0177.0.0.1", "http://127.0.0.1"),
        ("http://127.1", "http://127.0.0.1"),
        ("http://0x7f.1", "http://127.0.0.1"),
        ("http://[0:0:0:0:0:0:0:1]", "http://[::1]"),
        ("http://[::FFFF:127.0.0.1]", "http://[::ffff:7f00:1]"),
    ] {
        let problem = refused(url);
        let known = [format!("writes its host in a form that can be misread; write {canonical}"), "is not written as scheme://host".to_owned()];
        assert!(known.contains(&problem), "{url}: {problem}");
    }
    for (url, want) in [
        ("https://user@example.com", "holds a user name; use a credential of type basic instead"),
        ("https://user:pass@example.com", "holds a user name; use a credential of type basic instead"),
        ("https://example.com.", "ends its host in a dot; leave it out"),
        ("https://example..com", "has an empty label in its host"),
        ("https://example.com:0", "has port 0"),
        ("https://example.com:65536", "is no absolute URL: invalid port number"),
        ("https://example.com:x", "is no absolute URL: invalid port number"),
        ("https://", "is no absolute URL: empty host"),
        ("https://[fe80::1%25eth0]", "is no absolute URL: invalid IPv6 address"),
        ("https://[::1", "is no absolute URL: invalid IPv6 address"),
        ("https://[example.com]", "is no absolute URL: invalid IPv6 address"),
        ("https://exa mple.com", "is no absolute URL: invalid international domain name"),
        ("ftp://example.com", "has the scheme `ftp`; http, https, tcp, tls and udp can be used"),
        ("file:///etc/passwd", "has the scheme `file`; http, https, tcp, tls and udp can be used"),
        ("unix:/run/docker.sock", "has the scheme `unix`; http, https, tcp, tls and udp can be used"),
        ("example.com", "is no absolute URL: relative URL without a base"),
        ("", "is empty; write one URL here, or several under `urls`"),
        ("https://example.com/#x", "has a fragment (`#`), which is never sent"),
    ] {
        assert_eq!(refused(url), want, "{url}");
    }
}

/// A link that a receiver answered leads nowhere else.
#[test]
fn h46_links_of_receivers() {
    let settings = DestinationSettings { url: "https://api.example/v1".into(), paths: vec!["/events".into()], ..DestinationSettings::default() };
    let granted = BTreeMap::from([("primary".to_owned(), Destination::new("primary", settings).expect("valid"))]);
    let follow = |url: &str| relative(&granted, "primary", url).map_err(|refusal| refusal.to_string());
    assert_eq!(follow("https://api.example/v1/events?page=2").as_deref(), Ok("/events?page=2"));
    let other = Err("the URL is not on https://api.example, the origin of destination `primary` (rule 1)".to_owned());
    for url in [
        "https://api.example.evil.example/v1/events",
        "https://api.example@evil.example/v1/events",
        "https://api.example:8443/v1/events",
        "https://API.example/v1/events",
        "http://api.example/v1/events",
        "https://evil.example/v1/events",
        "https://api.example.:443/v1/events",
        "//api.example/v1/events",
        "/v1/events",
        "https:/api.example/v1/events",
        "\u{0}https://api.example/v1/events",
    ] {
        assert_eq!(follow(url), other, "{url}");
    }
    for (url, want) in [
        ("https://api.example/v1/../admin", "the path of the URL has a `.` or `..` segment (rule 3)"),
        ("https://api.example/v2/events", "the URL is not below the base of destination `primary` (rule 4)"),
        ("https://api.example/v1x/events", "the URL is not below the base of destination `primary` (rule 4)"),
        ("https://api.example/v1/admin", "path `/admin` is not below /events, the `paths` of destination `primary` (rule 4)"),
    ] {
        assert_eq!(follow(url), Err(want.to_owned()), "{url}");
    }
}

/// Addresses that a name may resolve to and that nothing is sent to without a grant, with the word for
/// their class. Whether an answer of a resolver holds one such or hides it among others is the same.
const REFUSED: [(&str, &str); 47] = [
    ("0.0.0.0", "unspecified"),
    ("0.1.2.3", "unspecified"),
    ("127.0.0.1", "loopback"),
    ("127.255.255.254", "loopback"),
    ("10.0.0.1", "private"),
    ("172.16.0.1", "private"),
    ("172.31.255.255", "private"),
    ("192.168.1.1", "private"),
    ("100.64.0.1", "carrier-grade NAT"),
    ("169.254.0.1", "link-local"),
    ("169.254.169.254", "cloud metadata"),
    ("169.254.170.2", "cloud metadata"),
    ("168.63.129.16", "cloud metadata"),
    ("192.0.0.192", "cloud metadata"),
    ("100.100.100.200", "cloud metadata"),
    ("fd00:ec2::254", "cloud metadata"),
    ("198.18.0.1", "benchmark"),
    ("192.0.2.1", "documentation"),
    ("203.0.113.1", "documentation"),
    ("224.0.0.1", "multicast"),
    ("255.255.255.255", "broadcast"),
    ("240.0.0.1", "reserved"),
    ("192.88.99.1", "tunnel or translation"),
    ("::", "unspecified"),
    ("::1", "loopback"),
    ("fc00::1", "unique local"),
    ("fdff::1", "unique local"),
    ("fec0::1", "unique local"),
    ("fe80::1", "link-local"),
    ("ff02::1", "multicast"),
    ("2001:db8::1", "documentation"),
    ("2001:2::1", "benchmark"),
    ("100::1", "reserved"),
    ("::ffff:127.0.0.1", "loopback"),
    ("::ffff:10.1.2.3", "private"),
    ("::ffff:169.254.169.254", "cloud metadata"),
    ("::127.0.0.1", "tunnel or translation"),
    ("::169.254.169.254", "cloud metadata"),
    ("::ffff:0:8.8.8.8", "tunnel or translation"),
    ("64:ff9b::10.0.0.1", "private"),
    ("64:ff9b::169.254.169.254", "cloud metadata"),
    ("64:ff9b:1::8.8.8.8", "tunnel or translation"),
    ("2002:a00:1::", "tunnel or translation"),
    ("2002:a9fe:a9fe::1", "cloud metadata"),
    ("2001:0:53aa:64c::f5ff:fffe", "tunnel or translation"),
    ("fe80::5efe:10.0.0.1", "tunnel or translation"),
    ("2a00:1450::200:5efe:8.8.8.8", "tunnel or translation"),
];

/// A name of the operator's choice that somebody else points at this network.
#[tokio::test]
async fn h47_names_that_lead_inside() {
    let receiver = Receiver::start(Answer::ok("fine")).await;
    let url = format!("http://siem.example:{}", receiver.port);
    let work = async {
        for (address, class) in REFUSED {
            for answer in [vec![address], vec!["8.8.8.8", address], vec![address, "2606:4700:4700::1111"]] {
                let host = Host::with(|settings| settings.resolver = Rebinding::new(&[&answer]));
                let settings = DestinationSettings { url: url.clone(), ..DestinationSettings::default() };
                let grants = ConnectorGrants { destinations: vec![Destination::new("primary", settings).expect("valid")], ..ConnectorGrants::default() };
                let canonical: IpAddr = address.parse().expect("an address");
                let told = host.send(grants, &Ask::default()).await;
                let hint = match class {
                    "unspecified" | "multicast" | "broadcast" => "",
                    "cloud metadata" => "; `allow_metadata` would allow it",
                    _ => "; add its network to `addresses` to allow it",
                };
                assert_eq!(told, format!("denied: destination `primary` leads to {canonical}, a {class} address{hint} (rule 7)"), "{answer:?}");
                assert_eq!(classify(canonical).name(), class);
            }
        }
    };
    bounded(NOW, SECONDS * 2, work).await;
    assert_eq!(receiver.connections(), 0, "nobody was called");
    // A name without an address.
    let host = Host::with(|settings| settings.resolver = Rebinding::new(&[&[]]));
    let settings = DestinationSettings { url, ..DestinationSettings::default() };
    let grants = ConnectorGrants { destinations: vec![Destination::new("primary", settings).expect("valid")], ..ConnectorGrants::default() };
    assert_eq!(host.send(grants, &Ask::default()).await, "denied: the host of destination `primary` has no address (rule 7)");
}

/// Literals: metadata and what cannot be connected to are refused when configured.
#[test]
fn h47_literal_addresses() {
    for (url, want) in [
        ("http://169.254.169.254", "names the cloud metadata address 169.254.169.254; set `allow_metadata: true` if that is meant"),
        ("http://[fd00:ec2::254]", "names the cloud metadata address fd00:ec2::254; set `allow_metadata: true` if that is meant"),
        ("http://[::ffff:a9fe:a9fe]", "names the cloud metadata address ::ffff:169.254.169.254; set `allow_metadata: true` if that is meant"),
        ("http://[64:ff9b::a9fe:a9fe]", "names the cloud metadata address 64:ff9b::a9fe:a9fe; set `allow_metadata: true` if that is meant"),
        ("http://0.0.0.0", "names the unspecified address 0.0.0.0, which cannot be connected to"),
        ("http://[::]", "names the unspecified address ::, which cannot be connected to"),
        ("http://255.255.255.255", "names the broadcast address 255.255.255.255, which cannot be connected to"),
        ("http://224.0.0.1", "names the multicast address 224.0.0.1, which cannot be connected to"),
    ] {
        assert_eq!(refused(url), want, "{url}");
    }
}

/// The resolver answers otherwise the second time: the check is made on what is dialled, for each
/// connection, and dials nothing that was not in that very answer.
#[tokio::test]
async fn h48_a_name_that_changes_between_check_and_dial() {
    let closing = Receiver::start(Answer::status(200, "connection: close\r\n", "fine")).await;
    let settings = |addresses: &[&str]| DestinationSettings {
        url: format!("http://siem.example:{}", closing.port),
        addresses: addresses.iter().map(ToString::to_string).collect(),
        ..DestinationSettings::default()
    };
    let grants = |addresses: &[&str]| ConnectorGrants {
        destinations: vec![Destination::new("primary", settings(addresses)).expect("valid")],
        ..ConnectorGrants::default()
    };
    let twice = [Ask::default(), Ask::default()];
    for (second, why) in [
        (&["127.0.0.2"][..], "leads to 127.0.0.2, which is in none of its `addresses` (rule 7)"),
        (&["127.0.0.1", "10.0.0.1"], "leads to 10.0.0.1, which is in none of its `addresses` (rule 7)"),
        (&["169.254.169.254"], "leads to 169.254.169.254, a cloud metadata address; `allow_metadata` would allow it (rule 7)"),
        (&["::ffff:127.0.0.2"], "leads to ::ffff:127.0.0.2, which is in none of its `addresses` (rule 7)"),
    ] {
        let before = closing.connections();
        let resolver = Rebinding::new(&[&["127.0.0.1"], second]);
        let host = Host::with(|settings| settings.resolver = std::sync::Arc::clone(&resolver) as _);
        let told = bounded(NOW, SECONDS, host.sends(grants(&["127.0.0.1/32"]), &twice)).await;
        assert_eq!(told, ["200 w fine".to_owned(), format!("denied: destination `primary` {why}")]);
        assert_eq!((closing.connections() - before, resolver.asked()), (1, 2), "one question for each connection, one connection");
    }
    assert!(closing.got().iter().all(|got| got.fields("host") == [format!("siem.example:{}", closing.port)]), "dialled by address, spoken to by name");
    // A connection that is kept is one that was checked.
    let keeping = Receiver::start(Answer::ok("fine")).await;
    let settings =
        DestinationSettings { url: format!("http://siem.example:{}", keeping.port), addresses: vec!["127.0.0.1".into()], ..DestinationSettings::default() };
    let resolver = Rebinding::new(&[&["127.0.0.1"], &["10.0.0.1"]]);
    let host = Host::with(|settings| settings.resolver = std::sync::Arc::clone(&resolver) as _);
    let grants = ConnectorGrants { destinations: vec![Destination::new("primary", settings).expect("valid")], ..ConnectorGrants::default() };
    assert_eq!(host.sends(grants, &twice).await, ["200 w fine", "200 w fine"]);
    assert_eq!((keeping.connections(), resolver.asked()), (1, 1));
    // `localhost` asks nobody.
    let resolver = Rebinding::new(&[&["8.8.8.8"]]);
    let host = Host::with(|settings| settings.resolver = std::sync::Arc::clone(&resolver) as _);
    let grants =
        ConnectorGrants { destinations: vec![crate::toolkit::destination(&format!("http://localhost:{}", keeping.port))], ..ConnectorGrants::default() };
    assert_eq!((host.send(grants, &Ask::default()).await.as_str(), resolver.asked()), ("200 w fine", 0));
}
