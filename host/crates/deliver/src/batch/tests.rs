use super::*;

const LIMITS: BatchSettings = BatchSettings { max_events: 3, max_bytes: 100, max_age: Duration::from_millis(50) };

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn filled(sizes: &[u64]) -> Batcher {
    let mut batcher = Batcher::default();
    for (i, size) in sizes.iter().enumerate() {
        assert!(batcher.fits(*size, &LIMITS), "event {i} of {sizes:?}");
        batcher.add(*size, ms(10 + i as u64));
    }
    batcher
}

#[track_caller]
fn check(sizes: &[u64], now: u64, closed: bool, want: Ready) {
    assert_eq!(filled(sizes).ready(ms(now), closed, &LIMITS), want, "{sizes:?} at {now} ms");
}

#[test]
fn ready_when_full_or_old_or_closed() {
    check(&[], 1_000, true, Ready::Empty);
    check(&[10], 59, false, Ready::Until(ms(60)));
    check(&[10, 10], 59, false, Ready::Until(ms(60)));
    check(&[10], 60, false, Ready::Now);
    check(&[10], 11, true, Ready::Now);
    check(&[1, 1, 1], 13, false, Ready::Now);
    check(&[50, 50], 13, false, Ready::Now);
}

#[test]
fn without_a_linger_what_is_there_goes() {
    let mut batcher = Batcher::default();
    batcher.add(1, ms(10));
    assert_eq!(batcher.ready(ms(10), false, &BatchSettings { max_age: Duration::ZERO, ..LIMITS }), Ready::Now);
}

#[test]
fn fits_by_count_and_bytes_but_one_always() {
    assert!(!filled(&[1, 1, 1]).fits(1, &LIMITS));
    assert!(!filled(&[60]).fits(41, &LIMITS));
    assert!(filled(&[60]).fits(40, &LIMITS));
    assert!(Batcher::default().fits(1 << 30, &LIMITS));
    let mut batcher = filled(&[1, 1, 1]);
    batcher.take();
    assert_eq!(batcher.ready(ms(0), true, &LIMITS), Ready::Empty);
}
