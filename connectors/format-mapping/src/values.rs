//! Values of an event as values of CEL, and back.

use std::cell::RefCell;
use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use bulkhead_sdk::digits::{self, Digits};
use bulkhead_sdk::{Kind, Value as Seen, Writer, base64};
use cel::ExecutionError;
use cel::common::traits::{Container, Indexer, Iterable, Iterator as ValIterator, Sizer};
use cel::common::types::{self, CelBool, CelBytes, CelDouble, CelInt, CelList, CelMap, CelNull, CelOptional, CelString, CelUInt, Type};
use cel::common::value::{CowVal, Val};

use crate::expression::{MOST_VALUES, Scope};
use crate::item::Item;

/// How deep lists and objects lie in each other; intake's own bound.
const MOST_DEPTH: usize = 128;

thread_local! { static DIGITS: RefCell<Digits> = const { RefCell::new(Digits::new()) }; }

/// Forgets the numbers of the event before.
pub fn forget() {
    DIGITS.with_borrow_mut(Digits::forget);
}

/// A value of the event; `looked` counts what is made, and nothing more is made once that is too much. What lies in an
/// object is made when something looks into it: `has(data.context)` needs none of it.
pub fn of_event<'v>(seen: Seen<'v>, looked: &'v AtomicUsize) -> Box<dyn Val + 'v> {
    made(seen, MOST_DEPTH, looked)
}

fn made<'v>(seen: Seen<'v>, depth: usize, looked: &'v AtomicUsize) -> Box<dyn Val + 'v> {
    if depth == 0 || looked.fetch_add(1, Ordering::Relaxed) >= MOST_VALUES {
        looked.store(MOST_VALUES + 1, Ordering::Relaxed);
        return Box::new(CelNull);
    }
    match seen.kind() {
        Kind::Missing | Kind::Null => Box::new(CelNull),
        Kind::Bool => Box::new(CelBool::from(seen.raw() == b"true")),
        Kind::Number => number(seen.raw()),
        Kind::String | Kind::EscapedString => Box::new(CelString::from(text(seen))),
        Kind::Array => {
            let within = |_: &Seen<'v>| looked.load(Ordering::Relaxed) <= MOST_VALUES;
            let elements: Vec<Box<dyn Val + 'v>> = seen.elements().take_while(within).map(|element| made(element, depth - 1, looked)).collect();
            Box::new(CelList::from(elements))
        }
        Kind::Object => Box::new(Object { seen, depth: depth - 1, looked, members: OnceLock::new() }),
    }
}

fn text(seen: Seen<'_>) -> std::borrow::Cow<'_, str> {
    match seen.kind() {
        Kind::String => String::from_utf8_lossy(seen.raw()),
        _ => String::from_utf8_lossy(&seen.text().unwrap_or_default()).into_owned().into(),
    }
}

fn number<'v>(digits: &[u8]) -> Box<dyn Val + 'v> {
    let digits = std::str::from_utf8(digits).unwrap_or_default();
    if digits != "-0" {
        if let Ok(number) = digits.parse::<i64>() {
            return Box::new(CelInt::from(number));
        }
        if let Ok(number) = digits.parse::<u64>() {
            return Box::new(CelUInt::from(number));
        }
    }
    let number = digits.parse::<f64>().unwrap_or(f64::NAN);
    DIGITS.with_borrow_mut(|kept| kept.keep(number, digits));
    Box::new(CelDouble::from(number))
}

/// The value of an expression; nothing for null.
pub fn item(value: &dyn Val) -> Result<Option<Item<'static>>, String> {
    if let Some(optional) = value.downcast_ref::<CelOptional>() {
        return optional.option().map_or(Ok(None), item);
    }
    if value.downcast_ref::<CelNull>().is_some() {
        return Ok(None);
    }
    if let Some(text) = value.downcast_ref::<CelString>() {
        return Ok(Some(Item::Text(text.inner().to_owned().into())));
    }
    if let Some(truth) = value.downcast_ref::<CelBool>() {
        return Ok(Some(Item::Bool(*truth.inner())));
    }
    let mut out = Writer::default();
    write(value, MOST_DEPTH, &mut out)?;
    let text = String::from_utf8_lossy(out.as_bytes()).into_owned();
    Ok(Some(match text.bytes().next() {
        Some(b'[' | b'{') => Item::Json(text),
        Some(b'"') => Item::Text(text.trim_matches('"').to_owned().into()),
        _ => Item::Number(text),
    }))
}

