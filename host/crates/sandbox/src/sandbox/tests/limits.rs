//! Each row of the table is hit by a guest: the words of the refusal, the counter, and where a limit can
//! be counted only, that it lets pass and counts.

use super::*;
use crate::limits::{CountOnly, TABLE};

/// How a guest runs into a limit, and what is seen of it.
enum Case {
    /// A call ends in this fault.
    Fault(Formatter, &'static [(&'static str, &'static str)], &'static str),
    /// The component is refused before it runs.
    Refused(Formatter, &'static [(&'static str, &'static str)], &'static str),
    /// The connector hears of it, or loses what is too much; perhaps `answer` holds the words.
    Told { guest: Connector, values: &'static [(&'static str, &'static str)], calls: usize, records: &'static [u8], answer: &'static str },
    /// Another test hits it.
    Elsewhere,
}

const LOOP_LOG: &str = "(local.set 9 (i32.const 20)) (loop $l (call $log (i32.const 1) (i32.const 1024) (i32.const 11)) \
                        (local.set 9 (i32.sub (local.get 9) (i32.const 1))) (br_if $l (local.get 9)))";

fn formatter(format: &'static str) -> Formatter {
    Formatter { format, ..Formatter::default() }
}

fn logs(values: &'static [(&'static str, &'static str)]) -> Case {
    let deliver: &'static str = format!("{LOOP_LOG} {ACCEPT}").leak();
    Case::Told { guest: Connector { imports: LOG, deliver, ..Connector::default() }, values, calls: 1, records: b"x", answer: "" }
}

fn sends(values: &'static [(&'static str, &'static str)], calls: usize, records: &'static [u8], answer: &'static str) -> Case {
    Case::Told { guest: Connector { imports: HTTP, deliver: SEND, ..Connector::default() }, values, calls, records, answer }
}

fn sets(values: &'static [(&'static str, &'static str)], records: &'static [u8], answer: &'static str) -> Case {
    let deliver = "(call $set (i32.const 1100) (i32.const 7) (local.get 0) (local.get 1) (i32.const 5000)) \
                   (if (i32.load8_u (i32.const 5000)) (then (i32.store8 (i32.const 4096) (i32.const 1)) (i32.store8 (i32.const 4104) (i32.const 5)) \
                     (i32.store (i32.const 4112) (i32.load (i32.const 5008))) (i32.store (i32.const 4116) (i32.load (i32.const 5012))) (return (i32.const 4096)))) \
                   (i64.store (i32.const 4096) (i64.const 0)) (i64.store (i32.const 4104) (i64.const 0)) (i64.store (i32.const 4112) (i64.const 0)) \
                   (i64.store (i32.const 4120) (i64.const 0)) (i32.const 4096)";
    Case::Told { guest: Connector { imports: STATE, deliver, ..Connector::default() }, values, calls: 1, records, answer }
}

const GROW: &str = "(loop $l (br_if $l (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) unreachable";
/// A send with the fields at 8000: as many as the word at 7996 says, all the same name and value.
const SEND_FIELDS: &str = "(local.set 9 (i32.const 0)) \
    (loop $l (i32.store (i32.add (i32.const 8000) (i32.mul (local.get 9) (i32.const 16))) (i32.const 1024)) \
      (i32.store (i32.add (i32.const 8004) (i32.mul (local.get 9) (i32.const 16))) (i32.const 1)) \
      (i32.store (i32.add (i32.const 8008) (i32.mul (local.get 9) (i32.const 16))) (i32.const 1025)) \
      (i32.store (i32.add (i32.const 8012) (i32.mul (local.get 9) (i32.const 16))) (i32.const 10)) \
      (local.set 9 (i32.add (local.get 9) (i32.const 1))) (br_if $l (i32.lt_u (local.get 9) (i32.const 5)))) \
    (call $send (i32.const 1100) (i32.const 7) (i32.const 1110) (i32.const 4) (i32.const 1120) (i32.const 3) (i32.const 8000) (i32.const 5) \
        (local.get 0) (local.get 1) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 5000)) \
    (if (result i32) (i32.load8_u (i32.const 5000)) \
        (then (i32.store8 (i32.const 4096) (i32.const 1)) (i32.store8 (i32.const 4104) (i32.const 5)) \
            (i32.store (i32.const 4112) (i32.load (i32.const 5012))) (i32.store (i32.const 4116) (i32.load (i32.const 5016))) (i32.const 4096)) \
        (else (i64.store (i32.const 4096) (i64.const 0)) (i64.store (i32.const 4104) (i64.const 0)) (i64.store (i32.const 4112) (i64.const 0)) \
            (i64.store (i32.const 4120) (i64.const 0)) (i32.const 4096)))";

fn fields(values: &'static [(&'static str, &'static str)], answer: &'static str) -> Case {
    Case::Told { guest: Connector { imports: HTTP, deliver: SEND_FIELDS, ..Connector::default() }, values, calls: 1, records: b"x", answer }
}

/// One case for each limit; a new one does not compile without.
fn case(limit: Limit) -> Case {
    let spin = || formatter(SPIN);
    match limit {
        Limit::Fuel => Case::Fault(spin(), &[("fuel", "10M")], "fuel of 10M reached; raise `limits.fuel` to allow more"),
        Limit::Cpu => Case::Fault(spin(), &[("fuel", "20G"), ("cpu", "50ms"), ("deadline", "60s")], "cpu of 50ms reached; raise `limits.cpu` to allow more"),
        Limit::Deadline => {
            Case::Fault(spin(), &[("fuel", "20G"), ("cpu", "60s"), ("deadline", "50ms")], "deadline of 50ms reached; raise `limits.deadline` to allow more")
        }
        Limit::MaintainDeadline | Limit::CloseDeadline => Case::Elsewhere, // the_calls_beside_deliveries_have_deadlines_of_their_own
        Limit::Memory => Case::Fault(formatter(GROW), &[("memory", "1MiB")], "memory of 1 MiB reached; raise `limits.memory` to allow more"),
        Limit::Memories => Case::Refused(
            Formatter { extra: "(memory $a 1) (memory $b 1)", ..Formatter::default() },
            &[("memories", "2")],
            "component `evil`: memories of 2 reached: 3 asked for; raise `limits.memories` to allow more",
        ),
        Limit::Tables => Case::Refused(
            Formatter { extra: "(table 1 funcref) (table 1 funcref) (table 1 funcref)", ..Formatter::default() },
            &[("tables", "2")],
            "component `evil`: tables of 2 reached: ",
        ),
        Limit::Instances => {
            Case::Fault(Formatter { imports: LOG, ..Formatter::default() }, &[("instances", "1")], "instances of 1 reached; raise `limits.instances`")
        }
        Limit::TableElements => Case::Fault(
            Formatter {
                extra: "(table $t 1 funcref)",
                format: "(loop $l (br_if $l (i32.ne (table.grow $t (ref.null func) (i32.const 100)) (i32.const -1)))) unreachable",
                ..Formatter::default()
            },
            &[("table_elements", "1000")],
            "table_elements of 1000 reached; raise `limits.table_elements` to allow more",
        ),
        Limit::Stack => Case::Fault(
            Formatter {
                extra: "(func $r (param i64) (result i64) (i64.add (call $r (local.get 0)) (i64.const 1)))",
                format: "(drop (call $r (i64.const 1))) unreachable",
                ..Formatter::default()
            },
            &[],
            "the guest trapped: its calls are nested too deep: the stack of 512 KiB is used up",
        ),
        Limit::HostcallData => Case::Fault(
            formatter(
                "(drop (call $alloc (i32.const 2097152))) (i32.store (i32.const 3000) (i32.const 65536)) (i32.store (i32.const 3004) (i32.const 2097152)) \
                 (i32.store (i32.const 3008) (i32.const 2048)) (i32.store (i32.const 3012) (i32.const 2)) (i32.store (i32.const 3016) (i32.const 0)) \
                 (i32.store (i32.const 3020) (i32.const 0)) (i32.const 3000)",
            ),
            &[("hostcall_data", "1MiB")],
            "hostcall_data of 1 MiB reached; raise `limits.hostcall_data` to allow more",
        ),
        Limit::HostCalls => Case::Fault(
            Formatter {
                imports: LOG,
                format: "(loop $l (call $log (i32.const 0) (i32.const 1024) (i32.const 1)) (br $l)) unreachable",
                ..Formatter::default()
            },
            &[("host_calls", "500")],
            "host_calls of 500 reached; raise `limits.host_calls` to allow more",
        ),
        Limit::Handles => Case::Fault(
            Formatter { imports: WASI, format: "(loop $l (drop (call $stderr)) (br $l)) unreachable", ..Formatter::default() },
            &[("handles", "10")],
            "handles of 10 reached; raise `limits.handles` to allow more",
        ),
        Limit::HttpRequest => {
            sends(&[("http_request", "10")], 1, b"twelve bytes", "http_request of 10 bytes reached: 12 bytes asked for; raise `limits.http_request`")
        }
        Limit::HttpResponse => sends(&[("http_response", "4")], 1, b"x", "than"),
        Limit::HttpHeaderBytes => {
            fields(&[("http_header_bytes", "50")], "http_header_bytes of 50 bytes reached: 55 bytes asked for; raise `limits.http_header_bytes`")
        }
        Limit::HttpHeaderFields => fields(&[("http_header_fields", "4")], "http_header_fields of 4 reached: 5 asked for; raise `limits.http_header_fields`"),
        Limit::HttpConcurrent => Case::Elsewhere, // requests_at_the_same_time_are_bounded_and_permits_come_back
        Limit::HttpRate => sends(&[("http_rate", "1")], 2, b"x", "http_rate of 1/s reached: 2/s asked for; raise `limits.http_rate` to allow more"),
        Limit::TcpConnections => Case::Elsewhere, // with the streams
        Limit::BytesOut => sends(&[("bytes_out", "40")], 2, b"twenty-one bytes long", "destination `primary`: bytes_out of 40 bytes reached: "),
        Limit::BytesIn => sends(&[("bytes_in", "10")], 2, b"x", "destination `primary`: bytes_in of 10 bytes reached: "),
        Limit::LogLine => logs(&[("log_line", "5")]),
        Limit::LogCall => logs(&[("log_call", "30")]),
        Limit::LogRate => logs(&[("log_rate", "3")]),
        Limit::State => sets(&[("state", "10")], b"eleven byte", "state of 10 bytes reached: 18 bytes asked for; raise `limits.state` to allow more"),
        Limit::StateValue => sets(&[("state_value", "10")], b"eleven byte", "state_value of 10 bytes reached: 11 bytes asked for; raise `limits.state_value`"),
        Limit::StateKeys => Case::Elsewhere, // state_has_a_quota_for_each_scope
        Limit::MetricSeries => {
            let deliver: &'static str = format!(
                "(call $count (i32.const 1024) (i32.const 1) (i32.const 0) (i32.const 0) (i64.const 1)) \
                 (call $count (i32.const 1025) (i32.const 4) (i32.const 0) (i32.const 0) (i64.const 1)) {ACCEPT}"
            )
            .leak();
            let guest = Connector { imports: METRICS, deliver, ..Connector::default() };
            Case::Told { guest, values: &[("metric_series", "1")], calls: 1, records: b"x", answer: "" }
        }
        Limit::ComponentSize => Case::Refused(Formatter::default(), &[("component_size", "100")], "component `evil`: component_size of 100 bytes reached: "),
    }
}

