//! The control plane under its aims (issue: reads by id at 500 a second, a page of 1,000 of 100,000 logs, a start
//! with 1,000 instances), asked over HTTP of the binary that `BULKHEAD_TOOLS` names the folder of; the store in
//! SQLite, and in PostgreSQL where that is installed. Prints one JSON line a figure.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bulkhead_store::{LogEntry, LogType, PostgresSettings, Store};
use bulkhead_tests::host::{Host, Spec, root};
use bulkhead_tests::http::Client;
use bulkhead_tests::template::{Batch, Layout};
use uuid::Uuid;

#[path = "../it/postgres_server.rs"]
#[expect(dead_code, reason = "stories stop and freeze servers")]
mod postgres_server;

use postgres_server::PostgresServer;

/// Requests in a second, by clients that do not wait for each other's answers.
const RATE: u32 = 500;
const CLIENTS: u32 = 4;

fn main() -> Result<()> {
    let quick = std::env::args().any(|arg| arg == "--quick");
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-control");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir)?;
    let place = Place { tools: std::env::var_os("BULKHEAD_TOOLS").map_or_else(|| root().join("target/release"), PathBuf::from), dir };
    let (seconds, logs, instances) = if quick { (1, 10_000, 100) } else { (10, 100_000, 1_000) };
    place.asked("sqlite", None, seconds, logs)?;
    match postgres_server::installed() {
        Ok(_) => {
            let server = PostgresServer::start()?;
            place.asked("postgres", Some(server.database()?), seconds, logs)?;
        }
        Err(reason) => eprintln!("    PostgreSQL is not measured: {reason}"),
    }
    place.many(instances)?;
    fs::remove_dir_all(&place.dir)?;
    Ok(())
}

fn figure(name: &str, value: f64) {
    println!("{}", serde_json::json!({"figure": name, "value": value}));
}

struct Place {
    tools: PathBuf,
    dir: PathBuf,
}

impl Place {
    /// A host on the data folder of that name.
    fn host(&self, name: &str, more: &str) -> Result<Host> {
        let data_dir = self.dir.join(name);
        let config = self.dir.join(format!("{name}.yaml"));
        let quoted = serde_json::json!(data_dir.display().to_string());
        fs::write(&config, format!("data_dir: {quoted}\nlisten: {{api: \"127.0.0.1:0\", http: \"127.0.0.1:0\"}}\n{more}"))?;
        let (log, env) = (self.dir.join(format!("{name}.log")), Vec::new());
        Host::start(Spec { binary: self.tools.join("bulkhead"), config, data_dir, log, env, dir: self.dir.clone(), args: Vec::new(), through: Vec::new() })
    }

    /// Reads by id, and pages of logs.
    fn asked(&self, name: &str, url: Option<String>, seconds: u32, logs: usize) -> Result<()> {
        let data_dir = self.dir.join(name);
        fs::create_dir_all(&data_dir)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let server = url.as_ref().map(|url| PostgresSettings::new(url));
        runtime.block_on(fill(&data_dir, server.as_ref(), logs))?;
        let store = url.map_or(String::new(), |url| format!("store: {{url: {}}}\n", serde_json::json!(url)));
        let archive = format!(
            "  archive:\n    connector: file\n    config: {{path: a.ndjson}}\n    files: {{primary: {{dir: {}, access: write}}}}\n",
            serde_json::json!(data_dir.display().to_string())
        );
        let host =
            self.host(name, &format!("{store}event_index: {{enabled: true}}\ninstances:\n{archive}default_route: [{{instance: archive, format: jsonl}}]\n"))?;
        let mut batch = Batch::new(1_000, Layout::Lines);
        batch.stamp(1, 0, 1_762_000_000_000_000_000);
        ensure!(host.post("application/x-ndjson", &batch.body)?.status == 202, "the events are accepted");
        host.settled(Duration::from_secs(60))?;
        let ids = indexed(&host, 1_000)?;
        let paths: Vec<String> = ids.iter().flat_map(|id| [format!("/api/v2/events/{id}"), "/api/integration/instances/archive".to_owned()]).collect();
        reads(host.api, &paths, 1)?;
        let mut times = reads(host.api, &paths, seconds)?;
        times.sort_unstable();
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
        figure(&format!("control.{name}.read50"), at(0.5));
        figure(&format!("control.{name}.read99"), at(0.99));
        let mut client = Client::new(host.api).limit(Duration::from_secs(10));
        for (what, query) in [("logs", String::new()), ("logs.middle", format!("&offset={}", logs / 2)), ("logs.text", "&text=answered%20503".to_owned())] {
            let mut times = Vec::new();
            for _ in 0..21 {
                let start = Instant::now();
                let answer = client.get(&format!("/api/integration/logs?limit=1000{query}"))?;
                times.push(start.elapsed());
                let rows = answer.json()?["data"].as_array().map_or(0, Vec::len);
                ensure!(answer.status == 200 && rows == 1_000, "{query}: {} with {rows} entries", answer.status);
            }
            times.sort_unstable();
            figure(&format!("control.{name}.{what}"), times[10].as_secs_f64() * 1e3);
        }
        Ok(())
    }

