//! The fields that a template names, as a tree.

use std::collections::BTreeSet;
use std::sync::Arc;

use bulkhead_sdk::Field;
use bulkhead_sdk::cover::Cover;

#[derive(Debug, Default)]
pub struct Node {
    /// The field that ends here; it has nothing below.
    pub field: Option<Field>,
    children: Vec<(String, Arc<Node>)>,
}

impl Node {
    pub fn child(&self, name: &str) -> Option<&Arc<Node>> {
        self.children.iter().find(|(own, _)| own == name).map(|(_, node)| node)
    }
}

#[derive(Debug)]
pub struct Paths {
    cover: Cover,
    pub root: Arc<Node>,
}

impl Paths {
    /// Names are `user` or `data.payload.field_count`.
    pub fn new(names: &BTreeSet<String>) -> Self {
        let pointers: Vec<String> = names.iter().map(|name| format!("/{}", name.replace('.', "/"))).collect();
        let cover = Cover::new(pointers.iter().map(String::as_str));
        let mut root = Node::default();
        for (at, field) in cover.fields().into_iter().enumerate() {
            insert(&mut root, field.trim_start_matches('/'), Field(at as u16));
        }
        Self { cover, root: Arc::new(root) }
    }

    pub fn pointers(&self) -> Vec<&str> {
        self.cover.fields()
    }
}

fn insert(node: &mut Node, path: &str, field: Field) {
    let (first, rest) = path.split_once('/').map_or((path, None), |(first, rest)| (first, Some(rest)));
    let at = node.children.iter().position(|(own, _)| own == first).unwrap_or_else(|| {
        node.children.push((first.to_owned(), Arc::default()));
        node.children.len() - 1
    });
    // Nobody else holds a node while the tree is made.
    let Some(child) = node.children.get_mut(at).and_then(|(_, child)| Arc::get_mut(child)) else { return };
    match rest {
        Some(rest) => insert(child, rest, field),
        None => child.field = Some(field),
    }
}
