//! `--key value` arguments of the small binaries; an unknown key is an error that names the known ones.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};

#[derive(Debug)]
pub struct Args {
    values: BTreeMap<String, String>,
}

impl Args {
    /// `flags` stand alone, `keys` take a value.
    pub fn parse(given: impl IntoIterator<Item = String>, keys: &[&str], flags: &[&str]) -> Result<Self> {
        let mut values = BTreeMap::new();
        let mut given = given.into_iter();
        while let Some(word) = given.next() {
            let Some(name) = word.strip_prefix("--") else { bail!("`{word}` is not an option; known: {}", known(keys, flags)) };
            let value = if flags.contains(&name) {
                "true".to_owned()
            } else if keys.contains(&name) {
                given.next().with_context(|| format!("--{name} wants a value"))?
            } else {
                bail!("unknown option --{name}; known: {}", known(keys, flags))
            };
            ensure!(values.insert(name.to_owned(), value).is_none(), "--{name} is given twice");
        }
        Ok(Self { values })
    }

    pub fn flag(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    pub fn get<T: FromStr>(&self, name: &str) -> Result<Option<T>>
    where
        T::Err: std::fmt::Display,
    {
        match self.values.get(name) {
            None => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|error| anyhow::anyhow!("--{name} {text}: {error}")),
        }
    }

    /// A number within bounds; `default` where absent.
    pub fn number(&self, name: &str, default: u64, bounds: std::ops::RangeInclusive<u64>) -> Result<u64> {
        let value = self.get(name)?.unwrap_or(default);
        ensure!(bounds.contains(&value), "--{name} {value} is outside {}..={}", bounds.start(), bounds.end());
        Ok(value)
    }
}

fn known(keys: &[&str], flags: &[&str]) -> String {
    keys.iter().chain(flags).map(|name| format!("--{name}")).collect::<Vec<_>>().join(", ")
}

/// Load and faults stay on this machine: any other address is refused.
pub fn loopback(text: &str) -> Result<SocketAddr> {
    let addr: SocketAddr = text.parse().with_context(|| format!("`{text}` is not an address literal with a port, such as 127.0.0.1:8781"))?;
    ensure!(addr.ip().is_loopback(), "{addr} is not a loopback address; load is only sent to and taken from this machine");
    Ok(addr)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Args> {
        Args::parse(words.iter().map(|word| (*word).to_owned()), &["count", "to"], &["fast"])
    }

    #[test]
    fn reads_keys_and_flags() {
        let args = parse(&["--count", "5", "--fast"]).expect("parses");
        assert_eq!(args.number("count", 1, 1..=10).expect("in range"), 5);
        assert!(args.flag("fast"));
        assert_eq!(args.text("to"), None);
    }

    #[test]
    fn names_what_is_wrong() {
        assert!(parse(&["--cuont", "5"]).expect_err("unknown").to_string().contains("--count, --to, --fast"));
        assert!(parse(&["--count"]).expect_err("no value").to_string().contains("wants a value"));
        let args = parse(&["--count", "50"]).expect("parses");
        assert!(args.number("count", 1, 1..=10).expect_err("too many").to_string().contains("outside 1..=10"));
    }

    #[test]
    fn refuses_other_machines() {
        assert!(loopback("127.0.0.1:80").is_ok());
        assert!(loopback("[::1]:80").is_ok());
        for other in ["10.0.0.1:80", "0.0.0.0:80", "example.com:80"] {
            assert!(loopback(other).is_err(), "{other}");
        }
    }
}
