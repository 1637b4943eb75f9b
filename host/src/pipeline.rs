//! The rooms joined in the order of an event's way: ingest → journal → route → format → deliver.

pub mod connect;
mod control;
mod current;
mod follow;
mod gate;
mod journal;
mod once;
mod preview;
mod reload;
mod sockets;
pub mod stored;
pub mod uploads;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, RwLock, Weak};
use std::time::Duration;

use bulkhead_core::{Clock, SystemClock};
use bulkhead_deliver::{Delivery, DeliveryParts, Notice, RoutingTable};
use bulkhead_ingest::{FilesHandle, HttpIntakeSettings, Inbound, InboundError, PullParts, Pulls};
use bulkhead_journal::{Journal, RealFs};
use bulkhead_observe::Metrics;
use bulkhead_registry::{Registry, RegistryError};
use bulkhead_route::{Router, RouterError};
use bulkhead_sandbox::{Compiler, MemoryState, Places, Sandbox, SandboxError, SandboxSettings, StateStore, WorkerSettings};
use bulkhead_seal::RuleFault;
use bulkhead_store::{Store, StoreError};
use secrecy::SecretString;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use control::Control;
use current::Current;
pub use follow::StoreHealth;
use journal::journal_settings;
pub use preview::{Preview, PreviewError};
pub use reload::{ReloadError, Reloaded};
use sockets::{LISTENING, SyslogSocket, bind, bind_syslog, local, write_listening};
use stored::{MergeError, Stored};

use crate::access::{self, Access};
use crate::api::{self, Api};
use crate::captures::CaptureDesk;
use crate::components::{Catalogue, Components};
use crate::config::{Config, Fault};
use crate::guests::{self, Parts, Purpose};
use crate::idempotency::Idempotency;
use crate::integrity::{Integrity, IntegrityError};
use crate::keys::{self, KeysError};
use crate::lease::HostLeases;
use crate::observed::index::{self, Index, NameError};
use crate::observed::logs::{GuestLines, Logs};
use crate::observed::periods::Periods;
use crate::observed::tap::Tap;
use crate::observed::{Guise, Looking};
use crate::oidc::{Oidc, ProviderError};
use crate::own_events::{Lifecycle, OwnEvents};
use crate::ownership::Ownership;
use crate::people::{self, People};
use crate::receipts::{HostReceipts, ReceiptsError};
use crate::replay::{self, Replayer};
use crate::state::{self, StoredCursors, StoredGrants, StoredRuns, StoredState};
use crate::sync_action::SyncDoor;
use crate::trail::Trail;
use crate::unverified::Unverified;
use crate::webhooks;

