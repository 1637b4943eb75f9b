//! jq programs, by `jaq` (the jq language of jq 1.8, with its known differences).
//!
//! What would make two runs differ, or reach beyond the event, is not there: `now` and all that knows dates, `env` and
//! `$ENV`, `input` and `inputs`, `debug`, `stderr`, `halt`, and modules.

use std::fmt;

use bulkhead_sdk::json;
use jaq_core::load::{self, Arena, File, Loader};
use jaq_core::{Compiler, Ctx, Vars, compile, data, unwrap_valr};
use jaq_json::{Val, read};

use crate::natives;

pub type Data = data::JustLut<Val>;

/// Definitions of the standard library whose native parts are not built in.
const LEFT_OUT: [&str; 15] = [
    // Output beside the result, and an end of its own.
    "debug",
    "stderr",
    "halt",
    "halt_error",
    // Dates.
    "todate",
    "fromdate",
    // Mathematics.
    "logb",
    "significand",
    "pow10",
    "drem",
    "nexttoward",
    "scalb",
    "gamma",
    // The way back of formats.
    "@htmld",
    "@urid",
];

pub struct Program(jaq_core::Filter<Data>);

impl fmt::Debug for Program {
    // Its graph fills pages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Program")
    }
}

impl Program {
    pub fn compile(code: &str) -> Result<Self, String> {
        let defs = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs()).filter(|def| !LEFT_OUT.contains(&def.name));
        // `halt` would end the guest.
        let base = jaq_std::base_funs().filter(|(name, ..)| *name != "halt");
        let funs = jaq_core::funs::<Data>().chain(base).chain(jaq_json::funs()).chain(natives::all());
        let arena = Arena::default();
        let modules = Loader::new(defs).load(&arena, File { code, path: () }).map_err(|errors| unread(code, &errors))?;
        let filter = Compiler::default().with_funs(funs).compile(modules).map_err(|errors| unknown(&errors))?;
        Ok(Self(filter))
    }

    /// The object that the program makes of this one.
    pub fn run(&self, event: &[u8]) -> Result<String, String> {
        let refused = |words: &str| Err(format!("`jq` {words}"));
        let Ok(input) = read::parse_single(event) else { return refused("is not given this event: it is no JSON to the program's reader") };
        let context = Ctx::<Data>::new(&self.0.lut, Vars::new([]));
        let mut yields = self.0.id.run((context, input)).map(unwrap_valr);
        let made = match yields.next() {
            None => return refused("yields nothing"),
            // Its words may hold what the event holds.
            Some(Err(_)) => return refused("ends with an error on this event"),
            Some(Ok(made @ Val::Obj(_))) => made,
            Some(Ok(other)) => return Err(format!("`jq` yields {}, not an object", kind(&other))),
        };
        if yields.next().is_some() {
            return refused("yields more than one value");
        }
        let text = made.to_string();
        if json::is_strict(&text) { Ok(text) } else { refused("yields what JSON does not have") }
    }
}

fn kind(value: &Val) -> &'static str {
    match value {
        Val::Null => "null",
        Val::Bool(_) => "a boolean",
        Val::Num(_) => "a number",
        Val::BStr(_) | Val::TStr(_) => "a string",
        Val::Arr(_) => "an array",
        Val::Obj(_) => "an object",
    }
}

/// Line and column of a part of the program.
fn place(code: &str, part: &str) -> String {
    let at = (part.as_ptr() as usize).checked_sub(code.as_ptr() as usize).and_then(|at| code.get(..at)).unwrap_or(code);
    let line = at.rsplit('\n').next().unwrap_or_default();
    format!("line {}, column {}", at.matches('\n').count() + 1, line.chars().count() + 1)
}

/// What is no jq, with its place.
fn unread(code: &str, errors: &load::Errors<&str, ()>) -> String {
    let first = errors.iter().find_map(|(_, error)| match error {
        load::Error::Io(_) => Some("there are no modules".to_owned()),
        load::Error::Lex(list) => list.first().map(|(expected, at)| format!("{}: expected {}", place(code, at), expected.as_str())),
        load::Error::Parse(list) => list.first().map(|(expected, at)| format!("{}: expected {}", place(code, at), expected.as_str())),
    });
    format!("`jq` is no program: {}", first.unwrap_or_else(|| "it cannot be read".to_owned()))
}

/// A name that there is not.
fn unknown(errors: &compile::Errors<&str, ()>) -> String {
    match errors.iter().flat_map(|(_, errors)| errors).next() {
        Some((name, kind)) => format!("`jq`: there is no {} `{name}` here", kind.as_str()),
        None => "`jq` cannot be compiled".to_owned(),
    }
}
