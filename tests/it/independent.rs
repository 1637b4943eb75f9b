//! Parsers that others wrote read what we write: CEF by `pycef` and the field dictionary of `cefevent`,
//! CloudEvents by the CloudEvents SDK for Python, XML by expat, syslog by `syslog-rfc5424-parser`. Versions are pinned in `tests/requirements.txt`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use bulkhead_tests::host;
use bulkhead_tests::skip::skip;

use crate::story::{Story, file};

/// A Python with the packages: `BULKHEAD_PYTHON`, the one `.ci/run` sets up, or the system's.
fn python(modules: &str) -> Option<PathBuf> {
    let known = [std::env::var_os("BULKHEAD_PYTHON").map(PathBuf::from), Some(host::root().join("target/python/bin/python")), Some(PathBuf::from("python3"))];
    known
        .into_iter()
        .flatten()
        .find(|python| Command::new(python).args(["-c", &format!("import {modules}")]).output().is_ok_and(|output| output.status.success()))
}

/// `format` is a formatter with its configuration, in YAML.
fn check(test: &str, modules: &str, script: &str, format: &str) {
    let Some(python) = python(modules) else {
        return skip(test, &format!("no Python with {modules}; `pip install -r tests/requirements.txt` brings them"));
    };
    let story = Story::start(&format!("formatters:\n  own: {format}\ninstances:\n{}default_route: [{{instance: all, format: own}}]\n", file("all")));
    let mut posted = 0;
    for name in ["copybook", "intelliguard", "datavault", "cloudevents", "plain"] {
        let text = fs::read_to_string(host::root().join("examples/events").join(name).with_extension("ndjson")).expect("samples are committed");
        posted += text.lines().count();
        story.accept("application/x-ndjson", &text);
    }
    story.settled();
    let output = Command::new(python)
        .arg(host::root().join("tests/independent").join(script))
        .arg(story.path("out/all.ndjson"))
        .arg(host::root().join("examples/events"))
        .arg(posted.to_string())
        .output()
        .expect("runs");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    // The script says how many it read: a parser that saw nothing proves nothing.
    assert!(said.contains(&format!("read {posted} ")), "{said}");
}

#[test]
fn cef_is_read_by_others() {
    check("independent::cef_is_read_by_others", "pycef, cefevent", "check_cef.py", "{formatter: cef}");
}

#[test]
fn cloudevents_are_read_by_their_sdk() {
    check("independent::cloudevents_are_read_by_their_sdk", "cloudevents.core.formats.json", "check_cloudevents.py", "{formatter: cloudevents}");
}

#[test]
fn xml_is_read_by_others() {
    check("independent::xml_is_read_by_others", "xml.etree.ElementTree", "check_xml.py", "{formatter: xml, config: {data: elements}}");
}

#[test]
fn syslog_is_read_by_others() {
    check("independent::syslog_is_read_by_others", "syslog_rfc5424_parser", "check_syslog.py", "{formatter: syslog, config: {message: data}}");
}
