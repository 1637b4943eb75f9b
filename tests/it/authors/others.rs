//! Languages beside Rust, each where its toolchain is.

use super::*;

/// Where `.ci/run` puts the tool, or who runs the tests.
fn componentize_py() -> Option<PathBuf> {
    let named = std::env::var_os("BULKHEAD_COMPONENTIZE_PY").map(PathBuf::from);
    named.or_else(|| Some(root().join("target/authors-python/bin/componentize-py"))).filter(|path| path.is_file())
}

fn componentize_qjs() -> Option<PathBuf> {
    let named = std::env::var_os("BULKHEAD_COMPONENTIZE_QJS").map(PathBuf::from);
    named.or_else(|| Some(root().join("target/authors-js/node_modules/.bin/componentize-qjs"))).filter(|path| path.is_file())
}

fn python(story: &str, args: &[&str]) {
    let Some(tool) = componentize_py() else { return skip(story, "componentize-py is not installed; .ci/run does it") };
    passes("python", "BULKHEAD_COMPONENTIZE_PY", &tool, args);
}

fn js(story: &str, args: &[&str]) {
    let Some(tool) = componentize_qjs() else { return skip(story, "componentize-qjs is not installed; .ci/run does it") };
    passes("js", "BULKHEAD_COMPONENTIZE_QJS", &tool, args);
}

/// A template builds, has no more than it asks for, and passes its cases and the suite as it is.
fn passes(language: &str, variable: &str, tool: &Path, args: &[&str]) {
    let (_dir, folder) = project("acme-other", &[&["--lang", language], args].concat());
    let run = |args: &[&str]| command(binary(), &folder).args(args).env(variable, tool).output().expect("runs");
    let built = run(&["--json", "build"]);
    assert!(built.status.success(), "{}", err(&built));
    let built: Value = serde_json::from_slice(&built.stdout).expect("JSON");
    // The world has what the manifest wants, and no WASI at all.
    let imports = built["imports"].to_string();
    assert!(!imports.contains("wasi:") && !imports.contains("/tcp"), "{imports}");
    let tested = run(&["--json", "test"]);
    assert!(tested.status.success(), "{}{}", out(&tested), err(&tested));
    let report: Value = serde_json::from_slice(&tested.stdout).expect("JSON");
    assert!(report["failed"] == 0 && report["passed"].as_u64().is_some_and(|passed| passed >= 8), "{report}");
    println!("{} {}", built["name"], report["cost"]);
}

#[test]
fn a_connector_in_python() {
    python("authors::others::a_connector_in_python", &[]);
}

#[test]
fn a_connector_in_js() {
    js("authors::others::a_connector_in_js", &[]);
}

/// One template for each language in every run, all of them where there is time.
#[test]
fn formatters_in_all() {
    if std::env::var("BULKHEAD_SLOW").is_ok_and(|slow| slow == "1") {
        python("authors::others::formatters_in_all", &["--formatter"]);
        js("authors::others::formatters_in_all", &["--formatter"]);
    }
}
