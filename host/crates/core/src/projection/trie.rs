//! Pointers below one attribute as a tree of tokens, walked beside the text.

use std::ops::Range;

use super::MAX_FIELDS;
use crate::attr::Kind;
use crate::json::{decode_string, fingerprint, fingerprint_at, skip_rest, skip_space, skip_value, string_end};

const FREE: u8 = u8::MAX;

/// The tree below one attribute. Node 0 is the attribute itself.
#[derive(Debug)]
pub(super) struct Trie {
    nodes: Vec<Node>,
    wanted: usize,
}

#[derive(Debug, Default)]
struct Node {
    /// Fields that end here.
    fields: Vec<u8>,
    children: Vec<Child>,
    /// Children by fingerprint: an open hash table, at most a quarter full.
    table: Box<[u8]>,
    /// Bit n is set where a child's token has n bytes, bit 63 for 63 and more: most keys that nobody
    /// wants fall through here.
    lengths: u64,
    /// One above the largest child that is an array index; 0 where none is.
    indices: usize,
}

#[derive(Debug)]
struct Child {
    token: Box<[u8]>,
    /// The token as an array index (RFC 6901 §4: no needless zeros).
    index: Option<usize>,
    print: u32,
    node: usize,
}

impl Default for Trie {
    fn default() -> Self {
        Self { nodes: vec![Node::default()], wanted: 0 }
    }
}

impl Trie {
    pub(super) fn insert(&mut self, tokens: &[String], field: u8) {
        let mut at = 0;
        for token in tokens {
            let known = self.nodes[at].children.iter().find(|child| *child.token == *token.as_bytes()).map(|child| child.node);
            at = known.unwrap_or_else(|| {
                let node = self.nodes.len();
                self.nodes.push(Node::default());
                let canonical = token == "0" || (token.bytes().all(|byte| byte.is_ascii_digit()) && !token.starts_with('0'));
                let index = if canonical { token.parse().ok().filter(|index| *index < usize::MAX) } else { None };
                let parent = &mut self.nodes[at];
                parent.indices = parent.indices.max(index.map_or(0, |index: usize| index + 1));
                parent.lengths |= length_bit(token.len());
                parent.children.push(Child { token: token.as_bytes().into(), index, print: fingerprint(token.as_bytes()), node });
                node
            });
        }
        self.nodes[at].fields.push(field);
        self.wanted += 1;
    }

    /// Builds the tables; called once, after the last insertion.
    pub(super) fn seal(&mut self) {
        for node in &mut self.nodes {
            let size = (node.children.len() * 4).next_power_of_two();
            let mut table = vec![FREE; size].into_boxed_slice();
            for (place, child) in node.children.iter().enumerate() {
                let mut slot = child.print as usize & (size - 1);
                while table[slot] != FREE {
                    slot = (slot + 1) & (size - 1);
                }
                table[slot] = place as u8;
            }
            node.table = table;
        }
    }

    /// Number of fields below this attribute.
    pub(super) fn wanted(&self) -> usize {
        self.wanted
    }

    pub(super) fn extract(&self, body: &[u8], kind: Kind, range: Range<usize>, walk: &mut Walk<'_>) {
        let Some(root) = self.nodes.first() else { return };
        walk.take(root, kind, &range);
        if !root.children.is_empty()
            && walk.left > 0
            && matches!(kind, Kind::Object | Kind::Array)
            && let Some(text) = body.get(..range.end)
        {
            // Stopping early and running into damage end alike: what was found stands.
            let _ = self.descend(text, range.start, root, walk);
        }
    }

    /// Walks the container at `at`; the position behind it, or `None` where the walk is over.
    fn descend(&self, text: &[u8], at: usize, node: &Node, walk: &mut Walk<'_>) -> Option<usize> {
        match text.get(at)? {
            b'{' => self.object(text, at + 1, node, walk),
            b'[' => self.array(text, at + 1, node, walk),
            _ => None,
        }
    }

