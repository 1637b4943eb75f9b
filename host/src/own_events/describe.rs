//! What an own event says: its type, how much it matters, whom it is about, and details without secrets.

use bulkhead_core::LaneId;
use bulkhead_deliver::{BreakerState, HoldCause, Notice};
use bulkhead_ingest::{FilesNotice, PullNotice};
use bulkhead_integrity::{Finding, Kind, Resolved};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

/// The last own event of a run.
pub const STOPPED: &str = "stopped";

/// What happens to the host itself and to what it runs.
#[derive(Debug, Clone)]
pub enum Lifecycle {
    Started {
        instances: usize,
        lanes: usize,
    },
    /// Events that lanes have not settled.
    Stopped {
        unsettled: u64,
    },
    Reloaded {
        added: Vec<String>,
        changed: Vec<String>,
        removed: Vec<String>,
    },
    ReloadFailed {
        reason: String,
    },
    RolledBack(RolledBack),
    /// An API key that ends within a month.
    KeyExpires {
        id: String,
        name: String,
        expires: String,
    },
    /// A refresh token of a session was shown twice.
    TokenReused {
        actor: String,
        session: String,
        from: String,
    },
    /// The host sends nothing more to a webhook.
    WebhookDisabled {
        name: String,
        /// `gone` or `failing`.
        cause: &'static str,
        reason: String,
    },
}

/// A name stands for what it stood for before.
#[derive(Debug, Clone)]
pub struct RolledBack {
    pub component: String,
    /// Digests; none for the component that has the name without the registry.
    pub from: Option<String>,
    pub to: Option<String>,
    /// Instances that run something else now.
    pub instances: Vec<String>,
    pub cause: RollbackCause,
}

