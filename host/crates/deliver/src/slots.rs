//! Places: how many batches of an instance, and of all instances together, are under way. The instance's
//! number follows adaptive concurrency; who waits does so in line.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

#[derive(Debug, Clone)]
pub struct Slots {
    instance: Arc<Semaphore>,
    size: Arc<Mutex<Size>>,
    all: Arc<Semaphore>,
}

#[derive(Debug)]
struct Size {
    slots: u32,
    /// Slots too many, which go when they are given back.
    surplus: u32,
}

/// Leave for one batch; given back when dropped.
#[derive(Debug)]
pub struct Slot {
    instance: Option<OwnedSemaphorePermit>,
    size: Arc<Mutex<Size>>,
    all: Option<OwnedSemaphorePermit>,
}

impl Slots {
    pub fn new(slots: u32, all: Arc<Semaphore>) -> Self {
        let slots = slots.max(1);
        Self { instance: Arc::new(Semaphore::new(slots as usize)), size: Arc::new(Mutex::new(Size { slots, surplus: 0 })), all }
    }

    pub fn try_take(&self) -> Option<Slot> {
        // A slot from the start: given up half way it goes back like any other.
        let mut slot = self.slot(Arc::clone(&self.instance).try_acquire_owned().ok()?);
        slot.all = Some(Arc::clone(&self.all).try_acquire_owned().ok()?);
        Some(slot)
    }

    /// Waits in line, first for the instance and then for a place among all. Cancel safe.
    pub async fn take(self) -> Option<Slot> {
        let mut slot = self.slot(Arc::clone(&self.instance).acquire_owned().await.ok()?);
        slot.all = Some(Arc::clone(&self.all).acquire_owned().await.ok()?);
        Some(slot)
    }

    /// So many from now on. What is under way beyond it goes on; nothing new begins until it has ended.
    pub fn resize(&self, slots: u32) {
        let mut size = lock(&self.size);
        let slots = slots.max(1);
        let (more, fewer) = (slots.saturating_sub(size.slots), size.slots.saturating_sub(slots));
        let kept = size.surplus.min(more);
        size.surplus -= kept;
        self.instance.add_permits((more - kept) as usize);
        size.surplus += fewer - self.instance.forget_permits(fewer as usize) as u32;
        size.slots = slots;
    }

    fn slot(&self, instance: OwnedSemaphorePermit) -> Slot {
        Slot { instance: Some(instance), size: Arc::clone(&self.size), all: None }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.all = None;
        let Some(permit) = self.instance.take() else { return };
        // Held until the permit is back: a resize must not miss it.
        let mut size = lock(&self.size);
        if size.surplus > 0 {
            size.surplus -= 1;
            permit.forget();
        } else {
            drop(permit);
        }
    }
}

fn lock(size: &Mutex<Size>) -> MutexGuard<'_, Size> {
    size.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn slots(of_all: usize) -> Slots {
        Slots::new(2, Arc::new(Semaphore::new(of_all)))
    }

    #[test]
    fn shrinking_takes_free_ones_at_once_and_others_as_they_come_back() {
        let slots = slots(10);
        let (one, two) = (slots.try_take().unwrap(), slots.try_take().unwrap());
        assert!(slots.try_take().is_none());
        slots.resize(1);
        drop(one);
        assert!(slots.try_take().is_none(), "one is still under way");
        drop(two);
        let one = slots.try_take().unwrap();
        assert!(slots.try_take().is_none());
        slots.resize(2);
        slots.resize(0);
        assert!(slots.try_take().is_none());
        drop(one);
        assert!(slots.try_take().is_some(), "never none at all");
    }

    #[test]
    fn a_place_among_all_is_needed_too() {
        let slots = slots(1);
        let _one = slots.try_take().unwrap();
        assert!(slots.try_take().is_none());
    }

    #[test]
    fn what_waits_for_a_place_among_all_is_under_way_too() {
        let slots = slots(1);
        let one = slots.try_take().unwrap();
        let mut waiting = Box::pin(slots.clone().take());
        let mut task = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(std::future::Future::poll(waiting.as_mut(), &mut task).is_pending());
        // Of two places one is one too many now; the one that is given up goes.
        slots.resize(1);
        drop(waiting);
        assert!(slots.try_take().is_none(), "the other one is under way");
        drop(one);
        assert!(slots.try_take().is_some());
    }

    proptest! {
        /// Whatever is taken, given back and resized: nothing begins beyond the size, and all of it can be used.
        #[test]
        fn as_many_as_there_are(steps in prop::collection::vec((0u8..3, 1u32..9), 1..100)) {
            let slots = slots(100);
            let (mut size, mut taken) = (2, Vec::new());
            for (what, number) in steps {
                match what {
                    0 => {
                        let slot = slots.try_take();
                        prop_assert_eq!(slot.is_some(), taken.len() < size as usize);
                        taken.extend(slot);
                    }
                    1 => taken.truncate(taken.len().saturating_sub(number as usize)),
                    _ => {
                        size = number;
                        slots.resize(size);
                    }
                }
            }
            taken.clear();
            taken.extend(std::iter::from_fn(|| slots.try_take()));
            prop_assert_eq!(taken.len(), size as usize);
        }
    }
}