    fn object(&self, text: &[u8], at: usize, node: &Node, walk: &mut Walk<'_>) -> Option<usize> {
        let mut open = node.children.len();
        let mut pos = skip_space(text, at);
        if text.get(pos)? == &b'}' {
            return Some(pos + 1);
        }
        loop {
            if text.get(pos)? != &b'"' {
                return None;
            }
            let (end, escaped) = string_end(text, pos + 1)?;
            let child = if escaped {
                decode_string(text.get(pos + 1..end)?).and_then(|key| node.child(key.as_bytes(), fingerprint(key.as_bytes())))
            } else if node.lengths & length_bit(end - pos - 1) != 0 {
                node.child(text.get(pos + 1..end)?, fingerprint_at(text, pos + 1, end - pos - 1))
            } else {
                None
            };
            // Behind the colon.
            pos = skip_space(text, skip_space(text, end + 1) + 1);
            pos = match child {
                Some(child) => {
                    open -= usize::from(open > 0);
                    self.value(text, pos, child, walk)?
                }
                None => skip_value(text, pos)?.end,
            };
            pos = skip_space(text, pos);
            match text.get(pos)? {
                b'}' => return Some(pos + 1),
                b',' if open == 0 => return skip_rest(text, pos),
                b',' => pos = skip_space(text, pos + 1),
                _ => return None,
            }
        }
    }

    fn array(&self, text: &[u8], at: usize, node: &Node, walk: &mut Walk<'_>) -> Option<usize> {
        let mut pos = skip_space(text, at);
        if text.get(pos)? == &b']' {
            return Some(pos + 1);
        }
        for index in 0..node.indices {
            pos = match node.children.iter().find(|child| child.index == Some(index)) {
                Some(child) => self.value(text, pos, child, walk)?,
                None => skip_value(text, pos)?.end,
            };
            pos = skip_space(text, pos);
            match text.get(pos)? {
                b']' => return Some(pos + 1),
                b',' => pos = skip_space(text, pos + 1),
                _ => return None,
            }
        }
        skip_rest(text, pos)
    }

    /// Takes a wanted value and what is wanted within it; the position behind it.
    fn value(&self, text: &[u8], at: usize, child: &Child, walk: &mut Walk<'_>) -> Option<usize> {
        let node = self.nodes.get(child.node)?;
        if !node.children.is_empty() && matches!(text.get(at)?, b'{' | b'[') {
            // The node's own fields come first in the count, so that the walk cannot end within it.
            let end = self.descend(text, at, node, walk)?;
            let kind = if text[at] == b'{' { Kind::Object } else { Kind::Array };
            walk.take(node, kind, &(at..end));
            return if walk.left == 0 { None } else { Some(end) };
        }
        let value = skip_value(text, at)?;
        walk.take(node, value.kind, &value.span);
        if walk.left == 0 { None } else { Some(value.end) }
    }
}

#[inline]
fn length_bit(length: usize) -> u64 {
    1 << length.min(63)
}

impl Node {
    #[inline]
    fn child(&self, key: &[u8], print: u32) -> Option<&Child> {
        // The size is a power of two.
        let mask = self.table.len().wrapping_sub(1);
        let mut slot = print as usize & mask;
        loop {
            let child = self.children.get(usize::from(*self.table.get(slot)?))?;
            if child.print == print && *child.token == *key {
                return Some(child);
            }
            slot = (slot + 1) & mask;
        }
    }
}

/// What one extraction has found, and how much it still looks for.
pub(super) struct Walk<'a> {
    found: &'a mut [(Kind, Range<u32>); MAX_FIELDS],
    left: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn new(found: &'a mut [(Kind, Range<u32>); MAX_FIELDS], left: usize) -> Self {
        Self { found, left }
    }

    #[inline]
    fn take(&mut self, node: &Node, kind: Kind, range: &Range<usize>) {
        for field in &node.fields {
            if let Some(place) = self.found.get_mut(usize::from(*field)) {
                *place = (kind, range.start as u32..range.end as u32);
            }
        }
        self.left = self.left.saturating_sub(node.fields.len());
    }
}
