//! A receiver in a process of its own, in whatever language others wrote it: it prints its port, and then each
//! thing that it took as a line of JSON.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use bulkhead_tests::wait;
use serde_json::Value;

use crate::story::{PATIENCE, Story};

pub struct Counterpart {
    child: Child,
    pub port: u16,
    taken: Arc<Mutex<Vec<Value>>>,
}

impl Drop for Counterpart {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Counterpart {
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let port = lines.next().expect("says its port").expect("text").parse().expect("a port");
        let taken: Arc<Mutex<Vec<Value>>> = Arc::default();
        let kept = Arc::clone(&taken);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                kept.lock().expect("lock").push(serde_json::from_str(&line).expect("a line of JSON"));
            }
        });
        Self { child, port, taken }
    }

    /// Waits until the host has delivered everything and `n` things are here.
    #[track_caller]
    pub fn taken(&self, story: &Story, n: usize) -> Vec<Value> {
        let look = || Ok(Some(self.taken.lock().expect("lock").clone()).filter(|taken| taken.len() >= n));
        let taken = wait::until("everything is taken", PATIENCE, look).unwrap_or_else(|error| panic!("{error:#}\n{}", story.host.log()));
        story.settled();
        taken
    }
}
