//! Deliveries of instances that are kept on request, in memory, to be run again where somebody looks for a fault.
//!
//! Kept is what the guest saw: events under all rules of `encryption`, answers redacted, no credential. Of the
//! configuration, what `${…}` filled in stands there as it is written, and what the component's schema calls a secret
//! is masked. A restart forgets everything, and so does an hour.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bulkhead_core::Tenant;
use bulkhead_sandbox::capture::{Captured, Captures, Capturing, MOST_TIME, Progress, Recording};
use bulkhead_sandbox::{Component, capture};
use serde_json::Value;

use crate::config::{RawConfig, is_secret};

/// Instances that hold deliveries at the same time.
const MOST_AT_ONCE: usize = 8;
/// How long what was kept is there, once nothing more is waited for.
const KEPT: Duration = MOST_TIME;
/// In place of a secret.
const MASK: &str = "********";

/// All instances of this host.
#[derive(Debug, Default)]
pub struct CaptureDesk(Mutex<BTreeMap<String, Place>>);

#[derive(Debug, Default)]
struct Place {
    captures: Arc<Captures>,
    /// Whose the instance is.
    owner: Option<Tenant>,
    /// Why this instance's deliveries cannot be kept.
    hindrance: Option<String>,
    /// When the last request ends, and what it kept is forgotten, on the monotonic clock.
    forgotten: Option<Duration>,
}

/// Why nothing is kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CaptureError {
    #[error("no instance of that name runs a connector")]
    Unknown,
    #[error("deliveries of this connector cannot be kept: {0}")]
    Hindered(String),
    #[error("{MOST_AT_ONCE} instances hold deliveries already; fetch or delete those of others first")]
    Busy,
}

impl CaptureDesk {
    /// What becomes of the deliveries of an instance that is built.
    pub fn recording(&self, instance: &str, owner: Option<&Tenant>, component: &Component, config: &RawConfig) -> Recording {
        let mut places = self.lock();
        let place = places.entry(instance.to_owned()).or_default();
        if place.owner.as_ref() != owner {
            // What was kept is somebody else's.
            *place = Place { owner: owner.cloned(), ..Place::default() };
        }
        place.hindrance = capture::hindrance(component.inspection().capabilities.iter().copied());
        if place.hindrance.is_some() {
            return Recording::Off;
        }
        let schema = component.inspection().manifest.as_ref().and_then(|manifest| manifest.config_schema.as_ref()).map(|schema| schema.get());
        Recording::Kept(Capturing { captures: Arc::clone(&place.captures), config: Arc::new(shown(config, schema)) })
    }

    /// Keeps the next deliveries of an instance, in place of those that were kept.
    pub fn arm(&self, instance: &str, deliveries: u32, time: Duration, now: Duration) -> Result<Progress, CaptureError> {
        let mut places = self.lock();
        forget(&mut places, now);
        let others = places.iter().filter(|(name, place)| *name != instance && place.forgotten.is_some()).count();
        let place = places.get_mut(instance).ok_or(CaptureError::Unknown)?;
        if let Some(hindrance) = &place.hindrance {
            return Err(CaptureError::Hindered(hindrance.clone()));
        }
        if others >= MOST_AT_ONCE {
            return Err(CaptureError::Busy);
        }
        let until = now + time.min(MOST_TIME);
        place.captures.arm(deliveries, until);
        place.forgotten = Some(until + KEPT);
        Ok(place.captures.kept(now).0)
    }

    /// What was kept.
    pub fn kept(&self, instance: &str, now: Duration) -> Result<(Progress, Vec<Arc<Captured>>), CaptureError> {
        let mut places = self.lock();
        forget(&mut places, now);
        let place = places.get(instance).ok_or(CaptureError::Unknown)?;
        place.hindrance.as_ref().map_or_else(|| Ok(place.captures.kept(now)), |hindrance| Err(CaptureError::Hindered(hindrance.clone())))
    }

