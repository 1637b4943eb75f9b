use std::future::Future;
use std::pin::pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use bulkhead_core::{BoxFuture, Projection, RecordBatch, RecordFormat, Refusal};

use super::*;

/// Polls a future that never waits.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("waits"),
    }
}

type Answers = Arc<Mutex<Vec<Result<Formatted, GuestFault>>>>;

struct Source {
    answers: Answers,
    opened: Arc<Mutex<u32>>,
}

struct Guest {
    answers: Answers,
    projection: Arc<Projection>,
    format: RecordFormat,
}

impl FormatterSource for Source {
    fn open(&self) -> BoxFuture<'_, Result<Box<dyn Formatter>, OpenError>> {
        *self.opened.lock().unwrap() += 1;
        let format = RecordFormat { name: "test".into(), content_type: "text/plain".into() };
        let guest = Guest { answers: Arc::clone(&self.answers), projection: Arc::default(), format };
        Box::pin(async { Ok(Box::new(guest) as Box<dyn Formatter>) })
    }
}

impl Formatter for Guest {
    fn projection(&self) -> &Arc<Projection> {
        &self.projection
    }

    fn record_format(&self) -> &RecordFormat {
        &self.format
    }

    fn format<'a>(&'a mut self, _: &'a EventBatch) -> BoxFuture<'a, Result<Formatted, GuestFault>> {
        let answer = self.answers.lock().unwrap().remove(0);
        Box::pin(async { answer })
    }
}

fn good(refused: &[u32]) -> Result<Formatted, GuestFault> {
    let refused = refused.iter().map(|event| Refusal { event: *event, reason: "no".into() }).collect();
    Ok(Formatted { records: RecordBatch { block: b"ab".to_vec(), offsets: vec![0, 1, 2] }, refused })
}

fn trap() -> Result<Formatted, GuestFault> {
    Err(GuestFault::Trap("unreachable".into()))
}

/// Runs the answers through a slot; gives for each whether it was good, or a fault and whether of a fresh guest.
fn run(max_calls: u64, answers: Vec<Result<Formatted, GuestFault>>) -> (Vec<Result<usize, bool>>, u32) {
    let (count, opened) = (answers.len(), Arc::new(Mutex::new(0)));
    let mut slot = FormatterSlot::new(Arc::new(Source { answers: Arc::new(Mutex::new(answers)), opened: Arc::clone(&opened) }), max_calls);
    let batch = EventBatch { count: 2, ..EventBatch::default() };
    let results = (0..count)
        .map(|_| match now(slot.format(&batch)) {
            Ok(formatted) => Ok(formatted.refused.len()),
            Err(FormatFault::Guest { fresh, .. }) => Err(fresh),
            Err(FormatFault::Open(error)) => panic!("{error}"),
        })
        .collect();
    let opened = *opened.lock().unwrap();
    (results, opened)
}

#[test]
fn a_fault_brings_a_fresh_guest_and_says_whether_it_was_one() {
    let (results, opened) = run(100, vec![good(&[]), trap(), trap(), good(&[]), good(&[])]);
    assert_eq!(results, [Ok(0), Err(false), Err(true), Ok(0), Ok(0)]);
    assert_eq!(opened, 3);
}

#[test]
fn replaced_after_its_number_of_calls() {
    let (_, opened) = run(2, vec![good(&[]), good(&[]), good(&[]), good(&[]), good(&[])]);
    assert_eq!(opened, 3);
}

#[test]
fn answers_that_do_not_fit_the_batch_are_faults() {
    let mut short = good(&[]).unwrap();
    short.records.offsets.pop();
    let (results, _) = run(100, vec![Ok(short), good(&[2]), good(&[1, 0, 1])]);
    assert_eq!(results, [Err(true), Err(true), Ok(2)], "refusals are sorted and unique");
}
