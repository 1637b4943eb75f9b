//! Schemas: read from JSON, checked as the specification says, kept as a list of nodes that name each other.

use std::collections::BTreeMap;

use bulkhead_sdk::{Kind, Value, Writer, json};

/// Types of a schema, and how deep they lie in each other.
const MOST_NODES: usize = 4_096;
const MOST_DEPTH: usize = 32;
/// Bytes of a `fixed`, digits of a decimal.
const MOST_FIXED: usize = 1 << 16;
const MOST_DIGITS: usize = 1_000;

/// A node by its place.
pub type At = usize;

#[derive(Debug)]
pub struct Schema {
    nodes: Vec<Node>,
    pub root: At,
    /// The parsing canonical form.
    pub canonical: String,
}

#[derive(Debug, Clone)]
pub enum Node {
    Null,
    Boolean,
    Int(Integer),
    Long(Integer),
    Float,
    Double,
    Bytes,
    String,
    /// On `bytes`, or on a `fixed` of this size.
    Decimal {
        precision: usize,
        scale: usize,
        size: Option<usize>,
    },
    Record {
        name: String,
        fields: Vec<Field>,
    },
    Enum {
        symbols: Vec<String>,
        default: Option<usize>,
    },
    Array(At),
    Map(At),
    Union(Vec<At>),
    Fixed(usize),
}

/// What a whole number stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Integer {
    Plain,
    /// Days since 1970.
    Date,
    /// Units since 1970: a second has ten to this power.
    Since(u32),
}

#[derive(Debug, Clone)]
pub struct Field {
    pub name: String,
    pub node: At,
    /// As JSON text.
    pub default: Option<String>,
}

impl Schema {
    pub fn parse(text: &str) -> Result<Self, String> {
        if !json::is_strict(text) {
            return Err("it is no well-formed JSON".to_owned());
        }
        let value = json::value(text).ok_or("it is no well-formed JSON")?;
        let mut reader = Reader { nodes: Vec::new(), named: BTreeMap::new(), canonical: Writer::default() };
        let root = reader.read(value, "", "", 0)?;
        let canonical = String::from_utf8_lossy(reader.canonical.as_bytes()).into_owned();
        let schema = Self { nodes: reader.nodes, root, canonical };
        schema.check_defaults()?;
        schema.check_end()?;
        Ok(schema)
    }

    pub fn node(&self, at: At) -> Option<&Node> {
        self.nodes.get(at)
    }

    /// Defaults of records are of their fields' types.
    fn check_defaults(&self) -> Result<(), String> {
        for node in &self.nodes {
            let Node::Record { name, fields } = node else { continue };
            for field in fields {
                let Some(default) = &field.default else { continue };
                let encoder = crate::encode::Encoder::new(self);
                encoder
                    .default(field.node, json::value(default).unwrap_or(Value::MISSING), &mut Writer::default())
                    .map_err(|problem| format!("the default of `{}` in `{name}`: {problem}", field.name))?;
            }
        }
        Ok(())
    }

    /// A record that holds itself without a union, list or map between has no datum.
    fn check_end(&self) -> Result<(), String> {
        let mut ends = vec![false; self.nodes.len()];
        loop {
            let mut changed = false;
            for at in 0..self.nodes.len() {
                let done = |at: &At| ends.get(*at).copied().unwrap_or(false);
                let now = match self.nodes.get(at) {
                    Some(Node::Record { fields, .. }) => fields.iter().all(|field| done(&field.node)),
                    Some(Node::Union(branches)) => branches.iter().any(done),
                    _ => true,
                };
                if let Some(end) = ends.get_mut(at).filter(|end| now && !**end) {
                    *end = true;
                    changed = true;
                }
            }
            if !changed {
                break;
            }
        }
        match self.nodes.iter().zip(&ends).find(|(_, ends)| !**ends) {
            Some((Node::Record { name, .. }, _)) => Err(format!("the record `{name}` holds itself and never ends")),
            _ => Ok(()),
        }
    }
}

struct Reader {
    nodes: Vec<Node>,
    /// Full names of records, enums and fixed.
    named: BTreeMap<String, At>,
    canonical: Writer,
}

