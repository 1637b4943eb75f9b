//! What a process costs, from `/proc`.

use std::fs;

use anyhow::{Context, Result};

/// CPU seconds of a process, user and system, its ended threads included. Steps of 10 ms.
pub fn cpu_seconds(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).with_context(|| path.clone())?;
    // The command in parentheses may hold blanks; fields count from behind it.
    let rest = text.rsplit_once(')').map(|(_, rest)| rest).with_context(|| format!("{path} has no command"))?;
    let mut fields = rest.split_ascii_whitespace().skip(11).map(str::parse::<u64>);
    let mut next = || fields.next().and_then(Result::ok).with_context(|| format!("{path} is cut short"));
    let ticks = next()? + next()?;
    Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// Resident memory.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory {
    pub now: u64,
    pub peak: u64,
}

pub fn memory(pid: u32) -> Result<Memory> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| path.clone())?;
    let field = |name: &str| -> Result<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("{path} has no {name}"))?;
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().with_context(|| format!("{path} {name}{line}"))?;
        Ok(kib * 1024)
    };
    Ok(Memory { now: field("VmRSS:")?, peak: field("VmHWM:")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_its_own_process() {
        let pid = std::process::id();
        assert!(cpu_seconds(pid).expect("stat parses") >= 0.0);
        let memory = memory(pid).expect("status parses");
        assert!(memory.now > 0 && memory.peak >= memory.now / 2, "{memory:?}");
        assert!(cpu_seconds(u32::MAX).is_err());
    }
}
