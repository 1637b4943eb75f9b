//! Expressions in CEL, the Common Expression Language (https://cel.dev, language definition): what they name is
//! checked before the first event, and how much they can do is bounded.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bulkhead_sdk::cover::{Cover, Place};
use bulkhead_sdk::{Event, Value as Seen, pointer};
use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators};
use cel::common::types::{CelBool, CelString, STRING_TYPE};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;
use cel::parser::PrattParser;
use cel::{Context, Env, ExecutionError, Value};
use regex_lite::Regex;

use crate::item::Item;
use crate::transform::regex;
use crate::values::{self, Part};

/// How deep the parts of an expression lie in each other, `a + b + c` counted as two.
const MOST_DEPTH: usize = 64;
/// Nodes of an expression, its macros written out.
const MOST_NODES: usize = 2_000;
/// Loops within each other.
const MOST_LOOPS: usize = 2;
/// Values of an event that the expressions of a mapping may look at, loops counted each time.
pub const MOST_VALUES: usize = 100_000;

/// Functions that may be called, beside the operators.
const FUNCTIONS: [&str; 25] = [
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "int",
    "uint",
    "double",
    "string",
    "bool",
    "bytes",
    "type",
    "dyn",
    "charAt",
    "indexOf",
    "join",
    "lastIndexOf",
    "lowerAscii",
    "upperAscii",
    "quote",
    "replace",
    "split",
    "substring",
    "trim",
    "reverse",
];

/// Names of types, for `type(data) == map`; `type` itself is an attribute of events.
const TYPES: [&str; 9] = ["int", "uint", "double", "bool", "string", "bytes", "list", "map", "null_type"];

/// An expression that is well-formed and bounded.
pub struct Expression {
    tree: IdedExpr,
    pointers: Vec<String>,
    field: Option<String>,
    key: String,
}

/// What an expression gives.
#[derive(Debug)]
pub enum Found {
    Value(Item<'static>),
    /// A field that it needs is not in the event, or the value is null.
    Nothing,
}

impl fmt::Debug for Expression {
    // The tree of a line fills a page.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Expression").field("key", &self.key).field("pointers", &self.pointers).finish_non_exhaustive()
    }
}

impl Expression {
    pub fn compile(text: &str, key: &str) -> Result<Self, String> {
        // The parser counts most of what lies within each other, but not brackets.
        if brackets(text) > MOST_DEPTH {
            return Err(format!("`{key}` is nested deeper than {MOST_DEPTH}"));
        }
        let parser = PrattParser::new().max_recursion_depth(MOST_DEPTH as u16).max_expression_node_count(MOST_NODES).error_reporting_limit(1);
        let mut tree = parser.parse(text).map_err(|errors| match errors.errors.first() {
            Some(error) => format!("`{key}`: line {}, column {}: {}", error.pos.0, error.pos.1, error.msg.lines().next().unwrap_or_default()),
            None => format!("`{key}` is no expression"),
        })?;
        if depth(&tree) > MOST_DEPTH {
            return Err(format!("`{key}` is nested deeper than {MOST_DEPTH}"));
        }
        let field = path(&tree, &[]).filter(|_| !matches!(&tree.expr, Expr::Select(select) if select.test));
        let mut check = Check { key, pointers: BTreeSet::new(), bound: Vec::new(), loops: 0 };
        check.visit(&mut tree)?;
        Ok(Self { pointers: check.pointers.into_iter().collect(), field, tree, key: key.to_owned() })
    }

    /// The fields of the event that it reads.
    pub fn pointers(&self) -> impl Iterator<Item = &str> {
        self.pointers.iter().map(String::as_str)
    }

    /// Where it is nothing but a field: its pointer.
    pub fn field(&self) -> Option<&str> {
        self.field.as_deref()
    }

    pub fn find(&self, scope: &Scope<'_>) -> Result<Found, String> {
        self.evaluate(scope, |value| Ok(values::item(value)?.map_or(Found::Nothing, Found::Value)))
    }