impl Reader {
    fn push(&mut self, node: Node, path: &str) -> Result<At, String> {
        if self.nodes.len() >= MOST_NODES {
            return Err(format!("{}more than {MOST_NODES} types", at(path)));
        }
        self.nodes.push(node);
        Ok(self.nodes.len() - 1)
    }

    /// Reads a type; `space` is the namespace around it, `path` is for messages.
    fn read(&mut self, value: Value<'_>, space: &str, path: &str, depth: usize) -> Result<At, String> {
        if depth > MOST_DEPTH {
            return Err(format!("{}types lie more than {MOST_DEPTH} deep in each other", at(path)));
        }
        match value.kind() {
            Kind::String | Kind::EscapedString => self.name(&text(value), space, path),
            Kind::Array => self.union(value, space, path, depth),
            Kind::Object => self.object(value, space, path, depth),
            _ => Err(format!("{}a type is a name, an object or a list", at(path))),
        }
    }

    fn name(&mut self, name: &str, space: &str, path: &str) -> Result<At, String> {
        let node = match name {
            "null" => Node::Null,
            "boolean" => Node::Boolean,
            "int" => Node::Int(Integer::Plain),
            "long" => Node::Long(Integer::Plain),
            "float" => Node::Float,
            "double" => Node::Double,
            "bytes" => Node::Bytes,
            "string" => Node::String,
            _ => {
                let full = full_name(name, space);
                let known = self.named.get_key_value(&full).or_else(|| self.named.get_key_value(name));
                let (full, node) = known.map(|(full, node)| (full.clone(), *node)).ok_or_else(|| format!("{}there is no type \"{name}\"", at(path)))?;
                self.canonical.json_string(full.as_bytes());
                return Ok(node);
            }
        };
        self.canonical.json_string(name.as_bytes());
        self.push(node, path)
    }

    fn union(&mut self, value: Value<'_>, space: &str, path: &str, depth: usize) -> Result<At, String> {
        // The place comes first, so that a branch may hold the union's own record.
        let place = self.push(Node::Union(Vec::new()), path)?;
        let mut branches = Vec::new();
        self.canonical.byte(b'[');
        for (number, branch) in value.elements().enumerate() {
            if number > 0 {
                self.canonical.byte(b',');
            }
            branches.push(self.read(branch, space, &format!("{path}[{number}]"), depth + 1)?);
        }
        self.canonical.byte(b']');
        if branches.is_empty() {
            return Err(format!("{}a union has at least one type", at(path)));
        }
        for (number, branch) in branches.iter().enumerate() {
            if matches!(self.nodes.get(*branch), Some(Node::Union(_))) {
                return Err(format!("{}a union within a union", at(path)));
            }
            if branches.iter().take(number).any(|earlier| earlier == branch || self.alike(*earlier, *branch)) {
                return Err(format!("{}a type twice in a union", at(path)));
            }
        }
        if let Some(node) = self.nodes.get_mut(place) {
            *node = Node::Union(branches);
        }
        Ok(place)
    }

    /// Two types that a union cannot tell apart: all but named ones go by their kind.
    fn alike(&self, a: At, b: At) -> bool {
        let (Some(a), Some(b)) = (self.nodes.get(a), self.nodes.get(b)) else { return false };
        let named = |node: &Node| matches!(node, Node::Record { .. } | Node::Enum { .. } | Node::Fixed(_) | Node::Decimal { size: Some(_), .. });
        let bytes = |node: &Node| matches!(node, Node::Bytes | Node::Decimal { size: None, .. });
        !named(a) && !named(b) && (std::mem::discriminant(a) == std::mem::discriminant(b) || bytes(a) && bytes(b))
    }

    fn object(&mut self, value: Value<'_>, space: &str, path: &str, depth: usize) -> Result<At, String> {
        let kind = value.member("type");
        if !kind.is_string() {
            // `{"type": {"type": …}}` is what stands inside.
            return if kind.is_some() { self.read(kind, space, path, depth + 1) } else { Err(format!("{}`type` is missing", at(path))) };
        }
        match text(kind).as_str() {
            "record" | "error" => self.record(value, space, path, depth),
            "enum" => self.symbols(value, space, path),
            "fixed" => self.fixed(value, space, path),
            "array" => self.container(("array", "items"), value, space, path, depth),
            "map" => self.container(("map", "values"), value, space, path, depth),
            name => {
                let place = self.name(name, space, path)?;
                self.logical(place, value, path)?;
                Ok(place)
            }
        }
    }

