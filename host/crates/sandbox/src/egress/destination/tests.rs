use super::*;

fn settings(url: &str) -> DestinationSettings {
    DestinationSettings { url: url.into(), ..DestinationSettings::default() }
}

fn named(url: &str) -> Destination {
    Destination::new("primary", settings(url)).expect(url)
}

#[track_caller]
fn bad_url(url: &str, want: &str) {
    let error = Destination::new("primary", settings(url)).expect_err(url);
    assert_eq!(error.key, "url", "{error}");
    assert!(error.problem.contains(want), "{url}: {error}");
}

#[test]
fn authorities_are_taken_only_as_they_will_be_dialled() {
    bad_url("", "is empty");
    bad_url("example.com", "no absolute URL");
    bad_url("ftp://example.com", "scheme `ftp`");
    bad_url("file:///etc/passwd", "scheme `file`");
    bad_url("https://user@example.com", "user name");
    bad_url("https://user:secret@example.com", "user name");
    bad_url("https://example.com@evil.example", "user name");
    bad_url("https://@example.com", "misread; write https://example.com");
    bad_url("https://example.com./x", "dot");
    bad_url("https://EXAMPLE.com", "write https://example.com");
    bad_url("HTTPS://example.com", "write https://example.com");
    bad_url("https://b\u{fc}cher.example", "write https://xn--bcher-kva.example");
    bad_url("https://ex\u{430}mple.com", "write https://xn--exmple-4nf.com");
    bad_url("https://example.com:0", "port 0");
    bad_url("https://example.com:65536", "no absolute URL");
    bad_url("https://example.com:", "write https://example.com");
    bad_url("https://example.com:00443", "write https://example.com");
    bad_url("https://[fe80::1%25eth0]/", "no absolute URL");
    bad_url("https://[::1", "no absolute URL");
    bad_url("https://[0:0:0:0:0:0:0:1]/", "write https://[::1]");
    bad_url("https:/example.com", "not written as scheme://host");
    bad_url("https:\\\\example.com", "not written as scheme://host");
    bad_url("https://example.com\\@evil", "misread");
    bad_url("https://exa mple.com", "no absolute URL");
    bad_url("https://example.com/a#b", "fragment");
    bad_url("https://example.com/a/../b", "`..` segment");
    bad_url("https://example.com//b", "empty segment");
    bad_url("https://exam\tple.com", "misread");
    // Other ways to write 127.0.0.1.
    for form in ["2130706433", "0x7f000001", "017700000001", "127.1", "127.0.1", "0x7f.1", "0177.0.0.1"] {
        bad_url(&format!("http://{form}/"), "write http://127.0.0.1");
    }
    bad_url("http://[::ffff:127.0.0.1]/", "write http://[::ffff:7f00:1]");
    bad_url("http://0.0.0.0/", "unspecified");
    bad_url("http://[::]/", "unspecified");
    bad_url("http://224.0.0.1/", "multicast");
    bad_url("http://255.255.255.255/", "broadcast");
    for metadata in ["169.254.169.254", "100.100.100.200", "168.63.129.16", "192.0.0.192", "[fd00:ec2::254]"] {
        bad_url(&format!("http://{metadata}/"), "cloud metadata");
    }
}

#[test]
fn good_urls_say_what_they_grant() {
    assert_eq!(*named("https://example.com").host(), HostRule::Name("example.com".into()));
    assert_eq!(*named("http://localhost:8088/x").host(), HostRule::Localhost);
    assert_eq!(*named("http://127.0.0.1:8088").host(), HostRule::Literal(IpAddr::from([127, 0, 0, 1])));
    assert_eq!(named("https://example.com:8443/a/").origin(), "https://example.com:8443");
    assert_eq!(named("https://example.com:443").port(), 443);
    assert!(Destination::new("meta", DestinationSettings { allow_metadata: true, ..settings("http://169.254.169.254/") }).is_ok());
}

#[test]
fn paths_join_below_the_base() {
    for (base, path, want) in [
        ("https://h.example", "", "/"),
        ("https://h.example/", "", "/"),
        ("https://h.example", "/a?b=c", "/a?b=c"),
        ("https://h.example/base", "", "/base"),
        ("https://h.example/base/", "", "/base/"),
        ("https://h.example/base/", "/a", "/base/a"),
        ("https://h.example/base", "?x=1", "/base?x=1"),
        ("https://h.example/hook?sig=abc", "", "/hook?sig=abc"),
        ("https://h.example/hook?sig=abc", "/x?y=1", "/hook/x?sig=abc&y=1"),
    ] {
        assert_eq!(named(base).target(path), Ok(want.into()), "{base} + {path}");
    }
}

#[test]
fn methods_and_prefixes_decide() {
    let mut settings = settings("https://h.example/base");
    settings.methods = vec!["POST".into(), "DELETE".into()];
    settings.paths = vec!["/api".into()];
    let destination = Destination::new("primary", settings).expect("valid");
    assert_eq!(destination.method("POST"), Ok(Method::POST));
    let rule = |result: Result<Method, Refusal>| result.map_err(|refusal| (refusal.rule, refusal.kind));
    use crate::egress::RefusalKind::{Denied, Invalid};
    assert_eq!(rule(destination.method("GET")), Err((2, Denied)));
    for method in ["post", "CONNECT", "TRACE", "PO ST", "", "PÖST", "POST\r\n", &"P".repeat(8_000)] {
        assert_eq!(rule(destination.method(method)), Err((2, Invalid)), "{method:?}");
    }
    assert_eq!(destination.target("/api/x"), Ok("/base/api/x".into()));
    assert_eq!(destination.target("/apix").map_err(|refusal| refusal.rule), Err(4));
    assert_eq!(destination.target("").map_err(|refusal| refusal.rule), Err(4));
    assert_eq!(destination.target("/api/../x").map_err(|refusal| refusal.rule), Err(3));
}