    /// Forgets what was kept, and keeps nothing more.
    pub fn clear(&self, instance: &str) -> Result<(), CaptureError> {
        let mut places = self.lock();
        let place = places.get_mut(instance).ok_or(CaptureError::Unknown)?;
        place.captures.clear();
        place.forgotten = None;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Place>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn forget(places: &mut BTreeMap<String, Place>, now: Duration) {
    for place in places.values_mut() {
        if place.forgotten.is_some_and(|forgotten| now >= forgotten) {
            place.captures.clear();
            place.forgotten = None;
        }
    }
}

/// A configuration as it may be shown.
fn shown(config: &RawConfig, schema: Option<&str>) -> Value {
    let mut json = config.json.clone();
    let schema: Value = schema.and_then(|schema| serde_json::from_str(schema).ok()).unwrap_or_default();
    mask(&mut json, &schema, &mut Vec::new());
    for (pointer, written) in &config.interpolated {
        if let Some(value) = json.pointer_mut(pointer) {
            *value = Value::String(written.clone());
        }
    }
    json
}

/// What the schema marks is masked, wherever it lies.
fn mask(value: &mut Value, schema: &Value, path: &mut Vec<String>) {
    if !path.is_empty() && is_secret(schema, path) {
        *value = MASK.into();
        return;
    }
    let mut below = |segment: String, inner: &mut Value| {
        path.push(segment);
        mask(inner, schema, path);
        path.pop();
    };
    match value {
        Value::Object(members) => members.iter_mut().for_each(|(name, inner)| below(name.clone(), inner)),
        Value::Array(items) => items.iter_mut().enumerate().for_each(|(place, inner)| below(place.to_string(), inner)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_of_a_configuration_are_not_shown() {
        let schema = json!({"properties": {"pin": {"format": "password"}, "list": {"items": {"properties": {"token": {"writeOnly": true}}}}}});
        let mut config = json!({"pin": "1234", "path": "/in", "list": [{"token": "abc", "name": "n"}]});
        mask(&mut config, &schema, &mut Vec::new());
        assert_eq!(config, json!({"pin": MASK, "path": "/in", "list": [{"token": MASK, "name": "n"}]}));
        let mut plain = json!({"pin": "1234"});
        mask(&mut plain, &Value::Null, &mut Vec::new());
        assert_eq!(plain, json!({"pin": "1234"}), "without a schema nothing is known to be one");
    }

    #[test]
    fn a_host_keeps_for_a_few_instances_and_for_a_time() {
        let desk = CaptureDesk::default();
        let (minute, hour) = (Duration::from_secs(60), Duration::from_secs(3_600));
        assert_eq!(desk.arm("a", 1, minute, minute), Err(CaptureError::Unknown));
        for name in ["a", "b", "c", "d", "e", "f", "g", "h", "i"] {
            desk.lock().insert(name.to_owned(), Place::default());
        }
        for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
            assert_eq!(desk.arm(name, 5, minute, minute).expect("armed").waiting, 5);
        }
        let refused = desk.arm("i", 1, minute, minute).expect_err("too many");
        assert!(refused.to_string().contains("8 instances") && refused.to_string().contains("a, b"), "{refused}");
        assert!(desk.arm("a", 1, minute, minute).is_ok(), "one of them again");
        desk.clear("b").expect("cleared");
        assert!(desk.arm("i", 1, minute, minute).is_ok());
        assert_eq!(desk.kept("c", 2 * minute).expect("there").0.waiting, 0, "the time is up");
        assert!(desk.arm("b", 1, 100 * hour, 3 * hour).is_ok(), "the others were forgotten");
        assert_eq!(desk.kept("b", 4 * hour - minute).expect("there").0.waiting, 1);
        assert_eq!(desk.kept("b", 4 * hour).expect("there").0.waiting, 0, "an hour at most");
        desk.lock().insert("t".to_owned(), Place { hindrance: Some("it reaches tcp".to_owned()), ..Place::default() });
        assert!(matches!(desk.arm("t", 1, minute, minute), Err(CaptureError::Hindered(_))));
    }
}