    fn container(&mut self, (kind, key): (&str, &str), value: Value<'_>, space: &str, path: &str, depth: usize) -> Result<At, String> {
        let inner = value.member(key);
        if !inner.is_some() {
            return Err(format!("{}`{key}` is missing", at(path)));
        }
        self.canonical.bytes(format!("{{\"type\":\"{kind}\",\"{key}\":").as_bytes());
        let place = self.push(Node::Null, path)?;
        let inside = self.read(inner, space, &format!("{path}.{key}"), depth + 1)?;
        self.canonical.byte(b'}');
        if let Some(node) = self.nodes.get_mut(place) {
            *node = if kind == "array" { Node::Array(inside) } else { Node::Map(inside) };
        }
        Ok(place)
    }

    /// The full name of a named type, its namespace, and its place, which its own parts may refer to.
    fn begin(&mut self, value: Value<'_>, space: &str, path: &str) -> Result<(String, String, At), String> {
        let name = value.member("name");
        if !name.is_string() {
            return Err(format!("{}`name` is missing", at(path)));
        }
        let own = value.member("namespace");
        let full = if own.is_string() { full_name(&text(name), &text(own)) } else { full_name(&text(name), space) };
        if !full.split('.').all(is_name) {
            return Err(format!("{}\"{full}\" is no name", at(path)));
        }
        // Until it is read, a union within it must not take it for another type.
        let place = self.push(Node::Record { name: full.clone(), fields: Vec::new() }, path)?;
        if self.named.insert(full.clone(), place).is_some() {
            return Err(format!("{}\"{full}\" is defined twice", at(path)));
        }
        let space = full.rsplit_once('.').map_or("", |(space, _)| space).to_owned();
        self.canonical.literal(b"{\"name\":");
        self.canonical.json_string(full.as_bytes());
        Ok((full, space, place))
    }

    fn record(&mut self, value: Value<'_>, space: &str, path: &str, depth: usize) -> Result<At, String> {
        let (name, space, place) = self.begin(value, space, path)?;
        let list = value.member("fields");
        if list.kind() != Kind::Array {
            return Err(format!("{}`fields` is no list", at(path)));
        }
        self.canonical.literal(b",\"type\":\"record\",\"fields\":[");
        let mut fields: Vec<Field> = Vec::new();
        for (number, field) in list.elements().enumerate() {
            let (own, kind) = (text(field.member("name")), field.member("type"));
            let path = format!("{path}.{own}");
            if !is_name(&own) {
                return Err(format!("{}field {number} has no name", at(path.trim_end_matches('.'))));
            }
            if fields.iter().any(|field| field.name == own) {
                return Err(format!("{}the field is there twice", at(&path)));
            }
            if !kind.is_some() {
                return Err(format!("{}`type` is missing", at(&path)));
            }
            if number > 0 {
                self.canonical.byte(b',');
            }
            self.canonical.literal(b"{\"name\":");
            self.canonical.json_string(own.as_bytes());
            self.canonical.literal(b",\"type\":");
            let node = self.read(kind, &space, &path, depth + 1)?;
            self.canonical.byte(b'}');
            let default = field.member("default");
            let default = if default.kind() == Kind::Missing { None } else { Some(json_text(default)) };
            fields.push(Field { name: own, node, default });
        }
        self.canonical.literal(b"]}");
        if let Some(node) = self.nodes.get_mut(place) {
            *node = Node::Record { name, fields };
        }
        Ok(place)
    }

