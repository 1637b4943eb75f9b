//! Prints how fast the scanner validates and a projection extracts, on one audit event of 600 bytes:
//! `cargo run --release -p bulkhead-core --example scan_speed`.

use std::hint::black_box;
use std::time::Instant;

use bulkhead_core::json::{Group, Ignore, Limits, Scanner};
use bulkhead_core::{Attr, EventBuilder, EventRef, Kind, Projection, Shape};

const EVENT: &str = r#"{"event_id":"audit-0001-6f2c","timestamp":"2026-11-20T08:42:58.123456789Z","event_type":"SecurityEvent","severity":"High","integrity_hash":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08","payload":{"security_event_type":"UnauthorizedAccess","affected_resources":["/data/ledger.cpy","/data/accounts.cpy"]},"context":{"operation_id":"op-77","user":"j.doe","started_at":"2026-11-20T08:42:57Z","environment":{"hostname":"mf-01","process_id":4711,"system_arch":"x86_64","version":"0.3.1","command_line":"copybook parse"},"security":{"classification":"MaterialTransaction"},"compliance_profiles":["SOX"],"metadata":{"team":"blue"}}}"#;

fn time(name: &str, bytes: usize, mut run: impl FnMut()) {
    const ROUNDS: u32 = 200_000;
    let best = (0..7).map(|_| {
        let start = Instant::now();
        (0..ROUNDS).for_each(|_| run());
        start.elapsed()
    });
    let nanos = best.min().unwrap_or_default().as_nanos() as f64 / f64::from(ROUNDS);
    println!("{name:<40} {nanos:>8.1} ns  {:>6.0} MB/s", bytes as f64 / nanos * 1000.0);
}

fn main() {
    let text = EVENT.as_bytes();
    let mut scanner = Scanner::new(Limits::default());
    time("utf-8", text.len(), || assert!(std::str::from_utf8(black_box(text)).is_ok()));
    time("validate", text.len(), || assert!(scanner.value(black_box(text), 0, Group::NONE, &mut Ignore).is_ok()));
    let mut builder = EventBuilder::new();
    builder.start();
    builder.span(Attr::Data, Kind::Object, 0..text.len());
    builder.text(Attr::Id, "audit-0001-6f2c");
    let mut stored = Vec::new();
    assert!(builder.finish(Shape::Copybook, None, 0, text, &mut stored).is_ok());
    let cef = [
        "/id",
        "/type",
        "/time",
        "/severity",
        "/user",
        "/host",
        "/process",
        "/data/payload/security_event_type",
        "/data/payload/affected_resources",
        "/data/context/environment/version",
        "/data/context/security/classification",
        "/compliance",
        "/integrityhash",
        "/previoushash",
        "/data/payload/field_count",
        "/data/payload/copybook_path",
    ];
    for fields in [&cef[..], &["/id", "/data/event_type"], &["/original"]] {
        let fields: Vec<String> = fields.iter().map(|field| (*field).to_owned()).collect();
        let Ok(projection) = Projection::parse(&fields) else { return };
        let (mut block, mut spans) = (Vec::new(), Vec::new());
        time(&format!("extract {} fields", fields.len()), text.len(), || {
            block.clear();
            spans.clear();
            if let Ok(event) = EventRef::new(black_box(&stored)) {
                projection.extract(&event, &mut block, &mut spans);
            }
        });
    }
}
