//! Elasticsearch and OpenSearch: the bulk API with its items, and the index template.

use std::collections::{BTreeMap, BTreeSet};

use bulkhead_tests::http::Head;
use bulkhead_tests::receiver::Step;
use serde_json::{Value, json};

use crate::story::{Story, copybook, ids};
use crate::vendor::{Broken, Vendor, instance, json as json_body, reasons, rule};

/// `http.max_content_length` of this cluster.
const MOST_BYTES: usize = 64 * 1024;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Product {
    Elasticsearch,
    OpenSearch,
}

#[derive(Default)]
struct Cluster {
    templates: BTreeMap<String, Value>,
    /// Documents by index and id.
    documents: BTreeMap<(String, String), Value>,
    /// Times that a document was there already.
    conflicts: usize,
    /// Documents that were told to come again, once each.
    busy: BTreeSet<String>,
}

fn error(status: u16, kind: &str, reason: &str) -> Value {
    json!({"error": {"root_cause": [{"type": kind, "reason": reason}], "type": kind, "reason": reason}, "status": status})
}

fn answer(product: Product, status: u16, body: &Value) -> Step {
    let product = (product == Product::Elasticsearch).then(|| ("X-elastic-product".to_owned(), "Elasticsearch".to_owned()));
    let headers = [("Content-Type".to_owned(), "application/json".to_owned())].into_iter().chain(product).collect();
    Step::Answer { status, headers, body: body.to_string() }
}

/// Elastic, "Create index API".
fn is_index(name: &str) -> bool {
    let letter = |letter: char| !letter.is_uppercase() && !letter.is_whitespace() && !"\\/*?\"<>|,#:".contains(letter);
    !name.is_empty() && name.len() <= 255 && name.chars().all(letter) && !name.starts_with(['-', '_', '+']) && name != "." && name != ".."
}

fn rules(product: Product) -> impl Fn(&Head, &[u8], &mut Cluster, &mut dyn FnMut() -> Step) -> Result<Step, Broken> {
    move |head, body, cluster, next| {
        let refuse = |status: u16, kind: &str, reason: &str| answer(product, status, &error(status, kind, reason));
        let (path, query) = head.path.split_once('?').unwrap_or((&head.path, ""));
        rule(head.headers.get("authorization") == Some("ApiKey ZXMtaWQ6ZXMta2V5"), "the key is in the header", || {
            refuse(401, "security_exception", &format!("missing authentication credentials for REST request [{path}]"))
        })?;
        if let Some(name) = path.strip_prefix("/_index_template/") {
            return template(product, head, name, query, body, cluster);
        }
        rule((head.method.as_str(), path) == ("POST", "/_bulk"), "known paths are /_bulk and /_index_template", || {
            refuse(405, "method_not_allowed", "Incorrect HTTP method for uri")
        })?;
        rule(query == "filter_path=errors,items.*.status,items.*.error.type,items.*.error.reason", "the answer is shortened to what is read", || {
            refuse(400, "illegal_argument_exception", "request contains unrecognized parameter")
        })?;
        rule(head.headers.get("content-type") == Some("application/x-ndjson"), "the content type is application/x-ndjson", || {
            refuse(406, "media_type_header_exception", "Invalid media-type value on headers [Content-Type]")
        })?;
        // Not a rule that is broken: senders find out by this answer.
        if head.headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0) > MOST_BYTES {
            return Ok(Step::answer(413, ""));
        }
        rule(body.ends_with(b"\n"), "the last line ends with a line break", || {
            refuse(400, "illegal_argument_exception", "The bulk request must be terminated by a newline [\\n]")
        })?;
        let text = std::str::from_utf8(body).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        rule(!lines.is_empty() && lines.len().is_multiple_of(2), "an action line and a source line each", || {
            refuse(400, "action_request_validation_exception", "Validation Failed: 1: no requests added;")
        })?;
        let step = next();
        if !matches!(step, Step::Accept | Step::Lose) {
            return Ok(step);
        }
        let mut items = Vec::new();
        for pair in lines.chunks(2) {
            items.push(item(product, pair[0], pair[1], step == Step::Accept, cluster)?);
        }
        let errors = items.iter().any(|item| item["create"].get("error").is_some());
        // The answer is lost on its way: all of it is done all the same.
        Ok(if step == Step::Lose { Step::Lose } else { answer(product, 200, &json!({"errors": errors, "items": items})) })
    }
}

