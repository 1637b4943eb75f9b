//! Through `Config::parse`, as the binary uses it.

mod faults;
mod hostile;
mod secrets;
mod values;

use std::path::Path;

use super::{Config, Fault};

/// The variables of every test.
fn env(name: &str) -> Option<String> {
    let value = match name {
        "EMPTY" => "",
        "NUMBER" => "7",
        "YAML" => "a: b\nc: d",
        "BRACES" => "{x: [1, 2]}, y: *z",
        "REFERENCE" => "${NUMBER}",
        "TOKEN" => "sesame-open-token",
        "URL" => "http://127.0.0.1:9/base",
        "HOME" => "/home/o",
        _ => return None,
    };
    Some(value.to_owned())
}

fn parse(text: &str) -> Result<Config, Vec<Fault>> {
    Config::parse(Path::new("bulkhead.yaml"), text, &env)
}

#[track_caller]
fn good(text: &str) -> Config {
    parse(text).unwrap_or_else(|faults| panic!("{}", faults.iter().map(ToString::to_string).collect::<String>()))
}

#[track_caller]
fn bad(text: &str) -> Vec<Fault> {
    parse(text).expect_err("the configuration has faults")
}

/// A configuration with one instance whose part is this.
fn instance(part: &str) -> String {
    format!("instances:\n  one:\n    connector: file\n    {part}\n")
}