#[test]
fn resolved_addresses() {
    let check = |url: &str, networks: &[&str], metadata: bool, addresses: &[&str]| {
        let settings = DestinationSettings { addresses: networks.iter().map(ToString::to_string).collect(), allow_metadata: metadata, ..settings(url) };
        let addresses: Vec<IpAddr> = addresses.iter().map(|text| text.parse().expect("an address")).collect();
        let destination = Destination::new("primary", settings).expect("valid");
        destination.check_addresses(destination.host(), &addresses).map_err(|refusal| refusal.text)
    };
    let name = "https://h.example";
    assert_eq!(check(name, &[], false, &["8.8.8.8", "2606:4700::1"]), Ok(()));
    for private in ["10.0.0.1", "127.0.0.1", "100.64.1.1", "fd00::1", "::ffff:10.0.0.1", "64:ff9b::10.0.0.1", "2002:a00:1::", "fe80::1", "198.18.0.1"] {
        let error = check(name, &[], false, &[private]).expect_err(private);
        assert!(error.contains("add its network to `addresses`"), "{error}");
        // A mixed answer is refused as a whole.
        assert!(check(name, &[], false, &["8.8.8.8", private]).is_err(), "{private}");
    }
    assert!(check(name, &[], false, &["169.254.169.254"]).expect_err("metadata").contains("`allow_metadata`"));
    assert!(check(name, &["169.254.0.0/16"], false, &["169.254.169.254"]).expect_err("metadata").contains("`allow_metadata`"));
    assert_eq!(check(name, &[], true, &["169.254.169.254"]), Ok(()));
    assert!(check(name, &["0.0.0.0/0"], true, &["0.0.0.0"]).expect_err("unspecified").contains("unspecified"));
    assert_eq!(check(name, &["10.1.0.0/16"], false, &["10.1.2.3"]), Ok(()));
    assert_eq!(check(name, &["10.1.0.0/16"], false, &["::ffff:10.1.2.3"]), Ok(()));
    assert!(check(name, &["10.1.0.0/16"], false, &["10.2.0.1"]).expect_err("elsewhere").contains("none of its `addresses`"));
    assert!(check(name, &["10.1.0.0/16"], false, &["8.8.8.8"]).expect_err("elsewhere").contains("none of its `addresses`"));
    assert_eq!(check("http://10.0.0.5:9", &[], false, &["10.0.0.5"]), Ok(()));
    assert!(check("http://10.0.0.5:9", &[], false, &["10.0.0.6"]).is_err());
    assert_eq!(check("http://localhost:9", &[], false, &["127.0.0.1", "::1"]), Ok(()));
    assert!(check("http://localhost:9", &[], false, &["10.0.0.6"]).expect_err("not here").contains("not this machine"));
    assert!(check(name, &[], false, &[]).expect_err("none").contains("no address"));
}

#[test]
fn links_of_receivers_become_paths_or_are_refused() {
    let destination = Destination::new("primary", DestinationSettings { paths: vec!["/v1".into()], ..settings("https://h.example/api") }).expect("valid");
    let relative = |url: &str| destination.relative(url).map_err(|refusal| refusal.rule);
    assert_eq!(relative("https://h.example/api/v1/next?page=2"), Ok("/v1/next?page=2".into()));
    assert_eq!(relative("https://h.example/api/v2/next"), Err(4));
    assert_eq!(relative("https://h.example/apix/v1"), Err(4));
    assert_eq!(relative("https://h.example/api/v1/../../x"), Err(3));
    for other in [
        "http://h.example/api/v1",
        "https://h.example:8443/api/v1",
        "https://h.example.evil/api/v1",
        "https://h.example@evil/api/v1",
        "//h.example/api/v1",
        "https://H.example/api/v1",
        "/api/v1",
        "",
        "javascript:alert(1)",
    ] {
        assert_eq!(relative(other), Err(1), "{other}");
    }
}

#[test]
fn settings_that_cannot_work_are_named() {
    let check = |change: fn(&mut DestinationSettings), key: &str, want: &str| {
        let mut settings = settings("https://h.example");
        change(&mut settings);
        let error = Destination::new("primary", settings).expect_err(want);
        assert_eq!(error.key, key, "{error}");
        assert!(error.problem.contains(want), "{error}");
    };
    check(|s| s.methods = vec!["get".into()], "methods", "upper-case");
    check(|s| s.methods = vec!["TRACE".into()], "methods", "never allowed");
    check(|s| s.paths = vec!["".into()], "paths", "empty prefix");
    check(|s| s.paths = vec!["/a?b".into()], "paths", "with a query");
    check(|s| s.paths = vec!["/a/../b".into()], "paths", "`..` segment");
    check(|s| s.addresses = vec!["10.0.0.0/33".into()], "addresses", "no network");
    assert_eq!(Destination::new("Prim ary", settings("https://h.example")).expect_err("name").key, "name");
}