fn write(value: &dyn Val, depth: usize, out: &mut Writer) -> Result<(), String> {
    if depth == 0 {
        return Err("its value is nested too deep".to_owned());
    }
    if value.downcast_ref::<CelNull>().is_some() {
        out.literal(b"null");
    } else if let Some(text) = value.downcast_ref::<CelString>() {
        out.json_string(text.inner().as_bytes());
    } else if let Some(truth) = value.downcast_ref::<CelBool>() {
        out.bytes(if *truth.inner() { b"true" } else { b"false" });
    } else if let Some(number) = value.downcast_ref::<CelInt>() {
        out.number(*number.inner());
    } else if let Some(number) = value.downcast_ref::<CelUInt>() {
        out.unsigned(*number.inner());
    } else if let Some(number) = value.downcast_ref::<CelDouble>() {
        let digits = DIGITS.with_borrow(|kept| kept.of(*number.inner()));
        if !digits::are_json(&digits) {
            return Err("its value is a number that JSON has no digits for".to_owned());
        }
        out.bytes(digits.as_bytes());
    } else if let Some(bytes) = value.downcast_ref::<CelBytes>() {
        out.byte(b'"');
        base64::encode(bytes.inner(), out);
        out.byte(b'"');
    } else if let Some(list) = value.downcast_ref::<CelList>() {
        out.byte(b'[');
        for (place, element) in list.inner().iter().enumerate() {
            if place > 0 {
                out.byte(b',');
            }
            write(element.as_ref(), depth - 1, out)?;
        }
        out.byte(b']');
    } else if let (Some(names), Some(members)) = (value.as_iterable(), value.as_indexer()) {
        members_of(value, names, members, depth, out)?;
    } else {
        return Err(format!("its value is of type {}, which JSON does not have", value.get_type().name()));
    }
    Ok(())
}

/// An object of the event in its own order; one that an expression makes has none, so it goes by its names.
fn members_of<'v>(value: &(dyn Val + 'v), names: &(dyn Iterable + 'v), members: &(dyn Indexer + 'v), depth: usize, out: &mut Writer) -> Result<(), String> {
    let mut keys: Vec<&(dyn Val + 'v)> = Vec::new();
    let mut walk = names.iter();
    while let Some(key) = walk.next() {
        keys.push(key);
    }
    let name = |key: &dyn Val| -> Result<String, String> {
        if let Some(text) = key.downcast_ref::<CelString>() {
            return Ok(text.inner().to_owned());
        }
        let mut plain = Writer::default();
        write(key, 1, &mut plain)?;
        Ok(String::from_utf8_lossy(plain.as_bytes()).into_owned())
    };
    let mut named: Vec<(String, &(dyn Val + 'v))> = keys.into_iter().map(|key| Ok((name(key)?, key))).collect::<Result<_, String>>()?;
    if value.downcast_ref::<CelMap>().is_some() {
        named.sort_by(|a, b| a.0.cmp(&b.0));
    }
    out.byte(b'{');
    for (place, (name, key)) in named.into_iter().enumerate() {
        if place > 0 {
            out.byte(b',');
        }
        out.json_string(name.as_bytes());
        out.byte(b':');
        let member = members.get(key).map_err(|_| "a member of its value is gone".to_owned())?;
        write(member.as_ref(), depth - 1, out)?;
    }
    out.byte(b'}');
    Ok(())
}

/// An object of the event: as CEL's own, with the order of its names.
#[derive(Clone)]
struct Object<'v> {
    seen: Seen<'v>,
    /// How deep what lies within may be.
    depth: usize,
    looked: &'v AtomicUsize,
    members: OnceLock<Vec<Member<'v>>>,
}

type Member<'v> = (CelString<'v>, Box<dyn Val + 'v>);

impl fmt::Debug for Object<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object").field("seen", &self.seen).finish_non_exhaustive()
    }
}

impl<'v> Object<'v> {
    fn members(&self) -> &[Member<'v>] {
        self.members.get_or_init(|| {
            let within = |_: &(Seen<'v>, Seen<'v>)| self.looked.load(Ordering::Relaxed) <= MOST_VALUES;
            self.seen.members().take_while(within).map(|(name, value)| (CelString::from(text(name)), made(value, self.depth, self.looked))).collect()
        })
    }

    fn member(&self, name: &dyn Val) -> Option<&(dyn Val + 'v)> {
        let name = name.downcast_ref::<CelString>()?;
        self.members().iter().find(|(own, _)| own.inner() == name.inner()).map(|(_, value)| value.as_ref())
    }
}

impl<'v> Val for Object<'v> {
    fn get_type(&self) -> &Type {
        &types::MAP_TYPE
    }

