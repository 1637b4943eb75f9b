//! The whole way in Rust.

use super::*;

/// The commands of a page, in order, as a shell runs them.
fn commands(page: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(page)).expect("the page is there");
    let mut commands = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        if line.starts_with("```") {
            inside = line == "```console";
        } else if inside {
            commands.push(line.strip_prefix("$ ").expect("a command a line").to_owned());
        }
    }
    commands
}

/// The code blocks in Rust of a page.
fn code(page: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(page)).expect("the page is there");
    text.split("```rust\n").skip(1).map(|rest| rest.split("```").next().expect("closed").to_owned()).collect()
}

const PAGE: &str = "docs/authors/first-connector.md";

/// Every command of the tutorial, in an empty folder, its change to the source included; in the end it runs in a host.
#[test]
fn the_tutorial_holds() {
    if !rust_is_here("authors::journey::the_tutorial_holds") {
        return;
    }
    let hook = receiver("");
    let story = Story::start(&format!("instances:\n{}default_route: [{{instance: hook, format: jsonl}}]\n", webhook("hook", &hook, "")));
    let dir = TempDir::new().expect("a folder");
    let commands = commands(PAGE);
    assert!(commands.len() >= 12, "{commands:?}");
    let [setting, header] = &code(PAGE)[..] else { panic!("the page has two pieces of code") };
    let change = commands.iter().rposition(|command| command == "bulkhead build").expect("it is built after the change");
    let mut script = String::from("set -eu\n");
    for (place, command) in commands.iter().enumerate() {
        if place == change {
            // The reader's part.
            script.push_str("python3 - <<'EDIT'\nfrom pathlib import Path\np = Path('src/lib.rs')\ns = p.read_text()\n");
            script.push_str(&format!("s = s.replace('    gzip: bool,\\n', '    gzip: bool,\\n' + {setting:?}, 1)\n"));
            script.push_str(&format!("old = '            .header(\"content-type\", &self.content_type)\\n'\nassert old in s\ns = s.replace(old, old + {header:?}, 1)\np.write_text(s)\nEDIT\n"));
        }
        script.push_str(&format!("echo '== {}'\n{command}\n", command.replace('\'', "")));
    }
    let output = self::command("sh", dir.path()).args(["-c", &script]).env("BULKHEAD_API_URL", format!("http://{}", story.host.api)).output().expect("runs");
    let said = out(&output);
    assert!(output.status.success(), "{said}\n{}", err(&output));
    for part in [
        "send HTTP requests to destinations that you name and grant",
        "0 failed",
        "units of fuel",
        "outcome   accepted",
        "after the 7 s",
        "x-tenant: blue",
        "acme-siem 0.1.0",
    ] {
        assert!(said.contains(part), "{part} is missing in:\n{said}\n{}", err(&output));
    }
    assert!(said.contains("authorization: Bearer ********") && !said.contains("dev-only-secret"), "{said}");
    let size = fs::metadata(dir.path().join("acme-siem/dist/acme-siem.wasm")).expect("built").len();
    assert!(size < 150 << 10, "{size} bytes");
}

/// The formatter template; the connector's is the tutorial's.
#[test]
fn a_formatter_passes_as_it_is() {
    if !rust_is_here("authors::journey::a_formatter_passes_as_it_is") {
        return;
    }
    let sdk = root().join("sdk/rust");
    let (_dir, folder) = project("acme-lines", &["--lang", "rust", "--formatter", "--sdk", sdk.to_str().expect("UTF-8")]);
    assert!(!folder.join("vendor").exists(), "the SDK is the checkout's");
    let built = json(&folder, &["build"]);
    assert_eq!((built["artefact"].as_str(), built["kind"].as_str()), (Some("./dist/format-acme-lines.wasm"), Some("formatter")));
    let report = json(&folder, &["test"]);
    assert_eq!(report["failed"], 0, "{report}");
    let call = json(&folder, &["dev", "--once"]);
    assert_eq!(call["outcomes"][0], "formatted", "{call}");
    let tests = command("cargo", &folder).args(["test", "--quiet"]).output().expect("runs");
    assert!(tests.status.success(), "{}{}", out(&tests), err(&tests));
}

/// A process whose lines are kept; killed when dropped.
struct Running {
    child: Child,
    lines: Arc<Mutex<String>>,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
        let lines = Arc::new(Mutex::new(String::new()));
        let keep = |stream: Box<dyn std::io::Read + Send>| {
            let lines = Arc::clone(&lines);
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
                    lines.push_str(&line);
                    lines.push('\n');
                }
            });
        };
        keep(Box::new(child.stdout.take().expect("piped")));
        keep(Box::new(child.stderr.take().expect("piped")));
        Self { child, lines }
    }

    #[track_caller]
    fn says(&self, part: &str) {
        let said = || self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone();
        wait::until(part, BUILD, || Ok(said().contains(part).then_some(()))).unwrap_or_else(|error| panic!("{error:#}\n{}", said()));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn dev_builds_again_and_keeps_the_last_good_version() {
    if !rust_is_here("authors::journey::dev_builds_again_and_keeps_the_last_good_version") {
        return;
    }
    let (_dir, folder) = project("acme-dev", &[]);
    let mut dev = command(binary(), &folder);
    dev.args(["dev", "--fault", "503"]);
    let dev = Running::start(dev);
    dev.says("== call 1, fault: 503 ==");
    dev.says("the call failed as a whole: unavailable: the receiver answered 503");
    let source = folder.join("src/lib.rs");
    edit(&source, "fn deliver", "fn deliver!");
    dev.says("the last version that works goes on: sha256:");
    edit(&source, "fn deliver!", "fn deliver");
    dev.says("== call 2, fault: 503 ==");
    edit(&source, "http::post(", "http::request(\"PUT\", ");
    edit(&folder.join("connector.toml"), "\"POST\"", "\"PUT\"");
    dev.says("  - http primary: method POST");
    dev.says("  + http primary: method PUT");
    dev.says("waits for somebody to approve it");
    dev.says("request   PUT /in");
}

/// Presses keys on a terminal, each once what stands before it was said.
const PRESS: &str = r#"
import os, pty, sys
program, said, keys = sys.argv[1], b"", [(b"== call 1, fault: none ==", b"f"), (b"== call 2, fault: 429 with Retry-After ==", b"r"), (b"== call 3, fault: 429 with Retry-After ==", b"p"), (b"no more than when `dev` began", b"q")]
pid, terminal = pty.fork()
if pid == 0:
    os.execv(program, [program, "dev"])
while True:
    try:
        part = os.read(terminal, 4096)
    except OSError:
        break
    if not part:
        break
    said += part
    while keys and keys[0][0] in said:
        os.write(terminal, keys.pop(0)[1])
_, status = os.waitpid(pid, 0)
sys.stdout.buffer.write(said)
sys.exit(os.waitstatus_to_exitcode(status) if not keys else 99)
"#;

#[test]
fn dev_takes_keys_on_a_terminal() {
    if !rust_is_here("authors::journey::dev_takes_keys_on_a_terminal") {
        return;
    }
    let (_dir, folder) = project("acme-keys", &[]);
    let output = command("timeout", &folder).args(["300", "python3", "-c", PRESS]).arg(binary()).output().expect("runs");
    assert!(output.status.success(), "{}{}", out(&output), err(&output));
    assert!(out(&output).contains("keys: r  the last call again"), "{}", out(&output));
}
