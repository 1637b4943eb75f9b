//! A body that many events share, where one that cannot be written costs only itself.

use crate::batch::{Batch, Event};
use crate::delivery::{Delivery, Failure, Outcome};
use crate::writer::Writer;

/// The events of a batch that were written, and why the others were not.
#[derive(Debug)]
pub struct Parts {
    refused: Vec<Option<String>>,
    written: usize,
}

impl Parts {
    /// Writes a part for each event, with `between` in between. What `write` left before an error is taken back.
    pub fn write(batch: &Batch<'_>, between: &[u8], out: &mut Writer, mut write: impl FnMut(&[u8], Event<'_>, &mut Writer) -> Result<(), String>) -> Self {
        let (mut refused, mut written) = (Vec::with_capacity(batch.len()), 0);
        for (record, event) in batch.iter() {
            let start = out.len();
            if written > 0 {
                out.bytes(between);
            }
            let result = write(record, event, out);
            match result {
                Ok(()) => written += 1,
                Err(_) => out.truncate(start),
            }
            refused.push(result.err());
        }
        Self { refused, written }
    }

    /// Has `send` deliver the events that were written, however many these are, and says of each event of the batch what
    /// became of it. Where none was written nothing is sent.
    pub fn deliver(self, send: impl FnOnce(usize) -> Result<Delivery, Failure>) -> Result<Delivery, Failure> {
        if self.written == 0 {
            return Ok(Delivery::Each(self.refused.into_iter().flatten().map(Outcome::Rejected).collect()));
        }
        let delivery = send(self.written)?;
        if self.written == self.refused.len() {
            return Ok(delivery);
        }
        let mut outcomes = match delivery {
            Delivery::All(outcome) => vec![outcome; self.written],
            Delivery::Each(list) => list,
        }
        .into_iter();
        // One outcome for each that was written; a shorter list is the caller's fault, and those come again.
        let next = |refused: Option<String>| refused.map_or_else(|| outcomes.next().unwrap_or(Outcome::Retry(None)), Outcome::Rejected);
        Ok(Delivery::Each(self.refused.into_iter().map(next).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Events, Records};

    fn run(write: impl Fn(&str) -> Result<(), String>, send: impl FnOnce(usize) -> Result<Delivery, Failure>) -> (String, Result<Delivery, Failure>) {
        let batch = Batch { records: Records::new(b"abc", &[0, 1, 2, 3]), events: Events::new(&[], &[], 3, 0) };
        let mut out = Writer::default();
        let parts = Parts::write(&batch, b",", &mut out, |record, _, out| {
            out.bytes(record);
            out.byte(b'!');
            write(std::str::from_utf8(record).unwrap())
        });
        (String::from_utf8(out.into_bytes()).unwrap(), parts.deliver(send))
    }

    #[test]
    fn those_that_cannot_be_written_cost_themselves() {
        let accepted = Outcome::Accepted(None);
        let refused = |why: &str| Outcome::Rejected(why.to_owned());
        let (body, delivery) = run(|_| Ok(()), |_| Ok(Delivery::accepted()));
        assert_eq!((body.as_str(), delivery), ("a!,b!,c!", Ok(Delivery::accepted())));
        let no = |which: &'static str| move |record: &str| if which.contains(record) { Err(format!("no {record}")) } else { Ok(()) };
        let (body, delivery) = run(no("a"), |written| {
            assert_eq!(written, 2);
            Ok(Delivery::accepted())
        });
        assert_eq!((body.as_str(), delivery), ("b!,c!", Ok(Delivery::Each(vec![refused("no a"), accepted.clone(), accepted.clone()]))));
        let (body, delivery) = run(no("b"), |_| Ok(Delivery::Each(vec![accepted.clone(), refused("x")])));
        assert_eq!((body.as_str(), delivery), ("a!,c!", Ok(Delivery::Each(vec![accepted.clone(), refused("no b"), refused("x")]))));
        let (_, delivery) = run(no("b"), |_| Ok(Delivery::Each(vec![accepted.clone()])));
        assert_eq!(delivery, Ok(Delivery::Each(vec![accepted, refused("no b"), Outcome::Retry(None)])));
        let (body, delivery) = run(no("abc"), |_| panic!("nothing to send"));
        assert_eq!((body.as_str(), delivery), ("", Ok(Delivery::Each(vec![refused("no a"), refused("no b"), refused("no c")]))));
        let (_, delivery) = run(no("c"), |_| Err(Failure::TooLarge("x".to_owned())));
        assert_eq!(delivery, Err(Failure::TooLarge("x".to_owned())));
    }
}
