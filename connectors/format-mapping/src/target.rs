//! Where values go: the members of the object as a tree, written in the order in which they first appear.

use bulkhead_sdk::Writer;

/// How deep objects lie in each other.
const MOST_DEPTH: usize = 16;

#[derive(Debug, Default)]
pub struct Targets {
    root: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    name: String,
    /// `"name":` as JSON.
    head: Vec<u8>,
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// Rows that fill it, in their order.
    Value(Vec<usize>),
    Object(Vec<Member>),
}

/// Writes the value of a place from its rows and answers whether there is one.
type Fill<'f, E> = dyn FnMut(&[usize], &mut Writer) -> Result<bool, E> + 'f;

/// `alert.severity` or `/alert/severity` as its names.
pub fn names(to: &str, key: &str) -> Result<Vec<String>, String> {
    let names: Vec<String> = match to.strip_prefix('/') {
        Some(pointer) => pointer.split('/').map(|token| token.replace("~1", "/").replace("~0", "~")).collect(),
        None => to.split('.').map(str::to_owned).collect(),
    };
    if names.iter().any(String::is_empty) {
        return Err(format!("`{key}` is \"{to}\", which has an empty name in it"));
    }
    if names.len() > MOST_DEPTH {
        return Err(format!("`{key}` is {} names deep, the most is {MOST_DEPTH}", names.len()));
    }
    Ok(names)
}

impl Targets {
    /// Adds a row; an object and a value cannot share a place.
    pub fn add(&mut self, names: &[String], row: usize, key: &str) -> Result<(), String> {
        let mut members = &mut self.root;
        for (depth, name) in names.iter().enumerate() {
            let is_last = depth + 1 == names.len();
            let at = members.iter().position(|member| member.name == *name).unwrap_or_else(|| {
                let place = if is_last { Place::Value(Vec::new()) } else { Place::Object(Vec::new()) };
                members.push(Member { name: name.clone(), head: head(name), place });
                members.len() - 1
            });
            let Some(member) = members.get_mut(at) else { break };
            match &mut member.place {
                Place::Value(rows) if is_last => {
                    rows.push(row);
                    return Ok(());
                }
                Place::Object(inner) if !is_last => members = inner,
                _ => return Err(format!("`{key}`: \"{}\" is a value of one row and an object of another", names.get(..=depth).unwrap_or_default().join("."))),
            }
        }
        Ok(())
    }

    /// Writes the object. Objects without a member are left out. Answers whether there is any member.
    pub fn write<E>(&self, out: &mut Writer, fill: &mut Fill<'_, E>) -> Result<bool, E> {
        write(&self.root, out, fill)
    }
}

fn head(name: &str) -> Vec<u8> {
    let mut out = Writer::default();
    out.json_string(name.as_bytes());
    out.byte(b':');
    out.into_bytes()
}

fn write<E>(members: &[Member], out: &mut Writer, fill: &mut Fill<'_, E>) -> Result<bool, E> {
    let mut any = false;
    out.byte(b'{');
    for member in members {
        let start = out.len();
        if any {
            out.byte(b',');
        }
        out.bytes(&member.head);
        let filled = match &member.place {
            Place::Value(rows) => fill(rows, out)?,
            Place::Object(inner) => write(inner, out, fill)?,
        };
        if filled {
            any = true;
        } else {
            out.truncate(start);
        }
    }
    out.byte(b'}');
    Ok(any)
}
