//! The screen: small integers decide which codewords are worth an exact score.
//!
//! For blocks of seven or eight coordinates with 128 to 256 words, no grid leaves few candidates,
//! but most words lose by far. A cheap integer score with a proven error finds the two or three
//! words of 256 that can win, and only these are scored in float32, in order of k.
//!
//! **Mathematics.** Let C be the largest |c|, q = round(αu) and w = round(β(c + C)), all at most
//! 127 in magnitude. In integers
//!
//! ```text
//! r_k = Σ w_kj·q_j − round(βC·Σ q_j) − round(αβ·‖c_k‖²/2)    is αβ·s_k up to E,
//! E = (β·max_k Σ|c_kj| + Σ|q_j| + p)/2 + 2.
//! ```
//!
//! In E the halves are the roundings of q and w (|αu| is at most |q| + ½); the 2 holds the
//! roundings of the two constants and of the float32 scores. The winner is therefore among the
//! words with r_k ≥ max r − 2E. The sum is taken modulo 2¹⁶, which loses nothing while |r_k| < 2¹⁵;
//! this bounds Σ|q_j|, and a block beyond that bound is scored against all words.
//!
//! ```text
//! for each 8 blocks:  q, round(βC·Σ q_j), 2E, Σ|q_j|           one block per lane
//! for each block:
//!     for each 16 words:                                       one word per 16-bit lane
//!         r ← base(words) − round(βC·Σ q_j)
//!         for each 2 coordinates: r ← r + madd_u8_i8(w, q)
//!     limit ← max r − 2E − 1
//!     score the groups of 8 words in which some r > limit
//! ```
//!
//! **Cost.** Two coordinates of sixteen words are one multiply-add of bytes. A block of eight takes
//! four of these, four additions, a maximum and a store for sixteen words: 11 instructions, where
//! float32 takes 24. Finding and scoring the candidates takes about 130 more per block. Bound by
//! the number of instructions, 5 per coordinate for the sums alone; at one bit per coordinate no
//! order of the words makes most of the sums unnecessary.

use super::Words;
use crate::kernels::simd::{BYTES, LANES_16, LANES_32, Simd};

/// Words of a round: two vectors of 16-bit sums.
const WORDS_PER_ROUND: usize = BYTES;
/// The most rounds of a codebook.
pub const MAX_ROUNDS: usize = 256 / WORDS_PER_ROUND;
/// The most pairs of coordinates of a block.
const MAX_PAIRS: usize = 4;
/// The largest magnitude of q and w.
const MAX_BYTE: f32 = 127.0;
/// The largest |u| that q can hold.
const REACH: f32 = 3.9;

/// The words as small integers.
#[derive(Debug, Clone)]
pub struct Screen {
    /// α.
    scale: f32,
    /// βC.
    offset: f32,
    /// E without Σ|q_j|/2.
    slack: f32,
    /// The largest Σ|q_j| for which the sums stay in 16 bits.
    max_size: f32,
    /// The words in order, a round of 32 after the other.
    rounds: Vec<[Words16; 2]>,
}

/// Which of the 32 words of a round is in lane `lane` of vector `vector`: the order in which the
/// four bits of [`Simd::any_gt_i16`] stand for words 0 to 7, 8 to 15, 16 to 23 and 24 to 31.
fn word_of_lane(vector: usize, lane: usize) -> usize {
    lane % 8 + 8 * vector + lane / 8 * 16
}

impl Screen {
    /// Makes the screen of 128 to 256 words of 7 or 8 coordinates; none for other codebooks, and
    /// for coordinates so large or small that the bounds would not hold.
    pub fn new(words: &Words) -> Option<Self> {
        let (p, count) = (words.block, words.count());
        let largest = words.words.iter().fold(0f32, |a, c| a.max(c.abs()));
        let fits = (7..=8).contains(&p) && count.is_multiple_of(WORDS_PER_ROUND);
        if !fits
            || !(128..=MAX_ROUNDS * WORDS_PER_ROUND).contains(&count)
            || !(1e-3..1e3).contains(&largest)
        {
            return None;
        }
        let scale = MAX_BYTE / REACH;
        let unit = MAX_BYTE / (2.0 * largest);
        let small = |c: f32| ((c + largest) * unit).round().clamp(0.0, MAX_BYTE) as u8;
        let half = |k: usize| (scale * unit * words.half_norms[k]).round();
        let sum = |word: &[f32]| word.iter().map(|c| c.abs()).sum::<f32>();
        let widest = words.words.chunks_exact(p).map(sum).fold(0f32, f32::max);
        let largest_half = (0..count).map(half).fold(0f32, f32::max);
        let slack = 0.5 * (unit * widest + p as f32) + 2.0;
        // |r| ≤ αβ(|⟨u, c⟩| + ‖c‖²/2) + E ≤ βC(Σ|q| + p/2) + largest_half + slack + Σ|q|/2.
        let room = 32_000.0 - largest_half - slack - unit * largest * 0.5 * p as f32;
        let max_size = (room / (unit * largest + 0.5)).floor();
        if max_size < 1.5 * p as f32 * scale {
            return None;
        }
        let words16 = |first: usize, vector: usize| {
            let k = |lane| first + word_of_lane(vector, lane);
            let byte = |pair: usize, byte: usize| {
                let word = &words.words[k(byte / 2) * p..][..p];
                word.get(2 * pair + byte % 2).map_or(0, |&c| small(c))
            };
            Words16 {
                base: std::array::from_fn(|lane| -half(k(lane)) as i16),
                pairs: std::array::from_fn(|pair| std::array::from_fn(|i| byte(pair, i))),
            }
        };
        let rounds = (0..count)
            .step_by(WORDS_PER_ROUND)
            .map(|first| [words16(first, 0), words16(first, 1)])
            .collect();
        Some(Self {
            scale,
            offset: unit * largest,
            slack,
            max_size,
            rounds,
        })
    }

