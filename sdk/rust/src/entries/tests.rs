use std::cell::Cell;

use super::*;
use crate::batch::{Events, Records};

const ROOM: Room = Room { entry: 6, body: 20 };

/// Entries are the records; `!` cannot be written.
fn write(records: &[&str], room: Room) -> Entries {
    let mut offsets = vec![0];
    let block = records.concat();
    for record in records {
        offsets.push(offsets[offsets.len() - 1] + record.len() as u32);
    }
    let batch = Batch { records: Records::new(block.as_bytes(), &offsets), events: Events::new(&[], &[], records.len(), 0) };
    Entries::write(&batch, (b"[", b"]"), room, |record, _, out| {
        out.bytes(record);
        if record == b"!" { Err("no".to_owned()) } else { Ok(()) }
    })
}

/// What is sent, and the outcome where the receiver answers so.
fn run(records: &[&str], answer: Result<Delivery, Failure>) -> (Option<String>, Result<Delivery, Failure>) {
    let sent = Cell::new(None);
    let result = write(records, ROOM).deliver(|body, _| {
        sent.set(Some(String::from_utf8(body).unwrap()));
        answer
    });
    (sent.take(), result)
}

#[test]
fn entries_stand_between_commas() {
    assert_eq!(run(&["1", "22", "333"], Ok(Delivery::accepted())), (Some("[1,22,333]".to_owned()), Ok(Delivery::accepted())));
    assert_eq!(run(&["1"], Err(Failure::Unsupported)).1, Err(Failure::Unsupported));
}

#[test]
fn what_cannot_go_is_rejected_alone() {
    let rejected = |words: &str| Outcome::Rejected(words.to_owned());
    let long = || rejected("the event takes 7 bytes, the receiver takes at most 6");
    let (sent, result) = run(&["!", "1", "7777777", "2", "!"], Ok(Delivery::accepted()));
    assert_eq!(sent.as_deref(), Some("[1,2]"));
    let accepted = Outcome::Accepted(None);
    assert_eq!(result, Ok(Delivery::Each(vec![rejected("no"), accepted.clone(), long(), accepted.clone(), rejected("no")])));
    // Outcomes of their own find their places.
    let own = Delivery::Each(vec![accepted.clone(), Outcome::Retry(None)]);
    assert_eq!(run(&["1", "!", "2"], Ok(own)).1, Ok(Delivery::Each(vec![accepted, rejected("no"), Outcome::Retry(None)])));
    // Nothing is left: nothing is sent.
    assert_eq!(run(&["!", "7777777"], Err(Failure::Unsupported)), (None, Ok(Delivery::Each(vec![rejected("no"), long()]))));
}

#[test]
fn beside_rejected_events_a_failure_becomes_another_attempt() {
    let after = Some(Duration::from_secs(3));
    for (failure, want) in [
        (Failure::Unavailable { reason: String::new(), after }, after),
        (Failure::Unauthorized(String::new()), None),
        (Failure::TooLarge(String::new()), Some(Duration::ZERO)),
    ] {
        let (_, result) = run(&["!", "1"], Err(failure));
        assert_eq!(result, Ok(Delivery::Each(vec![Outcome::Rejected("no".to_owned()), Outcome::Retry(want)])));
    }
}

#[test]
fn a_body_beyond_the_room_is_not_sent() {
    let (sent, result) = run(&["666666", "666666", "55555"], Ok(Delivery::accepted()));
    assert_eq!((sent, result), (None, Err(Failure::TooLarge("the batch takes 21 bytes, the receiver takes at most 20; lower `batch.max_bytes`".to_owned()))));
    // One event alone counts with its frame.
    let small = Room { entry: 100, body: 5 };
    assert_eq!(
        write(&["333"], small).deliver(|_, count| Ok(Delivery::Each(vec![Outcome::Accepted(None); count]))),
        Ok(Delivery::Each(vec![Outcome::Accepted(None)]))
    );
    let alone = write(&["4444"], small).deliver(|_, _| Ok(Delivery::accepted()));
    assert_eq!(alone, Ok(Delivery::Each(vec![Outcome::Rejected("the event takes 4 bytes, the receiver takes at most 3".to_owned())])));
}
