//! Prints what one event costs on its way from a body to the stored form, for each shape:
//! `cargo run --release -p bulkhead-ingest --example normalise_speed [part of a shape's name]`.

use std::hint::black_box;
use std::time::Instant;

use bulkhead_ingest::{Bounds, Media, Normaliser, Rules, read_events};
use bulkhead_journal::AppendBatch;

const COPYBOOK: &str = r#"{"event_id":"audit-0001-6f2c","timestamp":"2026-11-20T08:42:58.123456789Z","event_type":"SecurityEvent","severity":"High","integrity_hash":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08","payload":{"security_event_type":"UnauthorizedAccess","affected_resources":["/data/ledger.cpy","/data/accounts.cpy"]},"context":{"operation_id":"op-77","user":"j.doe","started_at":"2026-11-20T08:42:57Z","environment":{"hostname":"mf-01","process_id":4711,"system_arch":"x86_64","version":"0.3.1","command_line":"copybook parse"},"security":{"classification":"MaterialTransaction"},"compliance_profiles":["SOX"],"metadata":{"team":"blue"}}}"#;
const PLAIN: &str = r#"{"event_type":"login","level":"warn","user":"ann","hostname":"web-1","message":"three failed attempts in a row","attempts":3}"#;
const CLOUDEVENT: &str = r#"{"specversion":"1.0","id":"e-1","source":"/siem/prod","type":"com.example.alert","time":"2026-11-20T08:42:58Z","severity":"high","user":"ann","partitionkey":"k1","datacontenttype":"application/json","data":{"count":120,"rule":"geo"}}"#;

fn main() {
    let wanted = std::env::args().nth(1).unwrap_or_default();
    for (name, event) in [("copybook", COPYBOOK), ("plain, id and time assigned", PLAIN), ("cloudevents", CLOUDEVENT)] {
        if !name.contains(&wanted) {
            continue;
        }
        let body = format!("[{}]", vec![event; 100].join(","));
        let mut normaliser = Normaliser::new(Rules::default());
        let best = (0..2_000)
            .map(|_| {
                let mut batch = AppendBatch::with_capacity(body.len() * 2, 100);
                let start = Instant::now();
                let summary = read_events(&mut normaliser, &Media::Json, black_box(body.as_bytes()), 1, Bounds { events: 1_000 }, &mut batch);
                assert!(summary.is_ok_and(|summary| summary.faulty == 0));
                start.elapsed()
            })
            .min();
        println!("{name:<30} {:>5} bytes {:>7.0} ns an event", event.len(), best.unwrap_or_default().as_nanos() as f64 / 100.0);
    }
}
