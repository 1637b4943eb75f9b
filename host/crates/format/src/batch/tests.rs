use std::sync::Arc;

use bulkhead_core::{Attr, EventBuilder, Shape};

use super::*;

fn stored(id: &str) -> Vec<u8> {
    let (mut builder, mut out) = (EventBuilder::new(), Vec::new());
    builder.start();
    builder.text(Attr::Id, id);
    builder.text(Attr::Type, "test.event");
    builder.finish(Shape::Plain, None, 1, b"{}", &mut out).unwrap();
    out
}

#[test]
fn fills_again_without_leftovers() {
    let projection = Projection::parse(&["/id".into(), "/subject".into()]).unwrap();
    let mut builder = BatchBuilder::default();
    for ids in [vec!["one", "two", "three"], vec!["four"]] {
        let events: Vec<Vec<u8>> = ids.iter().map(|id| stored(id)).collect();
        let batch = builder.fill(&projection, events.iter().map(|event| EventRef::new(event).unwrap()));
        assert_eq!((batch.count as usize, batch.spans.len()), (ids.len(), ids.len() * 6));
        for (i, id) in ids.iter().enumerate() {
            let span = &batch.spans[i * 6..i * 6 + 6];
            assert_eq!(&batch.block[span[0] as usize..(span[0] + span[1]) as usize], id.as_bytes());
            assert_eq!((span[4], span[5]), (0, 0), "a missing field is empty");
        }
    }
}

#[test]
fn no_fields_no_work() {
    let event = stored("one");
    let mut builder = BatchBuilder::default();
    builder.fill(&Projection::parse(&["/id".into()]).unwrap(), [EventRef::new(&event).unwrap()].into_iter());
    let batch = builder.fill(&Arc::<Projection>::default(), [EventRef::new(&event).unwrap(); 3].into_iter());
    assert_eq!((batch.count, batch.block.len(), batch.spans.len()), (3, 0, 0));
}

#[test]
fn leaves_refused_records_out() {
    let records = RecordBatch { block: b"onethree".to_vec(), offsets: vec![0, 3, 3, 8] };
    assert_eq!(without(&records, &[1]), RecordBatch { block: b"onethree".to_vec(), offsets: vec![0, 3, 8] });
    assert_eq!(without(&records, &[0, 1]), RecordBatch { block: b"three".to_vec(), offsets: vec![0, 5] });
    assert_eq!(without(&records, &[0, 1, 2]).len(), 0);
}
