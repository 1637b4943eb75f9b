//! What can be told of a template before the first event: MiniJinja looks filters, tests and names up when
//! it meets them, so a misspelt one in a rare branch would show in the dead letters only.

use std::collections::BTreeSet;

use bulkhead_sdk::pointer;
use bulkhead_sdk::time::format::DateFormat;
use minijinja::machinery::{Span, Token, tokenize};
use minijinja::{Environment, Error, ErrorKind};

use crate::{NAME, syntax};

/// An error with its place: `line 2, column 7: …`.
pub fn problem(error: &Error, template: &str) -> String {
    let range = error.range().filter(|range| template.is_char_boundary(range.start) && template.is_char_boundary(range.end));
    let mut words = match (error.kind(), &range) {
        (ErrorKind::OutOfFuel, _) => "the template does more than one event may cost".to_owned(),
        (ErrorKind::UndefinedError, Some(range)) => format!("`{}` is not in the event", template.get(range.clone()).unwrap_or_default()),
        (kind, _) => error.detail().map_or_else(|| kind.to_string(), str::to_owned),
    };
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        words.push_str(": ");
        words.push_str(&inner.to_string());
        cause = inner.source();
    }
    match (range, error.line()) {
        (Some(range), _) => at(template, range.start, &words),
        (None, Some(line)) => format!("line {line}: {words}"),
        (None, None) => words,
    }
}

fn at(template: &str, offset: usize, words: &str) -> String {
    let before = template.get(..offset).unwrap_or(template);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("line {line}, column {column}: {words}")
}

/// The names of the event's fields that the template uses, `data.payload.field_count` as far as they are
/// written out; or the first thing in it that cannot work.
pub fn names(template: &str, environment: &Environment<'_>) -> Result<BTreeSet<String>, String> {
    let compiled = environment.get_template(NAME).map_err(|error| problem(&error, template))?;
    let functions: BTreeSet<String> = environment.globals().map(|(name, _)| name.to_owned()).collect();
    let unknown: BTreeSet<String> =
        compiled.undeclared_variables(false).into_iter().filter(|name| !functions.contains(name) && !pointer::is_root(name)).collect();
    let tokens: Vec<(Token<'_>, Span)> = tokenize(template, false, syntax()?).collect::<Result<_, _>>().map_err(|error| problem(&error, template))?;
    let check = Check { environment, unknown };
    for place in 0..tokens.len() {
        if let Err(words) = check.token(&tokens, place) {
            let offset = tokens.get(place).map_or(0, |(_, span)| span.start_offset as usize);
            return Err(format!("`template`: {}", at(template, offset, &words)));
        }
    }
    Ok(compiled.undeclared_variables(true).into_iter().filter(|name| name.split('.').next().is_some_and(pointer::is_root)).collect())
}

struct Check<'e, 's> {
    environment: &'e Environment<'s>,
    unknown: BTreeSet<String>,
}

impl Check<'_, '_> {
    fn token(&self, tokens: &[(Token<'_>, Span)], place: usize) -> Result<(), String> {
        let token = |at: Option<usize>| at.and_then(|at| tokens.get(at)).map(|(token, _)| token);
        let (before, next) = (token(place.checked_sub(1)), token(Some(place + 1)));
        let Some(Token::Ident(name)) = token(Some(place)) else { return Ok(()) };
        match before {
            Some(Token::Pipe) => {
                self.filter(name)?;
                if *name == "date" && matches!(next, Some(Token::ParenOpen)) {
                    date_format(token(Some(place + 2)), token(Some(place + 3)))?;
                }
            }
            Some(Token::Dot) if matches!(next, Some(Token::ParenOpen)) => {
                return Err(format!("`.{name}()` is a method; there are only filters, as in `value | {name}`"));
            }
            Some(Token::Dot) => {}
            Some(Token::Ident("is")) if *name != "not" => self.test(name)?,
            Some(Token::Ident("not")) if matches!(token(place.checked_sub(2)), Some(Token::Ident("is"))) => self.test(name)?,
            Some(Token::BlockStart) => return statement(name, tokens.get(place + 1..).unwrap_or_default()),
            // The name of an argument.
            _ if matches!(next, Some(Token::Assign)) => {}
            _ if self.unknown.contains(*name) => {
                let known: Vec<&str> = pointer::ROOTS.to_vec();
                return Err(format!("`{name}` is no field of an event; there are {}", known.join(", ")));
            }
            _ => {}
        }
        Ok(())
    }

    fn filter(&self, name: &str) -> Result<(), String> {
        match self.environment.empty_state().apply_filter(name, &[]) {
            Err(error) if error.kind() == ErrorKind::UnknownFilter => Err(format!("there is no filter `{name}`")),
            _ => Ok(()),
        }
    }

    fn test(&self, name: &str) -> Result<(), String> {
        match self.environment.empty_state().perform_test(name, &[]) {
            Err(error) if error.kind() == ErrorKind::UnknownTest => Err(format!("there is no test `{name}`")),
            _ => Ok(()),
        }
    }
}

/// A format that is written out is read at once.
fn date_format(argument: Option<&Token<'_>>, behind: Option<&Token<'_>>) -> Result<(), String> {
    let text = match argument {
        Some(Token::Str(text)) => text,
        Some(Token::String(text)) => &**text,
        _ => return Ok(()),
    };
    if matches!(behind, Some(Token::ParenClose)) { DateFormat::parse(text).map(drop) } else { Ok(()) }
}

/// Statements that capture text are not offered: what stands in them would be escaped for the wrong place.
/// Fields of the event are not set anew: which ones a template needs is read off its names.
fn statement(name: &str, rest: &[(Token<'_>, Span)]) -> Result<(), String> {
    let inside = || rest.iter().map(|(token, _)| token).take_while(|token| !matches!(token, Token::BlockEnd));
    let targets: Vec<&str> = match name {
        "filter" | "autoescape" => return Err(format!("the statement `{name}` is not offered; use filters")),
        "set" => {
            let mut depth = 0_u32;
            let whole = inside().any(|token| {
                match token {
                    Token::ParenOpen => depth += 1,
                    Token::ParenClose => depth = depth.saturating_sub(1),
                    _ => {}
                }
                depth == 0 && matches!(token, Token::Assign)
            });
            if !whole {
                return Err("`set` around a block is not offered; put text together with `~`, as in `{% set x = a ~ b %}`".to_owned());
            }
            idents(inside().take_while(|token| !matches!(token, Token::Assign)))
        }
        "for" => idents(inside().take_while(|token| !matches!(token, Token::Ident("in")))),
        "with" => {
            let all: Vec<&Token<'_>> = inside().collect();
            idents(all.windows(2).filter(|pair| matches!(pair, [_, Token::Assign])).filter_map(|pair| pair.first().copied()))
        }
        _ => return Ok(()),
    };
    match targets.into_iter().find(|target| pointer::is_root(target)) {
        Some(target) => Err(format!("`{target}` is a field of the event and cannot be set; take another name")),
        None => Ok(()),
    }
}

/// Names, without those of attributes (`counter` of `ns.counter`).
fn idents<'t>(tokens: impl Iterator<Item = &'t Token<'t>>) -> Vec<&'t str> {
    let mut behind_dot = false;
    let name = |token: &'t Token<'t>| match token {
        Token::Ident(name) if !std::mem::take(&mut behind_dot) => Some(*name),
        other => {
            behind_dot = matches!(other, Token::Dot);
            None
        }
    };
    tokens.filter_map(name).collect()
}
