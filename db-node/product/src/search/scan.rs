//! The matches in one chunk.
//!
//! If few items can be enough of a match, each of them is looked up in every list: an item with at least m of j
//! lists is in one of the j - m + 1 shortest, and in the category. Else the lists are combined as bitmaps, 64 items at a
//! time, with counters made of bits. The work has a bound for any lists: [`SPARSE`] look-ups, or one pass over at most
//! six bitmaps of 1,024 words, with at most 4,096 bits to set in each that is not kept as one: some 10 µs.

use agora_proto::limits::KEYWORDS;

use super::members::{Members, WORDS, Words};
use super::posting::join;
use super::ranked::{Page, Span};

/// Most look-ups that are made one by one; beyond, the pass over the bitmaps is cheaper.
const SPARSE: usize = 256;
/// Words that are combined at a time, between two looks at which tiers are still needed.
const BLOCK: usize = 16;

/// Room that is used again from chunk to chunk.
#[derive(Default)]
pub struct Scratch {
    candidates: Vec<u16>,
    /// For the lists, and the last one for the category.
    bitmaps: Option<Box<[Words; KEYWORDS + 1]>>,
}

/// Adds the matches of a chunk to the page, the newest first in each tier. The members' order gets lost.
pub fn scan(
    span: Span,
    category: Option<&Members>,
    lists: &mut [&Members],
    page: &mut Page,
    scratch: &mut Scratch,
) {
    lists.sort_unstable_by_key(|list| list.len());
    let shortest = &lists[..=lists.len() - span.lowest];
    let in_shortest: usize = shortest.iter().map(|list| list.len()).sum();
    let in_category = category.map_or(usize::MAX, Members::len);
    if in_shortest.min(in_category).saturating_mul(lists.len() + 1) > SPARSE {
        return combine(span, category, lists, page, scratch);
    }
    let candidates = &mut scratch.candidates;
    candidates.clear();
    let mut collect = |list: &Members| {
        list.descend(None, |low| {
            candidates.push(low);
            true
        });
    };
    match category {
        Some(category) if in_category < in_shortest => collect(category),
        _ => shortest.iter().for_each(|list| collect(list)),
    }
    candidates.sort_unstable_by(|a, b| b.cmp(a));
    candidates.dedup();
    look_up(span, category, lists, page, candidates);
}

fn look_up(span: Span, category: Option<&Members>, lists: &[&Members], page: &mut Page, candidates: &[u16]) {
    for &low in candidates {
        let tier = lists.iter().filter(|list| list.contains(low)).count();
        if tier >= span.lowest
            && span.wants(tier, low)
            && category.is_none_or(|category| category.contains(low))
        {
            page.add(tier, join(span.base, low));
        }
    }
}

fn combine(
    span: Span,
    category: Option<&Members>,
    lists: &[&Members],
    page: &mut Page,
    scratch: &mut Scratch,
) {
    let [of_category, of_lists @ ..] =
        &mut **scratch.bitmaps.get_or_insert_with(|| Box::new([[0; WORDS]; KEYWORDS + 1]));
    let category = category.map(|category| category.words(of_category));
    let lists: Vec<&Words> = lists.iter().zip(of_lists).map(|(list, scratch)| list.words(scratch)).collect();
    for start in (0..WORDS).step_by(BLOCK).rev() {
        let Some(lowest) = page.lowest_needed() else { return };
        // Where all is above the cursor, its tier has nothing to offer.
        let all_above = span.before.is_some_and(|before| start * 64 >= usize::from(before));
        let highest = span.highest - usize::from(all_above);
        if lowest > highest {
            continue;
        }
        let counts = Counts::of(&lists, start);
        let (enough, too_many) = (counts.at_least(lowest), counts.at_least(highest + 1));
        for word in (0..BLOCK).rev() {
            let mut hits =
                enough[word] & !too_many[word] & category.map_or(u64::MAX, |words| words[start + word]);
            while hits != 0 {
                let bit = 63 - hits.leading_zeros();
                hits &= !(1 << bit);
                let tier = lists.iter().filter(|list| list[start + word] >> bit & 1 == 1).count();
                // A chunk has 2^16 places.
                let low = ((start + word) * 64) as u16 + bit as u16;
                if span.wants(tier, low) {
                    page.add(tier, join(span.base, low));
                }
            }
        }
    }
}

/// How many lists each of a block's items is in: one counter of three bits per item, bit by bit in three words.
struct Counts {
    ones: [u64; BLOCK],
    twos: [u64; BLOCK],
    fours: [u64; BLOCK],
}

impl Counts {
    fn of(lists: &[&Words], start: usize) -> Self {
        let mut counts = Counts { ones: [0; BLOCK], twos: [0; BLOCK], fours: [0; BLOCK] };
        for list in lists {
            for (at, word) in list[start..start + BLOCK].iter().enumerate() {
                let carry = counts.ones[at] & word;
                counts.ones[at] ^= word;
                counts.fours[at] |= counts.twos[at] & carry;
                counts.twos[at] ^= carry;
            }
        }
        counts
    }

    fn at_least(&self, least: usize) -> [u64; BLOCK] {
        let combined = |combine: fn(u64, u64, u64) -> u64| {
            std::array::from_fn(|at| combine(self.ones[at], self.twos[at], self.fours[at]))
        };
        match least {
            0 => [u64::MAX; BLOCK],
            1 => combined(|ones, twos, fours| ones | twos | fours),
            2 => combined(|_, twos, fours| twos | fours),
            3 => combined(|ones, twos, fours| ones & twos | fours),
            4 => combined(|_, _, fours| fours),
            5 => combined(|ones, _, fours| ones & fours),
            // There are at most five keywords.
            _ => [0; BLOCK],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_all_combinations_of_lists() {
        // Bit b of list l is set exactly if b, as a number, has bit l: all 32 combinations of five lists.
        let of_list = |list: u32| (0..32_u64).filter(|b| b >> list & 1 == 1).fold(0, |word, b| word | 1 << b);
        let lists: Vec<Words> = (0..5).map(|list| [of_list(list); WORDS]).collect();
        let counts = Counts::of(&lists.iter().collect::<Vec<_>>(), 0);
        for least in 0..=6 {
            let expected = (0..32_u64).filter(|b| b.count_ones() >= least).fold(0, |word, b| word | 1 << b);
            assert_eq!(counts.at_least(least as usize)[3] & 0xffff_ffff, expected, "at least {least}");
        }
    }
}