fn template(product: Product, head: &Head, name: &str, query: &str, body: &[u8], cluster: &mut Cluster) -> Result<Step, Broken> {
    let refuse = |status: u16, kind: &str, reason: String| answer(product, status, &error(status, kind, &reason));
    if head.method == "GET" {
        return Ok(match cluster.templates.get(name) {
            Some(template) => answer(product, 200, &json!({"index_templates": [{"name": name, "index_template": template}]})),
            None => refuse(404, "resource_not_found_exception", format!("index template matching [{name}] not found")),
        });
    }
    let bad = |reason: &str| refuse(400, "illegal_argument_exception", reason.to_owned());
    rule(head.method == "PUT" && head.headers.get("content-type") == Some("application/json"), "templates are put as JSON", || bad("content type"))?;
    let body = json_body(body, || bad("not JSON"))?;
    let known = body.as_object().is_some_and(|body| body.keys().all(|key| ["index_patterns", "priority", "template"].contains(&key.as_str())));
    let settings = &body["template"]["settings"];
    rule(known && body["index_patterns"].as_array().is_some_and(|patterns| !patterns.is_empty()), "a template has patterns", || {
        bad("index patterns are missing")
    })?;
    rule(settings["number_of_shards"].is_u64() && settings["number_of_replicas"].is_u64(), "shards and replicas are numbers", || bad("settings"))?;
    if query == "create=true" && cluster.templates.contains_key(name) {
        return Ok(bad(&format!("index template [{name}] already exists")));
    }
    cluster.templates.insert(name.to_owned(), body);
    Ok(answer(product, 200, &json!({"acknowledged": true})))
}

/// One action and its document; the outcome under `create`. What is busy is so until somebody was told.
fn item(product: Product, action: &str, source: &str, told: bool, cluster: &mut Cluster) -> Result<Value, Broken> {
    let bad = || answer(product, 400, &error(400, "illegal_argument_exception", "Malformed action/metadata line"));
    let action = json_body(action.as_bytes(), bad)?;
    let source = json_body(source.as_bytes(), bad)?;
    let meta = &action["create"];
    let whole = action.as_object().is_some_and(|action| action.len() == 1) && meta.as_object().is_some_and(|meta| meta.len() == 2);
    let (index, id) = (meta["_index"].as_str().unwrap_or_default(), meta["_id"].as_str().unwrap_or_default());
    rule(whole && is_index(index) && !id.is_empty() && id.len() <= 512, "an action is `create` with index and id", bad)?;
    rule(source.is_object(), "a document is an object", bad)?;
    let failed = |status: u16, kind: &str, reason: &str| json!({"create": {"status": status, "error": {"type": kind, "reason": reason}}});
    let key = (index.to_owned(), id.to_owned());
    if cluster.documents.contains_key(&key) {
        cluster.conflicts += 1;
        return Ok(failed(409, "version_conflict_engine_exception", "[x]: version conflict, document already exists (current version [1])"));
    }
    let text = source.to_string();
    if text.contains("busy-") && (!told || cluster.busy.insert(id.to_owned())) {
        let kind = if product == Product::Elasticsearch { "es_rejected_execution_exception" } else { "rejected_execution_exception" };
        return Ok(failed(429, kind, "rejected execution of primary operation"));
    }
    if text.contains("poison-") {
        return Ok(failed(400, "document_parsing_exception", "[1:13] failed to parse field [n] of type [long] in document with id 'x'"));
    }
    cluster.documents.insert(key, source);
    Ok(json!({"create": {"status": 201}}))
}

fn story(cluster: &Vendor<Cluster>, config: &str, more: &str) -> Story {
    let destination = format!("{{url: \"{}\", methods: [POST, GET, PUT], credential: es}}", cluster.receiver.url());
    Story::start(&format!(
        "instances:\n{}credentials:\n  es: {{type: header, name: Authorization, prefix: \"ApiKey \", value: ZXMtaWQ6ZXMta2V5}}\ndefault_route: [{{instance: search, format: ecs}}]\n",
        instance("search", "elasticsearch", config, &destination, more)
    ))
}