/// A receiver that thanks for every request on one connection after another.
async fn receiver() -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut got = vec![0; 4_096];
            let _ = stream.read(&mut got).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\nthanks").await;
        }
    });
    port
}

/// What came of a case: the words, and the counters of its limit.
async fn run(limit: Limit, case: &Case, count_only: bool) -> (String, u64, u64) {
    let host = host();
    let set = |values: &[(&str, &str)]| {
        let mut limits = limits(values);
        if count_only {
            limits.count_only(limit).expect("the table says it can be");
        }
        limits
    };
    let words = match case {
        Case::Elsewhere => unreachable!("not run"),
        Case::Fault(guest, values, _) | Case::Refused(guest, values, _) => {
            let component = host.sandbox.load("evil", &guest.build()).expect("loads");
            let grants = FormatterGrants { instance: "siem".into(), limits: set(values) };
            match host.sandbox.formatter(&component, "{}".into(), grants) {
                Err(error) => error.to_string(),
                Ok(source) => match source.open().await {
                    Err(error) => error.to_string(),
                    Ok(mut formatter) => formatter.format(&batch(b"hello")).await.err().map(|fault| fault.to_string()).unwrap_or_default(),
                },
            }
        }
        Case::Told { guest, values, calls, records: text, .. } => {
            let settings = DestinationSettings { url: format!("http://127.0.0.1:{}", receiver().await), ..DestinationSettings::default() };
            let component = host.sandbox.load("evil", &guest.build()).expect("loads");
            let grants = ConnectorGrants {
                instance: "siem".into(),
                destinations: vec![Destination::new("primary", settings).expect("valid")],
                state: Some(Arc::new(MemoryState::default())),
                limits: set(values),
                ..ConnectorGrants::default()
            };
            let source = host.sandbox.connector(&component, "{}".into(), grants).expect("sets up");
            let mut connector = source.open(&format()).await.unwrap_or_else(|error| panic!("{error}"));
            let mut words = String::new();
            for _ in 0..*calls {
                words = match connector.deliver(&records(text), &batch(b""), 1).await {
                    Ok(Delivery::All(Outcome::Rejected { reason })) => reason,
                    Ok(_) => String::new(),
                    Err(error) => error.to_string(),
                };
            }
            words
        }
    };
    host.serves().await;
    let guest = host.metrics.guest("siem", "evil");
    let name = limit.row().name;
    (words, guest.limit_reached(name).get(), guest.limit_would_refuse(name).get())
}