    /// Rounds eight blocks, one per lane, to small integers.
    #[inline(always)]
    pub fn prepare<S: Simd, const P: usize>(&self, s: S, x: &[S::F32x8; P]) -> Blocks8 {
        let scale = s.splat(self.scale);
        let (mut sum, mut size, mut largest) = (s.splat(0.0), s.splat(0.0), s.splat(0.0));
        let mut blocks = Blocks8::default();
        let mut even = s.splat_i32(0);
        for (j, &x) in x.iter().enumerate() {
            let q = s.round_ties_even(s.mul(x, scale));
            sum = s.add(sum, q);
            size = s.add(size, s.abs(q));
            largest = s.max(s.abs(q), largest);
            // Two coordinates are the two low bytes of a lane.
            let byte = s.and_i32(s.to_i32(q), s.splat_i32(0xff));
            if j % 2 == 0 {
                even = byte;
                s.store_i32(even, &mut blocks.pairs[j / 2]);
            } else {
                let both = s.add_i32(even, s.shift_left_8(byte));
                s.store_i32(both, &mut blocks.pairs[j / 2]);
            }
        }
        let center = s.round_ties_even(s.mul(sum, s.splat(-self.offset)));
        s.store_i32(s.to_i32(center), &mut blocks.center);
        let slack = s.fma(size, s.splat(0.5), s.splat(self.slack));
        let reach = s.round_ties_even(s.add(s.add(slack, slack), s.splat(1.0)));
        s.store_i32(s.to_i32(reach), &mut blocks.reach);
        // A block with a NaN, or with a q that a byte does not hold, is out of range.
        let fits = s.gt(s.splat(MAX_BYTE + 0.5), largest);
        s.store(
            s.select(fits, size, s.splat(f32::INFINITY)),
            &mut blocks.size,
        );
        blocks
    }

    /// Computes r_k of block i of eight for all words, and returns the lanes' maxima.
    #[inline(always)]
    pub fn sums<S: Simd, const P: usize>(
        &self,
        s: S,
        blocks: &Blocks8,
        i: usize,
        sums: &mut Sums<S>,
    ) -> S::I16x16 {
        let mut q = [s.splat_i16(0); MAX_PAIRS];
        for (q, from) in q.iter_mut().zip(&blocks.pairs) {
            *q = s.splat_i16(from[i] as i16);
        }
        let center = s.splat_i16(blocks.center[i] as i16);
        let mut max = s.splat_i16(i16::MIN);
        for (sums, words) in sums.iter_mut().zip(&self.rounds) {
            for (sum, words) in sums.iter_mut().zip(words) {
                let mut r = s.add_i16(center, s.load_i16(&words.base));
                for (words, &q) in words.pairs.iter().zip(&q).take(const { P.div_ceil(2) }) {
                    r = s.add_i16(r, s.madd_u8_i8(words, q));
                }
                max = s.max_i16(max, r);
                *sum = r;
            }
        }
        max
    }

    /// The groups of eight words that may win block i of eight, as one bit per group; all groups if
    /// the block is out of range. `max` is what [`sums`](Self::sums) returned.
    #[inline(always)]
    pub fn groups<S: Simd>(
        &self,
        s: S,
        blocks: &Blocks8,
        i: usize,
        sums: &Sums<S>,
        max: S::I16x16,
    ) -> u32 {
        let in_range = blocks.size[i] <= self.max_size;
        if !in_range {
            return u32::MAX >> (32 - 4 * self.rounds.len());
        }
        let limit = i32::from(s.reduce_max_i16(max)) - blocks.reach[i] - 1;
        let limit = s.splat_i16(limit.max(-32_768) as i16);
        let mut found = 0;
        for (round, (sums, _)) in sums.iter().zip(&self.rounds).enumerate() {
            found |= s.any_gt_i16(sums[0], sums[1], limit) << (4 * round);
        }
        found
    }
}

/// r_k of one block, round by round.
pub type Sums<S> = [[<S as Simd>::I16x16; 2]; MAX_ROUNDS];

/// Sixteen words, one per 16-bit lane.
#[derive(Debug, Clone, Copy)]
#[repr(align(32))]
struct Words16 {
    /// −round(αβ‖c‖²/2) of each word.
    base: [i16; LANES_16],
    /// w of each word for each pair of coordinates: two bytes per lane.
    pairs: [[u8; BYTES]; MAX_PAIRS],
}

/// Eight blocks as small integers, one block per lane.
#[derive(Default)]
pub struct Blocks8 {
    /// q_j and q_(j + 1), for even j, in the two low bytes.
    pairs: [[i32; LANES_32]; MAX_PAIRS],
    /// −round(βC Σ q_j).
    center: [i32; LANES_32],
    /// 2E, rounded up.
    reach: [i32; LANES_32],
    /// Σ|q_j|.
    size: [f32; LANES_32],
}
