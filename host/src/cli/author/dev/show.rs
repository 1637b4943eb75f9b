//! A call as people read it, or as JSON.

use bulkhead_conformance::trial::{Setting, Trial};
use serde_json::json;

use crate::cli::author::clean;
use crate::cli::failure::print;
use crate::cli::{Failure, Output};

pub fn trial(number: u64, fault: &str, setting: &Setting, trial: &Trial, output: Output) -> Result<(), Failure> {
    match output {
        Output::Json => print(json!({
            "schema_version": 1, "call": number, "fault": fault, "events": setting.events, "records": trial.records, "outcomes": trial.outcomes,
            "exchanges": trial.exchanges.iter().map(|exchange| json!({
                "method": exchange.method, "path": exchange.path, "body": exchange.body, "status": exchange.status,
                "headers": exchange.headers.iter().map(|(name, value)| json!([name, value])).collect::<Vec<_>>(),
            })).collect::<Vec<_>>(),
            "streams": trial.streams, "log": trial.log,
            "fuel": trial.fuel, "guest_nanoseconds": trial.guest.as_nanos() as u64, "wall_nanoseconds": trial.wall.as_nanos() as u64, "memory_bytes": trial.memory,
        })),
        Output::Text => print(clean(&as_text(number, fault, setting, trial))),
    }
}

fn as_text(number: u64, fault: &str, setting: &Setting, trial: &Trial) -> String {
    let mut text = format!("\n== call {number}, fault: {fault} ==\n");
    let mut put = |label: &str, value: &str| {
        for (place, line) in value.trim_end().split('\n').enumerate() {
            text.push_str(&format!("{:<9} {line}\n", if place == 0 { label } else { "" }));
        }
    };
    setting.events.iter().for_each(|event| put("event", event));
    trial.records.iter().for_each(|record| put("record", record));
    for exchange in &trial.exchanges {
        put("request", &format!("{} {}", exchange.method, exchange.path));
        exchange.headers.iter().for_each(|(name, value)| put("", &format!("{name}: {value}")));
        if !exchange.body.is_empty() {
            put("body", &exchange.body);
        }
        put("answer", &if exchange.status == 0 { "none".to_owned() } else { exchange.status.to_string() });
    }
    trial.streams.iter().for_each(|bytes| put("stream", bytes));
    trial.outcomes.iter().for_each(|outcome| put("outcome", outcome));
    trial.log.iter().for_each(|line| put("log", line));
    let millis = |time: std::time::Duration| time.as_secs_f64() * 1e3;
    put(
        "cost",
        &format!(
            "{} units of fuel, {:.3} ms in the guest, {:.1} ms in all, {} KiB of memory",
            trial.fuel,
            millis(trial.guest),
            millis(trial.wall),
            trial.memory >> 10
        ),
    );
    text
}
