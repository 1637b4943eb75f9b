use std::time::{Duration, Instant};

use super::*;
use crate::cli::top::frame::{Look, Size, frame, plain};

/// A host with two instances, so many events further on.
fn sample(at: Instant, events: u64) -> Sample {
    let lane = |instance: &str, format: &str, delivered: u64, backlog: u64, breaker: &str, error: Option<&str>| {
        json!({
            "instance": instance, "format": format, "delivered": delivered, "retried": 0, "rejected": delivered / 10, "backlog": backlog,
            "oldest_seconds": 90.0, "in_flight": 2, "retrying": 1, "breaker": breaker, "held": null, "last_error": error.map(|text| json!({"text": text})),
        })
    };
    let health = json!({
        "status": "degraded", "version": "1.0", "journal": {"head": events, "bytes": 3 << 20}, "dead_letters": {"letters": 7},
        "lanes": [
            lane("archive", "json", events, 0, "closed", None),
            lane("siem", "cef", events / 2, 12_345, "open", Some("no route\u{1b}[31m")),
            lane("siem", "json", 0, 5, "closed", None),
        ],
    });
    let slow = events / 2;
    let metrics = format!(
        "# TYPE bulkhead_guest_fuel_total counter\nbulkhead_guest_fuel_total{{component=\"hec\",instance=\"siem\"}} {}\n\
         bulkhead_guest_fuel_total{{component=\"format-cef\",instance=\"siem\"}} {}\nbulkhead_guest_memory_bytes{{component=\"hec\",instance=\"siem\"}} 2097152\n\
         bulkhead_guest_cpu_seconds_total{{component=\"hec\",instance=\"siem\",share=\"guest\"}} {}\n\
         bulkhead_lane_delivery_seconds_bucket{{format=\"cef\",instance=\"siem\",le=\"0.01\"}} {}\n\
         bulkhead_lane_delivery_seconds_bucket{{format=\"cef\",instance=\"siem\",le=\"0.1\"}} {slow}\n\
         bulkhead_lane_delivery_seconds_bucket{{format=\"cef\",instance=\"siem\",le=\"+Inf\"}} {slow}\n",
        events * 1_000,
        events * 500,
        events as f64 / 10_000.0,
        slow * 9 / 10,
    );
    Sample::read(&health, Some(&metrics), at)
}

fn view() -> View {
    let begin = Instant::now();
    let mut view = View::new(Sort::Name);
    view.take(sample(begin, 1_000));
    view.take(sample(begin + Duration::from_secs(2), 3_000));
    view
}

#[test]
fn rates_are_over_the_time_between_two_looks() {
    let view = view();
    assert_eq!((view.totals.seconds, view.totals.accepted, view.totals.delivered, view.totals.backlog), (2.0, 1_000.0, 1_500.0, 12_350));
    let siem = &view.rows[1];
    assert_eq!((siem.name.as_str(), siem.delivered, siem.rejected, siem.backlog, siem.state.as_str()), ("siem", 500.0, 50.0, 12_350, "open"));
    assert_eq!((siem.p50, siem.p99), (Some(0.01), Some(0.1)));
    assert_eq!((siem.fuel, siem.memory), (Some(1_500_000.0), Some(2_097_152.0)));
    assert!(siem.cpu.is_some_and(|cpu| (cpu - 0.1).abs() < 1e-9), "{:?}", siem.cpu);
    assert_eq!((view.rows[0].fuel, view.rows[0].p99), (None, None));
    let json = view.json();
    assert_eq!((&json["schema_version"], &json["instances"][1]["lanes"][0]["latency_p99_ms"]), (&json!(1), &json!(100.0)), "{json:#}");
}

#[test]
fn a_host_that_began_anew_counts_from_nothing() {
    let mut view = view();
    let later = view.last.as_ref().expect("a look").at + Duration::from_secs(1);
    view.take(sample(later, 100));
    assert_eq!((view.totals.accepted, view.rows[1].delivered, view.rows[1].fuel), (100.0, 50.0, Some(0.0)));
}

#[test]
fn a_frame_fits_the_screen_and_steers_no_terminal() {
    let mut view = view();
    for size in [Size { columns: 140, rows: 24 }, Size { columns: 40, rows: 8 }, Size { columns: 10, rows: 3 }, Size { columns: 1, rows: 1 }] {
        for _ in 0..3 {
            let lines = frame(&view, size);
            assert!(lines.len() <= size.rows && lines.iter().all(|line| line.text.chars().count() <= size.columns), "{size:?}: {lines:#?}");
            assert!(lines.iter().all(|line| !line.text.contains('\u{1b}')), "{lines:#?}");
            view.press(Key::Down);
        }
    }
    let lines = frame(&view, Size { columns: 140, rows: 24 });
    let text: Vec<&str> = lines.iter().map(|line| line.text.trim_end()).collect();
    assert!(text[0].starts_with("bulkhead 1.0  degraded  in 1000/s  out 1500/s  dead 150/s  backlog 12.3k  dead letters 7  journal 3.0MiB"), "{text:#?}");
    assert!(text[3].starts_with("INSTANCE") && text[4].starts_with("archive") && text[5].starts_with("siem"), "{text:#?}");
    assert_eq!((lines[5].look, lines[4].look), (Look::Selected, Look::Plain));
    assert!(text.iter().any(|line| line.starts_with("    last error: no route")) && text[23].starts_with("q quit"), "{text:#?}");
    assert!(text.contains(&"lanes of siem"), "{text:#?}");
    let file = plain(&view);
    assert!(file.iter().any(|line| line.starts_with("  cef")) && file.len() == 4 + 2 + 3, "{file:#?}");
}

#[test]
fn keys_sort_pause_and_select_and_the_selection_goes_with_its_name() {
    let mut view = view();
    view.press(Key::Down);
    assert_eq!(view.selected(), 1);
    for sort in [Sort::Delivered, Sort::Backlog] {
        view.press(Key::Sort);
        assert_eq!(view.sort, sort);
    }
    // By backlog the siem is first, and selected still.
    assert_eq!((view.rows[0].name.as_str(), view.selected()), ("siem", 0));
    view.press(Key::Last);
    assert_eq!(view.selected(), 1);
    view.press(Key::Pause);
    assert!(view.paused && frame(&view, Size { columns: 140, rows: 24 }).last().is_some_and(|line| line.text.contains("by backlog   paused")));
    view.lost("nobody is there".to_owned());
    assert!(frame(&view, Size { columns: 140, rows: 24 })[1].text.contains("no answer: nobody is there"));
}
