//! Memory of one store: all linear memories and tables together, where the engine's own limits are
//! for each memory alone.

use wasmtime::ResourceLimiter;

use crate::limits::{Limit, Limits};

/// Bytes that one table element counts for.
const ELEMENT: usize = 8;

/// Counts what a store holds and refuses what is beyond its limits. A refused growth answers -1 to
/// the guest and is remembered: most guests trap next, and then the limit was the reason.
#[derive(Debug)]
pub struct Limiter {
    memory: usize,
    elements: usize,
    max_memory: usize,
    max_elements: usize,
    max_memories: usize,
    max_tables: usize,
    max_instances: usize,
    /// Values of limits that are only counted; beyond them is noted.
    value_memory: usize,
    value_elements: usize,
    over: [Option<(Limit, u64)>; 2],
    last: Option<Growth>,
    refused: Option<Limit>,
}

#[derive(Debug, Clone, Copy)]
enum Growth {
    Memory(usize),
    Table(usize),
}

impl Limiter {
    pub fn new(limits: &Limits) -> Self {
        Self {
            memory: 0,
            elements: 0,
            max_memory: limits.size(Limit::Memory),
            max_elements: limits.size(Limit::TableElements),
            max_memories: limits.size(Limit::Memories),
            max_tables: limits.size(Limit::Tables),
            max_instances: limits.size(Limit::Instances),
            value_memory: usize::try_from(limits.get(Limit::Memory)).unwrap_or(usize::MAX),
            value_elements: usize::try_from(limits.get(Limit::TableElements)).unwrap_or(usize::MAX),
            over: [None; 2],
            last: None,
            refused: None,
        }
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.memory + self.elements * ELEMENT
    }

    /// The limit that a growth ran into since [`Self::forget`].
    pub fn refused(&self) -> Option<Limit> {
        self.refused
    }

    /// How far a growth since [`Self::forget`] went beyond limits that are only counted.
    pub fn over(&self) -> impl Iterator<Item = (Limit, u64)> {
        self.over.into_iter().flatten()
    }

    pub fn forget(&mut self) {
        self.refused = None;
        self.over = [None; 2];
    }

    fn grow(&mut self, growth: Growth) -> bool {
        let (bytes, elements) = match growth {
            Growth::Memory(bytes) => (bytes, 0),
            Growth::Table(elements) => (elements.saturating_mul(ELEMENT), elements),
        };
        if self.elements.saturating_add(elements) > self.max_elements {
            self.refused = Some(Limit::TableElements);
            return false;
        }
        if self.bytes().saturating_add(bytes) > self.max_memory {
            self.refused = Some(Limit::Memory);
            return false;
        }
        match growth {
            Growth::Memory(bytes) => self.memory += bytes,
            Growth::Table(elements) => self.elements += elements,
        }
        if self.bytes() > self.value_memory {
            self.over[0] = Some((Limit::Memory, self.bytes() as u64));
        }
        if self.elements > self.value_elements {
            self.over[1] = Some((Limit::TableElements, self.elements as u64));
        }
        self.last = Some(growth);
        true
    }

    /// The engine could not do what was allowed: it is not held after all.
    fn undo(&mut self) {
        match self.last.take() {
            Some(Growth::Memory(bytes)) => self.memory = self.memory.saturating_sub(bytes),
            Some(Growth::Table(elements)) => self.elements = self.elements.saturating_sub(elements),
            None => {}
        }
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(Growth::Memory(desired.saturating_sub(current))))
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.undo();
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(Growth::Table(desired.saturating_sub(current))))
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.undo();
        Ok(())
    }

    fn instances(&self) -> usize {
        self.max_instances
    }

    fn tables(&self) -> usize {
        self.max_tables
    }

    fn memories(&self) -> usize {
        self.max_memories
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_and_tables_count_together() {
        let mut limits = Limits::default();
        limits.set(Limit::Memory, 1_000).expect("within");
        limits.set(Limit::TableElements, 50).expect("within");
        let mut limiter = Limiter::new(&limits);
        let grows = |limiter: &mut Limiter, from, to| limiter.memory_growing(from, to, None).expect("answers");
        assert!(grows(&mut limiter, 0, 400));
        assert!(grows(&mut limiter, 0, 400), "a second memory");
        assert!(limiter.table_growing(0, 20, None).expect("answers"), "160 bytes");
        assert_eq!(limiter.bytes(), 960);
        assert!(!grows(&mut limiter, 400, 441));
        assert_eq!(limiter.refused(), Some(Limit::Memory));
        limiter.forget();
        assert!(grows(&mut limiter, 400, 440));
        assert!(!limiter.table_growing(20, 51, None).expect("answers"));
        assert_eq!(limiter.refused(), Some(Limit::TableElements));
        limiter.memory_grow_failed(wasmtime::Error::msg("mmap")).expect("answers");
        assert_eq!(limiter.bytes(), 960, "the failed growth is taken back");
        assert!(!grows(&mut limiter, 0, usize::MAX));
    }

    #[test]
    fn counted_limits_let_growth_pass_and_note_it() {
        let mut limits = Limits::default();
        limits.set(Limit::Memory, 1_000).expect("within");
        limits.count_only(Limit::Memory).expect("can be");
        let mut limiter = Limiter::new(&limits);
        assert!(limiter.memory_growing(0, 1_000, None).expect("answers"));
        assert_eq!(limiter.over().count(), 0);
        assert!(limiter.memory_growing(1_000, 5_000, None).expect("answers"));
        assert_eq!((limiter.over().collect::<Vec<_>>(), limiter.refused()), (vec![(Limit::Memory, 5_000)], None));
        limiter.forget();
        assert!(!limiter.memory_growing(5_000, (512 << 20) + 1, None).expect("answers"), "the ceiling holds");
        assert_eq!(limiter.refused(), Some(Limit::Memory));
    }
}
