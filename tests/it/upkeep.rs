//! What a connector is called for beside events, through the binary: upkeep while it is idle, and its
//! leave at a reload, at retirement and at the end.

use std::fs;

use rustix::process::Signal;

use crate::guests::{ACCEPT, Connector, LOG};
use crate::story::{PATIENCE, Story, copybook};

/// Its maintenance is due every 200 ms; it says in the log what it is called for.
fn keeper() -> Vec<u8> {
    let say = |at: u32| format!("(call $log (i32.const 1) (i32.const {at}) (i32.const 8))");
    let again =
        "(i32.store8 (i32.const 4304) (i32.const 0)) (i32.store8 (i32.const 4312) (i32.const 1)) (i32.store (i32.const 4316) (i32.const 200)) (i32.const 4304)";
    let (maintain, close) = (format!("{} {again}", say(1200)), say(1210));
    let extra = r#"(data (i32.const 1200) "upkeep!!") (data (i32.const 1210) "goodbye!")"#;
    Connector { imports: LOG, extra, deliver: ACCEPT, maintain: &maintain, close: &close, ..Connector::default() }.build()
}

fn config(max_calls: u32) -> String {
    format!(
        "connectors_dir: ./connectors\ninstances:\n  keeper: {{connector: keeper, concurrency: 1, max_calls: {max_calls}}}\ndefault_route: [{{instance: keeper, format: json}}]\n"
    )
}

fn said(story: &Story, what: &str) -> usize {
    story.host.log().matches(what).count()
}

#[test]
fn idle_connectors_are_maintained_and_take_leave() {
    let dir = tempfile::TempDir::new().expect("a folder");
    fs::create_dir(dir.path().join("connectors")).expect("a folder");
    fs::write(dir.path().join("connectors/keeper.wasm"), keeper()).expect("written");
    let listen = r#"{api: "127.0.0.1:0", http: "127.0.0.1:0"}"#;
    let spec = crate::story::spec(dir.path(), listen, &config(100));
    let host = bulkhead_tests::host::Host::start(spec).expect("the host starts");
    let mut story = Story { dir, host };
    let calls = |scrape: &bulkhead_tests::prom::Scrape, call: &str| scrape.sum("bulkhead_guest_calls_total", &[("instance", "keeper"), ("call", call)]);

    story.accept("application/x-ndjson", &copybook("e", 1));
    story.settled();
    let scrape = story.when("an idle connector is maintained again and again", |scrape| calls(scrape, "maintain") >= 4.0);
    // The guest that the configuration was tried on has gone already.
    assert_eq!((calls(&scrape, "deliver"), calls(&scrape, "close"), said(&story, "goodbye!")), (1.0, 1.0, 1));
    assert!(said(&story, "upkeep!!") >= 4);

    // Another configuration: the old guest goes with a word, the new one retires after every call.
    fs::write(story.path("bulkhead.yaml"), format!("data_dir: ./data\nlisten: {listen}\n{}", config(1))).expect("written");
    story.host.signal(Signal::HUP).expect("sent");
    story.when("the old one has taken leave", |scrape| calls(scrape, "close") >= 3.0);
    for round in 0..3 {
        story.accept("application/x-ndjson", &copybook(&format!("r{round}"), 1));
        story.settled();
    }
    story.when("two of three have retired", |scrape| calls(scrape, "close") >= 5.0);
    story.host.terminate(PATIENCE).expect("ends");
    assert_eq!(
        said(&story, "goodbye!"),
        6,
        "one at each try of the configuration, one at the reload, two at retirement, one at the end:\n{}",
        story.host.log()
    );
}