    /// Whether it is true. What needs a field that the event does not have is not.
    pub fn holds(&self, scope: &Scope<'_>) -> Result<bool, String> {
        let truth = |value: &dyn Val| value.downcast_ref::<CelBool>().map(|truth| *truth.inner()).ok_or_else(|| "it is neither true nor false".to_owned());
        self.evaluate(scope, |value| truth(value).map(|truth| if truth { Found::Value(Item::Bool(true)) } else { Found::Nothing }))
            .map(|found| matches!(found, Found::Value(_)))
    }

    fn evaluate(&self, scope: &Scope<'_>, read: impl FnOnce(&dyn Val) -> Result<Found, String>) -> Result<Found, String> {
        let mut context = Context::with_env(Arc::clone(&scope.language.environment));
        context.set_variable_resolver(scope);
        let result = Value::resolve_val(&self.tree, &context);
        let too_many = || scope.looked.load(Ordering::Relaxed) > MOST_VALUES;
        let refused = || Err(format!("`{}` looks at more than {MOST_VALUES} values of one event", self.key));
        if too_many() {
            return refused();
        }
        match result {
            Ok(value) => {
                let found = read(value.as_ref()).map_err(|problem| format!("`{}`: {problem}", self.key));
                // Reading an object looks into it.
                if too_many() { refused() } else { found }
            }
            Err(error) => match words(&error) {
                None => Ok(Found::Nothing),
                Some(words) => Err(format!("`{}`: {words}", self.key)),
            },
        }
    }
}

/// An error without the values that it is about; nothing where a field is missing.
fn words(error: &ExecutionError) -> Option<String> {
    Some(match error {
        ExecutionError::NoSuchKey(_) | ExecutionError::IndexOutOfBounds(_) => return None,
        ExecutionError::NoSuchOverload(overload) => overload.to_string(),
        ExecutionError::UnsupportedBinaryOperator(operator, left, right) => format!("`{operator}` does not take {} and {}", left.type_of(), right.type_of()),
        ExecutionError::ValuesNotComparable(left, right) => format!("{} and {} cannot be compared", left.type_of(), right.type_of()),
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => "division by zero".to_owned(),
        ExecutionError::Overflow(..) => "a number is too large".to_owned(),
        ExecutionError::UnexpectedType { got, want } => format!("a {got} where a {want} is needed"),
        ExecutionError::FunctionError { function, .. } => format!("`{function}` does not take this value"),
        // Every name was looked up before: this event has no such field.
        ExecutionError::UndeclaredReference(name) if pointer::is_root(name.trim_start_matches('@')) => return None,
        ExecutionError::UndeclaredReference(name) => format!("there is no `{name}`"),
        _ => "it has no value for this event".to_owned(),
    })
}

/// Brackets within each other; those in texts count too.
fn brackets(text: &str) -> usize {
    let (mut deepest, mut level) = (0, 0_usize);
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' => level += 1,
            b')' | b']' | b'}' => level = level.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(level);
    }
    deepest
}

/// Parts within each other, without recursion: an expression from outside may be a long chain.
fn depth(tree: &IdedExpr) -> usize {
    let (mut deepest, mut open) = (0, vec![(tree, 1_usize)]);
    while let Some((node, level)) = open.pop() {
        deepest = deepest.max(level);
        open.extend(children(&node.expr).into_iter().map(|child| (child, level + 1)));
    }
    deepest
}

fn children(expr: &Expr) -> Vec<&IdedExpr> {
    match expr {
        Expr::Call(call) => call.target.iter().map(|target| &**target).chain(&call.args).collect(),
        Expr::Comprehension(inner) => vec![&inner.iter_range, &inner.accu_init, &inner.loop_cond, &inner.loop_step, &inner.result],
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Map(map) => map
            .entries
            .iter()
            .flat_map(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
                EntryExpr::StructField(field) => vec![&field.value],
            })
            .collect(),
        Expr::Select(select) => vec![&select.operand],
        Expr::Struct(object) => object
            .entries
            .iter()
            .map(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => &entry.value,
                EntryExpr::StructField(field) => &field.value,
            })
            .collect(),
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => Vec::new(),
    }
}