#[tokio::test]
async fn every_limit_is_hit_says_which_and_is_counted() {
    for row in TABLE {
        let case = case(row.limit);
        let want = match &case {
            Case::Elsewhere => continue,
            Case::Fault(.., want) | Case::Refused(.., want) | Case::Told { answer: want, .. } => *want,
        };
        let (words, reached, would) = within(Duration::ZERO, SECONDS, run(row.limit, &case, false)).await;
        assert!(words.contains(want), "{}: {words}; want {want}", row.name);
        assert!(reached >= 1 && would == 0, "{}: reached {reached}, would refuse {would}", row.name);
    }
}

#[tokio::test]
async fn counted_limits_let_pass_and_count() {
    for row in TABLE.iter().filter(|row| row.count_only == CountOnly::Yes) {
        // A loop ends only at a limit: here at another one, well beyond the value that is counted.
        let case = match (row.limit, case(row.limit)) {
            (_, Case::Elsewhere) => continue,
            (Limit::Fuel, Case::Fault(..)) => {
                let busy = "(local.set 0 (i32.const 2000000)) (loop $l (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if $l (local.get 0)))";
                Case::Fault(formatter(format!("{busy} {ECHO}").leak()), &[("fuel", "1M")], "")
            }
            (Limit::Cpu | Limit::Deadline, Case::Fault(guest, ..)) => Case::Fault(
                guest,
                if row.limit == Limit::Cpu { &[("cpu", "1ms"), ("fuel", "200M")] } else { &[("deadline", "1ms"), ("fuel", "200M")] },
                "fuel of 200M",
            ),
            (Limit::Memory, Case::Fault(..)) => {
                Case::Fault(formatter("(drop (memory.grow (i32.const 100))) unreachable"), &[("memory", "1MiB")], "unreachable")
            }
            (Limit::TableElements, Case::Fault(guest, ..)) => Case::Fault(
                Formatter { format: "(drop (table.grow $t (ref.null func) (i32.const 5000))) unreachable", ..guest },
                &[("table_elements", "1000")],
                "unreachable",
            ),
            (Limit::HostCalls, Case::Fault(guest, ..)) => Case::Fault(guest, &[("host_calls", "5"), ("fuel", "1M")], "fuel of 1M"),
            (_, other) => other,
        };
        let (words, reached, would) = within(Duration::ZERO, SECONDS, run(row.limit, &case, true)).await;
        assert!(!words.contains(&format!("{} of", row.name)), "{}: {words}", row.name);
        if let Case::Fault(.., want) = &case {
            assert!(words.contains(want), "{}: {words}", row.name);
        }
        assert!(reached == 0 && would >= 1, "{}: reached {reached}, would refuse {would}; {words}", row.name);
    }
}