    fn symbols(&mut self, value: Value<'_>, space: &str, path: &str) -> Result<At, String> {
        let (_, _, place) = self.begin(value, space, path)?;
        let symbols: Vec<String> = value.member("symbols").elements().map(text).collect();
        if symbols.is_empty() || !symbols.iter().all(|symbol| is_name(symbol)) {
            return Err(format!("{}`symbols` is a list of names", at(path)));
        }
        if symbols.iter().enumerate().any(|(place, symbol)| symbols.iter().take(place).any(|earlier| earlier == symbol)) {
            return Err(format!("{}a symbol is there twice", at(path)));
        }
        let default = value.member("default");
        let default = if default.is_string() {
            let wanted = text(default);
            Some(symbols.iter().position(|symbol| *symbol == wanted).ok_or_else(|| format!("{}the default is none of the symbols", at(path)))?)
        } else {
            None
        };
        self.canonical.literal(b",\"type\":\"enum\",\"symbols\":[");
        for (number, symbol) in symbols.iter().enumerate() {
            if number > 0 {
                self.canonical.byte(b',');
            }
            self.canonical.json_string(symbol.as_bytes());
        }
        self.canonical.literal(b"]}");
        if let Some(node) = self.nodes.get_mut(place) {
            *node = Node::Enum { symbols, default };
        }
        Ok(place)
    }

    fn fixed(&mut self, value: Value<'_>, space: &str, path: &str) -> Result<At, String> {
        let (_, _, place) = self.begin(value, space, path)?;
        let size = value.member("size").integer().and_then(|size| usize::try_from(size).ok()).filter(|size| (1..=MOST_FIXED).contains(size));
        let size = size.ok_or_else(|| format!("{}`size` is a number from 1 to {MOST_FIXED}", at(path)))?;
        self.canonical.bytes(format!(",\"type\":\"fixed\",\"size\":{size}}}").as_bytes());
        if let Some(node) = self.nodes.get_mut(place) {
            *node = Node::Fixed(size);
        }
        self.logical(place, value, path)?;
        Ok(place)
    }

    /// Logical types that are known; others are ignored, as the specification demands.
    fn logical(&mut self, place: At, value: Value<'_>, path: &str) -> Result<(), String> {
        let logical = text(value.member("logicalType"));
        let node = match (self.nodes.get(place), logical.as_str()) {
            (Some(Node::Int(_)), "date") => Node::Int(Integer::Date),
            (Some(Node::Long(_)), "timestamp-millis" | "local-timestamp-millis") => Node::Long(Integer::Since(3)),
            (Some(Node::Long(_)), "timestamp-micros" | "local-timestamp-micros") => Node::Long(Integer::Since(6)),
            (Some(Node::Long(_)), "timestamp-nanos" | "local-timestamp-nanos") => Node::Long(Integer::Since(9)),
            (Some(Node::Bytes), "decimal") => self.decimal(value, None, path)?,
            (Some(Node::Fixed(size)), "decimal") => self.decimal(value, Some(*size), path)?,
            _ => return Ok(()),
        };
        if let Some(own) = self.nodes.get_mut(place) {
            *own = node;
        }
        Ok(())
    }

    fn decimal(&self, value: Value<'_>, size: Option<usize>, path: &str) -> Result<Node, String> {
        let number = |name: &str| value.member(name).integer().and_then(|number| usize::try_from(number).ok());
        let precision = number("precision").filter(|precision| (1..=MOST_DIGITS).contains(precision));
        let precision = precision.ok_or_else(|| format!("{}`precision` is a number from 1 to {MOST_DIGITS}", at(path)))?;
        let scale = if value.member("scale").is_some() { number("scale") } else { Some(0) };
        let scale = scale.filter(|scale| *scale <= precision).ok_or_else(|| format!("{}`scale` is a number up to the precision", at(path)))?;
        Ok(Node::Decimal { precision, scale, size })
    }
}

fn at(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!("`{}`: ", path.trim_start_matches('.')) }
}

fn text(value: Value<'_>) -> String {
    if value.is_string() { String::from_utf8_lossy(&value.text().unwrap_or_default()).into_owned() } else { String::new() }
}

fn json_text(value: Value<'_>) -> String {
    let mut out = Writer::default();
    out.json(value);
    String::from_utf8_lossy(out.as_bytes()).into_owned()
}

fn full_name(name: &str, space: &str) -> String {
    if name.contains('.') || space.is_empty() { name.to_owned() } else { format!("{space}.{name}") }
}

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_') && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
