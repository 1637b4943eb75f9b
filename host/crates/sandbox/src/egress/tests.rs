use super::*;

fn granted() -> BTreeMap<String, Destination> {
    let settings = DestinationSettings { url: "https://h.example/base".into(), methods: vec!["POST".into()], paths: vec!["/api".into()], ..Default::default() };
    BTreeMap::from([("primary".to_owned(), Destination::new("primary", settings).expect("valid"))])
}

#[track_caller]
fn check(asked: Asked<'_>, want: Result<&str, u8>) {
    let granted = granted();
    let got = decide(&granted, &asked, &Limits::default());
    assert_eq!(got.as_ref().map(|allowed| allowed.target.as_str()).map_err(|refusal| refusal.rule), want, "{got:?}");
}

#[test]
fn the_first_rule_that_refuses_decides() {
    let good = Asked { destination: "primary", method: "POST", path: "/api/x", headers: &[], body_bytes: 10, gzip: false };
    let host = [("host".to_owned(), b"evil".to_vec())];
    check(good, Ok("/base/api/x"));
    check(Asked { destination: "other", method: "x", ..good }, Err(1));
    check(Asked { destination: "", ..good }, Err(1));
    check(Asked { method: "GET", path: "/../x", ..good }, Err(2));
    check(Asked { path: "/../x", headers: &host, ..good }, Err(3));
    check(Asked { path: "/apix", headers: &host, ..good }, Err(4));
    check(Asked { headers: &host, body_bytes: u64::MAX, ..good }, Err(5));
    check(Asked { body_bytes: (8 << 20) + 1, ..good }, Err(6));
    check(Asked { body_bytes: 8 << 20, ..good }, Ok("/base/api/x"));
}

#[test]
fn a_refusal_names_the_rule_and_what_is_granted() {
    let granted = granted();
    let asked = Asked { destination: "evil\nname", method: "POST", path: "", headers: &[], body_bytes: 0, gzip: false };
    let refusal = decide(&granted, &asked, &Limits::default()).expect_err("unknown");
    assert_eq!(refusal.to_string(), "no destination `evil\\nname`; granted: primary (rule 1)");
}

#[test]
fn an_absolute_url_goes_to_the_destination_with_the_longest_base() {
    let of = |name: &str, url: &str, paths: &[&str]| {
        let settings = DestinationSettings { url: url.into(), paths: paths.iter().map(|path| (*path).to_owned()).collect(), ..Default::default() };
        (name.to_owned(), Destination::new(name, settings).expect("valid"))
    };
    let granted = BTreeMap::from([
        of("all", "https://h.example", &[]),
        of("part", "https://h.example/base/part", &[]),
        of("other", "http://127.0.0.1:8080/in", &["/api"]),
    ]);
    let got = |url: &str| matching(&granted, url).map_err(|refusal| refusal.to_string());
    assert_eq!(got("https://h.example/base/part/x?q=1"), Ok(("part", "/x?q=1".to_owned())));
    assert_eq!(got("https://h.example/base/apart"), Ok(("all", "/base/apart".to_owned())));
    assert_eq!(got("http://127.0.0.1:8080/in/api/y"), Ok(("other", "/api/y".to_owned())));
    for (url, want) in [
        ("https://h.example.evil/base", "no destination has the origin of `https://h.example.evil/base`; granted: all, other, part (rule 1)"),
        ("http://h.example/base?token=x", "no destination has the origin of `http://h.example/base`; granted: all, other, part (rule 1)"),
        ("http://127.0.0.1:8081/in/api", "no destination has the origin of `http://127.0.0.1:8081/in/api`; granted: all, other, part (rule 1)"),
        ("http://127.0.0.1:8080/other", "the URL is not below the base of destination `other` (rule 4)"),
    ] {
        assert_eq!(got(url), Err(want.to_owned()), "{url}");
    }
    for url in ["https://h.example/base/../x", "https://h.example/a//b", "https://h.example/%2e%2e/x", "http://127.0.0.1:8080/in/apix"] {
        got(url).expect_err(url);
    }
}
