//! Servers of others, started for a story on loopback and ended with it.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use bulkhead_tests::{host, port, wait};

use crate::story::PATIENCE;

/// A process that ends when this is dropped.
pub struct Counterpart {
    child: Child,
    pub addr: SocketAddr,
}

impl Counterpart {
    /// One that prints the port it chose and serves until its standard input ends.
    pub fn that_prints_its_port(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        let port: u16 = line.trim().parse().unwrap_or_else(|_| panic!("{line:?} is no port"));
        Self { child, addr: SocketAddr::from(([127, 0, 0, 1], port)) }
    }

    /// One that is told where to listen.
    pub fn told_where_to_listen(make: impl Fn(SocketAddr) -> Command) -> Self {
        let addr = port::free().expect("a port");
        let child = make(addr).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts");
        let mut running = Self { child, addr };
        wait::until("it listens", PATIENCE, || {
            assert!(running.child.try_wait()?.is_none(), "it ended before it listened");
            Ok(TcpStream::connect(addr).ok())
        })
        .expect("it listens");
        running
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }
}

impl Drop for Counterpart {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program of a Debian package: the machine's, or the one that `.ci/run` unpacked.
pub fn program(name: &str) -> Option<PathBuf> {
    let known = [PathBuf::from(name), host::root().join("target/debian/usr/bin").join(name)];
    known.into_iter().find(|path| Command::new(path).arg("--version").output().is_ok_and(|output| output.status.success()))
}
