//! Deliveries of instances that are kept on request, in memory, to be run again where somebody looks for a fault.
//!
//! Kept is what the guest saw: events under all rules of `encryption`, answers redacted, no credential. Of the
//! configuration, what `${…}` filled in stands there as it is written, and what the component's schema calls a secret
//! is masked; both are taken out of calls and their answers, too. A restart forgets everything, and so does an hour.
//! A plan that is not put in force changes nothing here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bulkhead_core::{Clock, Tenant};
use bulkhead_sandbox::capture::{Captured, Captures, Capturing, MOST_TIME, Progress, Recording};
use bulkhead_sandbox::egress::redact::{MIN_SECRET, Redactor};
use bulkhead_sandbox::{Component, capture};
use serde_json::Value;

use crate::config::{RawConfig, is_secret};

/// Instances that hold deliveries at the same time.
const MOST_AT_ONCE: usize = 8;
/// Of these, those of one tenant.
const MOST_OF_A_TENANT: usize = 2;
/// Secrets of one configuration that are looked for: each is looked for in many forms, in every byte.
const MOST_SECRETS: usize = 32;
/// Between two looks for what is to be forgotten.
const LOOK: Duration = Duration::from_secs(60);
/// How long what was kept is there, once nothing more is waited for.
const KEPT: Duration = MOST_TIME;
/// In place of a secret.
const MASK: &str = "********";

/// All instances of this host.
#[derive(Debug, Default)]
pub struct CaptureDesk(Mutex<Desk>);

#[derive(Debug, Default)]
struct Desk {
    /// In force.
    places: BTreeMap<String, Place>,
    /// What the latest plan built: in force once the plan is, else forgotten with the next.
    pending: BTreeMap<String, Place>,
    plans: u64,
    /// A task looks for what is to be forgotten.
    watched: bool,
}

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
    /// Without names: they may be somebody else's.
    #[error("{most} instances hold deliveries already; fetch or delete those of others first")]
    Busy { most: usize },
}

impl CaptureDesk {
    /// A configuration begins to be built; what the one before built and did not put in force is forgotten.
    pub fn begin(&self) {
        let mut desk = self.lock();
        desk.pending.clear();
        desk.plans += 1;
    }

    /// What becomes of the deliveries of an instance that is built.
    pub fn recording(&self, instance: &str, owner: Option<&Tenant>, component: &Component, config: &RawConfig) -> Recording {
        let schema = component.inspection().manifest.as_ref().and_then(|manifest| manifest.config_schema.as_ref()).map(|schema| schema.get());
        let (config, secrets) = shown(config, schema);
        let many = || (secrets.len() > MOST_SECRETS).then(|| format!("its configuration has {} secrets; {MOST_SECRETS} are looked for", secrets.len()));
        let hindrance = capture::hindrance(component.inspection().capabilities.iter().copied()).or_else(many);
        let hindered = hindrance.is_some();
        let captures = self.lock().built(instance, owner, hindrance);
        if hindered {
            return Recording::Off;
        }
        let redactor = Redactor::new(secrets.iter().map(String::as_bytes));
        Recording::Kept(Capturing { captures, config: Arc::new(config), redactor: Arc::new(redactor) })
    }