#[derive(Debug, Clone)]
pub enum RollbackCause {
    /// The actor.
    Manual(String),
    /// What it broke on, and where.
    Automatic { instance: String, reason: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Info,
    Medium,
    High,
    Critical,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// An own event before it has an id and a time.
#[derive(Debug, Clone, PartialEq)]
pub struct Described {
    /// Behind `bulkhead.`.
    pub kind: &'static str,
    pub level: Level,
    /// Instance, lane, component or entry of files; empty for the host.
    pub subject: String,
    pub data: Value,
    /// How many dead letters it stands for, where letters of one subject and cause are summed up.
    pub letters: Option<u64>,
    /// Where it may be told again after a crash; a new one each time where absent.
    pub id: Option<String>,
}

impl Described {
    fn new(kind: &'static str, level: Level, subject: &str, data: Value) -> Self {
        Self { kind, level, subject: subject.into(), data, letters: None, id: None }
    }

    pub fn lifecycle(what: &Lifecycle) -> Self {
        let version = env!("CARGO_PKG_VERSION");
        match what {
            Lifecycle::Started { instances, lanes } => {
                Self::new("started", Level::Info, "", json!({"version": version, "instances": instances, "lanes": lanes}))
            }
            Lifecycle::Stopped { unsettled } => Self::new(STOPPED, Level::Info, "", json!({"version": version, "unsettled": unsettled})),
            Lifecycle::Reloaded { added, changed, removed } => {
                Self::new("reloaded", Level::Info, "", json!({"added": added, "changed": changed, "removed": removed}))
            }
            Lifecycle::ReloadFailed { reason } => Self::new("reload_failed", Level::High, "", json!({"reason": reason})),
            Lifecycle::KeyExpires { id, name, expires } => Self::new("key.expires", Level::Medium, id, json!({"name": name, "expires_at": expires})),
            Lifecycle::TokenReused { actor, session, from } => Self::new("sign_in.token_reused", Level::High, actor, json!({"session": session, "from": from})),
            Lifecycle::WebhookDisabled { name, cause, reason } => Self::new("webhook.disabled", Level::High, name, json!({"cause": cause, "reason": reason})),
            Lifecycle::RolledBack(RolledBack { component, from, to, instances, cause }) => {
                let mut data = json!({"from": from, "to": to, "instances": instances});
                let level = match cause {
                    RollbackCause::Manual(by) => {
                        data["cause"] = "manual".into();
                        data["by"] = by.as_str().into();
                        Level::Medium
                    }
                    RollbackCause::Automatic { instance, reason } => {
                        data["cause"] = "automatic".into();
                        data["broke"] = json!({"instance": instance, "reason": reason});
                        Level::High
                    }
                };
                Self::new("component.rolled_back", level, component, data)
            }
        }
    }

    /// Asks nothing of a receiver but an answer.
    pub fn webhook_test(name: &str, data: Value) -> Self {
        Self { id: Some(Uuid::now_v7().to_string()), ..Self::new("webhook.test", Level::Info, name, data) }
    }

    /// What was found of a source's hash chain; `untold` findings were only counted since the last.
    pub fn integrity(rule: &str, chain: &str, finding: &Finding, untold: u64) -> Self {
        let (kind, level) = match finding.kind {
            Kind::Gap => ("integrity.gap", Level::High),
            Kind::Fork => ("integrity.fork", Level::High),
            Kind::Tampered => ("integrity.tampered", Level::Critical),
            Kind::Restarted => ("integrity.restarted", Level::Medium),
        };
        let mut data = crate::integrity::said(finding);
        data.insert("chain".into(), chain.into());
        Self::of_chain(kind, level, rule, data.into(), finding.at, untold)
    }

    /// A chain is whole again.
    pub fn integrity_resolved(rule: &str, chain: &str, resolved: &Resolved, untold: u64) -> Self {
        let data = json!({"chain": chain, "complete": resolved.complete, "findings": crate::integrity::counts(resolved), "seq": resolved.at});
        Self::of_chain("integrity.resolved", Level::Info, rule, data, resolved.at, untold)
    }

    fn of_chain(kind: &'static str, level: Level, rule: &str, mut data: Value, at: u64, untold: u64) -> Self {
        if untold > 0 {
            data["untold"] = untold.into();
        }
        let id = Some(format!("{kind}-{rule}-{at}"));
        Self { id, ..Self::new(kind, level, rule, data) }
    }

    /// What the intake of files tells.
    pub fn files(notice: &FilesNotice) -> Self {
        match notice {
            FilesNotice::Unreadable { files, path, error } => Self::new("files.unreadable", Level::High, files, json!({"path": path, "error": error})),
            FilesNotice::Recovered { files, path } => Self::new("files.recovered", Level::Info, files, json!({"path": path})),
            FilesNotice::Stopped { files, error } => Self::new("files.stopped", Level::Critical, files, json!({"error": error})),
        }
    }

    /// What pulls tell.
    pub fn pull(notice: &PullNotice) -> Self {
        match notice {
            PullNotice::Failed { instance, reason } => Self::new("sync.failed", Level::High, instance, json!({"reason": reason})),
            PullNotice::Recovered { instance } => Self::new("sync.recovered", Level::Info, instance, json!({})),
            PullNotice::Completed(run) => {
                let data =
                    json!({"id": run.id.to_string(), "trigger": run.trigger.name(), "pages": run.pages, "records": run.records, "left_out": run.left_out});
                Self::new("sync.completed", Level::Info, &run.instance, data)
            }
            PullNotice::LeftOut { instance, records, reason } => {
                Self::new("sync.left_out", Level::High, instance, json!({"records": records, "reason": reason}))
            }
        }
    }

    /// Nothing where it is no news or was caused by own events alone.
    pub fn notice(notice: &Notice) -> Option<Self> {
        let lane_event = |kind, level, lane: &LaneId, data| Self::new(kind, level, &lane.to_string(), data);
        Some(match notice {
            Notice::Breaker { instance, state: BreakerState::Open } => Self::new("breaker.opened", Level::High, instance, json!({})),
            Notice::Breaker { instance, state: BreakerState::Closed } => Self::new("breaker.closed", Level::Info, instance, json!({})),
            Notice::Breaker { state: BreakerState::HalfOpen, .. } => return None,
            Notice::Held { instance, cause, reason } => {
                let kind = if *cause == HoldCause::Quarantine { "instance.quarantined" } else { "instance.error" };
                Self::new(kind, Level::High, instance, json!({"cause": cause.name(), "reason": reason}))
            }
            Notice::Released { instance, cause } => Self::new("instance.recovered", Level::Info, instance, json!({"cause": cause.name()})),
            Notice::DeadLetters { lane, cause, count, own } => {
                let letters = count.saturating_sub(*own);
                if letters == 0 {
                    return None;
                }
                let described = lane_event("dead_letter.added", Level::High, lane, json!({"cause": cause.name()}));
                Self { letters: Some(letters), ..described }
            }
            // Room that only our own events needed: telling it would need more.
            Notice::DeadLettersDropped { own: true, .. } => return None,
            Notice::DeadLettersDropped { by, count, own: false } => {
                let described = Self::new("dead_letter.dropped", Level::High, "", json!({"cause": by}));
                Self { letters: Some(*count), ..described }
            }
            Notice::DeadLettersFull { lane } => {
                lane_event("dead_letter.limit", Level::Critical, lane, json!({"state": "reached", "key": "dead_letters.max_bytes"}))
            }
            Notice::DeadLettersRoom { lane } => {
                lane_event("dead_letter.limit", Level::Medium, lane, json!({"state": "cleared", "key": "dead_letters.max_bytes"}))
            }
            Notice::Lost { lane, first, last } => lane_event("journal.lost", Level::Critical, lane, json!({"first": first, "last": last})),
        })
    }

    /// The event as CloudEvents 1.0 writes it in JSON, `now` in nanoseconds of Unix time.
    pub fn cloud_event(&self, now: u64) -> String {
        let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(now)).ok().and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_default();
        let mut data = self.data.clone();
        if let Some(letters) = self.letters {
            data["count"] = letters.into();
        }
        let mut event = json!({
            "specversion": "1.0",
            "id": self.id.clone().unwrap_or_else(|| Uuid::now_v7().to_string()),
            "source": "bulkhead",
            "type": format!("bulkhead.{}", self.kind),
            "time": time,
            "severity": self.level.name(),
            "datacontenttype": "application/json",
            "data": data,
        });
        if !self.subject.is_empty() {
            event["subject"] = self.subject.as_str().into();
        }
        event.to_string()
    }
}