/// The pointer of `data.payload.x` and `metadata["user-role"]`, where the first name is none of a loop.
fn path(node: &IdedExpr, bound: &[String]) -> Option<String> {
    match &node.expr {
        Expr::Ident(name) if !bound.contains(name) && !TYPES.contains(&name.as_str()) => Some(format!("/{name}")),
        Expr::Select(select) => Some(format!("{}/{}", path(&select.operand, bound)?, token(&select.field))),
        Expr::Call(CallExpr { func_name, target: None, args }) if func_name == operators::INDEX => match args.as_slice() {
            [of, IdedExpr { expr: Expr::Literal(LiteralValue::String(name)), .. }] => Some(format!("{}/{}", path(of, bound)?, token(name.inner()))),
            _ => None,
        },
        _ => None,
    }
}

/// Where an event has no `type`, CEL would find its own type of that name. No name of an expression has an `@`.
fn own_name(node: &mut IdedExpr) {
    match &mut node.expr {
        Expr::Ident(name) if name == "type" => *name = "@type".to_owned(),
        Expr::Select(select) => own_name(&mut select.operand),
        Expr::Call(call) => call.args.iter_mut().take(1).for_each(own_name),
        _ => {}
    }
}

fn token(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

struct Check<'k> {
    key: &'k str,
    pointers: BTreeSet<String>,
    /// Names of loops around.
    bound: Vec<String>,
    loops: usize,
}

impl Check<'_> {
    fn error<T>(&self, words: &str) -> Result<T, String> {
        Err(format!("`{}`: {words}", self.key))
    }

    fn visit(&mut self, node: &mut IdedExpr) -> Result<(), String> {
        if let Some(pointer) = path(node, &self.bound) {
            pointer::check(self.key, &pointer)?;
            self.pointers.insert(pointer);
            own_name(node);
            return Ok(());
        }
        match &mut node.expr {
            Expr::Call(call) => self.call(call),
            Expr::Comprehension(inner) => self.comprehension(inner),
            Expr::Struct(object) => self.error(&format!("there is no type `{}`", object.type_name)),
            Expr::Select(select) => self.visit(&mut select.operand),
            Expr::List(list) => list.elements.iter_mut().try_for_each(|element| self.visit(element)),
            Expr::Map(map) => map.entries.iter_mut().try_for_each(|entry| match &mut entry.expr {
                EntryExpr::MapEntry(entry) => self.visit(&mut entry.key).and_then(|()| self.visit(&mut entry.value)),
                EntryExpr::StructField(field) => self.visit(&mut field.value),
            }),
            Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => Ok(()),
        }
    }

    fn call(&mut self, call: &mut CallExpr) -> Result<(), String> {
        let name = call.func_name.as_str();
        let is_operator = name.starts_with(['_', '!', '-', '@', '?']);
        if !is_operator && !FUNCTIONS.contains(&name) {
            return self.error(&format!("there is no function `{name}`"));
        }
        if name == "matches" {
            match call.args.last().map(|argument| &argument.expr) {
                // Compiled here, so that it is well-formed and bounded.
                Some(Expr::Literal(LiteralValue::String(pattern))) => drop(regex(pattern.inner(), self.key)?),
                _ => return self.error("the pattern of `matches` is written out, not taken from the event"),
            }
        }
        // A literal on the left knows nothing of the event's objects; equality is the same both ways.
        if let (operators::EQUALS | operators::NOT_EQUALS, [IdedExpr { expr: Expr::Map(_), .. }, _]) = (name, call.args.as_slice()) {
            call.args.swap(0, 1);
        }
        call.target.iter_mut().try_for_each(|target| self.visit(target))?;
        call.args.iter_mut().try_for_each(|argument| self.visit(argument))
    }

    fn comprehension(&mut self, inner: &mut ComprehensionExpr) -> Result<(), String> {
        // The order of its names is not that of the text, and not the same each time.
        if holds_map(&inner.iter_range) {
            return self.error("a loop over an object that is written out; write a list");
        }
        self.loops += 1;
        if self.loops > MOST_LOOPS {
            return self.error(&format!("more than {MOST_LOOPS} loops within each other"));
        }
        // The range counts as inside: its own loops run before, but what they make is walked here.
        self.visit(&mut inner.iter_range)?;
        let before = self.bound.len();
        self.bound.extend([inner.iter_var.clone(), inner.accu_var.clone()]);
        self.bound.extend(inner.iter_var2.clone());
        for part in [&mut inner.accu_init, &mut inner.loop_cond, &mut inner.loop_step, &mut inner.result] {
            self.visit(part)?;
        }
        self.bound.truncate(before);
        self.loops -= 1;
        Ok(())
    }
}

