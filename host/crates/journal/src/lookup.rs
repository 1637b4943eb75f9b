//! Finds the place in the journal that a wall time stands for.

use bulkhead_core::Seq;

use crate::segment::Segment;
use crate::shared::Shared;
use crate::walk::{Step, Walker};

/// The first event accepted at or after `nanos`, or the one that comes next. Times rise from segment
/// to segment unless a clock jumped; then this is a place near by.
pub(crate) fn seq_at(shared: &Shared, nanos: u64) -> Seq {
    let segments = shared.catalog.all();
    let earlier = segments.partition_point(|segment| frames(shared, segment).next().is_some_and(|(_, time)| time < nanos));
    let from = &segments[earlier.saturating_sub(1)..];
    let found = from.iter().find_map(|segment| frames(shared, segment).find(|(_, time)| *time >= nanos));
    Seq(found.map_or(shared.tail.head() + 1, |(first, _)| first))
}

/// The time of the oldest frame that can be read.
pub(crate) fn oldest_time(shared: &Shared) -> Option<u64> {
    shared.catalog.all().iter().find_map(|segment| frames(shared, segment).next()).map(|(_, time)| time)
}

/// First sequence number and time of each frame that can be read.
fn frames(shared: &Shared, segment: &Segment) -> impl Iterator<Item = (u64, u64)> {
    let open = segment.open(&*shared.fs).ok();
    let mut walker = open.map(|(file, salt)| Walker::new(file, salt, 0, segment.extent().end));
    std::iter::from_fn(move || {
        loop {
            match walker.as_mut()?.next(0).ok()? {
                Step::Frame { header, .. } => return Some((header.first, header.time)),
                Step::Damage { .. } => {}
                Step::End { .. } => return None,
            }
        }
    })
}