/// How far files were read, below `data_dir`.
const POSITIONS: &str = "files";
/// Where accepted requests of inbound webhooks are remembered, below `data_dir`.
const INBOUND: &str = "inbound";

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the configuration has {} faults", .0.len())]
    Faults(Vec<Fault>),
    #[error("cannot listen on {addr} ({key})")]
    Listen { addr: SocketAddr, key: &'static str, source: std::io::Error },
    #[error("cannot have the keys of `encryption`")]
    Keys(#[from] KeysError),
    #[error("cannot open the journal")]
    Journal(#[from] bulkhead_journal::OpenError),
    #[error(transparent)]
    Repeats(#[from] bulkhead_ingest::OpenRepeatsError),
    #[error(transparent)]
    Integrity(#[from] IntegrityError),
    #[error("cannot read the answers kept for idempotency keys (journal.idempotency_window)")]
    Answers(#[source] std::io::Error),
    #[error("cannot open the store")]
    Store(#[from] StoreError),
    #[error("{0}")]
    Raced(String),
    #[error("cannot open the registry of uploaded components")]
    Registry(#[from] RegistryError),
    #[error("cannot start the sandbox")]
    Sandbox(#[from] SandboxError),
    #[error(transparent)]
    Inbound(#[from] InboundError),
    #[error(transparent)]
    Receipts(#[from] ReceiptsError),
    #[error(transparent)]
    Oidc(#[from] ProviderError),
    #[error(transparent)]
    Access(#[from] access::OpenError),
    #[error("cannot start delivery")]
    Delivery(#[from] bulkhead_deliver::StartError),
    #[error(transparent)]
    Router(#[from] RouterError),
    #[error(
        "lane `{lane}` has {backlog} events that it has not delivered, and no route names it any more; route to it again, or start once with `--discard-lane {lane}` to give them up"
    )]
    LaneWithoutRoute { lane: String, backlog: u64 },
    #[error("cannot remove lane `{lane}`")]
    RemoveLane { lane: String, source: bulkhead_journal::LaneError },
    #[error("cannot make {}, where it is kept how far files were read (listen.files)", dir.display())]
    Positions { dir: PathBuf, source: std::io::Error },
    #[error("what is sealed or redacted cannot be: {0}")]
    Fields(#[from] RuleFault),
    #[error(transparent)]
    IndexName(#[from] NameError),
    #[error("cannot write {LISTENING} in data_dir")]
    Listening(#[source] std::io::Error),
}

/// What the names of lanes begin with that are no instance's.
const OWN_LANE: char = '@';
/// Longest time that the last own events have to reach the journal.
const LAST_EVENTS: Duration = Duration::from_secs(2);

/// What an operator gives up at a start.
#[derive(Debug, Clone, Copy, Default)]
pub struct GivenUp<'a> {
    /// Lanes with what they have not delivered.
    pub lanes: &'a [String],
    /// Stored entries of the configuration, `section/name`.
    pub entries: &'a [String],
    /// All API keys.
    pub api_keys: bool,
}

/// A running host.
pub struct Host {
    api: SocketAddr,
    intake: SocketAddr,
    delivery: Arc<Delivery>,
    journal: Journal,
    metrics: Metrics,
    clock: Arc<dyn Clock>,
    /// What changes a running host: reloads and uploads.
    control: Arc<Control>,
    receipts: Option<Arc<HostReceipts>>,
    own_events: OwnEvents,
    writing_own_events: JoinHandle<()>,
    ready: Arc<AtomicBool>,
    /// Ends intake first, the API last.
    stop_intake: CancellationToken,
    stop_api: CancellationToken,
    /// Requests that change something, on record once they have ended.
    changes: TaskTracker,
    /// Writes down who was let in, who was not, and when.
    stop_access: CancellationToken,
    keeping_access: JoinHandle<()>,
    /// Schedules of this host, for other hosts to take over.
    stop_leases: CancellationToken,
    keeping_leases: JoinHandle<()>,
    serving_intake: JoinSet<()>,
    serving_api: JoinHandle<()>,
    /// What reads the journal beside the lanes.
    stop_following: CancellationToken,
    following: JoinSet<()>,
    /// Hands dead letters back, and sees what became of them.
    keeping: JoinHandle<()>,
    /// Notes deliveries to webhooks, and does what is due for these.
    writing_deliveries: JoinHandle<()>,
    keeping_webhooks: JoinHandle<()>,
    lane_replays: Arc<replay::lane::Lanes>,
    pulls: Arc<Pulls>,
    tap: Tap,
}

impl Host {
    /// Starts everything; events are taken when it returns. `show` shows the first API key, where one is made. Not
    /// cancel safe.
    pub async fn start(config: Config, given_up: GivenUp<'_>, show: impl Fn(&SecretString)) -> Result<Self, StartError> {
        let metrics = Metrics::new();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        // Addresses first: a second host on the same ports must not touch anything.
        let api_listener = bind(config.api.addr, "listen.api").await?;
        let intake_listener = bind(config.http.addr, "listen.http").await?;
        let (api_addr, intake_addr) = (local(&api_listener, "listen.api")?, local(&intake_listener, "listen.http")?);
        let syslog = bind_syslog(&config.syslog).await?;
        // Their TLS is renewed in place at reloads, so it must be these and none that is read again.
        let listeners = config.syslog.clone();

        let keyring = keys::keyring(&config.encryption, &clock).await?;
        let at_rest = keys::at_rest(&config.encryption, keyring.as_ref());
        if let Some(keyring) = &keyring {
            let older: Vec<_> = keyring.ids().skip(1).collect();
            tracing::info!(key = %keyring.current().id(), ?older, at_rest = at_rest.seal, "keys");
        }
        let (journal, recovery) = Journal::open(journal_settings(&config, at_rest.clone(), &clock, &metrics), Arc::new(RealFs))?;
        tracing::info!(?recovery, "journal open");
        let store = Store::open_with(&config.data_dir, config.store.server.as_ref()).await?;
        // Before what it counts is read: a change in between is looked at twice rather than never.
        let generations = store.changes().generations().await?;
        let store_health = StoreHealth::new(&store, &metrics);
        let entries = store.with_room(async || store.entries(keyring.clone()).await).await?;
        let stored = Stored::open(entries, store.inactive()).await?;
        let config = stored.merge(config, given_up.entries).await.map_err(|error| match error {
            MergeError::Store(error) => StartError::Store(error),
            MergeError::Raced(words) => StartError::Raced(words),
            MergeError::Faults(faults) => StartError::Faults(faults),
        })?;
        let ownership = Ownership::open(&store, &clock).await?;
        store.with_room(async || ownership.settle(&config).await).await?;
        forget_lanes(&journal, &config, given_up.lanes)?;
        let (gate, follower) = gate::open(&config, &journal, &clock, &metrics)?;
        let (stop_following, mut following) = (CancellationToken::new(), JoinSet::new());
        if let Some(follower) = follower {
            following.spawn(follower.run(stop_following.clone()));
        }
        if let Some(integrity) = Integrity::open(&config.integrity, &config.data_dir, &journal, Arc::clone(&clock), &metrics)? {
            following.spawn(integrity.run(stop_following.clone()));
        }
        let dead_letters = store.with_room(async || store.dead_letters_at_rest(config.dead_letters, at_rest.clone()).await).await?;

        let refresh_tokens = match &keyring {
            Some(keyring) => {
                let table = store.with_room(async || store.refresh_tokens(keyring.clone()).await).await?;
                Arc::new(StoredGrants::open(table, &clock).await?)
            }
            // There is nothing to seal them with: they end with the process.
            None => Arc::default(),
        };
        let (logs, waiting_logs) = Logs::new(Arc::clone(&clock));
        let periods = Periods::new(store.periods(), Arc::clone(&clock));
        let max_egress = max_egress(config.max_egress);
        let sandbox = Sandbox::new(
            SandboxSettings {
                data_dir: Some(config.data_dir.clone()),
                clock: Arc::clone(&clock),
                compiler: compiler(&config),
                max_egress,
                refresh_tokens,
                log: Arc::new(GuestLines(logs.clone())),
                ..SandboxSettings::default()
            },
            metrics.clone(),
        )?;
        let state: Arc<dyn StateStore> = Arc::new(StoredState(store.connector_state()));
        let receipts = match &config.audit {
            Some(settings) => Some(HostReceipts::open(settings, &metrics)?),
            None => {
                tracing::warn!("no receipts are kept (audit.receipts)");
                None
            }
        };
        let config = Arc::new(config);
        let inbound = Inbound::new(config.data_dir.join(INBOUND), metrics.clone(), Arc::clone(&clock));
        inbound.replace(reload::prepare_inbound(&inbound, &config).await?);
        let registry = Arc::new(Registry::open(&config.data_dir)?);
        let index = registry.index();
        for (digest, revocation) in index.revoked() {
            let name = index.find(digest).map_or("?", |(name, _)| name);
            sandbox.revoke(*digest.bytes(), &uploads::said(name, digest, &revocation.stamp.by, revocation.reason.as_deref()));
        }
        let components = Components::new(Some(&config.connectors_dir)).with_uploads(&registry, index, &config.upload.signing);
        let (deliveries, heard_deliveries) = tokio::sync::mpsc::channel(webhooks::QUEUE);
        let sync = (SyncDoor::default(), Arc::clone(&clock));
        let captures = Arc::new(CaptureDesk::default());
        let built = guests::build(
            &config,
            &components,
            &sandbox,
            Arc::clone(&state),
            Purpose::Serve,
            Parts {
                receipts: receipts.as_deref(),
                periods: Some(&periods),
                keyring: keyring.as_ref(),
                deliveries: Some(&deliveries),
                captures: Some(&captures),
                sync: Some(&sync),
            },
            None,
        )
        .await
        .map_err(StartError::Faults)?;
        for warning in &config.warnings {
            tracing::warn!(key = warning.key, "{}", warning.message);
        }

        let current = Current::new(&config, &built);
        let started = Lifecycle::Started { instances: current.instances.len(), lanes: current.rules.lanes.len() };
        let heard: Arc<OnceLock<Weak<Control>>> = Arc::default();
        let hears = Arc::clone(&heard);
        let unverified = Unverified::default();
        unverified.set(&built);
        let router = current.rules.router()?.with_owners_since(ownership.lanes(current.rules.places()));
        let routing = RoutingTable::new(router, current.rules.places(), &metrics);
        let guise = Guise::new(&config, keyring.as_ref())?;
        let tap = Tap::new(guise.clone(), Arc::clone(&routing), journal.clone(), Arc::clone(&clock));
        let index = match config.event_index {
            Some(settings) => {
                let parts = index::Parts {
                    table: store.event_index(),
                    settings,
                    journal: journal.clone(),
                    routing: Arc::clone(&routing),
                    guise: guise.clone(),
                    clock: Arc::clone(&clock),
                };
                let (index, indexer) = Index::open(parts, &config.data_dir)?;
                following.spawn(indexer.run(stop_following.clone()));
                Some(index)
            }
            None => None,
        };
        following.spawn(waiting_logs.keep(logs.clone(), store.logs(), config.logs, stop_following.clone()));
        following.spawn(tap.clone().follow(stop_following.clone()));
        let instances = built.iter().map(|built| stored.settings(&built.settings)).collect();

        let (own_events, writing_own_events) = OwnEvents::start(config.own_events, &journal, &clock);
        let trail = Trail::new(receipts.as_ref(), logs.clone());
        let access = Access::open(&config.api, &config.data_dir, &store, given_up.api_keys, &clock, &trail, show).await?;
        let parts =
            people::Parts { store: &store, keyring: keyring.clone(), guesses: access.shared_guesses(), clock: &clock, trail: &trail, own_events: &own_events };
        let people = People::open(&config.api, parts).await?;
        let oidc = config.api.oidc.clone().map(|settings| Oidc::new(settings, &clock)).transpose()?;
        if let Some(oidc) = &oidc {
            oidc.warm(None);
        }
        following.spawn(Arc::clone(&people).keep(stop_following.clone()));
        let replayer = Replayer::new(dead_letters.clone(), journal.clone(), Arc::clone(&clock), metrics.clone(), trail.clone());
        store.with_room(async || replayer.recover().await).await?;
        let replays = store.lane_replays();
        let reading_again = replay::lane::recover(&replays, &journal).await?;
        let parts = DeliveryParts {
            settings: config.delivery,
            routing: Arc::clone(&routing),
            journal: journal.clone(),
            dead_letters: Arc::new(dead_letters.clone()),
            metrics: metrics.clone(),
            clock: Arc::clone(&clock),
            notices: Arc::new({
                let (own_events, replayer, logs) = (own_events.clone(), Arc::clone(&replayer), logs.clone());
                move |notice| {
                    if let Some(control) = hears.get() {
                        Control::heard(control, &notice);
                    }
                    log_notice(&notice);
                    replayer.heard(&notice);
                    logs.notice(&notice);
                    own_events.notice(&notice);
                }
            }),
            onlooker: Arc::new(Looking { tap: tap.clone(), logs: logs.clone() }),
        };
        let delivery = Arc::new(Delivery::start(parts, instances, CancellationToken::new())?);
        following.spawn(periods.clone().keep(Arc::clone(&delivery), stop_following.clone()));
        inbound.answered_by(Arc::clone(&delivery) as _);
        let sync_executions = state::sync_executions(&store, &*clock).await?;
        let webhook_deliveries = store.webhook_deliveries(config.webhook_log.max_count);
        let idempotency = Idempotency::new(store.api_answers(), &clock);
        let leases = HostLeases::new(&store, config.store.lease, &clock);
        let stop_leases = CancellationToken::new();
        let keeping_leases = tokio::spawn(Arc::clone(&leases).keep(stop_leases.clone()));
        let pulls = Pulls::new(PullParts {
            puller: Arc::clone(&delivery) as _,
            cursors: Arc::new(StoredCursors(store.pull_cursors(), Arc::clone(&leases))),
            runs: Arc::new(StoredRuns { executions: sync_executions.clone(), wanted: store.wanted_runs(), leases: Arc::clone(&leases), logs: logs.clone() }),
            leases,
            gate: gate.clone(),
            metrics: metrics.clone(),
            clock: Arc::clone(&clock),
            notify: Arc::new({
                let (own_events, logs) = (own_events.clone(), logs.clone());
                move |notice| {
                    logs.pull(&notice);
                    own_events.pull(&notice);
                }
            }),
        });
        pulls.replace(&config.pulls());
        let _ = sync.0.set(Arc::clone(&pulls));

        let lane_replays = replay::lane::Lanes::start(
            replay::lane::Parts {
                replays,
                journal: journal.clone(),
                routing: Arc::clone(&routing),
                delivery: Arc::clone(&delivery),
                clock: Arc::clone(&clock),
                metrics: metrics.clone(),
                trail: replayer.trail.clone(),
            },
            reading_again,
        );
        let control = Arc::new(Control {
            settings: control::Settings {
                connectors_dir: config.connectors_dir.clone(),
                upload: config.upload.clone(),
                syslog: listeners,
                api_tls: config.api.tls.clone(),
            },
            delivery: Arc::clone(&delivery),
            journal: journal.clone(),
            routing,
            sandbox,
            state,
            stored,
            ownership,
            registry,
            catalogue: Catalogue::default(),
            inbound: inbound.clone(),
            pulls: Arc::clone(&pulls),
            receipts: receipts.clone(),
            trail: trail.clone(),
            periods: periods.clone(),
            guise: guise.clone(),
            keyring,
            own_events: own_events.clone(),
            deliveries,
            sync,
            metrics: metrics.clone(),
            clock: Arc::clone(&clock),
            change: tokio::sync::Mutex::new(()),
            current: RwLock::new(Arc::new(current)),
            fixed: config.fixed().to_vec(),
            trials: uploads::Trials::default(),
            captures,
            flows: connect::PendingFlows::default(),
            unverified: unverified.clone(),
        });
        let _ = heard.set(Arc::downgrade(&control));
        let keeper = Arc::new(webhooks::Keeper {
            control: Arc::clone(&control),
            deliveries: webhook_deliveries.clone(),
            settings: config.webhook_log,
            journal: journal.clone(),
            clock: Arc::clone(&clock),
            own_events: own_events.clone(),
            trail: trail.clone(),
            moved: Arc::default(),
        });
        let once = webhooks::Once { journal: journal.clone(), deliveries: webhook_deliveries, clock: Arc::clone(&clock), moved: Arc::clone(&keeper.moved) };

        let (stop_intake, stop_api) = (CancellationToken::new(), CancellationToken::new());
        let writing_deliveries = tokio::spawn(Arc::clone(&keeper).write(heard_deliveries, stop_api.clone()));
        let keeping_webhooks = tokio::spawn(keeper.keep(stop_intake.clone()));
        let keeping = tokio::spawn(Arc::clone(&replayer).keep(Arc::clone(&delivery), config.letter_retry.clone(), stop_intake.clone()));
        let mut serving = JoinSet::new();
        let http = HttpIntakeSettings { inbound: Some(inbound), ..config.http.clone() };
        serving.spawn(bulkhead_ingest::serve(intake_listener, http, gate.clone(), metrics.clone(), Arc::clone(&clock), stop_intake.clone()));
        let syslog_addrs = syslog.iter().map(|(_, settings)| settings.addr).collect::<Vec<_>>();
        for (socket, settings) in syslog {
            let (journal, metrics, clock, stop) = (journal.clone(), metrics.clone(), Arc::clone(&clock), stop_intake.clone());
            match socket {
                SyslogSocket::Tcp(listener) => serving.spawn(bulkhead_ingest::serve_streams(listener, settings, journal, metrics, clock, stop)),
                SyslogSocket::Udp(socket) => serving.spawn(bulkhead_ingest::serve_udp(socket, settings, journal, metrics, clock, stop)),
            };
        }
        let positions = config.data_dir.join(POSITIONS);
        if !config.files.is_empty() {
            std::fs::create_dir_all(&positions).map_err(|source| StartError::Positions { dir: positions.clone(), source })?;
        }
        let mut files = Vec::new();
        for settings in &config.files {
            let handle = FilesHandle::new(settings);
            files.push(handle.clone());
            let own_events = own_events.clone();
            serving.spawn(bulkhead_ingest::serve_files(
                settings.clone(),
                positions.join(format!("{}.json", settings.name)),
                handle,
                gate.clone(),
                metrics.clone(),
                Arc::clone(&clock),
                Arc::new(move |notice| own_events.files(&notice)),
                stop_intake.clone(),
            ));
        }
        let (ready, changes) = (Arc::new(AtomicBool::new(true)), TaskTracker::new());
        let api = Api {
            clock: Arc::clone(&clock),
            metrics: metrics.clone(),
            delivery: Arc::clone(&delivery),
            journal: journal.clone(),
            dead_letters,
            replayer,
            lane_replays: Arc::clone(&lane_replays),
            strict: config.http.rules.strict,
            receipts: config.audit.as_ref().map(|settings| settings.dir.clone()),
            access: Arc::clone(&access),
            public_url: config.api.public_url.clone(),
            people: Arc::clone(&people),
            oidc,
            cors: config.api.cors.clone().into(),
            trail,
            changes: changes.clone(),
            control: Arc::clone(&control),
            uploads: Arc::new(tokio::sync::Semaphore::new(api::UPLOADS)),
            ready: Arc::clone(&ready),
            unverified: unverified.clone(),
            files: files.into(),
            pulls: Arc::clone(&pulls),
            answers: Arc::default(),
            once,
            idempotency: Arc::new(idempotency),
            sync_executions,
            store_health: store_health.clone(),
            gate: gate.clone(),
            tap: tap.clone(),
            logs,
            log_table: store.logs(),
            periods,
            guise,
            index,
            store: store.clone(),
        };
        let serving_api = tokio::spawn(api::serve(api_listener, config.api.tls.clone(), api, stop_api.clone()));

        let stop_access = CancellationToken::new();
        let holding = follow::Following { control: Arc::clone(&control), access: Arc::clone(&access), people, wanted: store.wanted_runs() };
        following.spawn(follow::follow(store.changes(), generations, holding, store_health.clone(), stop_following.clone()));
        let keeping_access = tokio::spawn(access.keep(own_events.clone(), stop_access.clone()));

        own_events.lifecycle(&started);
        write_listening(&config.data_dir, api_addr, intake_addr, &syslog_addrs).map_err(StartError::Listening)?;
        Ok(Self {
            api: api_addr,
            intake: intake_addr,
            delivery,
            journal,
            metrics,
            clock,
            control,
            receipts,
            own_events,
            writing_own_events,
            ready,
            stop_intake,
            stop_api,
            changes,
            stop_access,
            keeping_access,
            stop_leases,
            keeping_leases,
            serving_intake: serving,
            serving_api,
            stop_following,
            following,
            keeping,
            writing_deliveries,
            keeping_webhooks,
            lane_replays,
            pulls,
            tap,
        })
    }

    pub fn api(&self) -> SocketAddr {
        self.api
    }

    /// Puts another configuration in force, or says why the old one stays.
    pub async fn reload(&self, config: Config) -> Result<Reloaded, ReloadError> {
        self.control.reload(config).await
    }

    pub fn intake(&self) -> SocketAddr {
        self.intake
    }

    /// A new configuration was not taken.
    pub fn reload_failed(&self, error: &ReloadError) {
        self.own_events.lifecycle(&Lifecycle::ReloadFailed { reason: error.to_string() });
    }

    /// Takes no more events, delivers what it can within `limit`, and answers how many events lanes have
    /// not settled; they are on disk.
    pub async fn drain(mut self, limit: Duration) -> u64 {
        let end = tokio::time::Instant::now() + limit;
        self.ready.store(false, Ordering::Relaxed);
        self.stop_intake.cancel();
        // Requests under way are answered; one that does not end is cut off with the process.
        let _ = tokio::time::timeout_at(end, async { while self.serving_intake.join_next().await.is_some() {} }).await;
        let _ = tokio::time::timeout_at(end, self.pulls.stop()).await;
        self.stop_leases.cancel();
        let _ = tokio::time::timeout(Duration::from_secs(3), self.keeping_leases).await;
        let _ = tokio::time::timeout_at(end, self.lane_replays.stop()).await;
        let report = self.delivery.drain(end.saturating_duration_since(tokio::time::Instant::now())).await;
        for (lane, unsettled) in &report.unsettled {
            if *unsettled > 0 {
                tracing::info!(%lane, unsettled, "events wait for the next start");
            }
        }
        let _ = tokio::time::timeout(Duration::from_secs(1), self.keeping).await;
        let _ = tokio::time::timeout(Duration::from_secs(1), self.keeping_webhooks).await;
        // Streams never end by themselves.
        self.tap.close();
        self.stop_api.cancel();
        let _ = tokio::time::timeout(Duration::from_secs(1), self.serving_api).await;
        let _ = tokio::time::timeout(Duration::from_secs(1), self.writing_deliveries).await;
        self.changes.close();
        let _ = tokio::time::timeout(Duration::from_secs(1), self.changes.wait()).await;
        self.stop_access.cancel();
        let _ = tokio::time::timeout(Duration::from_secs(1), self.keeping_access).await;
        let unsettled = report.unsettled.iter().map(|(_, unsettled)| unsettled).sum();
        self.own_events.last(&Lifecycle::Stopped { unsettled }, self.writing_own_events, LAST_EVENTS).await;
        self.stop_following.cancel();
        while self.following.join_next().await.is_some() {}
        self.journal.close().await;
        if let Some(receipts) = self.receipts {
            // The thread may wait for the disk.
            let _ = tokio::task::spawn_blocking(move || receipts.close()).await;
        }
        unsettled
    }
}

/// A lane that no route names any more would keep its events in the journal for ever: it is forgotten
/// where it has delivered everything, and refused where it has not, unless the operator gives it up.
fn forget_lanes(journal: &Journal, config: &Config, discard: &[String]) -> Result<(), StartError> {
    let wanted: HashSet<String> = config.lanes.iter().map(|lane| lane.id.to_string()).collect();
    // No backlog to be had: an unreadable log, which only people can judge.
    let backlog = |lane: &String| journal.lane_backlog(lane).unwrap_or(u64::MAX);
    let orphans: Vec<(String, u64)> = journal
        .lane_names()
        .into_iter()
        .filter(|lane| !lane.starts_with(OWN_LANE) && !wanted.contains(lane))
        .map(|lane| (lane.clone(), backlog(&lane)))
        .collect();
    // All are looked at before any is touched.
    if let Some((lane, backlog)) = orphans.iter().find(|(lane, backlog)| *backlog > 0 && !discard.contains(lane)) {
        return Err(StartError::LaneWithoutRoute { lane: lane.clone(), backlog: *backlog });
    }
    for (lane, backlog) in orphans {
        journal.remove_lane(&lane).map_err(|source| StartError::RemoveLane { lane: lane.clone(), source })?;
        tracing::warn!(lane, backlog, "lane forgotten: no route names it");
    }
    Ok(())
}

/// What delivery wants people to know.
fn log_notice(notice: &Notice) {
    match notice {
        Notice::Breaker { instance, state } => tracing::warn!(%instance, state = state.name(), "circuit breaker"),
        Notice::Held { instance, cause, reason } => tracing::error!(%instance, cause = cause.name(), reason, "instance held: its events wait"),
        Notice::Released { instance, cause } => tracing::info!(%instance, cause = cause.name(), "instance goes on"),
        Notice::DeadLetters { lane, cause, count, own: _ } => tracing::warn!(%lane, cause = cause.name(), count, "dead letters"),
        Notice::DeadLettersDropped { by, count, own: _ } => tracing::warn!(by, count, "dead letters deleted, as configured"),
        Notice::DeadLettersFull { lane } => tracing::error!(%lane, "lane stopped: the dead letter store is full (dead_letters.max_bytes)"),
        Notice::DeadLettersRoom { lane } => tracing::info!(%lane, "lane goes on: the dead letter store has room"),
        Notice::Lost { lane, first, last } => tracing::error!(%lane, first, last, "accepted events cannot be read from the journal any more"),
    }
}

/// What the operator set, or what the limit of open files allows; the log says which.
fn max_egress(configured: Option<usize>) -> usize {
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    let derived = Places::derived(files);
    let max_egress = configured.unwrap_or(derived);
    tracing::info!(max_egress, derived, open_files = files, "requests of all connectors at the same time (delivery.max_egress)");
    if max_egress > derived {
        tracing::warn!(max_egress, derived, "delivery.max_egress is more than the limit of open files leaves; raise LimitNOFILE (ulimit -n) with it");
    }
    max_egress
}

/// Everything that `serve` would refuse, without listening or touching a journal.
pub async fn check(config: &Config) -> Vec<Fault> {
    let cache = config.data_dir.is_dir().then(|| config.data_dir.clone());
    let settings = SandboxSettings { data_dir: cache, compiler: compiler(config), ..SandboxSettings::default() };
    let sandbox = match Sandbox::new(settings, Metrics::new()) {
        Ok(sandbox) => sandbox,
        Err(error) => {
            let message = api::problem::Chain(&error).to_string();
            return vec![config.fault(crate::config::FaultKind::Component, crate::config::Span::default(), "", message, None)];
        }
    };
    let registry = match Registry::look(&config.data_dir) {
        Ok(registry) => Arc::new(registry),
        Err(error) => {
            let message = api::problem::Chain(&error).to_string();
            return vec![config.fault(crate::config::FaultKind::Component, crate::config::Span::default(), "data_dir", message, None)];
        }
    };
    let index = registry.index();
    let components = Components::new(Some(&config.connectors_dir)).with_uploads(&registry, index, &config.upload.signing);
    guests::build(config, &components, &sandbox, Arc::new(MemoryState::default()), Purpose::Check, Parts::default(), None).await.err().unwrap_or_default()
}

/// Most compile workers at once: two, so that one slow component does not stop a reload.
const WORKERS: usize = 2;

/// This binary again, as a compile worker.
fn compiler(config: &Config) -> Compiler {
    // The running file itself, although a newer one may lie at its path by now.
    let program = if cfg!(target_os = "linux") { "/proc/self/exe".into() } else { std::env::current_exe().unwrap_or_else(|_| "bulkhead".into()) };
    Compiler::workers(WorkerSettings { program, args: vec!["compile-component".into()], limits: config.upload.compile, at_once: WORKERS })
}
