//! Events of every shape that intake takes, the committed ones of `examples/events`.

const FILES: [&str; 5] = [
    include_str!("../../../../examples/events/copybook.ndjson"),
    include_str!("../../../../examples/events/intelliguard.ndjson"),
    include_str!("../../../../examples/events/datavault.ndjson"),
    include_str!("../../../../examples/events/cloudevents.ndjson"),
    include_str!("../../../../examples/events/plain.ndjson"),
];

/// One event a line, as a producer posts it.
pub fn samples() -> Vec<&'static str> {
    FILES.iter().flat_map(|file| file.lines()).collect()
}
