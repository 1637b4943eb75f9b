//! What `top` shows as lines of a screen, or of a file. Pure: a view and a size give the same lines each time. No line
//! is longer than the screen is wide, and nothing in them steers a terminal.

use super::state::{Row, View};

/// How a line stands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    Plain,
    Head,
    Selected,
    Alarm,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub text: String,
    pub look: Look,
}

/// Columns and rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    pub columns: usize,
    pub rows: usize,
}

const KEYS: &str = "q quit   s sort   p pause   up/down select";
/// Lines above the instances, and those for the keys below everything.
const ABOVE: usize = 4;
const BELOW: usize = 1;

/// A whole screen.
pub fn frame(view: &View, size: Size) -> Vec<Line> {
    let selected = view.selected();
    let details: Vec<Line> = view.rows.get(selected).map(detail).unwrap_or_default();
    // Instances have the greater half, whatever is selected.
    let room = size.rows.saturating_sub(ABOVE + BELOW);
    let below = details.len().min(room / 2);
    let shown = room - below;
    let first = (selected + 1).saturating_sub(shown.max(1)).min(view.rows.len().saturating_sub(shown));
    let mut lines = head(view);
    lines.extend(view.rows.iter().enumerate().skip(first).take(shown).map(|(at, row)| {
        let look = if at == selected {
            Look::Selected
        } else if row.state == "closed" {
            Look::Plain
        } else {
            Look::Alarm
        };
        Line { text: columns(row), look }
    }));
    lines.resize(ABOVE + shown, Line { text: String::new(), look: Look::Plain });
    lines.extend(details.into_iter().take(below));
    let pause = if view.paused { "   paused" } else { "" };
    lines.push(Line { text: format!("{KEYS}   by {}{pause}", view.sort.word()), look: Look::Head });
    lines.truncate(size.rows);
    lines.iter_mut().for_each(|line| line.text = cut(&line.text, size.columns));
    lines
}

/// Everything, for a file.
pub fn plain(view: &View) -> Vec<String> {
    let mut lines: Vec<Line> = head(view);
    for row in &view.rows {
        lines.push(Line { text: columns(row), look: Look::Plain });
        lines.extend(row.lanes.iter().map(|lane| Line { text: columns(&Row { name: format!("  {}", lane.name), ..lane.clone() }), look: Look::Plain }));
    }
    lines.into_iter().map(|line| cut(line.text.trim_end(), usize::MAX)).collect()
}

fn head(view: &View) -> Vec<Line> {
    let totals = &view.totals;
    let line = |text: String, look| Line { text, look };
    let healthy = if totals.status == "healthy" { Look::Plain } else { Look::Alarm };
    let second = match &view.lost {
        Some(why) => line(format!("no answer: {why}"), Look::Alarm),
        None if !totals.with_metrics => line("no figures of guests and no latencies: they need the permission system:monitor".to_owned(), Look::Plain),
        None => line(String::new(), Look::Plain),
    };
    vec![
        line(
            format!(
                "bulkhead {}  {}  in {}/s  out {}/s  dead {}/s  backlog {}  dead letters {}  journal {}",
                totals.version,
                totals.status,
                short(totals.accepted),
                short(totals.delivered),
                short(totals.rejected),
                short(totals.backlog as f64),
                short(totals.letters as f64),
                bytes(totals.journal_bytes as f64),
            ),
            healthy,
        ),
        second,
        line(String::new(), Look::Plain),
        line(
            format!(
                "{:<26} {:<12} {:>8} {:>8} {:>8} {:>9} {:>8} {:>7} {:>8} {:>8} {:>8} {:>6} {:>8}",
                "INSTANCE", "STATE", "OUT/S", "RETRY/S", "DEAD/S", "BACKLOG", "OLDEST", "FLIGHT", "P50 MS", "P99 MS", "FUEL/S", "CPU %", "MEMORY"
            ),
            Look::Head,
        ),
    ]
}

fn columns(row: &Row) -> String {
    let maybe = |value: Option<f64>, show: fn(f64) -> String| value.map_or_else(|| "-".to_owned(), show);
    format!(
        "{:<26} {:<12} {:>8} {:>8} {:>8} {:>9} {:>8} {:>7} {:>8} {:>8} {:>8} {:>6} {:>8}",
        row.name,
        cut(&row.state, 12),
        short(row.delivered),
        short(row.retried),
        short(row.rejected),
        short(row.backlog as f64),
        age(row.oldest_seconds),
        short((row.in_flight + row.retrying) as f64),
        maybe(row.p50, |seconds| short(seconds * 1_000.0)),
        maybe(row.p99, |seconds| short(seconds * 1_000.0)),
        maybe(row.fuel, short),
        maybe(row.cpu, |cpu| format!("{:.1}", cpu * 100.0)),
        maybe(row.memory, bytes),
    )
}

/// The lanes of an instance, and what went wrong last.
fn detail(row: &Row) -> Vec<Line> {
    let mut lines = vec![Line { text: format!("lanes of {}", row.name), look: Look::Head }];
    for lane in &row.lanes {
        let look = if lane.state == "closed" { Look::Plain } else { Look::Alarm };
        lines.push(Line { text: columns(&Row { name: format!("  {}", lane.name), ..lane.clone() }), look });
        lines.extend(lane.error.as_ref().map(|error| Line { text: format!("    last error: {error}"), look: Look::Plain }));
    }
    lines
}

/// At most so many characters; what would steer a terminal is none of them.
fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Four digits and a letter at most.
fn short(value: f64) -> String {
    let steps = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")];
    match steps.into_iter().find(|(step, _)| value >= *step) {
        Some((1e4, unit)) => format!("{:.1}{unit}", value / 1e3),
        Some((step, unit)) => format!("{:.1}{unit}", value / step),
        None if value == value.trunc() || value >= 100.0 => format!("{value:.0}"),
        None => format!("{value:.1}"),
    }
}

fn bytes(value: f64) -> String {
    let steps = [(1u64 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let step = steps.into_iter().find(|(step, _)| value >= *step as f64);
    step.map_or_else(|| format!("{value:.0}B"), |(step, unit)| format!("{:.1}{unit}", value / step as f64))
}

fn age(seconds: f64) -> String {
    match seconds {
        s if s < 60.0 => format!("{s:.1}s"),
        s if s < 3_600.0 => format!("{:.0}m", s / 60.0),
        s if s < 86_400.0 => format!("{:.1}h", s / 3_600.0),
        s => format!("{:.1}d", s / 86_400.0),
    }
}