/// Documents that mention each of `n` ids.
fn found(cluster: &Vendor<Cluster>, prefix: &str, n: usize) -> Vec<usize> {
    let text: String = cluster.state(|cluster| cluster.documents.values().map(|document| format!("{document}\n")).collect());
    ids(text.as_bytes(), prefix, n)
}

/// Lost answers, busy items and items that no attempt will help: every event ends in one document or in the
/// dead letters, at Elasticsearch and at OpenSearch.
#[test]
fn each_event_has_the_outcome_of_its_item() {
    for product in [Product::Elasticsearch, Product::OpenSearch] {
        // The first answer is lost, then the cluster is busy as a whole.
        let cluster = Vendor::start("lose;429;503", rules(product));
        let story = story(&cluster, "{index: audit, rotation: daily, gzip: true, template: {name: audit-daily, replicas: 0}}", "    concurrency: 1\n");
        story.accept("application/x-ndjson", &format!("{}{}{}", copybook("good", 40), copybook("busy", 1), copybook("poison", 1)));
        story.settled();
        cluster.kept_the_rules();
        assert_eq!((found(&cluster, "good", 40).len(), found(&cluster, "busy", 1).len(), found(&cluster, "poison", 1).len()), (40, 1, 0));
        let (documents, conflicts, indices) = cluster.state(|cluster| {
            let indices: BTreeSet<String> = cluster.documents.keys().map(|(index, _)| index.clone()).collect();
            (cluster.documents.len(), cluster.conflicts, indices)
        });
        assert_eq!((documents, indices), (41, BTreeSet::from(["audit-2026.11.02".to_owned()])));
        assert!(conflicts > 0, "what was there already, from the attempt whose answer was lost, counts as delivered");
        let alone = cluster.asked("POST", "/_bulk").iter().filter(|kept| kept.body.iter().filter(|byte| **byte == b'\n').count() == 2).count();
        assert!(alone > 0, "the busy event comes again without the others");
        let reasons = reasons(&story);
        assert_eq!(reasons.len(), 1, "{reasons:?}");
        assert_eq!(reasons[0].0, "poison-0");
        assert!(reasons[0].1.contains("document_parsing_exception: [1:13] failed to parse field [n]"), "{reasons:?}");
        // The template is there before the first event, once.
        let requests = cluster.receiver.kept();
        let steps: Vec<_> = requests.iter().take(3).map(|kept| (kept.head.method.as_str(), kept.head.path.split('?').next().unwrap_or_default())).collect();
        assert_eq!(steps, [("GET", "/_index_template/audit-daily"), ("PUT", "/_index_template/audit-daily"), ("POST", "/_bulk")]);
        assert_eq!(requests.iter().filter(|kept| kept.head.method == "PUT").count(), 1);
        let template = cluster.state(|cluster| cluster.templates["audit-daily"].clone());
        assert_eq!(template["index_patterns"], json!(["audit-*"]));
        assert_eq!(template["template"]["settings"], json!({"number_of_shards": 1, "number_of_replicas": 0, "refresh_interval": "30s"}));
        assert!(!story.host.log().contains("ZXMtaWQ6ZXMta2V5"), "the key is in the log");
    }
}

/// A cluster that takes less in one request than a batch has: halves, until they fit.
#[test]
fn batches_shrink_to_what_the_cluster_takes() {
    let cluster = Vendor::start("", rules(Product::Elasticsearch));
    let story = story(&cluster, "{index: audit}", "    batch: {max_events: 500, max_bytes: 4MiB}\n");
    story.accept("application/x-ndjson", &copybook("e", 200));
    story.settled();
    cluster.kept_the_rules();
    assert_eq!(found(&cluster, "e", 200).len(), 200);
    let sent = cluster.asked("POST", "/_bulk");
    assert!(sent.iter().any(|kept| kept.status == 413) && sent.iter().any(|kept| kept.status == 200), "some were too large, their halves were not");
}