    fn cel_type() -> &'static Type {
        &types::MAP_TYPE
    }

    fn as_container(&self) -> Option<&dyn Container> {
        Some(self)
    }

    fn as_indexer<'b, 'w>(&'b self) -> Option<&'b (dyn Indexer + 'w)>
    where
        Self: 'w,
    {
        Some(self)
    }

    fn as_iterable<'b, 'w>(&'b self) -> Option<&'b (dyn Iterable + 'w)>
    where
        Self: 'w,
    {
        Some(self)
    }

    fn as_sizer(&self) -> Option<&dyn Sizer> {
        Some(self)
    }

    fn equals(&self, other: &dyn Val) -> bool {
        let (Some(size), Some(members)) = (other.as_sizer(), other.as_indexer()) else { return false };
        let same = |(name, value): &(CelString<'v>, Box<dyn Val + 'v>)| members.get(name).is_ok_and(|theirs| value.equals(theirs.as_ref()));
        size.size() == self.size() && other.get_type().name() == types::MAP_TYPE.name() && self.members().iter().all(same)
    }

    fn clone_as_boxed<'w>(&self) -> Box<dyn Val + 'w>
    where
        Self: 'w,
    {
        Box::new(self.clone())
    }
}

impl Container for Object<'_> {
    fn contains(&self, value: &dyn Val) -> Result<bool, ExecutionError> {
        Ok(self.member(value).is_some())
    }
}

impl Sizer for Object<'_> {
    fn size(&self) -> CelInt {
        CelInt::from(self.members().len() as i64)
    }
}

impl Indexer for Object<'_> {
    fn get<'b, 'w>(&'b self, index: &dyn Val) -> Result<CowVal<'b, 'w>, ExecutionError>
    where
        Self: 'w,
    {
        self.member(index).map(CowVal::Borrowed).ok_or_else(|| ExecutionError::no_such_key(""))
    }

    fn steal<'w>(self: Box<Self>, index: &dyn Val) -> Result<Box<dyn Val + 'w>, ExecutionError>
    where
        Self: 'w,
    {
        self.get(index).map(CowVal::into_owned)
    }
}

impl Iterable for Object<'_> {
    fn iter<'b, 'w>(&'b self) -> Box<dyn ValIterator<'b, 'w> + 'b>
    where
        Self: 'w,
    {
        Box::new(Names(self.members().iter()))
    }
}

struct Names<'b, 'v>(std::slice::Iter<'b, Member<'v>>);

impl<'b, 'v: 'w, 'w> ValIterator<'b, 'w> for Names<'b, 'v> {
    fn next(&mut self) -> Option<&'b (dyn Val + 'w)> {
        self.0.next().map(|(name, _)| name as &(dyn Val + 'w))
    }
}

/// A part of the event of which only what lies below is known: `data` of `data.payload.x`.
#[derive(Clone, Copy)]
pub struct Part<'v> {
    scope: &'v Scope<'v>,
    pointer: &'v str,
}

impl<'v> Part<'v> {
    pub fn new(scope: &'v Scope<'v>, pointer: &'v str) -> Self {
        Self { scope, pointer }
    }
}

impl fmt::Debug for Part<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Part({})", self.pointer)
    }
}

impl<'v> Val for Part<'v> {
    fn get_type(&self) -> &Type {
        &types::MAP_TYPE
    }

    fn cel_type() -> &'static Type {
        &types::MAP_TYPE
    }

    fn as_indexer<'b, 'w>(&'b self) -> Option<&'b (dyn Indexer + 'w)>
    where
        Self: 'w,
    {
        Some(self)
    }

    fn clone_as_boxed<'w>(&self) -> Box<dyn Val + 'w>
    where
        Self: 'w,
    {
        Box::new(*self)
    }
}

impl Indexer for Part<'_> {
    fn get<'b, 'w>(&'b self, index: &dyn Val) -> Result<CowVal<'b, 'w>, ExecutionError>
    where
        Self: 'w,
    {
        let name = index.downcast_ref::<CelString>().ok_or_else(|| ExecutionError::no_such_key(""))?;
        let pointer = format!("{}/{}", self.pointer, name.inner().replace('~', "~0").replace('/', "~1"));
        self.scope.find(&pointer).ok_or_else(|| ExecutionError::no_such_key(name.inner()))
    }

    fn steal<'w>(self: Box<Self>, index: &dyn Val) -> Result<Box<dyn Val + 'w>, ExecutionError>
    where
        Self: 'w,
    {
        self.get(index).map(CowVal::into_owned)
    }
}