#[tokio::test]
async fn the_calls_beside_deliveries_have_deadlines_of_their_own() {
    let host = host();
    let values = &[("fuel", "20G"), ("cpu", "60s"), ("maintain_deadline", "60ms"), ("close_deadline", "40ms")];
    let guest = Connector { maintain: SPIN, close: "(loop $l (br $l))", ..Connector::default() };
    let source = host.connector(guest, ConnectorGrants { limits: limits(values), ..ConnectorGrants::default() }).expect("sets up");
    let open = async || source.open(&format()).await.unwrap_or_else(|error| panic!("{error}"));
    let mut connector = open().await;
    let error = within(Duration::from_millis(60), SECONDS, connector.maintain()).await.expect_err("spins");
    assert_eq!(error.to_string(), "maintain_deadline of 60ms reached; raise `limits.maintain_deadline` to allow more");
    let error = connector.deliver(&records(b"x"), &batch(b""), 1).await.expect_err("dead");
    assert!(matches!(error, DeliverError::Fault(fault) if fault == crate::connector::gone()));
    let mut connector = open().await;
    connector.deliver(&records(b"x"), &batch(b""), 1).await.expect("delivers");
    let fault = within(Duration::from_millis(40), SECONDS, connector.close()).await.expect_err("spins");
    assert_eq!(fault.to_string(), "close_deadline of 40ms reached; raise `limits.close_deadline` to allow more");
    let guest = host.metrics.guest("siem", "evil");
    assert_eq!((guest.limit_reached("maintain_deadline").get(), guest.limit_reached("close_deadline").get()), (1, 1));
    assert_eq!((guest.call("maintain").get(), guest.call("close").get()), (1, 1));
}

#[tokio::test]
async fn maintain_answers_when_it_wants_to_be_called_again() {
    let host = host();
    // ok(some(1500)); ok(none) is zeroes.
    let again = "(i32.store8 (i32.const 4304) (i32.const 0)) (i32.store8 (i32.const 4312) (i32.const 1)) (i32.store (i32.const 4316) (i32.const 1500)) (i32.const 4304)";
    for (maintain, want) in [(again, Some(Duration::from_millis(1500))), ("(i32.const 4400)", None)] {
        let source = host.connector(Connector { maintain, ..Connector::default() }, ConnectorGrants::default()).expect("sets up");
        let mut connector = source.open(&format()).await.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(connector.maintain().await.expect("answers"), want);
        connector.close().await.expect("closes");
        assert_eq!(connector.close().await.expect_err("once"), crate::connector::gone());
    }
    let source = host.connector(Connector::default(), ConnectorGrants::default()).expect("sets up");
    let mut connector = source.open(&format()).await.unwrap_or_else(|error| panic!("{error}"));
    assert!(matches!(connector.maintain().await, Err(DeliverError::Failure(Failure::Unsupported))));
}
