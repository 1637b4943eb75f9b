//! Uploads as an operator makes them: `push`, `connector …`, while events flow.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bulkhead_tests::http::Client;
use bulkhead_tests::receiver::Receiver;
use bulkhead_tests::wait;
use serde_json::Value;

use crate::made::{self, Made, digest, edited, versioned};
use crate::story::{PATIENCE, Story, binary, copybook, ids, numbered, receiver, webhook};

fn bulkhead(args: &[&str]) -> Output {
    Command::new(binary()).args(args).output().expect("runs")
}

/// A verb against the story's host; its exit code, its answer as JSON, its words.
fn ask(story: &Story, args: &[&str]) -> (i32, Value, String) {
    let api = format!("http://{}", story.host.api);
    let output = bulkhead(&[&["--json"], args, &["--api", &api]].concat());
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    let data = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.code().unwrap_or(-1), data, words)
}

#[track_caller]
fn well(story: &Story, args: &[&str]) -> Value {
    let (code, answer, words) = ask(story, args);
    assert_eq!(code, 0, "{args:?}: {words}\n{}", story.host.log());
    assert_eq!(answer["schema_version"], 1);
    answer["data"].clone()
}

fn put(story: &Story, name: &str, bytes: &[u8]) -> PathBuf {
    let path = story.path(name);
    std::fs::write(&path, bytes).expect("written");
    path
}

#[track_caller]
fn push(story: &Story, bytes: &[u8], more: &[&str]) -> Value {
    let path = put(story, "pushed.wasm", bytes);
    well(story, &[&["push", path.to_str().expect("UTF-8")], more].concat())
}

/// One webhook instance with nothing else.
fn hook(target: &Receiver, more: &str) -> Story {
    Story::start(&format!("{more}instances:\n{}default_route: [{{instance: hook, format: jsonl}}]\n", webhook("hook", target, "    batch: {max_events: 20}\n")))
}

/// How often each of `n` events arrived.
fn arrivals(target: &Receiver, n: usize) -> Vec<u32> {
    let mut counts = vec![0; n];
    for kept in target.kept().iter().filter(|kept| kept.status == 200) {
        for id in ids(&kept.body, "e", n) {
            counts[id] += 1;
        }
    }
    counts
}

/// The same for events of many posts.
fn arrivals_of_posts(target: &Receiver, posts: usize, each: usize) -> BTreeMap<(usize, usize), u32> {
    let mut counts: BTreeMap<_, u32> = (0..posts).flat_map(|post| (0..each).map(move |n| ((post, n), 0))).collect();
    for kept in target.kept().iter().filter(|kept| kept.status == 200) {
        for id in numbered(&kept.body, 'e') {
            *counts.entry(id).or_default() += 1;
        }
    }
    counts
}

fn versions(data: &Value) -> Vec<(String, String)> {
    let text = |version: &Value, key: &str| version[key].as_str().unwrap_or_default().to_owned();
    data["versions"].as_array().into_iter().flatten().map(|version| (text(version, "version"), text(version, "state"))).collect()
}