    /// What was built is in force, for these instances with their owners; those that are no more are forgotten.
    pub fn settle<'a>(&self, instances: impl IntoIterator<Item = (&'a str, Option<&'a Tenant>)>) {
        let instances: BTreeMap<&str, Option<&Tenant>> = instances.into_iter().collect();
        let there = |name: &str, place: &Place| instances.get(name).is_some_and(|owner| *owner == place.owner.as_ref());
        let mut desk = self.lock();
        for (name, place) in std::mem::take(&mut desk.pending) {
            if there(name.as_str(), &place) {
                desk.put(name, place);
            }
        }
        desk.places.retain(|name, place| {
            let stays = there(name.as_str(), &*place);
            if !stays {
                place.captures.clear();
            }
            stays
        });
    }

    /// Keeps the next deliveries of an instance, in place of those that were kept.
    pub fn arm(&self, instance: &str, deliveries: u32, time: Duration, now: Duration) -> Result<Progress, CaptureError> {
        let mut desk = self.lock();
        forget(&mut desk.places, now);
        let place = desk.places.get(instance).ok_or(CaptureError::Unknown)?;
        if let Some(hindrance) = &place.hindrance {
            return Err(CaptureError::Hindered(hindrance.clone()));
        }
        let others = || desk.places.iter().filter(|(name, other)| *name != instance && other.forgotten.is_some());
        if place.owner.is_some() && others().filter(|(_, other)| other.owner == place.owner).count() >= MOST_OF_A_TENANT {
            return Err(CaptureError::Busy { most: MOST_OF_A_TENANT });
        }
        if others().count() >= MOST_AT_ONCE {
            return Err(CaptureError::Busy { most: MOST_AT_ONCE });
        }
        let until = now + time.min(MOST_TIME);
        let place = desk.places.get_mut(instance).ok_or(CaptureError::Unknown)?;
        place.captures.arm(deliveries, until);
        place.forgotten = Some(until + KEPT);
        Ok(place.captures.kept(now).0)
    }

    /// What was kept.
    pub fn kept(&self, instance: &str, now: Duration) -> Result<(Progress, Vec<Arc<Captured>>), CaptureError> {
        let mut desk = self.lock();
        forget(&mut desk.places, now);
        let place = desk.places.get(instance).ok_or(CaptureError::Unknown)?;
        place.hindrance.as_ref().map_or_else(|| Ok(place.captures.kept(now)), |hindrance| Err(CaptureError::Hindered(hindrance.clone())))
    }

    /// Forgets what was kept, and keeps nothing more.
    pub fn clear(&self, instance: &str) -> Result<(), CaptureError> {
        let mut desk = self.lock();
        let place = desk.places.get_mut(instance).ok_or(CaptureError::Unknown)?;
        place.captures.clear();
        place.forgotten = None;
        Ok(())
    }

    /// Forgets in time also where nobody asks any more: one task at most, for as long as anything is held.
    pub fn watch(self: &Arc<Self>, clock: Arc<dyn Clock>) {
        if std::mem::replace(&mut self.lock().watched, true) {
            return;
        }
        let desk = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(LOOK).await;
                let Some(desk) = desk.upgrade() else { return };
                if !desk.look(clock.monotonic()) {
                    return;
                }
            }
        });
    }

    /// Whether anything is still held.
    fn look(&self, now: Duration) -> bool {
        let mut desk = self.lock();
        forget(&mut desk.places, now);
        desk.watched = desk.places.values().any(|place| place.forgotten.is_some());
        desk.watched
    }

    fn lock(&self) -> MutexGuard<'_, Desk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Desk {
    /// Where deliveries of an instance go that is built: for the same owner what is armed stays armed, another begins
    /// anew.
    fn built(&mut self, instance: &str, owner: Option<&Tenant>, hindrance: Option<String>) -> Arc<Captures> {
        let known = self.places.get(instance).filter(|place| place.owner.as_ref() == owner);
        let captures = known.map(|place| Arc::clone(&place.captures)).unwrap_or_default();
        let place = Place { captures: Arc::clone(&captures), owner: owner.cloned(), hindrance, forgotten: None };
        // The first plan is the start's: it is in force, or there is no host.
        if self.plans <= 1 {
            self.put(instance.to_owned(), place);
        } else {
            self.pending.insert(instance.to_owned(), place);
        }
        captures
    }

    fn put(&mut self, instance: String, mut place: Place) {
        match self.places.remove(&instance) {
            Some(old) if Arc::ptr_eq(&old.captures, &place.captures) && place.hindrance.is_none() => place.forgotten = old.forgotten,
            Some(old) => old.captures.clear(),
            None => {}
        }
        self.places.insert(instance, place);
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

/// A configuration as it may be shown, and what may not be, as far as it is long enough to be found elsewhere.
fn shown(config: &RawConfig, schema: Option<&str>) -> (Value, BTreeSet<String>) {
    let mut json = config.json.clone();
    let mut secrets = BTreeSet::new();
    let schema: Value = schema.and_then(|schema| serde_json::from_str(schema).ok()).unwrap_or_default();
    mask(&mut json, &schema, &mut Vec::new(), &mut secrets);
    for (pointer, written) in &config.interpolated {
        if let Some(text) = config.json.pointer(pointer).and_then(text) {
            filled(&text, written, &mut secrets);
        }
        // A mask stays: what is written around a `${…}` is part of the secret, too.
        if let Some(value) = json.pointer_mut(pointer).filter(|value| value.as_str() != Some(MASK)) {
            *value = Value::String(written.clone());
        }
    }
    secrets.retain(|secret| secret.len() >= MIN_SECRET);
    (json, secrets)
}

/// What the schema marks is masked, wherever it lies.
fn mask(value: &mut Value, schema: &Value, path: &mut Vec<String>, secrets: &mut BTreeSet<String>) {
    if !path.is_empty() && is_secret(schema, path) {
        scalars(value, secrets);
        *value = MASK.into();
        return;
    }
    let mut below = |segment: String, inner: &mut Value| {
        path.push(segment);
        mask(inner, schema, path, secrets);
        path.pop();
    };
    match value {
        Value::Object(members) => members.iter_mut().for_each(|(name, inner)| below(name.clone(), inner)),
        Value::Array(items) => items.iter_mut().enumerate().for_each(|(place, inner)| below(place.to_string(), inner)),
        _ => {}
    }
}

fn scalars(value: &Value, secrets: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => members.values().for_each(|inner| scalars(inner, secrets)),
        Value::Array(items) => items.iter().for_each(|inner| scalars(inner, secrets)),
        one => secrets.extend(text(one)),
    }
}

