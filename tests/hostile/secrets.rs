//! What one guest may learn of another: nothing.

use bulkhead_sandbox::ConnectorGrants;

use crate::toolkit::guests::{Formatter, formatted};
use crate::toolkit::{Host, NOW, SECONDS, bounded, event};

/// "canary!!" as a number.
const CANARY: i64 = i64::from_le_bytes(*b"canary!!");

/// A writes its mark all over its memory, its tables and its stack, and goes; B looks through all that it
/// has. Ninety times, ended in order, by a trap and by being dropped (RUSTSEC-2026-0088: memory of
/// one instance was seen by the next).
#[tokio::test]
async fn h61_nothing_of_a_guest_is_left_for_the_next() {
    let host = Host::default();
    // 256 pages, filled; a deep stack of marks; a table of references.
    let leave = |end: &str| {
        format!(
            "(local $i i32) (drop (memory.grow (i32.const 254)))
             (local.set $i (i32.const 65536))
             (loop $l (i64.store (local.get $i) (i64.const {CANARY})) (local.set $i (i32.add (local.get $i) (i32.const 8))) (br_if $l (i32.lt_u (local.get $i) (i32.const 16777216))))
             (table.fill $t (i32.const 0) (ref.func $deep) (i32.const 1000))
             (drop (call $deep (i32.const 2000) (i64.const {CANARY}))) {end}"
        )
    };
    let extra = "(table $t 1000 funcref) (elem declare func $deep)
        (func $deep (param $n i32) (param $v i64) (result i64) (local $a i64) (local $b i64)
            (local.set $a (local.get $v)) (local.set $b (i64.add (local.get $v) (i64.extend_i32_u (local.get $n))))
            (if (local.get $n) (then (local.set $v (call $deep (i32.sub (local.get $n) (i32.const 1)) (local.get $v)))))
            (i64.xor (i64.xor (local.get $a) (local.get $b)) (local.get $v)))";
    let echo = crate::toolkit::guests::ECHO;
    let leavers = [leave(echo), leave("unreachable"), leave(crate::toolkit::guests::SPIN)]
        .map(|format| host.formatter(&Formatter { extra, format: &format, ..Formatter::default() }.build(), &[("fuel", "20G")]).expect("sets up"));
    // Looks at every eighth byte of all memory it can get; what is not zero outside its own data, or a
    // reference in its fresh table, or a local that was not zeroed, is told as the place.
    let found = formatted(0, 4, 2048, 2);
    let look = format!(
        "(local $i i32) (local $fresh i64)
         (drop (memory.grow (i32.const 900)))
         (local.set $i (i32.const 65536))
         (if (i64.ne (local.get $fresh) (i64.const 0)) (then unreachable))
         (loop $l (if (i64.ne (i64.load (local.get $i)) (i64.const 0)) (then unreachable))
            (local.set $i (i32.add (local.get $i) (i32.const 8))) (br_if $l (i32.lt_u (local.get $i) (i32.mul (memory.size) (i32.const 65536)))))
         (local.set $i (i32.const 0))
         (loop $l (if (i32.eqz (ref.is_null (table.get $t (local.get $i)))) (then unreachable))
            (local.set $i (i32.add (local.get $i) (i32.const 1))) (br_if $l (i32.lt_u (local.get $i) (i32.const 1000))))
         (i32.store (i32.const 2048) (i32.const 0)) (i32.store (i32.const 2052) (i32.const 4)) {found}"
    );
    let empty = r#"(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096))"#;
    let looker =
        host.formatter(&Formatter { extra: "(table $t 1000 funcref)", realloc: empty, format: &look, ..Formatter::default() }.build(), &[]).expect("sets up");
    let work = async {
        for round in 0..90 {
            let mut leaver = leavers[round % 3].open().await.unwrap_or_else(|error| panic!("{error}"));
            let one = event(b"x");
            match round % 3 {
                0 => assert!(leaver.format(&one).await.is_ok(), "it leaves its mark"),
                1 => assert!(leaver.format(&one).await.is_err(), "it traps"),
                _ => assert!(tokio::time::timeout(std::time::Duration::from_millis(40), leaver.format(&one)).await.is_err(), "dropped in the middle"),
            }
            drop(leaver);
            let mut looker = looker.open().await.unwrap_or_else(|error| panic!("{error}"));
            let seen = looker.format(&event(b"x")).await;
            assert!(seen.is_ok(), "round {round}: something was left: {}", seen.expect_err("an error"));
        }
    };
    bounded(NOW, SECONDS * 3, work).await;
}

/// Two tenants run the same bytes under grants of their own: neither has the other's destinations,
/// state, log lines or metrics.
#[tokio::test]
async fn h73_two_tenants_one_component() {
    use std::sync::Arc;

    use bulkhead_core::Tenant;
    use bulkhead_sandbox::{Destination, DestinationSettings, MemoryState};

    use crate::toolkit::probe::Ask;
    use crate::toolkit::receiver::{Answer, Receiver};

    let host = Host::default();
    let (acme, other) = (Receiver::start(Answer::ok("for acme")).await, Receiver::start(Answer::ok("for the other")).await);
    let state = Arc::new(MemoryState::default());
    let grants = |tenant: &str, name: &str, receiver: &Receiver| {
        let settings = DestinationSettings { url: receiver.url(), ..DestinationSettings::default() };
        ConnectorGrants {
            tenant: Tenant::new(tenant).expect("a name"),
            instance: format!("{tenant}-siem"),
            destinations: vec![Destination::new(name, settings).expect("valid")],
            state: Some(Arc::clone(&state) as _),
            ..ConnectorGrants::default()
        }
    };
    let ask = |destination: &str| Ask { destination: destination.into(), ..Ask::default() };
    let asks = [ask("acme"), ask("other"), ask("primary")];
    let told = host.sends(grants("acme", "acme", &acme), &asks).await;
    assert_eq!(told, ["200 w for acme", "denied: no destination `other`; granted: acme (rule 1)", "denied: no destination `primary`; granted: acme (rule 1)"]);
    let told = host.sends(grants("other", "other", &other), &asks).await;
    assert_eq!(
        told,
        ["denied: no destination `acme`; granted: other (rule 1)", "200 w for the other", "denied: no destination `primary`; granted: other (rule 1)"]
    );
    assert_eq!((acme.got().len(), other.got().len()), (1, 1));
    let scrape = host.scrape();
    for (instance, destination) in [("acme-siem", "acme"), ("other-siem", "other")] {
        let line = format!("bulkhead_egress_requests_total{{destination=\"{destination}\",instance=\"{instance}\",result=\"2xx\"}} 1");
        assert!(scrape.contains(&line), "{scrape}");
        let refused = format!("bulkhead_egress_requests_total{{destination=\"none\",instance=\"{instance}\",result=\"denied\"}} 2");
        assert!(scrape.contains(&refused), "a name that a guest made up is no label: {scrape}");
    }
    // Lines are labelled by the host, not by what they say.
    let talk = Formatter {
        imports: crate::toolkit::guests::LOG,
        extra: r#"(data (i32.const 8192) "instance=other-siem hello")"#,
        configure: "(call $log (i32.const 1) (i32.const 8192) (i32.const 25)) (i32.const 64)",
        ..Formatter::default()
    };
    host.formatter(&talk.build(), &[]).expect("sets up").open().await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(host.lines.all(), ["siem info instance=other-siem hello"]);
}