/// Lets whoever posts end, whatever becomes of the story.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Versions are swapped, taken back and pinned while events flow: each arrives, and none twice, since what
/// was under way is let finish.
#[test]
fn versions_are_swapped_under_load_without_loss() {
    /// Never reached: it ends with the changes, however long they take.
    const MOST: usize = 9_000;
    const EACH: usize = 10;
    let target = receiver("delay=5ms*");
    let story = hook(&target, "");
    let enough = AtomicBool::new(false);
    let posts = std::thread::scope(|scope| {
        let poster = scope.spawn(|| {
            let mut posts = 0;
            while posts < MOST && !enough.load(Ordering::Relaxed) {
                story.accept("application/x-ndjson", &copybook(&format!("e{posts}"), EACH));
                posts += 1;
                std::thread::sleep(Duration::from_millis(20));
            }
            posts
        });
        let ends = Ends(&enough);
        let first = push(&story, &versioned("webhook", "7.1.0"), &[]);
        assert_eq!((first["state"].as_str(), first["instances_swapped"][0].as_str()), (Some("active"), Some("hook")), "{first}");
        let second = push(&story, &versioned("webhook", "7.2.0"), &[]);
        assert_eq!(second["state"], "active");
        let formatter = push(&story, &versioned("format-jsonl", "9.0.0"), &[]);
        assert_eq!((formatter["name"].as_str(), formatter["instances_swapped"][0].as_str()), (Some("format-jsonl"), Some("hook")));
        let back = well(&story, &["connector", "rollback", "webhook"]);
        assert_eq!(back["active"], first["digest"]);
        let active = well(&story, &["connector", "activate", "webhook", second["digest"].as_str().expect("a digest")]);
        assert_eq!(active["used_by"][0], "hook");
        assert!(!poster.is_finished(), "events flowed all the time");
        drop(ends);
        poster.join().expect("posts")
    });
    story.settled();
    let arrived = arrivals_of_posts(&target, posts, EACH);
    let of = |count: fn(u32) -> bool| arrived.iter().filter(|(_, times)| count(**times)).map(|(id, _)| *id).collect::<Vec<_>>();
    let (lost, twice) = (of(|times| times == 0), of(|times| times > 1));
    assert!(posts > 0 && lost.is_empty() && twice.is_empty(), "of {posts} posts lost {lost:?}, twice {twice:?}");

    // The same bytes again are known, other bytes under the version a conflict.
    let path = put(&story, "again.wasm", &versioned("webhook", "7.2.0"));
    assert_eq!(well(&story, &["push", path.to_str().expect("UTF-8")])["state"], "active");
    let other = edited(&versioned("webhook", "7.2.0"), |manifest| manifest["vendor"] = "someone".into());
    let path = put(&story, "other.wasm", &other);
    let (code, _, words) = ask(&story, &["push", path.to_str().expect("UTF-8")]);
    assert!(code == 1 && words.contains("`webhook` 7.2.0 is there already with other bytes"), "{code}: {words}");

    // A restart keeps the versions and which is active.
    let story = story.crash();
    let shown = well(&story, &["connector", "show", "webhook"]);
    assert_eq!(versions(&shown), [("7.1.0".to_owned(), "retired".to_owned()), ("7.2.0".into(), "active".into())]);
    assert_eq!((shown["origin"].as_str(), shown["version"].as_str()), (Some("upload"), Some("7.2.0")));
    story.accept("application/x-ndjson", &copybook("f", 3));
    story.settled();
}