/// A scalar as guests write it elsewhere.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// What `${…}` put into a text: the whole, and each piece as far as the letters around it tell them apart.
fn filled(text: &str, written: &str, secrets: &mut BTreeSet<String>) {
    secrets.insert(text.to_owned());
    let around = around(written);
    let Some((first, others)) = around.split_first() else { return };
    let Some(mut rest) = text.strip_prefix(first.as_str()) else { return };
    let Some((last, between)) = others.split_last() else { return };
    for letters in between {
        let Some((piece, after)) = rest.split_once(letters.as_str()) else { return };
        secrets.insert(piece.to_owned());
        rest = after;
    }
    secrets.extend(rest.strip_suffix(last.as_str()).map(str::to_owned));
}

/// What stands around each `${…}`, read as `config/interpolate.rs` reads it.
fn around(written: &str) -> Vec<String> {
    let (mut rest, mut all, mut letters) = (written, Vec::new(), String::new());
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            letters.push_str(&rest[..at - 1]);
            letters.push_str("${");
            rest = &rest[at + 2..];
            continue;
        }
        let Some(end) = rest[at..].find('}') else { break };
        letters.push_str(&rest[..at]);
        all.push(std::mem::take(&mut letters));
        rest = &rest[at + end + 1..];
    }
    letters.push_str(rest);
    all.push(letters);
    all
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_of_a_configuration_are_not_shown() {
        let schema = json!({"properties": {"pin": {"format": "password"}, "list": {"items": {"properties": {"token": {"writeOnly": true}}}}}});
        let mut config = json!({"pin": "1234", "path": "/in", "list": [{"token": "abc", "name": "n"}]});
        let mut secrets = BTreeSet::new();
        mask(&mut config, &schema, &mut Vec::new(), &mut secrets);
        assert_eq!(secrets, BTreeSet::from(["1234".to_owned(), "abc".to_owned()]));
        assert_eq!(config, json!({"pin": MASK, "path": "/in", "list": [{"token": MASK, "name": "n"}]}));
        let mut plain = json!({"pin": "1234"});
        mask(&mut plain, &Value::Null, &mut Vec::new(), &mut secrets);
        assert_eq!(plain, json!({"pin": "1234"}), "without a schema nothing is known to be one");
    }

    #[test]
    fn what_was_filled_in_is_known() {
        let json = json!({"path": "/hook/token-1/in", "key": "Bearer key-of-us", "pin": "pin: 123456", "two": "user-1:pass-1", "short": "abc"});
        let written = [("/path", "/hook/${TOKEN}/in"), ("/key", "Bearer ${KEY}"), ("/pin", "pin: ${PIN}"), ("/two", "${U}:${P:-x}"), ("/short", "${S}")];
        let interpolated = written.iter().map(|(pointer, text)| ((*pointer).to_owned(), (*text).to_owned())).collect();
        let config = RawConfig { json, interpolated, ..RawConfig::default() };
        let schema = json!({"properties": {"pin": {"writeOnly": true}}}).to_string();
        let (config, secrets) = shown(&config, Some(&schema));
        let want = json!({"path": "/hook/${TOKEN}/in", "key": "Bearer ${KEY}", "pin": MASK, "two": "${U}:${P:-x}", "short": "${S}"});
        assert_eq!(config, want, "nothing is written over a mask");
        let known: Vec<&str> = secrets.iter().map(String::as_str).collect();
        let want = ["/hook/token-1/in", "123456", "Bearer key-of-us", "key-of-us", "pass-1", "pin: 123456", "token-1", "user-1", "user-1:pass-1"];
        assert_eq!(known, want, "`abc` is too short to be found elsewhere");
        assert_eq!(around("a$${b}${C}d"), ["a${b}", "d"]);
    }

    #[test]
    fn a_plan_that_is_not_put_in_force_changes_nothing() {
        let desk = CaptureDesk::default();
        let minute = Duration::from_secs(60);
        let (us, them) = (Tenant::new("us").expect("a name"), Tenant::new("them").expect("a name"));
        desk.begin();
        let first = desk.lock().built("a", Some(&us), None);
        desk.lock().built("b", None, None);
        desk.arm("a", 5, minute, minute).expect("armed");
        // Dry runs: another owner, an instance more, one that cannot be kept.
        desk.begin();
        let other = desk.lock().built("a", Some(&them), None);
        desk.lock().built("new", None, None);
        assert!(!Arc::ptr_eq(&first, &other));
        desk.begin();
        desk.lock().built("a", Some(&us), Some("it reaches tcp".to_owned()));
        assert_eq!(desk.kept("a", minute).expect("there").0.waiting, 5);
        assert_eq!(desk.kept("new", minute).map(drop), Err(CaptureError::Unknown));
        // The same owner's, built anew: what is armed stays so. What is gone is forgotten.
        desk.begin();
        let again = desk.lock().built("a", Some(&us), None);
        desk.settle([("a", Some(&us))]);
        assert!(Arc::ptr_eq(&first, &again));
        assert_eq!(desk.kept("a", minute).expect("there").0.waiting, 5);
        assert_eq!(desk.kept("b", minute).map(drop), Err(CaptureError::Unknown));
        // Another owner's begins anew, and what was kept is nobody's.
        desk.begin();
        desk.lock().built("a", Some(&them), None);
        desk.settle([("a", Some(&them))]);
        assert_eq!(desk.kept("a", minute).expect("there").0.waiting, 0);
        assert_eq!(first.kept(minute).0.waiting, 0);
    }

    #[test]
    fn a_host_keeps_for_a_few_instances_and_for_a_time() {
        let desk = CaptureDesk::default();
        let (minute, hour) = (Duration::from_secs(60), Duration::from_secs(3_600));
        assert_eq!(desk.arm("a", 1, minute, minute), Err(CaptureError::Unknown));
        for name in ["a", "b", "c", "d", "e", "f", "g", "h", "i"] {
            desk.lock().places.insert(name.to_owned(), Place::default());
        }
        for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
            assert_eq!(desk.arm(name, 5, minute, minute).expect("armed").waiting, 5);
        }
        let refused = desk.arm("i", 1, minute, minute).expect_err("too many");
        assert!(refused == CaptureError::Busy { most: 8 } && refused.to_string().contains("8 instances"), "{refused}");
        assert!(desk.arm("a", 1, minute, minute).is_ok(), "one of them again");
        desk.clear("b").expect("cleared");
        assert!(desk.arm("i", 1, minute, minute).is_ok());
        assert_eq!(desk.kept("c", 2 * minute).expect("there").0.waiting, 0, "the time is up");
        assert!(desk.arm("b", 1, 100 * hour, 3 * hour).is_ok(), "the others were forgotten");
        assert_eq!(desk.kept("b", 4 * hour - minute).expect("there").0.waiting, 1);
        assert_eq!(desk.kept("b", 4 * hour).expect("there").0.waiting, 0, "an hour at most");
        assert!(!desk.look(10 * hour), "forgotten, though nobody asks");
        desk.lock().places.insert("t".to_owned(), Place { hindrance: Some("it reaches tcp".to_owned()), ..Place::default() });
        assert!(matches!(desk.arm("t", 1, minute, minute), Err(CaptureError::Hindered(_))));
        // A tenant leaves room for others.
        for name in ["x", "y", "z"] {
            desk.lock().places.insert(name.to_owned(), Place { owner: Some(Tenant::new("them").expect("a name")), ..Place::default() });
        }
        assert!(desk.arm("x", 1, minute, 10 * hour).is_ok() && desk.arm("y", 1, minute, 10 * hour).is_ok() && desk.look(10 * hour));
        assert_eq!(desk.arm("z", 1, minute, 10 * hour), Err(CaptureError::Busy { most: 2 }));
        assert!(desk.arm("a", 1, minute, 10 * hour).is_ok());
    }
}