    /// A start with many instances, of which nobody has anything to do.
    fn many(&self, instances: usize) -> Result<()> {
        let mut config = "instances:\n".to_owned();
        for n in 0..instances {
            config.push_str(&format!(
                "  hook-{n}:\n    connector: webhook\n    destinations: {{primary: {{url: \"http://127.0.0.1:9/{n}\", methods: [POST]}}}}\n"
            ));
        }
        config.push_str("routes:\n");
        for n in 0..instances {
            config.push_str(&format!("  - {{id: r{n}, when: {{event_type: never-{n}}}, to: [{{instance: hook-{n}, format: json}}]}}\n"));
        }
        let mut host = self.host("many", &config)?;
        figure("control.many.first", host.ready_in.as_secs_f64());
        ensure!(host.terminate(Duration::from_secs(60))?.success(), "the host ends in peace");
        let host = self.host("many", &config)?;
        figure("control.many.start", host.ready_in.as_secs_f64());
        figure("control.many.rss", host.memory()?.now as f64 / 1e6);
        Ok(())
    }
}

/// Logs as a store holds them that was in use for long.
async fn fill(data_dir: &Path, server: Option<&PostgresSettings>, logs: usize) -> Result<()> {
    let store = Store::open_with(data_dir, server).await?;
    let now = i64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_millis())?;
    for chunk in 0..logs / 1_000 {
        let entries: Vec<LogEntry> = (0..1_000)
            .map(|n| LogEntry {
                id: Uuid::now_v7(),
                instance: format!("instance-{}", n % 20),
                log_type: LogType::ALL[n % 4],
                at_ms: now - (logs - chunk * 1_000 - n) as i64,
                operation: "deliver".into(),
                message: "delivery failed: the receiver answered 503".into(),
                details: None,
                user: None,
                sync_id: None,
            })
            .collect();
        store.logs().add(&entries).await?;
    }
    Ok(())
}

/// Ids of events in the index, once so many are there.
fn indexed(host: &Host, count: usize) -> Result<Vec<String>> {
    bulkhead_tests::wait::until("the events are in the index", Duration::from_secs(60), || {
        let answer = host.get(&format!("/api/v2/events?limit={count}"))?.json()?;
        let ids: Vec<String> = answer["data"].as_array().context("a list")?.iter().filter_map(|event| event["id"].as_str().map(str::to_owned)).collect();
        Ok((ids.len() >= count / 2).then_some(ids))
    })
}

/// Asks at an even rate and takes the time from the moment that a request was due.
fn reads(api: SocketAddr, paths: &[String], seconds: u32) -> Result<Vec<Duration>> {
    let start = Instant::now();
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                scope.spawn(move || -> Result<Vec<Duration>> {
                    let mut http = Client::new(api).limit(Duration::from_secs(10));
                    let mut times = Vec::new();
                    for n in (client..RATE * seconds).step_by(CLIENTS as usize) {
                        let due = start + Duration::from_secs(1) * n / RATE;
                        // The pace of the load, not a wait for something.
                        std::thread::sleep(due.saturating_duration_since(Instant::now()));
                        let path = &paths[n as usize % paths.len()];
                        let answer = http.get(path)?;
                        times.push(due.elapsed());
                        ensure!(answer.status == 200, "{path} was answered {}", answer.status);
                    }
                    Ok(times)
                })
            })
            .collect();
        let mut times = Vec::new();
        for client in clients {
            times.extend(client.join().map_err(|_| anyhow::anyhow!("a client panicked"))??);
        }
        Ok(times)
    })
}
