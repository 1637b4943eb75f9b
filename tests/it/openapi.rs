//! The OpenAPI document, as a fuzzing client of others reads it: whatever it makes up, no answer is a 500, none is
//! one that the document does not know, and the host goes on.

use std::path::PathBuf;
use std::process::Command;

use bulkhead_tests::host;
use bulkhead_tests::skip::skip;
use serde_json::{Value, json};

use crate::story::{Story, copybook, file, hec, receiver};

/// Requests for each endpoint and phase; with `BULKHEAD_FUZZ` more.
const EXAMPLES: &str = "25";
/// What it looks at. Whether a well-formed request is also a possible one only the host can say, so that is left out.
const CHECKS: &str =
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance,unsupported_method";

/// A Python with the client, in an environment of its own: `.ci/run` makes it.
fn client() -> Option<PathBuf> {
    let known =
        [std::env::var_os("BULKHEAD_FUZZING_CLIENT").map(PathBuf::from), Some(host::root().join("target/openapi/bin/python")), Some(PathBuf::from("python3"))];
    known.into_iter().flatten().find(|python| Command::new(python).args(["-c", "import schemathesis"]).output().is_ok_and(|output| output.status.success()))
}

#[test]
fn a_fuzzing_client_gets_no_answer_that_the_document_does_not_know() {
    let Some(python) = client() else {
        return skip(
            "openapi::a_fuzzing_client_gets_no_answer_that_the_document_does_not_know",
            "no Python with schemathesis; `tests/independent/openapi/requirements.txt` brings it",
        );
    };
    let down = receiver("400*");
    let story = Story::start(&format!(
        "encryption: {{key: 'qZ3v8mT1xK5hB7nW2cR9dF4gJ6lP0sYuEoAiUwXzQtM='}}\ninstances:\n{}{}default_route: [{{instance: siem, format: cef}}]\n",
        file("out"),
        hec("siem", &down, "")
    ));
    // Something to find: dead letters, receipts, an entry.
    story.accept("application/x-ndjson", &copybook("e", 5));
    story.settled();
    let mut client = bulkhead_tests::http::Client::new(story.host.api);
    let formatter = json!({"name": "mine", "definition": {"formatter": "cef"}}).to_string();
    let made = client.send("POST", "/api/integration/formatters", &[("Content-Type", "application/json")], formatter.as_bytes()).expect("answers");
    assert_eq!(made.status, 201, "{}", made.text());

    let examples = std::env::var("BULKHEAD_FUZZ").unwrap_or_else(|_| EXAMPLES.into());
    let output = Command::new(python)
        .args(["-c", "from schemathesis.cli import schemathesis; schemathesis()", "run", &format!("http://{}/api/openapi.json", story.host.api)])
        .args(["--checks", CHECKS, "--phases", "fuzzing", "--max-examples", &examples, "--seed", "7", "--workers", "1"])
        // A stream has no end that could be waited for; `tap` has stories of its own.
        .args(["--exclude-path", "/api/integration/tap"])
        .args(["--request-timeout", "20", "--generation-database", "none", "--no-color", "--warnings", "off"])
        .current_dir(story.dir.path())
        .env_remove("HTTP_PROXY")
        .output()
        .expect("runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(!story.host.log().contains("panicked"), "{}", story.host.log());
    // It goes on, and nothing was lost on the way.
    let health: Value = story.host.get("/api/integration/health").expect("answers").json().expect("JSON");
    assert_eq!(health["journal"]["status"], "healthy", "{health}");
    story.accept("application/x-ndjson", &copybook("after", 5));
}
