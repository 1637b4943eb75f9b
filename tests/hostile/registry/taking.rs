//! H01, H02, H07, H08, H76: what an upload may be.

use std::io::Write;
use std::net::TcpStream;

use bulkhead_tests::http::Client;
use bulkhead_tests::wait;
use serde_json::json;

use super::made::{self, Made, built_in, edited, section, without};
use super::{CONNECTORS, refused, shown, taken, upload};
use crate::toolkit::story::{PATIENCE, Story};

#[test]
fn h01_what_is_no_component_is_named() {
    let story = Story::start("");
    let check = |bytes: &[u8], what: &str| refused(&story, "", bytes, 422, &format!("the component is not taken: {what}"));
    let not = |what: &str| format!("this is {what}; expected a WebAssembly component (binary, from `bulkhead build` or a wasm32-wasip2 target)");
    check(b"", "the file is empty; expected a WebAssembly component");
    check(b"(component)", &not("WebAssembly text (.wat)"));
    check(b"PK\x03\x04rest", &not("a zip archive"));
    check(b"\x1f\x8b\x08rest", &not("gzip-compressed data"));
    check(b"\x7fELFrest", &not("a native program (ELF)"));
    check(b"MZrest", &not("a native program (PE)"));
    check(b"<html>not found</html>", &not("HTML or XML, perhaps the answer of a failed download"));
    check(b"{}", &not("JSON"));
    check(&[0xff; 64], &not("no WebAssembly at all"));
    check(b"\0asm\x0d\0", &not("WebAssembly of a version that is not known, or cut off"));
    let core = "this is a core module; expected a component: build for wasm32-wasip2, or wrap it with `wasm-tools component new`";
    check(b"\0asm\x01\0\0\0", core);
    let preview1 = wat::parse_str(r#"(module (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32))))"#).expect("parses");
    check(&preview1, &core.replace("core module;", "core module for WASI preview 1;"));
    check(
        b"\0asm\x0d\0\x01\0",
        "the component is for another world: it exports nothing; expected bulkhead:connector/delivering or bulkhead:connector/formatting",
    );
    let whole = built_in("webhook");
    for cut in [9, 100, whole.len() / 2, whole.len() - 1] {
        let answer = upload(&story, "", &whole[..cut]);
        let detail = answer.json().expect("JSON")["detail"].as_str().unwrap_or_default().to_owned();
        assert_eq!(answer.status, 422);
        assert!(detail.starts_with("the component is not taken: the component is damaged at byte ") && detail.contains("unexpected end"), "{cut}: {detail}");
    }
    // The frame is whole and the code inside is not: found by the worker, not by us.
    let mut torn = whole.clone();
    let middle = torn.len() / 2;
    torn[middle..middle + 64].fill(0xff);
    let answer = upload(&story, "", &torn);
    assert_eq!(answer.status, 422, "{}", answer.text());
    assert_eq!(story.host.get("/livez").expect("answers").status, 200);
}

#[test]
fn h02_more_than_the_ceiling_is_refused_before_it_is_read() {
    const OVER: usize = (64 << 20) + 1;
    let story = Story::start("");
    let before = story.host.memory().expect("readable").peak;
    let detail = "the upload is larger than 64 MiB, the ceiling of `limits.component_size`";
    // By its length: answered before a byte of it is sent.
    let head = format!("POST {CONNECTORS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/wasm\r\nContent-Length: {OVER}\r\n\r\n");
    let answer = Client::new(story.host.api).limit(PATIENCE).send_raw("POST", head.as_bytes()).expect("answers");
    assert_eq!((answer.status, answer.json().expect("JSON")["detail"].as_str()), (413, Some(detail)));
    // Without a length: counted on its way to disk.
    let mut wire = format!("POST {CONNECTORS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/wasm\r\nTransfer-Encoding: chunked\r\n\r\n").into_bytes();
    wire.extend_from_slice(format!("{OVER:x}\r\n").as_bytes());
    wire.resize(wire.len() + OVER, b'x');
    wire.extend_from_slice(b"\r\n0\r\n\r\n");
    let answer = Client::new(story.host.api).send_raw("POST", &wire).expect("answers");
    assert_eq!((answer.status, answer.json().expect("JSON")["detail"].as_str()), (413, Some(detail)));
    let grown = story.host.memory().expect("readable").peak.saturating_sub(before);
    assert!(grown < 48 << 20, "the host's memory grew by {grown} bytes");
    assert_eq!(incoming(&story), 0, "nothing of it is kept");
}

fn incoming(story: &Story) -> usize {
    std::fs::read_dir(story.path("data/registry/incoming")).map_or(0, Iterator::count)
}

#[test]
fn h07_a_manifest_that_asks_for_less_than_is_imported_changes_nothing() {
    let story = Story::start("");
    let quiet = edited(&built_in("webhook"), |manifest| {
        manifest["name"] = "quiet".into();
        manifest["wants"] = json!([]);
    });
    let version = taken(&story, "", &quiet);
    assert_eq!((version["state"].as_str(), &version["waits_for"]), (Some("awaiting_approval"), &json!(["http"])));
    let (status, problem) = super::act(&story, "quiet", version["digest"].as_str().expect("a digest"), "activate");
    let detail = format!("`quiet` {} waits for approval of: http", version["digest"].as_str().expect("a digest"));
    assert_eq!((status, problem["detail"].as_str()), (409, Some(detail.as_str())));
    // Its own words on what it is do not count either.
    let posing = edited(&quiet, |manifest| {
        manifest["name"] = "posing".into();
        manifest["kind"] = "formatter".into();
    });
    taken(&story, "", &posing);
    assert_eq!(shown(&story, "posing")["kind"], "connector");
    // A connector does not get the name of a formatter by writing it into its manifest.
    let name = edited(&quiet, |manifest| manifest["name"] = "format-cef".into());
    refused(&story, "", &name, 422, "`format-cef` is no name for a component: 1 to 64 of a-z, 0-9, `-`, `_`, `.`, beginning with a letter or digit");
    let later = edited(&quiet, |manifest| manifest["contract"] = 99.into());
    refused(&story, "", &later, 422, "the component is not taken: the section bulkhead:manifest is for host contract 99, this host has 1; use a newer host");
}

#[test]
fn h08_damaged_manifests_are_refused_and_bounded() {
    let story = Story::start("");
    let (bare, manifest) = without(&Made::default().build());
    let manifest = manifest.expect("there");
    let with = |sections: &[&[u8]]| [&bare[..], &sections.iter().flat_map(|data| section(data)).collect::<Vec<u8>>()].concat();
    let check =
        |component: &[u8], what: &str| refused(&story, "", component, 422, &format!("the component is not taken: the section bulkhead:manifest {what}"));
    check(&with(&[&manifest, &manifest]), "is there twice");
    check(&with(&[&vec![b' '; (256 << 10) + 1]]), "has 262145 bytes, at most 262144 are read");
    check(&with(&[b""]), "is no manifest: EOF while parsing a value at line 1 column 0");
    check(&with(&[b"\xff\xfe"]), "is no manifest: expected value at line 1 column 1");
    check(&with(&[br#"{"name":"A B","version":"1","kind":"connector"}"#]), "has a name that is not 1 to 64 of a-z, 0-9, -, _ and .");
    let deep = format!(r#"{{"name":"a","version":"1","kind":"connector","later":{}"#, "[".repeat(200_000));
    let answer = upload(&story, "", &with(&[deep.as_bytes()]));
    let detail = answer.json().expect("JSON")["detail"].as_str().unwrap_or_default().to_owned();
    assert!(
        answer.status == 422 && detail.starts_with("the component is not taken: the section bulkhead:manifest is no manifest: ") && detail.len() < 400,
        "{detail}"
    );
    // Escapes for a terminal get nowhere.
    check(&with(&[b"{\"name\":\"a\",\"version\":\"1\\u001b[2J\",\"kind\":\"connector\"}"]), "has a text with control characters or of more than 1024 bytes");
    for bad in ["../1", "1/../2", "latest"] {
        let component = edited(&bare, |manifest| *manifest = json!({"name": "a", "version": bad, "kind": "connector"}));
        refused(&story, "", &component, 422, &format!("`{bad}` is no version: 1 to 64 letters, digits, `.`, `-`, `+`, `_`, beginning with a digit"));
    }
    assert_eq!(story.host.get("/livez").expect("answers").status, 200);
}

#[test]
fn h76_the_upload_endpoint_holds_its_bounds() {
    let story = Story::start("");
    let (bare, _) = without(&Made::default().build());
    // Names never become paths; they are refused all the same.
    for name in ["..%2F..%2Fetc%2Fpasswd", "..", "%2Fetc%2Fpasswd", "a%5Cb", "a%00b", "A", ""] {
        let answer = upload(&story, &format!("?name={name}&version=1.0"), &bare);
        let problem = answer.json().expect("JSON");
        assert_eq!((answer.status, problem["code"].as_str()), (422, Some("bad_name")), "{name}: {problem}");
    }
    for path in ["/..%2F..%2Fbulkhead.yaml", "/..%2Findex.json/schema", "/.%00"] {
        assert_eq!(story.host.get(&format!("{CONNECTORS}{path}")).expect("answers").status, 404, "{path}");
    }
    // A content type that is none of ours, or none.
    for headers in [&[("Content-Type", "text/plain")][..], &[("Content-Type", "application/json")], &[]] {
        let answer = Client::new(story.host.api).send("POST", CONNECTORS, headers, &bare).expect("answers");
        let detail = "an upload is `application/wasm`, or `multipart/form-data` with a part `component` and perhaps a part `signature`";
        assert_eq!((answer.status, answer.json().expect("JSON")["detail"].as_str()), (415, Some(detail)));
    }
    let multipart = |body: &str| {
        let answer =
            Client::new(story.host.api).send("POST", CONNECTORS, &[("Content-Type", "multipart/form-data; boundary=x")], body.as_bytes()).expect("answers");
        (answer.status, answer.json().expect("JSON")["detail"].as_str().unwrap_or_default().to_owned())
    };
    let part = |name: &str| format!("--x\r\ncontent-disposition: form-data; name=\"{name}\"; filename=\"../../x\"\r\n\r\nbytes\r\n");
    assert_eq!(multipart("--x--\r\n"), (400, "there is no part `component`".into()));
    assert_eq!(multipart(&format!("{}{}--x--\r\n", part("component"), part("component"))), (400, "there are two parts `component`; send one".into()));
    assert_eq!(multipart(&format!("{}--x--\r\n", part("else"))), (400, "there is a part that is neither `component` nor `signature`".into()));

    // Half an upload, then silence or the end: nothing stays.
    let mut half = TcpStream::connect(story.host.api).expect("connects");
    write!(half, "POST {CONNECTORS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/wasm\r\nContent-Length: 100000\r\n\r\n").expect("writes");
    half.write_all(&bare[..200]).expect("writes");
    wait::until("the upload begins", PATIENCE, || Ok((incoming(&story) > 0).then_some(()))).expect("begins");
    drop(half);
    wait::until("the half upload is gone", PATIENCE, || Ok((incoming(&story) == 0).then_some(()))).expect("gone");

    // The same name and version twice at once, with other bytes: one is taken.
    let (one, two) = (
        Made { name: "twin", ..Made::default() }.build(),
        edited(&Made { name: "twin", ..Made::default() }.build(), |manifest| manifest["vendor"] = "x".into()),
    );
    let statuses = std::thread::scope(|scope| {
        let story = &story;
        let sent: Vec<_> = [&one, &two].map(|bytes| scope.spawn(move || upload(story, "", bytes).status)).into_iter().collect();
        let mut statuses: Vec<u16> = sent.into_iter().map(|sent| sent.join().expect("answers")).collect();
        statuses.sort_unstable();
        statuses
    });
    assert_eq!(statuses, [201, 409]);
    assert_eq!(shown(&story, "twin")["versions"].as_array().map(Vec::len), Some(1));
}

#[test]
fn h76_without_a_token_nothing_is_taken() {
    let story = Story::listening(r#"{api: {addr: "127.0.0.1:0", tokens: [token-of-the-admin]}, http: "127.0.0.1:0"}"#, "");
    let component = Made::default().build();
    let send = |headers: &[(&str, &str)], method: &str, path: &str| {
        let headers = [&[("Content-Type", "application/wasm")][..], headers].concat();
        Client::new(story.host.api).send(method, path, &headers, &component).expect("answers")
    };
    let good = ("Authorization", "Bearer token-of-the-admin");
    let version = format!("{CONNECTORS}/made/versions/{}", made::digest(&component));
    for (method, path) in [
        ("POST", CONNECTORS),
        ("POST", format!("{version}/approve").as_str()),
        ("POST", format!("{version}/revoke").as_str()),
        ("DELETE", version.as_str()),
        ("GET", CONNECTORS),
    ] {
        for headers in [&[][..], &[("Authorization", "Bearer another")]] {
            assert_eq!(send(headers, method, path).status, 401, "{method} {path}");
        }
    }
    assert_eq!(send(&[good], "POST", CONNECTORS).status, 201);
    let uploaded = send(&[good], "GET", &version).json().expect("JSON");
    assert_eq!(uploaded["data"]["uploaded"]["by"], "token 1 of listen.api.tokens");
}

/// A thousand uploads at once: four are taken up at a time, the others hear 429, and the host answers.
#[test]
fn h76_a_thousand_uploads_at_once_are_bounded() {
    const ALL: usize = 1_000;
    let story = Story::start("");
    let component = Made::default().build();
    let before = story.host.memory().expect("readable").peak;
    let head =
        format!("POST {CONNECTORS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/wasm\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", component.len());
    let mut open: Vec<TcpStream> = (0..ALL).map(|_| TcpStream::connect(story.host.api).expect("connects")).collect();
    for stream in &mut open {
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        let _ = stream.write_all(head.as_bytes());
    }
    assert_eq!(story.host.get("/livez").expect("answers").status, 200);
    let mut counts = std::collections::BTreeMap::<u16, usize>::new();
    for stream in &mut open {
        let _ = stream.write_all(&component);
    }
    for stream in open {
        let status = bulkhead_tests::http::Connection::new(stream).response("POST").map_or(0, |answer| answer.status);
        *counts.entry(status).or_default() += 1;
    }
    let few: usize = [200, 201].iter().filter_map(|status| counts.get(status)).sum();
    assert!(few >= 1 && counts.get(&201) == Some(&1), "{counts:?}");
    // Those that were told no before they had sent everything may find the connection closed.
    let others: usize = [429, 0].iter().filter_map(|status| counts.get(status)).sum();
    assert_eq!(few + others, ALL, "{counts:?}");
    assert!(counts.get(&429).is_some_and(|busy| *busy > ALL / 2), "{counts:?}");
    let grown = story.host.memory().expect("readable").peak.saturating_sub(before);
    assert!(grown < 200 << 20, "the host's memory grew by {grown} bytes");
    wait::until("nothing is under way", PATIENCE, || Ok((incoming(&story) == 0).then_some(()))).expect("ends");
}
