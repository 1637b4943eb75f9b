//! The engine: a mapping is compiled once and applied to each event.

use std::fmt;

use bulkhead_sdk::cover::{Cover, Place};
use bulkhead_sdk::{Event, Writer, pointer};

use crate::check::Checker;
use crate::expression::{Expression, Found, Language, Scope};
use crate::item::Item;
use crate::settings::{Constant, Kind, Row, Rule, Transform};
use crate::target::{Targets, names};

/// A compiled mapping.
#[derive(Debug)]
pub struct Mapping {
    rules: Vec<(Expression, String)>,
    rows: Vec<Compiled>,
    targets: Targets,
    cover: Cover,
    language: Language,
}

/// Why an event is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The member of the object, as it is configured; none for a rule of the whole event.
    pub to: Option<String>,
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.to {
            Some(to) => write!(f, "`{to}`: {}", self.reason),
            None => f.write_str(&self.reason),
        }
    }
}

#[derive(Debug)]
struct Compiled {
    to: String,
    source: Source,
    when: Option<Expression>,
    default: Option<Constant>,
    required: bool,
    kind: Option<Kind>,
    transforms: Vec<Transform>,
    checker: Option<Checker>,
}

#[derive(Debug)]
enum Source {
    Field { pointer: String, place: Option<Place> },
    Constant(Constant),
    Expression(Expression),
}

impl Mapping {
    /// Reads rows and rules; an error names the key that is wrong.
    pub fn compile(rows: Vec<Row>, rules: Vec<Rule>) -> Result<Self, String> {
        let mut targets = Targets::default();
        let mut compiled = Vec::with_capacity(rows.len());
        for (at, row) in rows.into_iter().enumerate() {
            let key = format!("fields[{at}]");
            targets.add(&names(&row.to, &format!("{key}.to"))?, at, &format!("{key}.to"))?;
            compiled.push(Compiled::new(row, &key)?);
        }
        let mut checked = Vec::with_capacity(rules.len());
        for (at, rule) in rules.into_iter().enumerate() {
            checked.push((Expression::compile(&rule.that, &format!("validate[{at}].that"))?, rule.reason));
        }
        let mut expressions: Vec<&mut Expression> = checked.iter_mut().map(|(expression, _)| expression).collect();
        let mut places: Vec<(&str, &mut Option<Place>)> = Vec::new();
        for row in &mut compiled {
            expressions.extend(&mut row.when);
            match &mut row.source {
                Source::Field { pointer, place } => places.push((pointer, place)),
                Source::Expression(expression) => expressions.push(expression),
                Source::Constant(_) => {}
            }
        }
        let pointers = places.iter().map(|(pointer, _)| *pointer).chain(expressions.iter().flat_map(|expression| expression.pointers()));
        let cover = Cover::new(pointers);
        for (pointer, place) in places {
            *place = cover.place(pointer);
        }
        let language = Language::new(expressions.iter().flat_map(|expression| expression.pointers()), &cover);
        Ok(Self { rules: checked, rows: compiled, targets, cover, language })
    }

    /// Fields to be handed with each event.
    pub fn fields(&self) -> Vec<&str> {
        self.cover.fields()
    }

    /// Writes the object of one event. What was written of an event that is refused is the caller's to take back.
    pub fn apply(&self, event: &Event<'_>, out: &mut Writer) -> Result<(), Problem> {
        let scope = self.language.scope(event);
        for (rule, reason) in &self.rules {
            let refused = |reason: String| Problem { to: None, reason };
            if !rule.holds(&scope).map_err(refused)? {
                return Err(refused(reason.clone()));
            }
        }
        let any = self.targets.write(out, &mut |rows, out| self.fill(rows, event, &scope, out))?;
        if any { Ok(()) } else { Err(Problem { to: None, reason: "the mapping makes nothing of this event".to_owned() }) }
    }

    /// The value of one place: that of the first row that gives one.
    fn fill(&self, rows: &[usize], event: &Event<'_>, scope: &Scope<'_>, out: &mut Writer) -> Result<bool, Problem> {
        let mut required = None;
        for row in rows.iter().filter_map(|at| self.rows.get(*at)) {
            let refused = |reason: String| Problem { to: Some(row.to.clone()), reason };
            if let Some(when) = &row.when
                && !when.holds(scope).map_err(refused)?
            {
                continue;
            }
            if let Some(item) = row.value(event, scope).map_err(refused)? {
                item.write(out);
                return Ok(true);
            }
            if row.required {
                required = Some(row);
            }
        }
        match required {
            None => Ok(false),
            Some(row) => Err(Problem { to: Some(row.to.clone()), reason: format!("it is required, and {} gives nothing", row.source) }),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field { pointer, .. } => f.write_str(pointer),
            Self::Constant(_) => f.write_str("its constant"),
            Self::Expression(_) => f.write_str("its expression"),
        }
    }
}

impl Compiled {
    fn new(row: Row, key: &str) -> Result<Self, String> {
        let source = match (row.from, row.value, row.expr) {
            (Some(pointer), None, None) => {
                pointer::check(&format!("{key}.from"), &pointer)?;
                Source::Field { pointer, place: None }
            }
            (None, Some(constant), None) => Source::Constant(constant),
            (None, None, Some(text)) => match Expression::compile(&text, &format!("{key}.expr"))? {
                // A field alone goes through with its bytes.
                expression if expression.field().is_some() => Source::Field { pointer: expression.field().unwrap_or_default().to_owned(), place: None },
                expression => Source::Expression(expression),
            },
            _ => return Err(format!("`{key}` has one of `from`, `value` and `expr`")),
        };
        Ok(Self {
            to: row.to,
            source,
            when: row.when.map(|text| Expression::compile(&text, &format!("{key}.when"))).transpose()?,
            default: row.default,
            required: row.required,
            kind: row.kind,
            transforms: row.transform.unwrap_or_default(),
            checker: row.check.map(|check| Checker::compile(check, &format!("{key}.check"))).transpose()?,
        })
    }

    fn value<'a>(&'a self, event: &Event<'a>, scope: &Scope<'_>) -> Result<Option<Item<'a>>, String> {
        let mut item = match &self.source {
            Source::Field { place, .. } => place.as_ref().and_then(|place| Item::of(place.get(event))),
            Source::Constant(constant) => Item::of(constant.value()),
            Source::Expression(expression) => match expression.find(scope)? {
                Found::Value(item) => Some(item),
                Found::Nothing => None,
            },
        };
        for transform in &self.transforms {
            item = match item {
                Some(item) => transform.apply(item)?,
                None => None,
            };
        }
        if let Some(kind) = self.kind {
            item = item.map(|item| kind.convert(item)).transpose()?;
        }
        let item = item.or_else(|| self.default.as_ref().and_then(|constant| Item::of(constant.value())));
        if let (Some(checker), Some(item)) = (&self.checker, &item)
            && let Some(broken) = checker.broken(item)
        {
            return Err(broken);
        }
        Ok(item)
    }
}
