//! Which of the hosts that share a store runs which schedule.
//!
//! A host shows signs of life in the store, five within the time that a lease lasts. Another host takes over what
//! showed none for as long as that, by its own clock: clocks of hosts are never compared. A holder stops by itself
//! after two thirds of that time without the store, so before anybody takes over; should it have stood still in
//! between, what it writes is refused by its term. Where one host has the store for itself it takes what it wants at
//! once, and no sign of life is needed.

mod ledger;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bulkhead_core::{BoxFuture, Clock};
use bulkhead_store::{Fence, Leases as Table, Store};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use ledger::Ledger;

/// Signs of life within the time of a lease.
const BEATS: u32 = 5;
/// Longest time that a store that is away is asked to give leases up at an end.
const LAST: Duration = Duration::from_secs(2);

/// The leases of this host's schedules.
pub struct HostLeases {
    table: Table,
    /// This process, and a name for people before it.
    me: String,
    shared: bool,
    lease: Duration,
    clock: Arc<dyn Clock>,
    ledger: Mutex<Ledger>,
    /// Something else is wanted.
    nudge: Notify,
    moved: watch::Sender<()>,
}

impl HostLeases {
    pub fn new(store: &Store, lease: Duration, clock: &Arc<dyn Clock>) -> Arc<Self> {
        let shared = store.shared().is_shared();
        Arc::new(Self {
            table: store.leases(),
            me: format!("{}/{}", host_name(), Uuid::now_v7().simple()),
            shared,
            lease,
            clock: Arc::clone(clock),
            ledger: Mutex::new(Ledger::new(lease, shared)),
            nudge: Notify::new(),
            moved: watch::Sender::new(()),
        })
    }

    /// Takes, renews and gives up until cancelled, and gives up everything then.
    pub async fn keep(self: Arc<Self>, stop: CancellationToken) {
        let mut failed = false;
        while !stop.is_cancelled() {
            match self.look().await {
                Ok(()) => failed = false,
                Err(error) => {
                    if !std::mem::replace(&mut failed, true) {
                        tracing::warn!(error = &error as &dyn std::error::Error, "leases of schedules are not renewed, trying again");
                    }
                }
            }
            // One that ran out says so without anybody's help.
            let pause = if self.shared || failed { (self.lease / BEATS).min(Duration::from_secs(10)) } else { Duration::from_secs(3_600) };
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.nudge.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        let _ = tokio::time::timeout(LAST, async {
            let held = self.ledger().all_held();
            for name in held {
                let _ = self.table.give_up(&table_name(&name), &self.me).await;
            }
        })
        .await;
    }

    async fn look(&self) -> Result<(), bulkhead_store::StoreError> {
        // Before it is asked: the answer may take its time.
        let asked = self.clock.monotonic();
        let table = self.table.beat(&self.me).await?;
        let leases = table.into_iter().filter_map(|lease| Some((Arc::<str>::from(lease.name.strip_prefix(PREFIX)?), lease)));
        let (takes, moved) = self.ledger().look(&self.me, leases.collect(), asked, self.clock.monotonic());
        if moved {
            self.moved.send_replace(());
        }
        for (name, seen) in takes {
            let asked = self.clock.monotonic();
            if let Some(term) = self.table.take(&table_name(&name), seen.as_ref(), &self.me).await? {
                if seen.is_some_and(|seen| !seen.holder.is_empty()) && self.shared {
                    tracing::warn!(instance = &*name, term, "took over the schedule of a host that shows no sign of life");
                }
                self.ledger().took(&name, term, asked);
                self.moved.send_replace(());
            }
        }
        let gives_up = self.ledger().given_up(&self.me);
        let mut done = Ok(());
        for name in gives_up {
            // One that fails keeps no other; the next look finds it again.
            done = self.table.give_up(&table_name(&name), &self.me).await.and(done);
        }
        done
    }

    /// What is written under a term names this.
    pub fn fence(&self, instance: &str, term: i64) -> Fence {
        Fence { name: table_name(instance), holder: self.me.clone(), term }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl bulkhead_ingest::Leases for HostLeases {
    fn want(&self, instance: &Arc<str>) {
        self.ledger().want(instance);
        self.nudge.notify_one();
    }

    fn release(&self, instance: &Arc<str>) {
        self.ledger().release(instance);
        self.nudge.notify_one();
    }

    fn term(&self, instance: &str) -> Option<i64> {
        self.ledger().term(instance, self.clock.monotonic())
    }

    fn elsewhere(&self, instance: &str) -> Option<String> {
        self.ledger().elsewhere(instance, &self.me)
    }

    fn moved(&self) -> BoxFuture<'_, ()> {
        let mut moved = self.moved.subscribe();
        Box::pin(async move {
            // The sender is in `self`.
            let _ = moved.changed().await;
        })
    }
}

const PREFIX: &str = "pull/";

fn table_name(instance: &str) -> String {
    format!("{PREFIX}{instance}")
}

/// For people; the number of the process behind it is what counts.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name: String = name.trim().chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.')).take(64).collect();
    if name.is_empty() { "host".into() } else { name }
}
