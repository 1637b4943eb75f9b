//! Sets of lanes as bits, so that a lane reached by two rules is in the set once.

/// Most lanes of one host: a bound on the size of every set.
pub const MAX_LANES: usize = 16_384;

/// A lane by its place in the host's list of lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneIndex(pub u16);

/// Which lanes an event goes to. Made once, filled again for every event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LaneSet {
    words: Box<[u64]>,
}

impl LaneSet {
    /// An empty set with room for this many lanes.
    pub fn new(lanes: usize) -> Self {
        Self { words: vec![0; lanes.min(MAX_LANES).div_ceil(64)].into_boxed_slice() }
    }

    pub fn clear(&mut self) {
        self.words.fill(0);
    }

    /// Adds a lane; one beyond the set's room is not added.
    pub fn insert(&mut self, lane: LaneIndex) {
        if let Some(word) = self.words.get_mut(usize::from(lane.0 / 64)) {
            *word |= 1 << (lane.0 % 64);
        }
    }

    pub fn contains(&self, lane: LaneIndex) -> bool {
        self.words.get(usize::from(lane.0 / 64)).is_some_and(|word| word & 1 << (lane.0 % 64) != 0)
    }

    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    pub fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Adds every lane of the other set.
    pub fn extend(&mut self, other: &Self) {
        for (word, more) in self.words.iter_mut().zip(&other.words) {
            *word |= more;
        }
    }

    /// The lanes in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = LaneIndex> + '_ {
        self.words.iter().enumerate().flat_map(|(at, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                let bit = (rest != 0).then(|| rest.trailing_zeros())?;
                rest &= rest - 1;
                Some(LaneIndex((at * 64) as u16 + bit as u16))
            })
        })
    }

    /// The bits, lane 0 lowest: for keeping the sets of many events side by side.
    pub fn words(&self) -> &[u64] {
        &self.words
    }
}
