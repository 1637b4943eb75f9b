//! OTLP/HTTP: what a receiver got is read by the classes of the OpenTelemetry project, in both encodings; a
//! request that is taken in part ends as the operator chose.

use std::fs;
use std::process::Command;

use bulkhead_tests::host;
use bulkhead_tests::receiver::{Receiver, Script, Step};
use bulkhead_tests::skip::skip;

use crate::independent::python;
use crate::story::{Story, copybook, receiver};

fn instance(name: &str, receiver: &Receiver, config: &str) -> String {
    format!(
        "  {name}:\n    connector: otlp\n    config: {{{config}}}\n    destinations: {{primary: {{url: \"{}\", methods: [POST]}}}}\n    retry: {{initial: 20ms, max: 200ms, jitter: none}}\n",
        receiver.url()
    )
}

#[test]
fn log_records_are_read_by_others() {
    let test = "otlp::log_records_are_read_by_others";
    let modules = "opentelemetry.proto.collector.logs.v1.logs_service_pb2";
    let Some(python) = python(modules) else {
        return skip(test, &format!("no Python with {modules}; `pip install -r tests/requirements.txt` brings it"));
    };
    let receiver = receiver("");
    let resource = "resource: {service.name: audit}, resource_fields: {host.name: /host}";
    let story = Story::start(&format!(
        "formatters:\n  otlp-pb: {{formatter: otlp, config: {{encoding: protobuf}}}}\ninstances:\n{}{}default_route: [{{instance: text, format: otlp}}, {{instance: binary, format: otlp-pb}}]\n",
        instance("text", &receiver, resource),
        instance("binary", &receiver, &format!("{resource}, gzip: true")),
    ));
    let mut posted = 0;
    for name in ["copybook", "intelliguard", "datavault", "cloudevents", "plain"] {
        let text = fs::read_to_string(host::root().join("examples/events").join(name).with_extension("ndjson")).expect("samples are committed");
        posted += text.lines().count();
        story.accept("application/x-ndjson", &text);
    }
    let scrape = story.settled();
    assert_eq!(scrape.sum("bulkhead_lane_rejected_total", &[]), 0.0, "{}", story.host.log());
    let folder = story.path("requests");
    fs::create_dir(&folder).expect("a folder");
    for (i, kept) in receiver.kept().iter().enumerate() {
        assert_eq!(kept.head.path, "/v1/logs");
        let (extension, gzip) = match kept.head.headers.get("content-type") {
            Some("application/json") => ("json", None),
            Some("application/x-protobuf") => ("pb", Some("gzip")),
            other => panic!("{other:?}"),
        };
        assert_eq!(kept.head.headers.get("content-encoding"), gzip);
        fs::write(folder.join(format!("{i}.{extension}")), &kept.body).expect("written");
    }
    let script = host::root().join("tests/independent/check_otlp.py");
    let output = Command::new(python).arg(script).arg(&folder).arg(host::root().join("examples/events")).arg(posted.to_string()).output().expect("runs");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains(&format!("read {posted} ")), "{said}");
}

#[test]
fn a_request_taken_in_part_ends_as_the_operator_chose() {
    let partial = || {
        let body = r#"{"partialSuccess":{"rejectedLogRecords":"2","errorMessage":"older than the retention"}}"#;
        Step::Answer { status: 200, headers: vec![("Content-Type".to_owned(), "application/json".to_owned())], body: body.to_owned() }
    };
    let (careful, careless) = (receiver(""), receiver(""));
    careful.play(Script::new([partial()]));
    careless.play(Script::new([partial()]));
    let story = Story::start(&format!(
        "instances:\n{}{}default_route: [{{instance: careful, format: otlp}}, {{instance: careless, format: otlp}}]\n",
        instance("careful", &careful, ""),
        instance("careless", &careless, "partial_success: accept"),
    ));
    story.accept("application/x-ndjson", &copybook("e", 5));
    let scrape = story.settled();
    assert_eq!(scrape.sum("bulkhead_lane_rejected_total", &[("instance", "careful")]), 5.0);
    assert_eq!(scrape.sum("bulkhead_lane_rejected_total", &[("instance", "careless")]), 0.0);
    assert_eq!(scrape.sum("bulkhead_guest_otlp_records_rejected_total", &[]), 4.0);
    let letters = story.host.get("/api/integration/dead-letters?limit=10").expect("answers").text();
    assert!(letters.contains("the receiver rejected 2 of 5 log records, it does not say which: older than the retention"), "{letters}");
    // Neither was sent a second time.
    assert_eq!((careful.kept().len(), careless.kept().len()), (1, 1));
}
