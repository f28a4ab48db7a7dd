//! The members of one chunk of a posting list: which of 65,536 consecutive creation numbers it has.
//!
//! Few, many and most are kept in three ways, each of them compact and each with its quick operations: in place, as a
//! sorted array, as a bitmap. The larger two are shared between clones until one of them changes.

use std::sync::Arc;

/// Creation numbers per chunk.
pub const CHUNK: u64 = 1 << 16;
/// Words of a chunk's bitmap.
pub const WORDS: usize = (CHUNK / 64) as usize;
/// So many are kept in place: what fits beside the tag into three words.
const FEW: usize = 11;
/// Above this an array takes more memory than a bitmap.
const SORTED_MAX: usize = 4096;
/// A bitmap becomes an array again only well below, so that a list at the edge doesn't change back and forth.
const BITS_MIN: usize = 3072;

/// One bit per creation number of a chunk.
pub type Words = [u64; WORDS];

#[derive(Clone, Debug)]
pub struct Bits {
    count: u32,
    words: Words,
}

/// A set of `u16`.
#[derive(Clone, Debug)]
pub enum Members {
    Few { len: u8, values: [u16; FEW] },
    Sorted(Arc<Vec<u16>>),
    Bits(Arc<Bits>),
}

impl Members {
    pub fn one(low: u16) -> Self {
        let mut values = [0; FEW];
        values[0] = low;
        Members::Few { len: 1, values }
    }

    pub fn len(&self) -> usize {
        match self {
            Members::Few { len, .. } => usize::from(*len),
            Members::Sorted(values) => values.len(),
            Members::Bits(bits) => bits.count as usize,
        }
    }

    pub fn contains(&self, low: u16) -> bool {
        match self {
            Members::Few { len, values } => values[..usize::from(*len)].contains(&low),
            Members::Sorted(values) => values.binary_search(&low).is_ok(),
            Members::Bits(bits) => bits.words[word(low)] & bit(low) != 0,
        }
    }

    pub fn insert(&mut self, low: u16) {
        match self {
            Members::Few { len, values } => {
                let used = usize::from(*len);
                let Err(at) = values[..used].binary_search(&low) else { return };
                if used < FEW {
                    values.copy_within(at..used, at + 1);
                    values[at] = low;
                    *len += 1;
                } else {
                    let mut sorted = Vec::with_capacity(2 * FEW);
                    sorted.extend_from_slice(values);
                    sorted.insert(at, low);
                    *self = Members::Sorted(Arc::new(sorted));
                }
            }
            Members::Sorted(values) => {
                // New items are the newest: most go to the end.
                let at = match values.last() {
                    Some(last) if *last < low => values.len(),
                    _ => match values.binary_search(&low) {
                        Err(at) => at,
                        Ok(_) => return,
                    },
                };
                Arc::make_mut(values).insert(at, low);
                if values.len() > SORTED_MAX {
                    *self = Members::Bits(Arc::new(Bits::of(values)));
                }
            }
            Members::Bits(bits) => {
                if bits.words[word(low)] & bit(low) == 0 {
                    let bits = Arc::make_mut(bits);
                    bits.words[word(low)] |= bit(low);
                    bits.count += 1;
                }
            }
        }
    }

    pub fn remove(&mut self, low: u16) {
        match self {
            Members::Few { len, values } => {
                let used = usize::from(*len);
                if let Ok(at) = values[..used].binary_search(&low) {
                    values.copy_within(at + 1..used, at);
                    *len -= 1;
                }
            }
            Members::Sorted(values) => {
                if let Ok(at) = values.binary_search(&low) {
                    Arc::make_mut(values).remove(at);
                }
                if values.len() <= FEW / 2 {
                    *self = Members::few(values);
                }
            }
            Members::Bits(bits) => {
                if bits.words[word(low)] & bit(low) != 0 {
                    let bits = Arc::make_mut(bits);
                    bits.words[word(low)] &= !bit(low);
                    bits.count -= 1;
                }
                if (bits.count as usize) < BITS_MIN {
                    let mut sorted = Vec::with_capacity(BITS_MIN);
                    descend(&bits.words, None, |low| {
                        sorted.push(low);
                        true
                    });
                    sorted.reverse();
                    *self = Members::Sorted(Arc::new(sorted));
                }
            }
        }
    }

