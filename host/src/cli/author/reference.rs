//! `docs/authors/host-api.md`: every function and shape of the contract, made from `wit/`; a test holds the page
//! against it. What an operator grants for an interface, and the limits of its calls, stand here in a table, and an
//! interface without a row is a failure.

use std::fmt::Write as _;
use std::path::Path;

use bulkhead_sandbox::Limit;
use wit_parser::{Docs, Function, FunctionKind, Handle, Interface, Resolve, Type, TypeDef, TypeDefKind, WorldItem, WorldKey};

/// An interface that connectors import: what `connector.toml` says, what the operator says, the limits of its calls.
type Row = (&'static str, &'static str, &'static str, &'static [Limit]);

const ROWS: &[Row] = &[
    ("log", "nothing", "nothing: every guest may", &[Limit::LogLine, Limit::LogCall, Limit::LogRate]),
    ("metrics", "`[[wants]]` `interface = \"metrics\"`, names in `metrics`", "nothing; plain names need `grants.metrics`", &[Limit::MetricSeries]),
    ("state", "`[[wants]]` `interface = \"state\"`", "nothing: it is the instance's own", &[Limit::State, Limit::StateValue, Limit::StateKeys]),
    (
        "http",
        "`[[wants]]` `interface = \"http\"`, `name`, `methods`, `paths`",
        "a destination of that name with its URL, and a credential where it needs one",
        &[
            Limit::HttpRequest,
            Limit::HttpResponse,
            Limit::HttpHeaderBytes,
            Limit::HttpHeaderFields,
            Limit::HttpConcurrent,
            Limit::HttpRate,
            Limit::BytesOut,
            Limit::BytesIn,
        ],
    ),
    (
        "tcp",
        "`[[wants]]` `interface = \"tcp\"`, `name`",
        "a destination of that name with its address, plain or under TLS",
        &[Limit::TcpConnections, Limit::BytesOut, Limit::BytesIn],
    ),
    ("udp", "`[[wants]]` `interface = \"udp\"`, `name`", "a destination of that name with its address", &[Limit::BytesOut]),
    ("files", "`[[wants]]` `interface = \"files\"`, `name`, `access`", "a directory of that name, its access and its quota", &[Limit::HostcallData]),
    (
        "credentials",
        "`[[wants]]` `interface = \"credentials\"`, and the `tcp` it is for",
        "a credential bound to the destination; the guest names it and never sees it",
        &[Limit::Handles],
    ),
];

/// Limits of any call, whatever it does.
const ANY: &[Limit] =
    &[Limit::Fuel, Limit::Cpu, Limit::Deadline, Limit::MaintainDeadline, Limit::CloseDeadline, Limit::Memory, Limit::HostcallData, Limit::HostCalls];

const HEAD: &str = "\
# What the host offers, and what it asks

Made from `wit/`; `UPDATE_GOLDEN=1 cargo test -p bulkhead reference` writes it. Names are those of WIT; in your language they are written as its bindings do (`send-all` is `send_all` or `sendAll`), and each SDK has words of its own for the common ones. Times are milliseconds unless a text says otherwise, sizes are bytes.

## What can my connector do

A connector can do what it imports, once `connector.toml` wants it and an operator has granted it. A formatter has the log and nothing else.

| interface | what it is | in `connector.toml` | the operator grants |
|---|---|---|---|
";

const NOT: &str = "
It cannot listen, start threads or programs, read the environment, the system's files or another instance's state, see a secret, an address or a URL of the system, or call itself again later (but for `maintain`, between deliveries). WASI is linked so that language runtimes start, and is empty: the clocks stand within a call, random numbers repeat, standard output and error are lines of the log. What of it an operator can open is in [grants](../operators/grants.md).

Every call is bounded by these limits; those of an interface stand with it. Numbers and the keys to change them: [limits](../operators/limits.md).

";

struct Page<'a> {
    resolve: &'a Resolve,
    text: String,
}

