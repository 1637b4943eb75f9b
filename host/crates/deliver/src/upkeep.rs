//! When a guest's `maintain` is called: between deliveries, as often as it asks for. Pure.

use std::time::Duration;

use bulkhead_core::{DeliverError, Failure};

/// From a guest's first delivery, or the first after it asked for nothing, to the question.
const FIRST: Duration = Duration::from_secs(1);
/// A guest that says "at once" is not called in a loop.
const LEAST: Duration = Duration::from_millis(100);
const MOST: Duration = Duration::from_secs(24 * 60 * 60);
/// After a failure that names no time.
const AFTER_FAILURE: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(crate) struct Upkeep {
    due: Option<Duration>,
    /// It answered that it does not offer this; the next guest is of the same component.
    unsupported: bool,
}

impl Upkeep {
    pub fn due(&self) -> Option<Duration> {
        self.due
    }

    /// A guest has served a call at `now`: there may be a connection to keep.
    pub fn served(&mut self, now: Duration) {
        if self.due.is_none() && !self.unsupported {
            self.due = Some(now + FIRST);
        }
    }

    /// What `maintain` answered at `now`; `None` where no guest was there.
    pub fn answered(&mut self, answer: Option<&Result<Option<Duration>, DeliverError>>, now: Duration) {
        let wait = match answer {
            None | Some(Err(DeliverError::Fault(_)) | Ok(None)) => None,
            Some(Ok(Some(wait))) => Some(*wait),
            Some(Err(DeliverError::Failure(Failure::Unsupported))) => {
                self.unsupported = true;
                None
            }
            Some(Err(DeliverError::Failure(Failure::Unavailable { after: Some(after), .. }))) => Some(*after),
            Some(Err(DeliverError::Failure(_))) => Some(AFTER_FAILURE),
        };
        self.due = wait.map(|wait| now + wait.clamp(LEAST, MOST));
    }
}

#[cfg(test)]
mod tests {
    use bulkhead_core::GuestFault;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[track_caller]
    fn check(answer: Option<Result<Option<Duration>, DeliverError>>, due: Option<Duration>, after_serving: Option<Duration>) {
        let mut upkeep = Upkeep::default();
        assert_eq!(upkeep.due(), None, "nothing to keep before anything was served");
        upkeep.served(4 * SECOND);
        upkeep.served(9 * SECOND);
        assert_eq!(upkeep.due(), Some(5 * SECOND), "work does not put it off");
        upkeep.answered(answer.as_ref(), 10 * SECOND);
        assert_eq!(upkeep.due(), due, "{answer:?}");
        upkeep.served(20 * SECOND);
        assert_eq!(upkeep.due(), after_serving, "{answer:?}");
    }

    #[test]
    fn a_guest_is_called_as_often_as_it_asks_for() {
        let failed = |failure: Failure| Some(Err(DeliverError::Failure(failure)));
        let (again, later) = (Some(21 * SECOND), Some(17 * SECOND));
        check(Some(Ok(Some(7 * SECOND))), later, later);
        check(Some(Ok(Some(Duration::ZERO))), Some(10 * SECOND + LEAST), Some(10 * SECOND + LEAST));
        check(Some(Ok(Some(Duration::MAX))), Some(10 * SECOND + MOST), Some(10 * SECOND + MOST));
        check(Some(Ok(None)), None, again);
        check(None, None, again);
        check(Some(Err(DeliverError::Fault(GuestFault::Trap("x".into())))), None, again);
        check(failed(Failure::Unsupported), None, None);
        check(failed(Failure::Unavailable { reason: "down".into(), after: Some(7 * SECOND) }), later, later);
        check(failed(Failure::Other("x".into())), Some(70 * SECOND), Some(70 * SECOND));
    }
}
