//! Stages of a long command: their times against a budget, so that a slow one is seen when it comes.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

pub struct Stages {
    done: Vec<(String, Duration, Option<u64>)>,
}

impl Stages {
    pub fn new() -> Self {
        Self { done: Vec::new() }
    }

    /// Runs one stage; `budget` in seconds on a fresh clone with two cores.
    pub fn run<T>(&mut self, name: &str, budget: Option<u64>, work: impl FnOnce() -> Result<T>) -> Result<T> {
        eprintln!("\n== {name}");
        let start = Instant::now();
        let result = work().with_context(|| format!("stage `{name}`"));
        self.done.push((name.to_owned(), start.elapsed(), budget));
        result
    }

    /// The table, with what went over its budget marked.
    pub fn print(&self) {
        println!("\n{:<28} {:>9} {:>9}", "stage", "seconds", "budget");
        for (name, took, budget) in &self.done {
            let (shown, over) = budget.map_or((String::new(), false), |budget| (budget.to_string(), took.as_secs() > budget));
            println!("{name:<28} {:>9.1} {shown:>9}{}", took.as_secs_f64(), if over { "  over" } else { "" });
        }
        let total: Duration = self.done.iter().map(|(_, took, _)| *took).sum();
        let budget: u64 = self.done.iter().filter_map(|(_, _, budget)| *budget).sum();
        println!("{:<28} {:>9.1} {budget:>9}", "all", total.as_secs_f64());
    }
}
