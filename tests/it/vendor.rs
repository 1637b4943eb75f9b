//! Receivers that hold every request against a vendor's documented rules. A broken rule is answered as the
//! vendor answers it and noted, so that a story which ends well by retries does not hide it.

use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use bulkhead_tests::host;
use bulkhead_tests::http::Head;
use bulkhead_tests::receiver::{self, Kept, Protocol, Receiver, Script, Step};
use bulkhead_tests::skip::skip;
use serde_json::Value;

use crate::story::Story;

/// A rule that a request broke, and the vendor's answer.
pub struct Broken {
    rule: String,
    answer: Step,
}

/// Holds a rule: `answer` is what the vendor says where it is broken.
pub fn rule(kept: bool, rule: impl Into<String>, answer: impl FnOnce() -> Step) -> Result<(), Broken> {
    if kept { Ok(()) } else { Err(Broken { rule: rule.into(), answer: answer() }) }
}

/// A rule that is broken already.
pub fn broken(rule: impl Into<String>, answer: Step) -> Broken {
    Broken { rule: rule.into(), answer }
}

/// The body as JSON, or the rule that it is.
pub fn json(body: &[u8], answer: impl FnOnce() -> Step) -> Result<Value, Broken> {
    serde_json::from_slice(body).map_err(|error| Broken { rule: format!("the body is JSON: {error}"), answer: answer() })
}

pub struct Vendor<S> {
    pub receiver: Receiver,
    state: Arc<Mutex<S>>,
    broken: Arc<Mutex<Vec<String>>>,
}

impl<S: Default + Send + 'static> Vendor<S> {
    /// `rules` sees each request, what the vendor keeps, and the next step of the script where it asks for it.
    pub fn start(script: &str, rules: impl Fn(&Head, &[u8], &mut S, &mut dyn FnMut() -> Step) -> Result<Step, Broken> + Send + Sync + 'static) -> Self {
        let (state, broken) = (Arc::<Mutex<S>>::default(), Arc::<Mutex<Vec<String>>>::default());
        let (own, noted) = (Arc::clone(&state), Arc::clone(&broken));
        let protocol = Protocol::new(move |head, body, next| {
            let mut state = own.lock().unwrap_or_else(PoisonError::into_inner);
            rules(head, body, &mut state, next).unwrap_or_else(|Broken { rule, answer }| {
                noted.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{} {}: {rule}", head.method, head.path));
                answer
            })
        });
        let options = receiver::Options { keep: 10_000, protocol: Some(protocol), ..receiver::Options::default() };
        let receiver = Receiver::start(options, Script::parse(script).expect("script")).expect("starts");
        Self { receiver, state, broken }
    }

    /// Something happens at the vendor's.
    pub fn change(&self, change: impl FnOnce(&mut S)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub fn state<T>(&self, look: impl FnOnce(&S) -> T) -> T {
        look(&self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// No request broke a rule; a rule panicking within the receiver shows here too.
    #[track_caller]
    pub fn kept_the_rules(&self) {
        assert!(!self.state.is_poisoned(), "a rule panicked; its message is above");
        let broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(broken.is_empty(), "{broken:#?}");
    }

    /// Requests to this path, whatever their query.
    pub fn asked(&self, method: &str, path: &str) -> Vec<Kept> {
        self.receiver.kept().into_iter().filter(|kept| kept.head.method == method && kept.head.path.split('?').next() == Some(path)).collect()
    }
}

/// An instance with quick retries; `config` and `destination` are YAML in one line, `more` whole lines.
pub fn instance(name: &str, connector: &str, config: &str, destination: &str, more: &str) -> String {
    format!(
        "  {name}:\n    connector: {connector}\n    config: {config}\n    destinations: {{primary: {destination}}}\n    retry: {{initial: 20ms, max: 200ms, jitter: none}}\n    circuit_breaker: {{failure_threshold: 1000}}\n{more}"
    )
}

/// Dead letters as the interface lists them.
#[track_caller]
pub fn dead_letters(story: &Story) -> Vec<Value> {
    let response = story.host.get("/api/integration/dead-letters?limit=1000").expect("answers");
    assert_eq!(response.status, 200, "{}", response.text());
    response.json().expect("JSON")["data"].as_array().expect("a list").clone()
}

/// Ids and reasons of dead letters.
#[track_caller]
pub fn reasons(story: &Story) -> Vec<(String, String)> {
    let text = |letter: &Value, key: &str| letter[key].as_str().unwrap_or_default().to_owned();
    let mut reasons: Vec<_> = dead_letters(story).iter().map(|letter| (text(letter, "event_id"), text(letter, "reason"))).collect();
    reasons.sort();
    reasons
}

/// Lets a vendor's own client send to a receiver with our rules, so that the rules are the vendor's as well. The
/// script says how many requests were taken.
#[track_caller]
pub fn client(test: &str, modules: &str, script: &str, url: &str) {
    let Some(python) = crate::independent::python(modules) else {
        return skip(test, &format!("no Python with {modules}; `pip install -r tests/requirements.txt` brings them"));
    };
    let output = Command::new(python).arg(host::root().join("tests/independent").join(script)).arg(url).stdin(Stdio::null()).output().expect("runs");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("sent "), "{said}");
}

/// The wall clock in seconds, for rules about age: receivers of SaaS vendors look at theirs.
pub fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_secs()).expect("fits")
}

/// So many seconds ago, as RFC 3339 writes it.
pub fn ago(seconds: i64) -> String {
    let moment = time::OffsetDateTime::from_unix_timestamp(now() - seconds).expect("in range");
    moment.format(&time::format_description::well_known::Rfc3339).expect("RFC 3339")
}

/// A rule that is broken is answered, noted, and fails the story.
#[test]
fn a_broken_rule_fails_its_story() {
    let vendor = Vendor::<()>::start("", |head, _, (), next| {
        rule(head.path == "/right", "the right path", || Step::status(404))?;
        Ok(next())
    });
    let post = |path: &str| bulkhead_tests::http::Client::new(vendor.receiver.addr()).send("POST", path, &[], b"{}").expect("answers").status;
    assert_eq!(post("/right"), 200);
    vendor.kept_the_rules();
    assert_eq!(post("/wrong"), 404);
    let verdict = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| vendor.kept_the_rules()));
    let words = verdict.expect_err("the story fails");
    assert!(words.downcast_ref::<String>().is_some_and(|words| words.contains("POST /wrong: the right path")), "{words:?}");
}
