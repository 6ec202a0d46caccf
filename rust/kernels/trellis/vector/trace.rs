//! The paths that decisions name, from their ends.

use std::ops::Range;

use super::search::vectors;
use super::tables::STATES;
use super::{PAIRS, ROWS};
use crate::kernels::simd::{BYTES, Simd};
use crate::kernels::trellis::Code;

/// Words that are read at a time; there are as many after those of the last step.
pub const WORDS_READ: usize = 4;

/// Words of 64 decisions that a row has in a step at most.
const MOST_WORDS: usize = 16;

/// Traces the paths of four rows, two to each of `decisions`, through some steps, from the state
/// after the last of them. Returns the states before the first. After the decisions there are
/// [`WORDS_READ`] words more.
///
/// Bit k mod 64 of word ⌊k/64⌋ of a path becomes the bit that leaves the register in step k; bits
/// of other steps in the first and the last word become 0.
#[inline(always)]
pub fn trace<S: Simd>(
    s: S,
    code: &Code,
    decisions: &[Vec<u32>; PAIRS],
    steps: Range<usize>,
    states: [usize; ROWS],
    paths: &mut [Vec<u64>; ROWS],
) -> [usize; ROWS] {
    match vectors(code) {
        1 => trace_in::<S, 1, 4>(s, decisions, steps, states, paths),
        2 => trace_in::<S, 2, 4>(s, decisions, steps, states, paths),
        4 => trace_in::<S, 4, 4>(s, decisions, steps, states, paths),
        8 => trace_in::<S, 8, 8>(s, decisions, steps, states, paths),
        16 => trace_in::<S, 16, 16>(s, decisions, steps, states, paths),
        32 => trace_in::<S, 32, 32>(s, decisions, steps, states, paths),
        _ => trace_in::<S, 64, 64>(s, decisions, steps, states, paths),
    }
}

/// Four words of decisions of each two rows, as 64 decisions of one row in each lane of 64 bits.
#[inline(always)]
fn words<S: Simd>(s: S, [a, b]: [&[u32; WORDS_READ]; PAIRS]) -> S::I16x16 {
    // The rows of a word are its halves.
    const ORDER: [u8; BYTES / 2] = [0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15];
    let words = s.words_u8([a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]]);
    s.shuffle_bytes(words, s.load_u8_twice(&ORDER))
}

/// With V words of decisions in each step, of which N are read.
///
/// A lane of 64 bits has a row. A state is kept as the place of its decision, and no load waits for
/// it: of several words of 64 decisions the one that has the decision is selected by bits of the
/// place.
#[inline(always)]
fn trace_in<S: Simd, const V: usize, const N: usize>(
    s: S,
    decisions: &[Vec<u32>; PAIRS],
    steps: Range<usize>,
    states: [usize; ROWS],
    paths: &mut [Vec<u64>; ROWS],
) -> [usize; ROWS] {
    // The bit of a state that its predecessor lacks, and the bit of the place that it is. The even
    // states come first, each by its half; 16 states are in order.
    let highest = (V * STATES / 2).ilog2();
    let (is_ordered, enters) = (V == 1, if V == 1 { highest } else { highest - 1 });
    let [a, b, c, d] = states.map(|state| {
        let place = if is_ordered {
            state
        } else {
            state >> 1 | (state & 1) << highest
        };
        place as u32
    });
    let mut places = s.words_u8([a, 0, b, 0, c, 0, d, 0]);
    let (one, bits_of_word) = (s.splat_u64(1), s.splat_u64(63));
    let (to_highest, top) = (s.splat_u64(u64::from(highest)), s.splat_u64(1 << highest));
    let (to_entering, entering) = (s.splat_u64(u64::from(enters)), s.splat_u64(1 << enters));
    for word in (steps.start / 64..steps.end.div_ceil(64)).rev() {
        let first = steps.start.max(64 * word);
        let last = steps.end.min(64 * (word + 1));
        let mut all = s.splat_u64(0);
        for k in (first..last).rev() {
            let of_step = [&decisions[0][k * V..], &decisions[1][k * V..]];
            let of_step = of_step.map(|words| words.first_chunk::<N>().expect("words after them"));
            let [low, high] = of_step.map(|words| words.as_chunks::<WORDS_READ>().0);
            let mut found = [one; MOST_WORDS];
            for (found, words_of_rows) in found.iter_mut().zip(low.iter().zip(high)) {
                *found = words(s, [words_of_rows.0, words_of_rows.1]);
            }
            let mut count = N / WORDS_READ;
            while count > 1 {
                count /= 2;
                let bit = 6 + count.ilog2();
                let is_second = s.shift_left_u64(places, s.splat_u64(u64::from(63 - bit)));
                for i in 0..count {
                    found[i] = s.select_by_sign_u64(is_second, found[i + count], found[i]);
                }
            }
            let in_word = if N > WORDS_READ {
                s.and_u8(places, bits_of_word)
            } else {
                places
            };
            // Whether the path comes from the lower predecessor, whose state lacks the bit.
            let lower = s.and_u8(s.shift_right_u64(found[0], in_word), one);
            let mut rest = s.or_u8(s.shift_right_u64(places, one), entering);
            if !is_ordered {
                let is_odd = s.and_u8(s.shift_left_u64(places, to_highest), top);
                rest = s.or_u8(rest, is_odd);
            }
            places = s.xor_u8(rest, s.shift_left_u64(lower, to_entering));
            all = s.or_u8(s.shift_left_u64(all, one), lower);
        }
        let steps = u64::MAX
            .checked_shr(64 - (last - first) as u32)
            .unwrap_or(0);
        for (path, lower) in paths.iter_mut().zip(lanes(s, all)) {
            path[word] = (!lower & steps) << (first - 64 * word);
        }
    }
    lanes(s, places).map(|place| {
        let state = if is_ordered {
            place
        } else {
            (place << 1 | place >> highest) & ((2 << highest) - 1)
        };
        state as usize
    })
}

/// The lanes of 64 bits.
#[inline(always)]
fn lanes<S: Simd>(s: S, x: S::I16x16) -> [u64; ROWS] {
    let mut bytes = [0; BYTES];
    s.store_u8(x, &mut bytes);
    let lanes = bytes.as_chunks::<8>().0;
    [lanes[0], lanes[1], lanes[2], lanes[3]].map(u64::from_le_bytes)
}