/// `name@1.2` and digests pin a version; what is used is not removed.
#[test]
fn instances_pin_versions_and_digests() {
    let target = receiver("");
    let story = hook(&target, "");
    let (old, new) = (versioned("webhook", "1.2.9"), versioned("webhook", "1.2.10"));
    push(&story, &old, &[]);
    push(&story, &new, &["--no-activate"]);
    let config = |connector: &str| {
        webhook("hook", &target, "").replace("connector: webhook", &format!("connector: \"{connector}\"")).replace("  hook:", "instances:\n  hook:")
    };
    let listen = r#"{api: "127.0.0.1:0", http: "127.0.0.1:0"}"#;
    let reload = |connector: &str, said: &str| {
        let text = format!("data_dir: ./data\nlisten: {listen}\n{}default_route: [{{instance: hook, format: jsonl}}]\n", config(connector));
        std::fs::write(&story.host.spec.config, text).expect("written");
        let before = story.host.log().matches(said).count();
        story.host.signal(rustix::process::Signal::HUP).expect("sent");
        wait::until(said, PATIENCE, || Ok((story.host.log().matches(said).count() > before).then_some(())))
            .unwrap_or_else(|error| panic!("{error:#}\n{}", story.host.log()));
    };
    let user = |bytes: &[u8]| {
        let (_, answer, _) = ask(&story, &["connector", "show", "webhook"]);
        let version = answer["data"]["versions"].as_array().into_iter().flatten().find(|version| version["digest"] == digest(bytes)).cloned();
        version.is_some_and(|version| version["used_by"][0] == "hook")
    };
    assert!(user(&old), "the name means the active one");
    reload("webhook@1.2.10", r#""changed":"hook""#);
    assert!(user(&new) && !user(&old));
    // The active one fits, and comes first.
    reload("webhook@1.2", r#""changed":"hook""#);
    assert!(user(&old));
    reload(&digest(&new), r#""changed":"hook""#);
    assert!(user(&new));
    reload("webhook@3", "no approved version of `webhook` that begins with 3; there are: 1.2.9, 1.2.10");
    let (code, _, words) = ask(&story, &["connector", "remove", "webhook", &digest(&new)]);
    assert!(code == 1 && words.contains("is used by instance `hook`"), "{code}: {words}");
    let (code, _, words) = ask(&story, &["connector", "remove", "webhook", &digest(&old)]);
    assert!(code == 1 && words.contains("is the active version"), "{code}: {words}");
    reload("webhook", r#""changed":"hook""#);
    well(&story, &["connector", "remove", "webhook", &digest(&new)]);
    let (code, ..) = ask(&story, &["connector", "remove", "webhook", &digest(&new)]);
    assert_eq!(code, 5, "gone is gone");
    story.accept("application/x-ndjson", &copybook("e", 5));
    story.settled();
    assert_eq!(arrivals(&target, 5), [1; 5]);
}

#[test]
fn components_are_listed_and_described() {
    let target = receiver("");
    let story = hook(&target, "connectors_dir: ./connectors\n");
    push(&story, &Made { name: "made", version: "0.3.0", ..Made::default() }.build(), &[]);
    let get = |path: &str| story.host.get(&format!("/api/integration/connectors{path}")).expect("answers");
    // A file that is replaced is another component at the next look.
    let own = |version: &str| {
        let path = put(&story, "fresh.wasm", &Made { name: "mine", version, ..Made::default() }.build());
        std::fs::create_dir_all(story.path("connectors")).expect("a folder");
        std::fs::rename(path, story.path("connectors/mine.wasm")).expect("moved");
        well(&story, &["connector", "show", "mine"])
    };
    for version in ["0.1.0", "0.1.1"] {
        let mine = own(version);
        assert_eq!((mine["version"].as_str(), mine["origin"].as_str()), (Some(version), Some("directory")), "{mine}");
    }
    let list = get("?limit=2&offset=1").json().expect("JSON");
    assert_eq!((list["meta"]["count"].as_u64(), list["meta"]["offset"].as_u64()), (Some(2), Some(1)));
    assert!(list["links"]["next"].is_string() && list["links"]["prev"].is_string() && list["meta"]["total"].as_u64() > Some(6), "{list}");
    let all = well(&story, &["connector", "list"]);
    let find = |name: &str| all.as_array().into_iter().flatten().find(|one| one["name"] == name).cloned().unwrap_or_default();
    assert!(find("evil").is_null() && find("streams").is_null(), "guests of tests are nobody's: {all}");
    assert_eq!((find("webhook")["is_built_in"].as_bool(), find("webhook")["used_by"][0].as_str()), (Some(true), Some("hook")));
    assert_eq!(
        (find("made")["origin"].as_str(), find("made")["version"].as_str(), find("made")["kind"].as_str()),
        (Some("upload"), Some("0.3.0"), Some("connector"))
    );
    assert_eq!(get("/webhook/schema").json().expect("JSON")["data"]["schema_definition"]["type"], "object");
    let can = get("/webhook/capabilities").json().expect("JSON");
    assert!(can["data"]["reach"].to_string().contains("http: can send HTTP requests"), "{can}");
    assert_eq!(get("/nobody").status, 404);
    assert_eq!(get("/nobody/schema").status, 404);
    assert_eq!(ask(&story, &["connector", "show", "nobody"]).0, 5);
    let words = String::from_utf8_lossy(&bulkhead(&["completions", "bash"]).stdout).into_owned();
    assert!(words.contains("push") && words.contains("rollback"), "completions know the verbs");
}

fn openssl(dir: &Path, args: &[&str]) {
    let output = Command::new("openssl").current_dir(dir).args(args).output().expect("openssl runs");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Signatures made by openssl, with the key in a PEM file: what is signed is taken, everything else is not.
#[test]
fn only_signed_uploads_are_taken_where_that_is_asked() {
    if Command::new("openssl").arg("version").output().is_err() {
        return bulkhead_tests::skip::skip("only_signed_uploads_are_taken_where_that_is_asked", "there is no openssl");
    }
    let keys = tempfile::TempDir::new().expect("a folder");
    for name in ["key", "stranger"] {
        openssl(keys.path(), &["genpkey", "-algorithm", "ed25519", "-out", &format!("{name}.pem")]);
    }
    openssl(keys.path(), &["pkey", "-in", "key.pem", "-pubout", "-out", "public.pem"]);
    let sign = |key: &str, bytes: &[u8]| {
        std::fs::write(keys.path().join("in.wasm"), bytes).expect("written");
        openssl(keys.path(), &["pkeyutl", "-sign", "-rawin", "-inkey", key, "-in", "in.wasm", "-out", "out.sig"]);
        keys.path().join("out.sig")
    };
    let target = receiver("");
    let upload = format!("upload: {{require_signed: true, keys: [\"{}\"]}}\n", keys.path().join("public.pem").display());
    let story = hook(&target, &upload);
    let component = versioned("webhook", "2.0.0");
    let path = put(&story, "c.wasm", &component);
    let path = path.to_str().expect("UTF-8");

    let (code, _, words) = ask(&story, &["push", path]);
    assert!(code == 4 && words.contains("the component is not signed, and `upload.require_signed` is on"), "{code}: {words}");
    let stranger = sign("stranger.pem", &component);
    let (code, _, words) = ask(&story, &["push", path, "--sig", stranger.to_str().expect("UTF-8")]);
    assert!(code == 4 && words.contains("the signature does not fit the component under any of the 1 keys in `upload.keys`"), "{code}: {words}");
    let other = sign("key.pem", &versioned("webhook", "2.0.1"));
    assert_eq!(ask(&story, &["push", path, "--sig", other.to_str().expect("UTF-8")]).0, 4, "another component's signature");
    let good = sign("key.pem", &component);
    let taken = well(&story, &["push", path, "--sig", good.to_str().expect("UTF-8")]);
    assert_eq!((taken["state"].as_str(), taken["signature"]["state"].as_str()), (Some("active"), Some("verified")), "{taken}");
    // As multipart, with the signature as a part of its own.
    let second = versioned("webhook", "2.1.0");
    let signature = std::fs::read(sign("key.pem", &second)).expect("signed");
    let part = |name: &str, bytes: &[u8]| {
        [format!("--x\r\ncontent-disposition: form-data; name=\"{name}\"; filename=\"f\"\r\n\r\n").as_bytes(), bytes, b"\r\n"].concat()
    };
    let body = [part("component", &second), part("signature", &signature), b"--x--\r\n".to_vec()].concat();
    let answer = Client::new(story.host.api)
        .send("POST", "/api/integration/connectors", &[("Content-Type", "multipart/form-data; boundary=x")], &body)
        .expect("answers");
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(answer.json().expect("JSON")["data"]["signature"]["state"], "verified");
    story.accept("application/x-ndjson", &copybook("e", 3));
    story.settled();
    assert_eq!(arrivals(&target, 3), [1; 3]);
    // A key that is taken out opens nothing at the next start, although it did when the upload came.
    let stranger = keys.path().join("stranger.public.pem");
    openssl(keys.path(), &["pkey", "-in", "stranger.pem", "-pubout", "-out", "stranger.public.pem"]);
    let mut story = story;
    story.host.terminate(PATIENCE).expect("stops");
    let config = std::fs::read_to_string(&story.host.spec.config).expect("a configuration");
    let other = config.replace(&keys.path().join("public.pem").display().to_string(), &stranger.display().to_string());
    assert_ne!(other, config);
    std::fs::write(&story.host.spec.config, &other).expect("written");
    let config_path = story.host.spec.config.to_str().expect("UTF-8").to_owned();
    for verb in ["validate", "serve"] {
        // Where the host runs: `data_dir` is relative.
        let output = Command::new(binary()).current_dir(story.dir.path()).args([verb, "--config", &config_path]).output().expect("runs");
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        let said =
            format!("component `webhook` {} is not used: the signature does not fit the component under any of the 1 keys in `upload.keys`", digest(&second));
        assert!(output.status.code() == Some(78) && words.contains(&said), "{verb}: {:?} {words}", output.status);
    }
    std::fs::write(&story.host.spec.config, config).expect("written");
    let story = story.crash();
    story.accept("application/x-ndjson", &copybook("f", 2));
    story.settled();
    // A private key, no key, or a file that is none is said when the configuration is read.
    for (keys, said) in [
        (format!("[\"{}\"]", keys.path().join("key.pem").display()), "this is a private key"),
        ("[]".to_owned(), "signatures are required, and `keys` names no key"),
        ("[/nowhere.pem]".to_owned(), "cannot read the key file"),
        ("[\"ed25519:AAAA\"]".to_owned(), "not an ed25519 public key"),
    ] {
        let config = put(&story, "bad.yaml", format!("upload: {{require_signed: true, keys: {keys}}}\n").as_bytes());
        let output = bulkhead(&["validate", "--config", config.to_str().expect("UTF-8")]);
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(78) && words.contains(said), "{words}");
    }
}

/// A component without a manifest gets its name from who pushes it.
#[test]
fn a_component_without_a_manifest_is_named_by_the_push() {
    let story = Story::start("");
    let (bare, _) = made::without(&Made::default().build());
    let path = put(&story, "bare.wasm", &bare);
    let path = path.to_str().expect("UTF-8");
    let (code, _, words) = ask(&story, &["push", path]);
    assert!(code == 78 && words.contains("the component has no manifest, so it has no name and version"), "{code}: {words}");
    let taken = well(&story, &["push", path, "--name", "bare", "--version", "0.1"]);
    assert_eq!((taken["name"].as_str(), taken["version"].as_str(), taken["state"].as_str()), (Some("bare"), Some("0.1"), Some("active")));
}

/// A name is an address: what is put there must have it, and all of it goes at once, unless somebody uses it.
#[test]
fn a_component_is_put_and_deleted_under_its_name() {
    let target = receiver("");
    let story = hook(&target, "connectors_dir: ./connectors\n");
    let call = |method: &str, id: &str, bytes: &[u8]| {
        let headers = [("Content-Type", "application/wasm")];
        let answer = Client::new(story.host.api).limit(PATIENCE).send(method, &format!("/api/integration/connectors/{id}"), &headers, bytes).expect("answers");
        let problem = answer.json().ok().map(|answer| answer["code"].as_str().unwrap_or_default().to_owned());
        (answer.status, problem.unwrap_or_default(), answer.text())
    };
    let made = |version: &'static str| Made { name: "made", version, ..Made::default() }.build();
    assert_eq!(call("PUT", "made", &made("0.1.0")).0, 201);
    assert_eq!(call("PUT", "made", &made("0.2.0")).0, 201);
    assert_eq!(call("PUT", "made", &made("0.2.0")).0, 200, "known");
    let other = call("PUT", "other", &made("0.3.0"));
    assert!(other.0 == 422 && other.1 == "other_name" && other.2.contains("the component is `made`"), "{other:?}");
    let shown = well(&story, &["connector", "show", "made"]);
    assert_eq!(versions(&shown).len(), 2, "{shown}");
    // One without a manifest gets the name of its place.
    let (bare, _) = made::without(&Made { name: "bare", ..Made::default() }.build());
    assert_eq!(call("PUT", "bare?version=1.0", &bare).0, 201);
    well(&story, &["connector", "remove", "bare"]);

    // By name and version, by digest, and all that is left.
    assert_eq!(call("DELETE", "made@0.1.0", b"").0, 204);
    assert_eq!(call("DELETE", "made@0.1.0", b"").0, 404);
    assert_eq!(call("DELETE", &digest(&made("0.2.0")), b"").1, "in_use", "the active version");
    assert_eq!(call("DELETE", "made", b"").0, 204);
    assert_eq!((call("GET", "made", b"").0, call("DELETE", "made", b"").0), (404, 404));
    assert!(
        std::fs::read_dir(story.path("data/registry"))
            .expect("a folder")
            .filter_map(Result::ok)
            .all(|file| !file.file_name().to_string_lossy().ends_with(".wasm"))
    );

    // What comes with the host stays, and so does what is used.
    let built_in = call("DELETE", "webhook", b"");
    assert!(built_in.0 == 409 && built_in.1 == "not_uploaded" && built_in.2.contains("comes with the host"), "{built_in:?}");
    push(&story, &versioned("webhook", "7.1.0"), &[]);
    let used = call("DELETE", "webhook", b"");
    assert!(used.0 == 409 && used.1 == "in_use" && used.2.contains("instance `hook`"), "{used:?}");
    let (code, _, words) = ask(&story, &["connector", "remove", "webhook"]);
    assert!(code == 1 && words.contains("instance `hook`"), "{code}: {words}");
    well(&story, &["connector", "rollback", "webhook"]);
    well(&story, &["connector", "remove", "webhook"]);
    story.accept("application/x-ndjson", &copybook("e", 3));
    story.settled();
    assert_eq!(arrivals(&target, 3), [1; 3]);
}

/// Bytes, versions and names have an end, and each says which and what to do.
#[test]
fn the_registry_is_full_in_three_ways() {
    let bytes = |name: &str, version: &str| Made { name, version, ..Made::default() }.build();
    let mut story = Story::start("connectors_dir: ./connectors\nupload: {disk: 1MiB}\n");
    let first = bytes("made", "1.0.0");
    push(&story, &first, &[]);
    let full = |story: &Story, bytes: &[u8], detail: &str| {
        let answer = Client::new(story.host.api).send("POST", "/api/integration/connectors", &[("Content-Type", "application/wasm")], bytes).expect("answers");
        let problem = answer.json().expect("a problem document");
        assert_eq!((answer.status, problem["code"].as_str(), problem["detail"].as_str()), (507, Some("registry_full"), Some(detail)));
        let path = put(story, "full.wasm", bytes);
        let (code, _, words) = ask(story, &["push", path.to_str().expect("UTF-8")]);
        assert!(code == 1 && words.contains(detail), "{code}: {words}");
    };
    // A section that nobody reads makes it large.
    let mut large = bytes("made", "1.1.0");
    let padding = vec![b'x'; 1 << 20];
    let mut custom = vec![7];
    custom.extend(b"padding");
    custom.extend(&padding);
    large.push(0);
    let mut size = custom.len();
    while size >= 0x80 {
        large.push((size & 0x7f) as u8 | 0x80);
        size >>= 7;
    }
    large.push(size as u8);
    large.extend(custom);
    full(
        &story,
        &large,
        &format!(
            "the registry holds {} bytes and the upload has {}, more than `upload.disk` (1048576 bytes); remove versions that are not used, or raise it",
            first.len(),
            large.len()
        ),
    );
    // As many versions, then as many names, as it keeps.
    story.host.terminate(PATIENCE).expect("stops");
    let path = story.path("data/registry/index.json");
    let index: Value = serde_json::from_slice(&std::fs::read(&path).expect("an index")).expect("JSON");
    let mut many = index.clone();
    let version = index["names"]["made"]["versions"][0].clone();
    for at in 1..64 {
        let mut copy = version.clone();
        (copy["version"], copy["digest"]) = (format!("0.0.{at}").into(), format!("sha256:{at:064x}").into());
        many["names"]["made"]["versions"].as_array_mut().expect("a list").push(copy);
    }
    std::fs::write(&path, many.to_string()).expect("written");
    let mut story = story.crash();
    full(&story, &bytes("made", "1.2.0"), "the registry has 64 versions of `made`, the most it keeps; remove one that is not used");
    story.host.terminate(PATIENCE).expect("stops");
    let mut many = index;
    for at in 1..1_024 {
        let mut copy = many["names"]["made"].clone();
        (copy["versions"], copy["active"]) = (Value::Array(Vec::new()), Value::Null);
        many["names"][format!("name{at}")] = copy;
    }
    std::fs::write(&path, many.to_string()).expect("written");
    let story = story.crash();
    full(&story, &bytes("more", "1.0.0"), "the registry has 1024 names, the most it keeps; remove one that is not used");
    // Room is made by removing; what runs is not in the way.
    push(&story, &bytes("made", "1.2.0"), &[]);
    well(&story, &["connector", "remove", "made", &digest(&first)]);
}

/// Bytes that do not come: the place is free again after `upload.idle`, and nothing is kept.
#[test]
fn slow_uploads_end() {
    use std::io::Write as _;
    let story = Story::start("upload: {idle: 1s}\n");
    let bytes = Made::default().build();
    let mut slow = std::net::TcpStream::connect(story.host.api).expect("connects");
    slow.set_read_timeout(Some(PATIENCE)).expect("set");
    write!(slow, "POST /api/integration/connectors HTTP/1.1\r\nHost: x\r\nContent-Type: application/wasm\r\nContent-Length: {}\r\n\r\n", bytes.len())
        .expect("writes");
    slow.write_all(&bytes[..100]).expect("writes");
    let answer = bulkhead_tests::http::Connection::new(slow).response("POST").expect("answers");
    let problem = answer.json().expect("a problem document");
    let detail = "the upload did not come in time; nothing of it is kept";
    assert_eq!((answer.status, problem["code"].as_str(), problem["detail"].as_str()), (408, Some("too_slow"), Some(detail)));
    assert_eq!(std::fs::read_dir(story.path("data/registry/incoming")).expect("a folder").count(), 0);
    push(&story, &bytes, &[]);
}
