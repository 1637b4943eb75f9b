//! Languages beside Rust, each where its toolchain is: the commands of the page about them, in an empty folder.

use super::*;

const PAGE: &str = "docs/authors/languages.md";

/// Where `.ci/run` puts the tool, or who runs the tests.
fn tool(variable: &'static str, place: &str) -> Option<(&'static str, PathBuf)> {
    let named = std::env::var_os(variable).map(PathBuf::from);
    named.or_else(|| Some(root().join("target").join(place))).filter(|path| path.is_file()).map(|path| (variable, path))
}

/// What a language needs, as variables for its builds; `None` and a skip where it is not here.
fn tools(story: &str, language: &str) -> Option<Vec<(&'static str, PathBuf)>> {
    let js = |name: &str| format!("authors-js/node_modules/.bin/{name}");
    let found = match language {
        "python" => tool("BULKHEAD_COMPONENTIZE_PY", "authors-python/bin/componentize-py").map(|tool| vec![tool]),
        "js" => tool("BULKHEAD_COMPONENTIZE_QJS", &js("componentize-qjs")).map(|tool| vec![tool]),
        "ts" => ["componentize-qjs", "esbuild", "tsc"]
            .into_iter()
            .zip(["BULKHEAD_COMPONENTIZE_QJS", "BULKHEAD_ESBUILD", "BULKHEAD_TSC"])
            .map(|(name, variable)| tool(variable, &js(name)))
            .collect(),
        "c" | "rust" => {
            let dir = TempDir::new().expect("a folder");
            bulkhead(dir.path(), &["doctor", "--lang", language]).status.success().then(Vec::new)
        }
        other => panic!("no language {other}"),
    };
    if found.is_none() {
        skip(story, &format!("what builds {language} is not installed; .ci/run does it"));
    }
    found
}

/// The commands of a section of the page, those left out that bring tools: they are on the machine.
fn commands(section: &str) -> Vec<String> {
    let page = fs::read_to_string(root().join(PAGE)).expect("the page is there");
    let text = page.split("\n## ").find_map(|part| part.strip_prefix(&format!("{section}\n"))).unwrap_or_else(|| panic!("{PAGE} has no section {section}"));
    let block = text.split("```console\n").nth(1).and_then(|rest| rest.split("```").next()).expect("commands");
    let brings = ["apt-get ", "npm ", "python3 -m venv", ".venv/bin/pip", "rustup "];
    block
        .lines()
        .map(|line| line.strip_prefix("$ ").expect("a command a line").to_owned())
        .filter(|line| !brings.iter().any(|word| line.starts_with(word)))
        .collect()
}

/// Runs a section; answers the component that was built, and what was said.
#[track_caller]
fn walk(section: &str, tools: &[(&str, PathBuf)]) -> (TempDir, PathBuf, String) {
    let dir = TempDir::new().expect("a folder");
    let commands = commands(section);
    let name = commands[0].split(' ').nth(2).expect("a name").to_owned();
    let script = commands.iter().fold("set -eu\n".to_owned(), |script, command| format!("{script}{command}\n"));
    let output = command("sh", dir.path()).args(["-c", &script]).envs(tools.iter().cloned()).output().expect("runs");
    let said = out(&output);
    assert!(output.status.success(), "{said}{}", err(&output));
    for part in ["It can:", "send HTTP requests to destinations", " 0 failed", "units of fuel", "outcome   accepted"] {
        assert!(said.contains(part), "{part} is missing in:\n{said}");
    }
    assert!(said.contains("authorization: Bearer ********") && !said.contains("dev-only-secret"), "{said}");
    let wasm = dir.path().join(&name).join("dist").join(format!("{name}.wasm"));
    (dir, wasm, said)
}

/// A component has no more than it asks for: no WASI at all.
#[track_caller]
fn lean(wasm: &Path) {
    let found = json(wasm.parent().expect("a folder"), &["inspect", wasm.to_str().expect("UTF-8")]);
    let imports = found["imports"].to_string();
    assert!(!imports.contains("wasi:") && !imports.contains("/tcp"), "{imports}");
    assert_eq!(found["contradictions"], serde_json::json!([]), "{found}");
}

