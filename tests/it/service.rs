//! Programs of others at the other end of a story: on a free port, in a folder of their own, ended with the story.

use std::fs::File;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use bulkhead_tests::host;
use bulkhead_tests::http::{Client, Response};
use bulkhead_tests::{port, wait};
use tempfile::TempDir;

use crate::story::PATIENCE;

pub struct Service {
    program: String,
    args: Vec<String>,
    child: Child,
    pub addr: SocketAddr,
    dir: TempDir,
}

impl Service {
    /// Starts a program and waits until its port is open; `None` where the machine does not have it. `args` makes its
    /// arguments from its folder and its port.
    pub fn start(program: &str, args: impl FnOnce(&Path, u16) -> Vec<String>) -> Option<Self> {
        let dir = TempDir::new().expect("a folder");
        let addr = port::free().expect("a port");
        let args = args(dir.path(), addr.port());
        let child = spawn(program, &args, dir.path()).ok()?;
        let mut service = Self { program: program.to_owned(), args, child, addr, dir };
        service.listens();
        Some(service)
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again on the same port and the same data.
    #[track_caller]
    pub fn start_again(&mut self) {
        self.child = spawn(&self.program, &self.args, self.dir.path()).expect("starts again");
        self.listens();
    }

    fn listens(&mut self) {
        let open = wait::until(&format!("{} listens", self.program), PATIENCE, || {
            assert!(self.child.try_wait()?.is_none(), "{} ended:\n{}", self.program, self.log());
            Ok(TcpStream::connect(self.addr).ok())
        });
        open.unwrap_or_else(|error| panic!("{error:#}\n{}", self.log()));
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// A file in its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Response {
        Client::new(self.addr).get(path).unwrap_or_else(|error| panic!("{error:#}\n{}", self.log()))
    }

    #[track_caller]
    pub fn post(&self, path: &str, body: &str) -> Response {
        let sent = Client::new(self.addr).send("POST", path, &[("Content-Type", "application/json")], body.as_bytes());
        sent.unwrap_or_else(|error| panic!("{error:#}\n{}", self.log()))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(program: &str, args: &[String], dir: &Path) -> std::io::Result<Child> {
    let log = File::options().create(true).append(true).open(dir.join("log"))?;
    Command::new(program).args(args).current_dir(dir).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()
}

/// The folder with the packages of Node.js that tests need, where this one is among them: `BULKHEAD_NODE`, or what
/// `.ci/run` sets up.
pub fn node_modules(package: &str) -> Option<PathBuf> {
    let known = [std::env::var_os("BULKHEAD_NODE").map(PathBuf::from), Some(host::root().join("target/node"))];
    known.into_iter().flatten().find(|folder| folder.join("node_modules").join(package).is_dir())
}