impl Page<'_> {
    /// Writing to a string does not fail.
    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.text, "{line}");
    }

    fn interface(&mut self, interface: &Interface, limits: &[Limit]) {
        let name = interface.name.as_deref().expect("the contract has no nameless interface");
        self.line(format_args!("\n## {name}\n\n{}\n", words(&interface.docs, name)));
        if !limits.is_empty() {
            self.line(format_args!("Limits: {}.\n", limits.iter().map(|limit| format!("`{}`", limit.row().key)).collect::<Vec<_>>().join(", ")));
        }
        for function in interface.functions.values() {
            self.function(name, function);
        }
        for (name, id) in &interface.types {
            self.shape(name, &self.resolve.types[*id]);
        }
    }

    fn function(&mut self, interface: &str, function: &Function) {
        let method = matches!(function.kind, FunctionKind::Method(_));
        let name = function.name.rsplit('.').next().unwrap_or(&function.name);
        let owner = function.kind.resource().and_then(|id| self.resolve.types[id].name.clone()).unwrap_or_else(|| interface.to_owned());
        let parameters: Vec<_> =
            function.params.iter().skip(usize::from(method)).map(|parameter| format!("{}: {}", parameter.name, self.written(&parameter.ty))).collect();
        let answer = function.result.map(|result| format!(" -> {}", self.written(&result))).unwrap_or_default();
        self.line(format_args!(
            "### {owner}.{name}\n\n```wit\n{name}: func({}){answer}\n```\n\n{}\n",
            parameters.join(", "),
            words(&function.docs, &function.name)
        ));
    }

    fn shape(&mut self, name: &str, shape: &TypeDef) {
        let (what, parts): (&str, Vec<(String, String, &Docs)>) = match &shape.kind {
            TypeDefKind::Record(record) => ("record", record.fields.iter().map(|field| (field.name.clone(), self.written(&field.ty), &field.docs)).collect()),
            TypeDefKind::Variant(variant) => {
                let part = |ty: &Option<Type>| ty.map(|ty| self.written(&ty)).unwrap_or_default();
                ("variant", variant.cases.iter().map(|case| (case.name.clone(), part(&case.ty), &case.docs)).collect())
            }
            TypeDefKind::Enum(cases) => ("enum", cases.cases.iter().map(|case| (case.name.clone(), String::new(), &case.docs)).collect()),
            TypeDefKind::Resource => ("resource", Vec::new()),
            // A name of another interface's.
            _ => return,
        };
        self.line(format_args!("### {what} `{name}`\n\n{}\n", words(&shape.docs, name)));
        // Levels of the log speak for themselves.
        if parts.iter().all(|(_, _, docs)| docs.contents.is_none()) {
            if !parts.is_empty() {
                self.line(format_args!("{}\n", parts.iter().map(|(name, ..)| format!("`{name}`")).collect::<Vec<_>>().join(", ")));
            }
            return;
        }
        self.line(format_args!("| | | |\n|---|---|---|"));
        for (part, ty, docs) in parts {
            let ty = if ty.is_empty() { ty } else { format!("`{ty}`") };
            self.line(format_args!("| `{part}` | {ty} | {} |", words(docs, &part).replace('\n', " ").replace('|', "\\|")));
        }
        self.line(format_args!(""));
    }

    fn written(&self, ty: &Type) -> String {
        let id = match ty {
            Type::Id(id) => *id,
            Type::Bool => return "bool".to_owned(),
            Type::String => return "string".to_owned(),
            other => return format!("{other:?}").to_lowercase(),
        };
        let shape = &self.resolve.types[id];
        if let Some(name) = &shape.name {
            return name.clone();
        }
        let maybe = |ty: &Option<Type>| ty.map_or_else(|| "_".to_owned(), |ty| self.written(&ty));
        match &shape.kind {
            TypeDefKind::List(item) => format!("list<{}>", self.written(item)),
            TypeDefKind::Option(item) => format!("option<{}>", self.written(item)),
            TypeDefKind::Result(result) => format!("result<{}, {}>", maybe(&result.ok), maybe(&result.err)),
            TypeDefKind::Tuple(tuple) => format!("tuple<{}>", tuple.types.iter().map(|ty| self.written(ty)).collect::<Vec<_>>().join(", ")),
            TypeDefKind::Handle(Handle::Borrow(id)) => format!("borrow<{}>", self.resolve.types[*id].name.clone().unwrap_or_default()),
            TypeDefKind::Handle(Handle::Own(id)) => self.resolve.types[*id].name.clone().unwrap_or_default(),
            other => panic!("the page has no words for {other:?}"),
        }
    }
}

/// What the contract says of a thing; nothing in it is without words.
fn words(docs: &Docs, name: &str) -> String {
    docs.contents.as_deref().map(str::trim).filter(|text| !text.is_empty()).unwrap_or_else(|| panic!("{name} has no words in wit/")).to_owned()
}

fn page() -> String {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit")).expect("the contract parses");
    let world = resolve.select_world(&[package], Some("connector-all")).expect("it is there");
    let named = |key: &WorldKey, item: &WorldItem| match (key, item) {
        (WorldKey::Interface(_), WorldItem::Interface { id, .. }) => Some(*id),
        _ => None,
    };
    let imports: Vec<_> = resolve.worlds[world].imports.iter().filter_map(|(key, item)| named(key, item)).map(|id| &resolve.interfaces[id]).collect();
    let of = |name: &str| resolve.packages[package].interfaces.get(name).map(|id| &resolve.interfaces[*id]).unwrap_or_else(|| panic!("no interface {name}"));
    let mut known: Vec<_> = imports.iter().filter_map(|interface| interface.name.as_deref()).filter(|name| *name != "types").collect();
    let mut listed: Vec<_> = ROWS.iter().map(|(name, ..)| *name).collect();
    known.sort_unstable();
    listed.sort_unstable();
    assert_eq!(known, listed, "each interface that connectors import has a row");
    let mut page = Page { resolve: &resolve, text: HEAD.to_owned() };
    for (name, wants, grants, _) in ROWS {
        let first = words(&of(name).docs, name).replace('\n', " ");
        let first = first.split_inclusive(". ").next().unwrap_or(&first).trim().to_owned();
        page.line(format_args!("| [{name}](#{name}) | {first} | {wants} | {grants} |"));
    }
    page.text.push_str(NOT);
    for limit in ANY {
        page.line(format_args!("- `{}`: {}", limit.row().key, limit.row().meaning));
    }
    for (name, .., limits) in ROWS {
        page.interface(of(name), limits);
    }
    for name in ["delivering", "formatting", "types"] {
        page.interface(of(name), &[]);
    }
    format!("{}\n", page.text.trim_end())
}

#[test]
fn the_page_is_the_contract() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/authors/host-api.md");
    let page = page();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &page).expect("written");
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), page, "UPDATE_GOLDEN=1 writes docs/authors/host-api.md");
}
