//! Faults by script: one step per delivery request, in order; then the receiver behaves.
//!
//! ```text
//! 503                    that status, with the error body its protocol has
//! 429:retry-after=2      with a Retry-After header (seconds or a date)
//! reset                  the request is read, the connection reset
//! lose                   the events are taken, but the connection is reset instead of an answer
//! garbage                an answer that is not HTTP
//! hang=30s               no answer for so long, then the connection closes
//! delay=100ms            the normal answer, late
//! drip=30s               the normal answer's head at once, its body a byte at a time, for so long
//! huge=64                a good answer with a body of so many MiB
//! truncated              a good answer that ends within its body
//! invalid=3              HEC: 400 naming object 3; the three before it are taken
//! ok                     the normal answer
//! 503x5                  five times; `503*` for every request from here on
//! ```
//! Steps are separated by semicolons.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

const MAX_STEPS: usize = 100_000;
const MAX_WAIT: Duration = Duration::from_secs(120);
const MAX_HUGE_MIB: usize = 1024;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Accept,
    Status {
        status: u16,
        retry_after: Option<String>,
    },
    /// An answer of the test's own; the length is added.
    Answer {
        status: u16,
        headers: Vec<(String, String)>,
        body: String,
    },
    Reset,
    /// Taken, but the sender never hears of it: it has to send again, and that is a duplicate.
    Lose,
    Garbage,
    Hang(Duration),
    Delay(Duration),
    /// The head at once, then a byte at a time for so long: whoever waits for the end waits.
    Drip(Duration),
    /// 200 with a body of so many MiB.
    Huge(usize),
    /// 200, and the connection closes within the body that the head promised.
    Truncated,
    /// Splunk's prefix semantics: objects before this one are taken, it and the rest are not.
    Invalid(usize),
}

impl Step {
    pub fn status(status: u16) -> Self {
        Self::Status { status, retry_after: None }
    }

    pub fn answer(status: u16, body: impl Into<String>) -> Self {
        Self::Answer { status, headers: Vec::new(), body: body.into() }
    }

    pub fn retry_after(status: u16, value: impl ToString) -> Self {
        Self::Status { status, retry_after: Some(value.to_string()) }
    }
}

#[derive(Debug, Clone, Default)]
pub struct Script {
    steps: VecDeque<Step>,
    /// What happens when the steps are used up.
    rest: Option<Step>,
}

impl Script {
    pub fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self { steps: steps.into_iter().take(MAX_STEPS).collect(), rest: None }
    }

    /// These steps over and over, as often as a script may have steps.
    pub fn cycle(text: &str) -> Result<Self> {
        let mut script = Self::parse(text)?;
        ensure!(!script.steps.is_empty() && script.rest.is_none(), "`{text}` is nothing to repeat");
        let once: Vec<Step> = script.steps.iter().cloned().collect();
        script.steps = once.iter().cycle().take(MAX_STEPS / once.len() * once.len()).cloned().collect();
        Ok(script)
    }

    /// The same for every request that comes behind its steps.
    pub fn then(mut self, step: Step) -> Self {
        self.rest = Some(step);
        self
    }

    /// The same for every request.
    pub fn always(step: Step) -> Self {
        Self { steps: VecDeque::new(), rest: Some(step) }
    }

    pub fn parse(text: &str) -> Result<Self> {
        let mut script = Self::default();
        for word in text.split(';').map(str::trim).filter(|word| !word.is_empty()) {
            ensure!(script.rest.is_none(), "`{word}` stands behind a step that never ends");
            if let Some(word) = word.strip_suffix('*') {
                script.rest = Some(step(word)?);
                continue;
            }
            let (word, times) = match word.rsplit_once('x') {
                Some((head, times)) if !times.is_empty() && times.bytes().all(|b| b.is_ascii_digit()) => (head, times.parse().context(word.to_owned())?),
                _ => (word, 1),
            };
            ensure!(script.steps.len().saturating_add(times) <= MAX_STEPS, "more than {MAX_STEPS} steps");
            let step = step(word)?;
            script.steps.extend(std::iter::repeat_n(step, times));
        }
        Ok(script)
    }

    pub fn step(&mut self) -> Step {
        self.steps.pop_front().or_else(|| self.rest.clone()).unwrap_or(Step::Accept)
    }

    pub fn left(&self) -> usize {
        self.steps.len()
    }
}

fn step(word: &str) -> Result<Step> {
    let (head, option) = word.split_once(':').map_or((word, None), |(head, option)| (head, Some(option)));
    if let Ok(status) = head.parse::<u16>() {
        ensure!((200..=599).contains(&status), "status {status} is none that ends a request");
        let retry_after = match option.map(|option| option.split_once('=')) {
            None => None,
            Some(Some(("retry-after", value))) => Some(value.to_owned()),
            Some(_) => bail!("`{word}`: only retry-after=… can follow a status"),
        };
        return Ok(Step::Status { status, retry_after });
    }
    match word.split_once('=') {
        None if word == "ok" => Ok(Step::Accept),
        None if word == "reset" => Ok(Step::Reset),
        None if word == "lose" => Ok(Step::Lose),
        None if word == "garbage" => Ok(Step::Garbage),
        None if word == "truncated" => Ok(Step::Truncated),
        Some(("drip", wait)) => Ok(Step::Drip(duration(wait)?)),
        Some(("huge", mib)) => {
            let mib = mib.parse().with_context(|| word.to_owned())?;
            ensure!((1..=MAX_HUGE_MIB).contains(&mib), "huge={mib} is not 1 to {MAX_HUGE_MIB} MiB");
            Ok(Step::Huge(mib))
        }
        Some(("hang", wait)) => Ok(Step::Hang(duration(wait)?)),
        Some(("delay", wait)) => Ok(Step::Delay(duration(wait)?)),
        Some(("invalid", index)) => Ok(Step::Invalid(index.parse().with_context(|| word.to_owned())?)),
        _ => bail!("`{word}` is no step; known: a status, ok, reset, lose, garbage, truncated, hang=, delay=, drip=, huge=, invalid="),
    }
}

fn duration(text: &str) -> Result<Duration> {
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let number: u64 = digits.parse().with_context(|| format!("duration `{text}`"))?;
    let wait = match unit {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        _ => bail!("duration `{text}` wants ms or s"),
    };
    ensure!(wait <= MAX_WAIT, "{text} is longer than {MAX_WAIT:?}");
    Ok(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plays_its_steps_in_order() {
        let mut script = Script::parse("503x2; 429:retry-after=2;reset; hang=50ms;invalid=3;ok;500*").expect("parses");
        let played: Vec<Step> = (0..9).map(|_| script.step()).collect();
        let want = [
            Step::status(503),
            Step::status(503),
            Step::retry_after(429, 2),
            Step::Reset,
            Step::Hang(Duration::from_millis(50)),
            Step::Invalid(3),
            Step::Accept,
            Step::status(500),
            Step::status(500),
        ];
        assert_eq!(played, want);
        assert_eq!(Script::default().step(), Step::Accept);
        let mut again = Script::cycle("503;ok").expect("parses");
        assert_eq!((again.left(), again.step(), again.step(), again.step()), (MAX_STEPS, Step::status(503), Step::Accept, Step::status(503)));
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        for (text, part) in [
            ("explode", "is no step"),
            ("99", "status 99"),
            ("hang=5m", "wants ms or s"),
            ("hang=500s", "longer"),
            ("ok*;503", "never ends"),
            ("503:x=1", "retry-after"),
            ("huge=0", "1 to 1024 MiB"),
        ] {
            let error = Script::parse(text).expect_err(text).to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
