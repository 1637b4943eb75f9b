//! What every guest of streams must bear: nobody there, a peer that closes, one that says nothing, one that
//! says anything. Whatever comes, the guest does not fail, and what was not taken is not called delivered.

use anyhow::{Result, bail, ensure};
use bulkhead_core::{DeliverError, Failure};
use bulkhead_format::BatchBuilder;

use crate::bench::{Bench, RECEIVED, refs, store};
use crate::guest::Guest;
use crate::sink::{Rules, Sink};
use crate::world::World;

pub struct Row {
    pub name: &'static str,
    world: fn() -> Result<World>,
    /// Nothing can have arrived: the answer must be that it is tried again.
    again: bool,
}

fn peer(hello: &str, fault: Option<&str>) -> Result<World> {
    World::with_sink(&Rules { hello: Some(hello.to_owned()), fault: fault.map(str::to_owned), ..Rules::default() })
}

pub static ROWS: &[Row] = &[
    Row { name: "nobody_there", world: || World::at_port(Sink::nobody()?), again: true },
    Row { name: "closes", world: || peer("\\n", Some("close")), again: false },
    Row { name: "says_nothing", world: || World::with_sink(&Rules::default()), again: false },
    Row { name: "says_garbage", world: || peer("\\x00\\xff\\xc1\\xdf\\xff\\xff\\xff\\xff<html>\\r\\n\\r\\n{[\\x932A\\xff\\xff\\xff\\xff", None), again: false },
];

pub fn play(bench: &Bench, guest: &Guest, row: &Row) -> Result<()> {
    let world = (row.world)()?;
    let stored = store([r#"{"id":"1","type":"a","time":"2026-01-02T03:04:05Z"}"#, r#"{"id":"2","message":"c"}"#], RECEIVED)?;
    let events = refs(&stored)?;
    let (format, records) = bench.records(guest.format(), &events)?;
    let mut connector = bench.connector(guest, &guest.config()?, &format, world.grants(guest)?)?;
    let mut builder = BatchBuilder::default();
    // The second call meets what the first one left.
    for _ in 0..2 {
        let batch = builder.fill(connector.projection(), events.iter().copied());
        match bench.runtime.block_on(connector.deliver(&records, batch, 1)) {
            Err(DeliverError::Fault(fault)) => bail!("the guest fails: {fault}"),
            Err(DeliverError::Failure(Failure::Unavailable { .. } | Failure::Other(_))) => {}
            other => ensure!(!row.again, "nothing can have arrived, and yet {other:?}"),
        }
    }
    Ok(())
}