    fn few(sorted: &[u16]) -> Self {
        let mut values = [0; FEW];
        values[..sorted.len()].copy_from_slice(sorted);
        // At most FEW, so it fits.
        Members::Few { len: sorted.len() as u8, values }
    }

    /// Calls `visit` for each member below `before` from the highest on, until it returns false. Whether it never did.
    pub fn descend(&self, before: Option<u16>, mut visit: impl FnMut(u16) -> bool) -> bool {
        let sorted = match self {
            Members::Few { len, values } => &values[..usize::from(*len)],
            Members::Sorted(values) => values.as_slice(),
            Members::Bits(bits) => return descend(&bits.words, before, visit),
        };
        let below = before.map_or(sorted.len(), |before| sorted.partition_point(|low| *low < before));
        sorted[..below].iter().rev().all(|low| visit(*low))
    }

    /// The bitmap of the members: their own, or this one, filled.
    pub fn words<'a>(&'a self, scratch: &'a mut Words) -> &'a Words {
        let sorted = match self {
            Members::Few { len, values } => &values[..usize::from(*len)],
            Members::Sorted(values) => values.as_slice(),
            Members::Bits(bits) => return &bits.words,
        };
        scratch.fill(0);
        for low in sorted {
            scratch[word(*low)] |= bit(*low);
        }
        scratch
    }
}

impl Bits {
    fn of(sorted: &[u16]) -> Self {
        let mut bits = Bits { count: sorted.len() as u32, words: [0; WORDS] };
        for low in sorted {
            bits.words[word(*low)] |= bit(*low);
        }
        bits
    }
}

fn descend(words: &Words, before: Option<u16>, mut visit: impl FnMut(u16) -> bool) -> bool {
    let (first, mask) = before.map_or((WORDS - 1, u64::MAX), |before| (word(before), bit(before) - 1));
    let mut rest = words[first] & mask;
    let mut at = first;
    loop {
        while rest != 0 {
            let highest = 63 - rest.leading_zeros();
            rest &= !(1 << highest);
            if !visit((at * 64) as u16 + highest as u16) {
                return false;
            }
        }
        if at == 0 {
            return true;
        }
        at -= 1;
        rest = words[at];
    }
}

fn word(low: u16) -> usize {
    usize::from(low) / 64
}

fn bit(low: u16) -> u64 {
    1 << (low % 64)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn listed(members: &Members, before: Option<u16>) -> Vec<u16> {
        let mut all = Vec::new();
        members.descend(before, |low| {
            all.push(low);
            true
        });
        all
    }

    fn assert_equal(members: &Members, model: &BTreeSet<u16>, before: u16) {
        assert_eq!(members.len(), model.len());
        assert!(listed(members, None).iter().eq(model.iter().rev()));
        assert!(listed(members, Some(before)).iter().eq(model.range(..before).rev()));
        let mut scratch = [7; WORDS];
        let words = members.words(&mut scratch);
        assert_eq!(words.iter().map(|word| word.count_ones() as usize).sum::<usize>(), model.len());
        assert!(model.iter().all(|low| members.contains(*low) && words[word(*low)] & bit(*low) != 0));
    }

    #[test]
    fn a_member_is_three_words_long() {
        assert_eq!(size_of::<Members>(), 24);
    }

    proptest! {
        /// Grows through all three forms and shrinks back through them.
        #[test]
        fn is_a_set_in_every_form(seed: u64, before: u16) {
            let mut members = Members::one(before);
            let mut model = BTreeSet::from([before]);
            let mut random = seed | 1;
            let mut next = || { random ^= random << 13; random ^= random >> 7; random ^= random << 17; random };
            for size in [5, 11, 12, 100, 4096, 4200, 3500, 2900, 40, 5, 1] {
                while model.len() < size {
                    let low = next() as u16;
                    members.insert(low);
                    model.insert(low);
                }
                while model.len() > size {
                    let from = next() as u16;
                    let Some(low) = model.range(from..).next().or(model.first()).copied() else { break };
                    members.remove(low);
                    members.remove(low);
                    model.remove(&low);
                }
                assert_equal(&members, &model, before);
            }
        }
    }

    #[test]
    fn a_clone_does_not_see_later_changes() {
        let mut members = Members::one(0);
        (1..5000).for_each(|low| members.insert(low));
        let clone = members.clone();
        members.remove(17);
        assert!(clone.contains(17) && !members.contains(17));
    }
}
