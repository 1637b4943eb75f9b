use super::*;

fn drain(keys: &mut Keys<u32>, batch: u64) -> Vec<u32> {
    std::iter::from_fn(|| keys.unpark(batch)).map(|(_, item)| item).collect()
}

#[test]
fn one_batch_of_a_key_at_a_time_and_in_order() {
    let mut keys = Keys::default();
    assert!(keys.enter(7, 1) && keys.enter(7, 1) && keys.enter(8, 1), "one batch takes several of a key");
    keys.close(7);
    keys.close(8);
    assert!(!keys.enter(7, 2));
    keys.park(7, 100);
    assert!(keys.enter(9, 2));
    keys.release(7);
    assert_eq!(drain(&mut keys, 2), [0; 0], "one event of the key is still under way");
    assert!(!keys.enter(7, 2));
    keys.park(7, 101);
    keys.release(7);
    assert_eq!(drain(&mut keys, 2), [100, 101]);
    assert_eq!(keys.waiting(), 0);
    assert!(keys.enter(7, 2), "the same batch goes on taking");
    keys.release(8);
    assert!(keys.enter(8, 3));
}

#[test]
fn a_retry_keeps_the_key() {
    let mut keys = Keys::default();
    assert!(keys.enter(7, 1));
    keys.close(7);
    // The retry is sent in batch 5; a new event still waits.
    assert!(!keys.enter(7, 5));
    keys.park(7, 1);
    keys.release(7);
    assert_eq!(drain(&mut keys, 6), [1]);
    let mut restarted: Keys<u32> = Keys::default();
    restarted.hold(7);
    assert!(!restarted.enter(7, 1));
}

#[test]
fn freed_events_do_not_cut_in_on_a_key_that_is_busy_again() {
    let mut keys = Keys::default();
    assert!(keys.enter(7, 1));
    keys.close(7);
    keys.park(7, 1);
    keys.park(7, 2);
    keys.release(7);
    assert_eq!(keys.unpark(2), Some((7, 1)));
    keys.close(7);
    assert_eq!(keys.unpark(3), None, "the second waits for the first, which left in batch 2");
    assert!(!keys.enter(7, 3), "and nothing later overtakes it");
    keys.park(7, 3);
    keys.release(7);
    assert_eq!(drain(&mut keys, 3), [2, 3]);
}
