//! kill -9 under load: what the host acknowledged must arrive, or lie in its dead letters. The host is
//! killed at moments nobody chose and started again on the same data, while a generator goes on
//! posting and a receiver goes on taking, perhaps with faults.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::generator;
use crate::host::{Host, Spec};
use crate::receiver::{self, Receiver, Script};

#[derive(Debug, Clone)]
pub struct Options {
    pub binary: PathBuf,
    /// An empty folder.
    pub dir: PathBuf,
    pub rounds: u32,
    pub kills_per_round: u32,
    /// Events a second.
    pub rate: f64,
    /// Chooses the moments.
    pub seed: u64,
    /// The receiver fails in every second round.
    pub faults: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Round {
    pub round: u32,
    pub sent: u64,
    pub acked: u64,
    pub delivered: u64,
    pub duplicates: u64,
    /// Acknowledged, not taken by the receiver, but in the dead letters.
    pub dead: u64,
}

/// The faults that a receiver may show without refusing an event for good.
const FAULTS: [&str; 4] =
    ["503x3;ok;429:retry-after=1;503", "reset;ok;reset;reset", "hang=300ms;ok;garbage;500x2", "delay=200ms;delay=200ms;503:retry-after=1"];

/// Plays all rounds; the first event that is lost is an error.
pub fn run(options: &Options, mut say: impl FnMut(Round)) -> Result<()> {
    let receiver = Receiver::start(receiver::Options::default(), Script::default())?;
    let spec = spec(options, &receiver)?;
    let mut dice = options.seed;
    let mut host = Host::start(spec)?;
    let mut duplicates_before = 0;
    for round in 1..=options.rounds {
        if options.faults && round % 2 == 0 {
            receiver.play(Script::parse(FAULTS[(round as usize / 2) % FAULTS.len()])?);
        }
        let acked = options.dir.join(format!("acked-{round}"));
        let pauses: Vec<Duration> = (0..options.kills_per_round).map(|_| Duration::from_millis(150 + roll(&mut dice) % 900)).collect();
        let load = generator::Options {
            connections: 16,
            batch: 10,
            rate: Some(options.rate),
            run: round,
            reconnect: true,
            acked: Some(acked.clone()),
            // Goes on a little after the last restart.
            duration: pauses.iter().sum::<Duration>() + Duration::from_millis(600),
            ..generator::Options::to(host.intake)
        };
        let generating = std::thread::spawn(move || generator::run(load));
        for pause in pauses {
            // The moment of the crash is the point here, not a wait for something.
            std::thread::sleep(pause);
            host = host.restart()?;
        }
        let report = generating.join().map_err(|_| anyhow::anyhow!("the generator panicked"))??;
        let scrape = host.settled(Duration::from_secs(60))?;
        let acked = generator::read_ranges(&std::fs::read_to_string(&acked)?)?;
        let missing: BTreeSet<u64> = receiver.stats(|stats| acked.into_iter().flatten().filter(|number| !stats.events.has(round, *number)).collect());
        let dead = scrape.sum("bulkhead_dead_letters", &[]) as u64;
        ensure!(
            missing.len() as u64 <= dead,
            "round {round} (seed {}): {} of {} acknowledged events were lost ({dead} dead letters), such as number {:?}",
            options.seed,
            missing.len(),
            report.acked,
            missing.first()
        );
        ensure!(report.acked > 0, "round {round}: nothing was acknowledged, so nothing is proved");
        let (delivered, duplicates) = receiver.stats(|stats| (stats.events.ranges(round), stats.events.duplicates));
        let delivered = generator::read_ranges(&delivered)?.into_iter().map(|range| range.count() as u64).sum();
        say(Round { round, sent: report.sent, acked: report.acked, delivered, duplicates: duplicates - duplicates_before, dead: missing.len() as u64 });
        duplicates_before = duplicates;
    }
    let status = host.terminate(Duration::from_secs(40))?;
    ensure!(status.success(), "the host ended with {status} after SIGTERM");
    Ok(())
}

fn spec(options: &Options, receiver: &Receiver) -> Result<Spec> {
    // A fixed port, so that producers find the host again after its restart.
    let (api, intake) = (free_port()?, free_port()?);
    let data_dir = options.dir.join("data");
    let config = options.dir.join("bulkhead.yaml");
    let text = format!(
        r#"data_dir: "{}"
listen: {{api: "{api}", http: "{intake}"}}
instances:
  siem:
    connector: splunk-hec
    destinations:
      primary: {{url: "{}", methods: [POST, GET]}}
    concurrency: 2
    retry: {{initial: 50ms, max: 500ms}}
    circuit_breaker: {{failure_threshold: 1000}}
default_route: [{{instance: siem, format: cef}}]
"#,
        data_dir.display(),
        receiver.url()
    );
    std::fs::write(&config, text).with_context(|| format!("cannot write {}", config.display()))?;
    Ok(Spec { binary: options.binary.clone(), config, data_dir, log: options.dir.join("host.log"), env: Vec::new(), dir: options.dir.clone() })
}

/// A port that was free a moment ago.
pub fn free_port() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// splitmix64.
fn roll(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
