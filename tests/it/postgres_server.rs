//! A PostgreSQL server of one's own: from Debian's package, in a folder that goes with it, on a socket in that
//! folder. Nothing of it is kept through a crash of the machine.
//!
//! Used by stories and, included by its path, by the tests of the store: it knows nothing but the standard library
//! and `tempfile`.

use std::fs::{self, Permissions};
use std::io::{self, Error};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Who runs the server where we are root, which it refuses to be.
const SOMEBODY: &str = "postgres";
/// Its own name for whoever may do everything.
const OWNER: &str = "bulkhead";

/// Longest wait for a start.
const START: Duration = Duration::from_secs(60);

/// A server; it ends when this is dropped, and with the process.
#[derive(Debug)]
pub struct PostgresServer {
    dir: TempDir,
    bin: PathBuf,
    databases: AtomicU32,
    /// Where it listens beside its socket.
    port: Option<u16>,
    tls: bool,
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    /// The thread that started it ends with this, and the kernel ends the server with the thread: it would outlive
    /// a test program otherwise, in which nothing that is shared is ever dropped.
    _starter: Sender<()>,
}

/// The programs of the newest version that is installed; why not where there is none that could run.
pub fn installed() -> Result<PathBuf, String> {
    let versions = fs::read_dir("/usr/lib/postgresql").map_err(|_| "postgresql is not installed".to_owned())?;
    let number = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse::<u32>().ok());
    let mut versions: Vec<PathBuf> =
        versions.filter_map(|entry| entry.ok().map(|entry| entry.path())).filter(|path| path.join("bin/initdb").is_file()).collect();
    versions.sort_by_key(number);
    let newest = versions.pop().ok_or("postgresql is not installed")?;
    Ok(newest.join("bin"))
}

impl PostgresServer {
    pub fn start() -> io::Result<Self> {
        Self::start_on(None, None)
    }

    /// One that also listens on this port of the loopback, with this certificate and key, PEM, where they are given.
    pub fn start_on(port: Option<u16>, tls: Option<(&str, &str)>) -> io::Result<Self> {
        let bin = installed().map_err(Error::other)?;
        let server = Self { dir: TempDir::new()?, bin, databases: AtomicU32::new(0), port, tls: tls.is_some(), running: Mutex::new(None) };
        if is_root() {
            run(Command::new("chown").arg(SOMEBODY).arg(server.dir.path()))?;
        }
        fs::set_permissions(server.dir.path(), Permissions::from_mode(0o755))?;
        run(server
            .tool("initdb")
            .args(["--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--username", OWNER, "--pgdata"])
            .arg(server.data()))?;
        if let Some((cert, key)) = tls {
            for (name, text) in [("server.crt", cert), ("server.key", key)] {
                let path = server.data().join(name);
                fs::write(&path, text)?;
                fs::set_permissions(&path, Permissions::from_mode(0o600))?;
                if is_root() {
                    run(Command::new("chown").arg(SOMEBODY).arg(&path))?;
                }
            }
        }
        server.go_on()?;
        Ok(server)
    }

    /// Starts it again after [`Self::stop`].
    pub fn go_on(&self) -> io::Result<()> {
        let log = self.dir.path().join("log");
        let mut postgres = self.tool("postgres");
        postgres.arg("-D").arg(self.data());
        let sockets = format!("unix_socket_directories={}", self.dir.path().display());
        for setting in ["fsync=off", "full_page_writes=off", "max_connections=200", "shared_buffers=32MB", &sockets] {
            postgres.args(["-c", setting]);
        }
        match self.port {
            Some(port) => postgres.args(["-c", "listen_addresses=127.0.0.1", "-c", &format!("port={port}")]),
            None => postgres.args(["-c", "listen_addresses="]),
        };
        if self.tls {
            postgres.args(["-c", "ssl=on"]);
        }
        let file = fs::OpenOptions::new().create(true).append(true).open(&log)?;
        postgres.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let (starter, end) = mpsc::channel::<()>();
        let (started, child) = mpsc::channel();
        std::thread::spawn(move || {
            let _ = started.send(postgres.spawn());
            // Until the sender is dropped.
            let _ = end.recv();
        });
        let child = child.recv().map_err(Error::other)??;
        *self.running() = Some(Running { child, _starter: starter });
        let begun = Instant::now();
        while self.sql("postgres", "SELECT 1").is_err() {
            if begun.elapsed() > START {
                return Err(Error::other(format!("PostgreSQL does not start: {}", fs::read_to_string(&log).unwrap_or_default())));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Stops it at once: sessions are cut off.
    pub fn stop(&self) -> io::Result<()> {
        let Some(mut running) = self.running().take() else { return Ok(()) };
        self.signal(&running, "QUIT")?;
        // One that stands still would never hear it.
        let _ = run(Command::new("pkill").args(["--signal", "CONT", "--parent", &running.child.id().to_string()]));
        self.signal(&running, "CONT")?;
        running.child.wait().map(drop)
    }

    /// The server answers nothing any more, and refuses nothing either, until [`Self::thaw`]: its sessions too.
    pub fn freeze(&self) -> io::Result<()> {
        self.all("STOP")
    }

    pub fn thaw(&self) -> io::Result<()> {
        self.all("CONT")
    }

    fn all(&self, signal: &str) -> io::Result<()> {
        let running = self.running();
        let Some(running) = running.as_ref() else { return Ok(()) };
        let parent = running.child.id().to_string();
        // It may have no children at this moment.
        let _ = run(Command::new("pkill").args(["--signal", signal, "--parent", &parent]));
        self.signal(running, signal)
    }

    fn signal(&self, running: &Running, signal: &str) -> io::Result<()> {
        run(Command::new("kill").args([&format!("-{signal}"), &running.child.id().to_string()])).map(drop)
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another empty database, and where it is.
    pub fn database(&self) -> io::Result<String> {
        let name = format!("t{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"))?;
        Ok(self.url(&name))
    }

    pub fn url(&self, database: &str) -> String {
        match self.port {
            Some(port) => format!("postgres://{OWNER}@127.0.0.1:{port}/{database}"),
            None => format!("postgres://{OWNER}@{}/{database}", self.dir.path().display().to_string().replace('/', "%2F")),
        }
    }

    /// What a statement answers: columns divided by `|`, a row on each line.
    pub fn sql(&self, database: &str, sql: &str) -> io::Result<String> {
        let port = self.port.unwrap_or(5432).to_string();
        let mut psql = self.tool("psql");
        psql.args(["--no-psqlrc", "--tuples-only", "--no-align", "--quiet", "--set=ON_ERROR_STOP=1", "--username", OWNER, "--port", &port, "--host"]);
        let output = run(psql.arg(self.dir.path()).args(["--dbname", database, "--command", sql]))?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn tool(&self, name: &str) -> Command {
        let program = self.bin.join(name);
        let mut command = Command::new("setpriv");
        if is_root() {
            command.args(["--reuid", SOMEBODY, "--regid", SOMEBODY, "--clear-groups"]);
        }
        command.args(["--pdeathsig", "INT", "--"]).arg(program);
        command.current_dir(self.dir.path()).env_remove("PGHOST").env_remove("PGPORT").env("LC_ALL", "C.UTF-8");
        command
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

fn run(command: &mut Command) -> io::Result<Output> {
    let program = command.get_program().to_owned();
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(output);
    }
    Err(Error::other(format!("{} failed: {}", program.display(), String::from_utf8_lossy(&output.stderr).trim())))
}
