//! `bulkhead top`: how a running host does, live. What is shown comes from `/health` and `/metrics`, which everybody
//! can read who may; nothing is asked of the host that others do not ask.
//!
//! On a terminal a screen of its own, put back as it was whatever ends it; elsewhere, with `--once` or `--json`, one
//! snapshot over one interval. A host that does not answer is said so, and asked again.

mod frame;
mod sample;
mod screen;
mod state;

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use clap::Args;
use reqwest::Method;

use super::failure::print;
use super::http_client::{Server, answered, block_on};
use super::{Exit, Failure, Output};
use sample::Sample;
use screen::{Key, Screen};
use state::{Sort, View};

/// Longest wait for one look at the host.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub struct TopArgs {
    #[command(flatten)]
    to: Server,
    /// Seconds between two looks, 0.1 to 60.
    #[arg(long, default_value = "1", value_parser = seconds)]
    interval: Duration,
    /// One snapshot as text, and no screen.
    #[arg(long)]
    once: bool,
    /// What comes first.
    #[arg(long, value_enum, default_value_t = Sort::Name)]
    sort: Sort,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| (0.1..=60.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "0.1 to 60 seconds are possible".to_owned())
}

pub fn run(args: &TopArgs, output: Output) -> Result<Exit, Failure> {
    let lives = output == Output::Text && !args.once && std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
    block_on(async { if lives { live(args).await } else { once(args, output).await } })
}

async fn once(args: &TopArgs, output: Output) -> Result<Exit, Failure> {
    let mut view = View::new(args.sort);
    view.take(look(&args.to).await?);
    tokio::time::sleep(args.interval).await;
    view.take(look(&args.to).await?);
    match output {
        Output::Json => print(view.json())?,
        Output::Text => frame::plain(&view).iter().try_for_each(print)?,
    }
    Ok(Exit::Ok)
}

async fn live(args: &TopArgs) -> Result<Exit, Failure> {
    let mut view = View::new(args.sort);
    // Whoever may not look hears it on the terminal as it was.
    view.take(look(&args.to).await?);
    let (mut screen, mut keys) = Screen::begin()?;
    let mut next = tokio::time::Instant::now() + args.interval;
    loop {
        screen.draw(&frame::frame(&view, screen.size()))?;
        tokio::select! {
            key = keys.recv() => match key {
                Key::Quit => return Ok(Exit::Ok),
                Key::Other => {}
                key => view.press(key),
            },
            sampled = async { tokio::time::sleep_until(next).await; look(&args.to).await }, if !view.paused => {
                next = tokio::time::Instant::now() + args.interval;
                match sampled {
                    Ok(sample) => view.take(sample),
                    Err(failure) => view.lost(failure.message),
                }
            }
        }
    }
}

/// One look; what takes too long is as good as no answer.
async fn look(to: &Server) -> Result<Sample, Failure> {
    let (health, metrics) = tokio::join!(get(to, to.url("health")), get(to, to.place("/metrics")));
    let health = super::ask::value(&health?)?;
    // Figures of guests need a permission of their own: without it the rest is shown.
    let metrics = match metrics {
        Ok(text) => Some(String::from_utf8_lossy(&text).into_owned()),
        Err(failure) if failure.exit == Exit::NotAllowed => None,
        Err(failure) => return Err(failure),
    };
    Ok(Sample::read(&health, metrics.as_deref(), Instant::now()))
}

async fn get(to: &Server, url: String) -> Result<Vec<u8>, Failure> {
    answered(&url, to.request(Method::GET, &url).await?.timeout(PATIENCE)).await
}
