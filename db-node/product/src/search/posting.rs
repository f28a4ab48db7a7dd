//! A posting list: the creation numbers of the items that have one thing in common, in chunks.

use super::members::{CHUNK, Members};

#[derive(Clone, Debug)]
struct Chunk {
    /// The creation number divided by the chunk's size.
    base: u64,
    members: Members,
}

/// A set of creation numbers.
#[derive(Clone, Debug, Default)]
pub struct Posting {
    /// Ascending by base; none is empty.
    chunks: Vec<Chunk>,
}

/// A creation number as its chunk's base and its place there.
pub fn split(created: u64) -> (u64, u16) {
    // The remainder is below 2^16.
    (created / CHUNK, (created % CHUNK) as u16)
}

/// The creation number of a place in a chunk.
pub fn join(base: u64, low: u16) -> u64 {
    base * CHUNK + u64::from(low)
}

impl Posting {
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    pub fn insert(&mut self, created: u64) {
        let (base, low) = split(created);
        match self.place(base) {
            Ok(at) => self.chunks[at].members.insert(low),
            Err(at) => self.chunks.insert(at, Chunk { base, members: Members::one(low) }),
        }
    }

    pub fn remove(&mut self, created: u64) {
        let (base, low) = split(created);
        if let Ok(at) = self.place(base) {
            self.chunks[at].members.remove(low);
            if self.chunks[at].members.len() == 0 {
                self.chunks.remove(at);
            }
        }
    }

    fn place(&self, base: u64) -> Result<usize, usize> {
        match self.chunks.last() {
            Some(last) if last.base < base => Err(self.chunks.len()),
            Some(last) if last.base == base => Ok(self.chunks.len() - 1),
            _ => self.chunks.binary_search_by_key(&base, |chunk| chunk.base),
        }
    }

    /// Calls `visit` for each number below `before`, from the highest on, until it returns false.
    pub fn descend(&self, before: Option<u64>, mut visit: impl FnMut(u64) -> bool) {
        let (start, low) = before.map_or((u64::MAX, None), |before| {
            let (base, low) = split(before);
            (base, Some(low))
        });
        let below = self.chunks.partition_point(|chunk| chunk.base <= start);
        for chunk in self.chunks[..below].iter().rev() {
            let before = if chunk.base == start { low } else { None };
            if !chunk.members.descend(before, |low| visit(join(chunk.base, low))) {
                return;
            }
        }
    }

    /// Its chunks, the newest first.
    pub fn newest_first(&self) -> NewestFirst<'_> {
        NewestFirst { chunks: &self.chunks }
    }
}

/// Where a walk from the newest chunk to the oldest has come to.
pub struct NewestFirst<'a> {
    chunks: &'a [Chunk],
}

impl<'a> NewestFirst<'a> {
    /// The base of the chunk that comes next.
    pub fn base(&self) -> Option<u64> {
        self.chunks.last().map(|chunk| chunk.base)
    }

    /// The members of the chunk with this base, if there is one. Chunks must be asked for from the newest on.
    pub fn take(&mut self, base: u64) -> Option<&'a Members> {
        while let Some((last, rest)) = self.chunks.split_last() {
            if last.base < base {
                return None;
            }
            self.chunks = rest;
            if last.base == base {
                return Some(&last.members);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(posting: &Posting, before: Option<u64>, most: usize) -> Vec<u64> {
        let mut all = Vec::new();
        posting.descend(before, |created| {
            all.push(created);
            all.len() < most
        });
        all
    }

    #[test]
    fn walks_down_through_chunks_from_any_place() {
        let numbers = [1, 5, CHUNK - 1, CHUNK, CHUNK + 1, 7 * CHUNK + 3];
        let mut posting = Posting::default();
        // In an order that opens chunks at the front, in the middle and at the end.
        for created in [3, 0, 5, 1, 4, 2].map(|at: usize| numbers[at]) {
            posting.insert(created);
        }
        for before in [0, 1, 2, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 7 * CHUNK + 3, u64::MAX] {
            let expected: Vec<u64> = numbers.into_iter().rev().filter(|created| *created < before).collect();
            assert_eq!(listed(&posting, Some(before), 100), expected);
        }
        assert_eq!(listed(&posting, None, 2), [7 * CHUNK + 3, CHUNK + 1]);
    }

    #[test]
    fn chunks_without_members_are_dropped() {
        let mut posting = Posting::default();
        posting.insert(9 * CHUNK);
        posting.insert(9);
        posting.remove(9 * CHUNK);
        posting.remove(8 * CHUNK);
        assert_eq!(listed(&posting, None, 9), [9]);
        posting.remove(9);
        assert!(posting.is_empty());
    }

    #[test]
    fn a_walk_skips_what_others_do_not_have() {
        let mut posting = Posting::default();
        [0, 2, 5].iter().for_each(|base| posting.insert(base * CHUNK));
        let mut walk = posting.newest_first();
        assert_eq!(walk.base(), Some(5));
        assert!(walk.take(4).is_none());
        assert_eq!(walk.base(), Some(2));
        assert!(walk.take(2).is_some());
        assert!(walk.take(1).is_none());
        assert!(walk.take(0).is_some());
        assert_eq!(walk.base(), None);
    }
}
