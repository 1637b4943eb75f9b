use super::*;

fn manifest(text: &str, folder: &str) -> Result<Manifest, ManifestError> {
    Manifest::parse(text)?.in_folder(folder)
}

const GOOD: &str = r#"
name = "sample"
version = "1.2.3"
vendor = "Acme"
kind = "connector"
system = "Acme Log"
operations = ["deliver", "check"]
accepts = ["json"]
docs = "https://example.com"
[limits]
max_events = 10
[[wants]]
interface = "http"
name = "primary"
methods = ["POST"]
reason = "to deliver"
"#;

#[test]
fn a_manifest_ends_up_in_the_component() {
    let mut component = wasm_encoder::Component::new().finish();
    manifest(GOOD, "sample").unwrap().append(&mut component, Some(br#"{"type":"object","properties":{}}"#)).unwrap();
    let section = Parser::new(0).parse_all(&component).find_map(|payload| match payload.unwrap() {
        Payload::CustomSection(section) if section.name() == MANIFEST_SECTION => Some(section.data().to_vec()),
        _ => None,
    });
    let json: serde_json::Value = serde_json::from_slice(&section.unwrap()).unwrap();
    assert_eq!(
        json,
        serde_json::json!({
            "contract": 1, "name": "sample", "version": "1.2.3", "vendor": "Acme", "kind": "connector", "system": "Acme Log", "tested": [],
            "operations": ["deliver", "check"], "accepts": ["json"], "limits": {"max_events": 10},
            "wants": [{"interface": "http", "name": "primary", "methods": ["POST"], "reason": "to deliver"}],
            "metrics": [], "docs": "https://example.com", "config_schema": {"type": "object", "properties": {}}
        })
    );
}

#[track_caller]
fn check_refused(from: &str, to: &str, words: &str) {
    let error = manifest(&GOOD.replace(from, to), "sample").unwrap_err().to_string();
    assert!(error.contains(words), "{error}");
}

#[test]
fn faults_are_named() {
    check_refused("name = \"sample\"", "name = \"other\"", "belongs into a folder `other`");
    check_refused("kind = \"connector\"", "kind = \"formatter\"", "belongs into a folder `format-sample`");
    check_refused("\"deliver\", \"check\"", "", "`operations` is empty");
    check_refused("to deliver", " ", "has no reason");
    check_refused("max_events", "max_event", "unknown field `max_event`");
    check_refused("interface = \"http\"", "interface = \"ftp\"", "unknown variant `ftp`");
}

#[test]
fn the_schema_is_found_in_the_nested_module() {
    let mut module = wasm_encoder::Module::new();
    module.section(&CustomSection { name: SCHEMA_SECTION.into(), data: b"{}"[..].into() });
    let mut component = wasm_encoder::Component::new();
    component.section(&wasm_encoder::ModuleSection(&module));
    assert_eq!(carried_schema(&component.finish()).unwrap().as_deref(), Some(&b"{}"[..]));
    assert_eq!(carried_schema(&wasm_encoder::Component::new().finish()).unwrap(), None);
    assert!(carried_schema(b"text").is_err());
}