#[test]
fn a_connector_in_python() {
    let Some(tools) = tools("authors::others::a_connector_in_python", "python") else { return };
    lean(&walk("Python", &tools).1);
}

#[test]
fn a_connector_in_js() {
    let Some(tools) = tools("authors::others::a_connector_in_js", "js") else { return };
    lean(&walk("JavaScript", &tools).1);
}

#[test]
fn a_connector_in_typescript() {
    let Some(tools) = tools("authors::others::a_connector_in_typescript", "ts") else { return };
    let (dir, wasm, _) = walk("TypeScript", &tools);
    lean(&wasm);
    // Types are looked at, and what is wrong is said where it stands; there is no component of it.
    let folder = dir.path().join("acme-ts");
    edit(&folder.join("app.ts"), "maxEvents = 500", "maxEvents = 'many'");
    let built = command(binary(), &folder).arg("build").envs(tools.iter().cloned()).output().expect("runs");
    assert_eq!(built.status.code(), Some(1));
    assert!(err(&built).contains("app.ts(") && err(&built).contains("maxEvents") && err(&built).contains("build.failed"), "{}", err(&built));
    edit(&folder.join("app.ts"), "maxEvents = 'many'", "maxEvents = 500");
    // A package of npm goes into the module.
    let package = folder.join("node_modules/shout");
    fs::create_dir_all(&package).expect("made");
    fs::write(package.join("package.json"), r#"{"name":"shout","main":"index.js","types":"index.d.ts"}"#).expect("written");
    fs::write(package.join("index.js"), "export const shout = (text) => text.toUpperCase();\n").expect("written");
    fs::write(package.join("index.d.ts"), "export function shout(text: string): string;\n").expect("written");
    edit(&folder.join("app.ts"), "import { outcome,", "import { shout } from 'shout';\nimport { outcome,");
    edit(&folder.join("app.ts"), "request('POST', path,", "request(shout('post'), path,");
    let run = |args: &[&str]| command(binary(), &folder).args(args).envs(tools.iter().cloned()).output().expect("runs");
    let built = run(&["build"]);
    assert!(built.status.success(), "{}", err(&built));
    let tested = run(&["test", "--only", "case::"]);
    assert!(tested.status.success(), "{}{}", out(&tested), err(&tested));
    assert!(!folder.join("dist/.app.js").exists(), "what is between goes again");
}

/// Built, tested, wrong in some ways, and at work in a host.
#[test]
fn a_connector_in_c() {
    let Some(tools) = tools("authors::others::a_connector_in_c", "c") else { return };
    let (dir, wasm, _) = walk("C", &tools);
    lean(&wasm);
    let size = fs::metadata(&wasm).expect("built").len();
    assert!(size < 100 << 10, "{size} bytes");
    // In a host, as a component of the operator's folder.
    let hook = receiver("");
    let config = format!(
        "connectors_dir: {}\ninstances:\n  hook:\n    connector: acme-c\n    config: {{path: /in}}\n    destinations:\n      primary: {{url: {:?}, methods: [POST, GET]}}\ndefault_route: [{{instance: hook, format: jsonl}}]\n",
        wasm.parent().expect("a folder").display(),
        hook.url()
    );
    let story = Story::start(&config);
    story.accept("application/json", r#"{"id":"c-1","type":"login"}"#);
    wait::until("the delivery", Duration::from_secs(30), || Ok((!hook.kept().is_empty()).then_some(()))).expect("arrives");
    assert!(String::from_utf8_lossy(&hook.kept()[0].body).contains("\"id\":\"c-1\""));
    // What is wrong is said in our words, by the name of what is wrong; the old component stays.
    let folder = dir.path().join("acme-c");
    let source = folder.join("connector.c");
    let before = fs::read(&wasm).expect("there");
    let build = || bulkhead(&folder, &["build"]);
    edit(&source, "(void)attempt;", "(void)attempt; wrong");
    let output = build();
    assert!(output.status.code() == Some(1) && err(&output).contains("connector.c:") && err(&output).contains("build.failed"), "{}", err(&output));
    edit(&source, "(void)attempt; wrong", "(void)attempt; (void)clock();");
    edit(&source, "#include <string.h>", "#include <string.h>\n#include <time.h>");
    edit(&folder.join("compile_flags.txt"), "-O3", "-O3\n-D_WASI_EMULATED_PROCESS_CLOCKS");
    edit(&source, "(void)clock()", "(void)time(0)");
    let output = build();
    assert!(output.status.code() == Some(78) && err(&output).contains("build.no_component") && err(&output).contains("clock_time_get"), "{}", err(&output));
    edit(&source, "(void)time(0)", "(void)0");
    edit(&folder.join("connector.toml"), "interface = \"http\"", "interface = \"state\"");
    let output = build();
    assert!(output.status.code() == Some(78) && err(&output).contains("`interface = \"http\"`"), "{}", err(&output));
    assert_eq!(fs::read(&wasm).expect("there"), before);
    edit(&folder.join("connector.toml"), "interface = \"state\"", "interface = \"http\"");
    // `printf` and a text that is no UTF-8 are lines of the log.
    edit(&source, "(void)0;", "printf(\"hello %d \\xff\\n\", 7);");
    edit(&source, "#include <time.h>", "#include <stdio.h>");
    let call = json(&folder, &["dev", "--once"]);
    assert!(call["log"].to_string().contains("hello 7 ?"), "{call}");
    // A machine without any of it.
    let output = command(binary(), &folder).arg("build").env("PATH", "/nowhere").output().expect("runs");
    assert!(output.status.code() == Some(1) && err(&output).contains("`apt-get install clang`"), "{}", err(&output));
}

/// A language that has no template is refused with what there is.
#[test]
fn go_is_refused_in_words() {
    let dir = TempDir::new().expect("a folder");
    for args in [["new", "acme", "--lang", "go"], ["doctor", "--lang", "golang", "--json"]] {
        let output = bulkhead(dir.path(), &args);
        assert_eq!(output.status.code(), Some(2), "{}", err(&output));
        assert!(err(&output).contains("new.language") && err(&output).contains("TinyGo") && err(&output).contains("bulkhead test FILE"), "{}", err(&output));
    }
    assert_eq!(fs::read_dir(dir.path()).expect("there").count(), 0);
}

/// The same small CEF-like formatter in each language says the same, whole event or fields. In every run those that
/// build in a moment; all of them where there is time.
#[test]
fn formatters_in_all() {
    let slow = std::env::var("BULKHEAD_SLOW").is_ok_and(|slow| slow == "1");
    let languages: &[&str] = if slow { &["c", "js", "ts", "python", "rust"] } else { &["c", "js", "ts"] };
    for language in languages {
        let Some(tools) = tools("authors::others::formatters_in_all", language) else { continue };
        let (_dir, folder) = project("acme-cef", &["--lang", language, "--formatter"]);
        let run = |args: &[&str]| command(binary(), &folder).args(args).envs(tools.iter().cloned()).output().expect("runs");
        let passes = || {
            for args in [["--json", "build"], ["--json", "test"]] {
                let output = run(&args);
                assert!(output.status.success(), "{language}: {}{}", out(&output), err(&output));
            }
        };
        // As it is; where there is time.
        if slow {
            passes();
        }
        let examples = root().join("sdk/examples/cef");
        let (name, place) = match *language {
            "c" => ("formatter.c", "formatter.c"),
            "js" => ("app.js", "app.js"),
            "ts" => ("app.ts", "app.ts"),
            "python" => ("app.py", "app.py"),
            _ => ("lib.rs", "src/lib.rs"),
        };
        let text = fs::read_to_string(examples.join(name)).expect("there").replace("{{name}}", "acme-cef");
        fs::write(folder.join(place), text).expect("written");
        fs::copy(examples.join("config.schema.json"), folder.join("config.schema.json")).expect("copied");
        fs::remove_dir_all(folder.join("cases")).expect("removed");
        fs::create_dir(folder.join("cases")).expect("made");
        for case in ["fields.toml", "whole.toml"] {
            fs::copy(examples.join("cases").join(case), folder.join("cases").join(case)).expect("copied");
        }
        passes();
    }
}
