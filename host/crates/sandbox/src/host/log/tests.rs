use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

impl LogSink for Lines {
    fn line(&self, instance: &str, component: &str, level: Level, text: &str) {
        self.0.lock().expect("lock").push(format!("{instance} {component} {level:?} {text}"));
    }
}

#[derive(Default)]
struct Hand(AtomicU64);

impl Clock for Hand {
    fn unix_nanos(&self) -> u64 {
        0
    }
    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

fn log(lines: &Arc<Lines>, clock: &Arc<Hand>, secrets: &[&[u8]]) -> (GuestLog, IntCounter) {
    let cut = IntCounter::new("cut", "cut").expect("counter");
    let redactor = Arc::new(Redactor::new(secrets.iter().copied()));
    let watch = Watch::new(Arc::default(), bulkhead_observe::Metrics::new().guest("siem", "evil"), Arc::clone(clock) as _);
    let shared = InstanceLog::new("siem", "evil", Arc::clone(lines) as _, redactor, Arc::clone(clock) as _, cut.clone(), watch.into());
    (GuestLog::new(Arc::new(shared)), cut)
}

#[test]
fn what_a_terminal_would_obey_is_escaped() {
    let none = Redactor::default();
    for (text, want) in [
        ("plain é 漢", "plain é 漢"),
        ("a\nb\r\nc\td", "a\\nb\\r\\nc\\td"),
        ("\u{1b}[31mred\u{7}", "\\u{1b}[31mred\\u{7}"),
        ("nul\0", "nul\\u{0}"),
        ("c1\u{9b}31m", "c1\\u{9b}31m"),
        ("\u{202e}evil\u{2066}", "\\u{202e}evil\\u{2066}"),
        ("line\u{2028}sep", "line\\u{2028}sep"),
    ] {
        assert_eq!(clean(text, 1_024, &none), want);
    }
    assert_eq!(clean(&"a".repeat(20), 10, &none), format!("{}…", "a".repeat(10)));
    assert_eq!(clean("ééééé", 5, &none), "éé…");
}

#[test]
fn a_secret_on_the_edge_of_the_cut_is_found() {
    let redactor = Redactor::new([&b"hunter2-secret"[..]]);
    for lead in 0..20 {
        let text = format!("{}hunter2-secret and more text that goes on", "x".repeat(lead));
        let out = clean(&text, 18, &redactor);
        assert!(!out.contains("hunt"), "{out}");
    }
}

#[test]
fn lines_calls_and_seconds_are_bounded_and_counted() {
    let (lines, clock) = (Arc::new(Lines::default()), Arc::new(Hand::default()));
    let (log, cut) = log(&lines, &clock, &[b"hunter2-secret"]);
    log.begin();
    for i in 0..150 {
        log.write(Level::Info, &format!("line {i} hunter2-secret"));
    }
    log.end();
    let got = std::mem::take(&mut *lines.0.lock().expect("lock"));
    assert_eq!(got.len(), 101);
    assert_eq!(got[0], "siem evil Level::Info line 0 [redacted]");
    assert!(got[100].starts_with("siem evil Level::Warn 50 log lines of one call were cut"), "{}", got[100]);
    assert_eq!(cut.get(), 50);

    // A second later there is room for a hundred again; this call runs into its 64 KiB.
    clock.0.store(1_000, Ordering::Relaxed);
    log.begin();
    for _ in 0..80 {
        log.write(Level::Warn, &"y".repeat(5_000));
    }
    log.end();
    let got = std::mem::take(&mut *lines.0.lock().expect("lock"));
    assert_eq!(got.len(), 65);
    assert!(got[0].len() < 1_100, "{}", got[0].len());
    assert_eq!(cut.get(), 50 + 80);
}

/// H60 for the log: lines full of secrets, some of which came up only now, cut at every place.
#[test]
fn a_flood_of_secrets_is_redacted_line_by_line() {
    let (lines, clock) = (Arc::new(Lines::default()), Arc::new(Hand::default()));
    let issued = Arc::new(crate::egress::redact::Issued::default());
    let redactor = Arc::new(Redactor::new([&b"hunter2-fixed"[..]]).following(Arc::clone(&issued)));
    let cut = IntCounter::new("cut", "cut").expect("counter");
    let watch = Watch::new(Arc::default(), bulkhead_observe::Metrics::new().guest("siem", "evil"), Arc::clone(&clock) as _);
    let shared = InstanceLog::new("siem", "evil", Arc::clone(&lines) as _, redactor, Arc::clone(&clock) as _, cut, watch.into());
    let log = GuestLog::new(Arc::new(shared));
    let mut written = 0;
    for call in 0..100_u64 {
        clock.0.store(call * 1_000, Ordering::Relaxed);
        issued.learn(&[format!("hunter2-token-{call:03}").as_bytes()]);
        log.begin();
        for lead in 0..100 {
            let token = format!("hunter2-token-{:03}", call.saturating_sub(lead % 3));
            let text =
                format!("{} {token} aHVudGVyMi1maXhlZA {} hunter2-fixed\n{token}", "x".repeat(usize::try_from(lead).expect("short") * 11), "y".repeat(900));
            log.write(Level::Info, &text);
        }
        log.end();
        for line in std::mem::take(&mut *lines.0.lock().expect("lock")) {
            assert!(!line.contains("hunt") && !line.contains("aHVud"), "{line}");
            assert!(line.len() < 1_200, "{} bytes", line.len());
            written += 1;
        }
    }
    assert!(written > 5_000, "{written} lines");
}