fn holds_map(tree: &IdedExpr) -> bool {
    let mut open = vec![tree];
    while let Some(node) = open.pop() {
        if matches!(node.expr, Expr::Map(_)) {
            return true;
        }
        open.extend(children(&node.expr));
    }
    false
}

/// What all expressions of a mapping share.
pub struct Language {
    environment: Arc<Env>,
    /// Pointers that expressions read, and those above them.
    parts: BTreeMap<String, Option<Place>>,
}

impl fmt::Debug for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Language").field("parts", &self.parts).finish_non_exhaustive()
    }
}

impl Language {
    pub fn new<'p>(pointers: impl Iterator<Item = &'p str>, cover: &Cover) -> Self {
        let mut parts = BTreeMap::new();
        for pointer in pointers {
            for (at, _) in pointer.match_indices('/').skip(1) {
                parts.entry(pointer.get(..at).unwrap_or_default().to_owned()).or_insert(None);
            }
            parts.insert(pointer.to_owned(), cover.place(pointer));
        }
        Self { environment: Arc::new(environment()), parts }
    }

    pub fn scope<'a>(&'a self, event: &Event<'a>) -> Scope<'a> {
        values::forget();
        Scope { language: self, event: *event, looked: AtomicUsize::new(0) }
    }
}

/// One event, as expressions see it.
pub struct Scope<'a> {
    language: &'a Language,
    event: Event<'a>,
    /// Values looked at so far.
    pub looked: AtomicUsize,
}

impl<'a> Scope<'a> {
    /// What a pointer leads to: a value, or a part of the event of which only what lies below is known.
    pub fn find<'b>(&'b self, pointer: &str) -> Option<CowVal<'b, 'b>> {
        let (known, place) = self.language.parts.get_key_value(pointer)?;
        match place {
            Some(place) => self.value(place.get(&self.event)),
            None => Some(CowVal::owned(Part::new(self, known))),
        }
    }

    fn value<'b>(&'b self, seen: Seen<'a>) -> Option<CowVal<'b, 'b>> {
        if !seen.is_some() && seen.kind() != bulkhead_sdk::Kind::Null {
            return None;
        }
        Some(CowVal::Owned(values::of_event(seen, &self.looked)))
    }
}

impl VariableResolver for Scope<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        self.find(&format!("/{}", variable.trim_start_matches('@').replace('.', "/")))
    }
}

thread_local! { static PATTERNS: RefCell<BTreeMap<String, Regex>> = const { RefCell::new(BTreeMap::new()) }; }

/// The standard functions, those of strings, and `matches`.
fn environment() -> Env {
    let mut environment = Env::stdlib();
    // They fail only where a name is taken, and these are not: a test calls each.
    let _ = environment.add_extension(cel::extensions::strings);
    let _ = environment.add_overload("matches", "matches", vec![STRING_TYPE, STRING_TYPE], matches);
    let _ = environment.add_member_overload("matches", "matches_string", STRING_TYPE, vec![STRING_TYPE], matches);
    environment
}

fn matches<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let text = |at: usize| arguments.get(at).and_then(|value| value.downcast_ref::<CelString>()).map(CelString::inner);
    let (Some(text), Some(pattern)) = (text(0), text(1)) else { return Err(ExecutionError::function_error("matches", "two texts")) };
    let found = PATTERNS.with_borrow_mut(|known| {
        if !known.contains_key(pattern) {
            let compiled = regex(pattern, "matches").map_err(|_| ExecutionError::function_error("matches", "the pattern"))?;
            known.insert(pattern.to_owned(), compiled);
        }
        Ok::<_, ExecutionError>(known.get(pattern).is_some_and(|regex| regex.is_match(text)))
    })?;
    Ok(CowVal::owned(CelBool::from(found)))
}
