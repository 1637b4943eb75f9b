//! kill -9 under load: what the host acknowledged must arrive, or lie in its dead letters. The host is
//! killed at moments nobody chose, also while it starts, and started again on the same data; a
//! generator goes on posting, and receivers go on taking, refusing, resetting and losing answers.

mod account;
mod lanes;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::generator;
use crate::host::{Host, Spec};
use crate::port;
pub use account::Tally;
use lanes::Lane;

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
    /// Receivers fail in every second round; one refuses events in all of them.
    pub faults: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Round {
    pub round: u32,
    pub sent: u64,
    pub acked: u64,
    /// Those during a start included.
    pub kills: u64,
    pub lanes: Vec<Tally>,
}

impl Round {
    /// Puts another round's numbers to these.
    pub fn add(&mut self, other: &Self) {
        self.round = other.round;
        self.sent += other.sent;
        self.acked += other.acked;
        self.kills += other.kills;
        for tally in &other.lanes {
            let Some(sum) = self.lanes.iter_mut().find(|sum| sum.lane == tally.lane) else {
                self.lanes.push(tally.clone());
                continue;
            };
            sum.delivered += tally.delivered;
            sum.dead += tally.dead;
            sum.both += tally.both;
            sum.duplicates += tally.duplicates;
            sum.bound += tally.bound;
        }
    }
}

impl std::fmt::Display for Round {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:>5} {:>8} {:>8} {:>5}", self.round, self.sent, self.acked, self.kills)?;
        for Tally { lane, delivered, dead, duplicates, both, bound } in &self.lanes {
            write!(f, "  {lane} {delivered}+{dead} dup {}/{bound}", duplicates + both)?;
        }
        Ok(())
    }
}

/// Plays all rounds; the first event that is lost, and the first duplicate too many, is an error.
pub fn run(options: &Options, mut say: impl FnMut(&Round)) -> Result<()> {
    let mut lanes = lanes::all()?;
    let mut dice = options.seed;
    let mut host = Host::start(spec(options, &lanes)?)?;
    for round in 1..=options.rounds {
        let (next, told) = self::round(options, &mut lanes, host, round, &mut dice)
            .with_context(|| format!("round {round}, seed {}; the data is in {}", options.seed, options.dir.display()))?;
        host = next;
        say(&told);
    }
    let status = host.terminate(Duration::from_secs(40))?;
    ensure!(status.success(), "the host ended with {status} after SIGTERM");
    Ok(())
}

fn round(options: &Options, lanes: &mut [Lane], mut host: Host, round: u32, dice: &mut u64) -> Result<(Host, Round)> {
    for lane in lanes.iter() {
        lane.play(round, options.faults && round.is_multiple_of(2))?;
    }
    let acked = options.dir.join(format!("acked-{round}"));
    let pauses: Vec<Duration> = (0..options.kills_per_round).map(|_| Duration::from_millis(50 + roll(dice) % 1000)).collect();
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
    let mut kills = 0;
    for pause in pauses {
        // The moment of the crash is the point here, not a wait for something.
        std::thread::sleep(pause);
        host.kill()?;
        kills += 1;
        // Every third time the start is hit as well.
        if roll(dice).is_multiple_of(3) {
            Host::stumble(&host.spec, Duration::from_millis(roll(dice) % 120))?;
            kills += 1;
        }
        host = Host::start(host.spec.clone())?;
    }
    let report = generating.join().map_err(|_| anyhow::anyhow!("the generator panicked"))??;
    ensure!(report.acked > 0, "nothing was acknowledged, so nothing is proved");
    host.settled(Duration::from_secs(120))?;
    let ranges = generator::read_ranges(&std::fs::read_to_string(&acked)?)?;
    let tallies = lanes.iter_mut().map(|lane| lane.account(&host, round, report.sent, &ranges, kills)).collect::<Result<_>>()?;
    std::fs::remove_file(&acked)?;
    // Accounted for: the next round's letters are to be its own.
    let purged =
        crate::http::Client::new(host.api).send("POST", "/api/integration/dead-letters/purge", &[("Content-Type", "application/json")], br#"{"all":true}"#)?;
    ensure!(purged.status == 200, "purging the dead letters: {} {}", purged.status, purged.text());
    Ok((host, Round { round, sent: report.sent, acked: report.acked, kills, lanes: tallies }))
}

fn spec(options: &Options, lanes: &[Lane]) -> Result<Spec> {
    // Fixed ports, so that producers find the host again after its restart.
    let (api, intake) = (port::free()?, port::free()?);
    let data_dir = options.dir.join("data");
    let config = options.dir.join("bulkhead.yaml");
    let text = format!("data_dir: \"{}\"\nlisten: {{api: \"{api}\", http: \"{intake}\"}}\n{}", data_dir.display(), lanes::yaml(lanes));
    std::fs::write(&config, text).with_context(|| format!("cannot write {}", config.display()))?;
    Ok(Spec {
        binary: options.binary.clone(),
        config,
        data_dir,
        log: options.dir.join("host.log"),
        env: Vec::new(),
        dir: options.dir.clone(),
        args: Vec::new(),
        through: Vec::new(),
    })
}

/// splitmix64.
pub fn roll(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
