//! Small integers decide which words are worth an exact score.
//!
//! For blocks of seven or eight coordinates and 128 to 256 words no grid leaves few candidates, but most words lose by far. Let q = round(αu) and
//! w = round(β(c + C)), C the largest |c|, both at most 127 in size; then in whole numbers
//! r_k = Σ w_kj q_j − round(βC Σ q_j) − round(αβ‖c_k‖²/2) is αβ·s_k up to
//! E = (β·max_k Σ|c_kj| + Σ|q_j| + p)/2 + 2 (the halves are the roundings; αu is at most |q| + ½; the last two hold the roundings of the constants and
//! of the float32 scores), so the winner is among the words with r_k ≥ max r − 2E. These, two or three of 256, get their exact scores in order of
//! k. The sum is taken modulo 2¹⁶, which is no loss while |r_k| < 2¹⁵: that bounds Σ|q_j|, and a block beyond goes against all words.
//!
//! Sixteen words are a vector of 16-bit sums; two coordinates of all of them are one multiply-add of bytes. A block of 8 takes four of these, four
//! additions, a maximum and a store for sixteen words, 11 instructions where float32 takes 24, and about 130 more for finding and scoring what is left.
//! Bound by their number, 5 a coordinate for the sums alone: no order of the words makes most of them unnecessary at one bit a coordinate.

use super::Words;
use crate::kernels::simd::{BYTES, LANES_16, LANES_32, Simd};

/// Words that are looked at together: two vectors of 16-bit sums.
const TOGETHER: usize = BYTES;
/// Most of these in a codebook.
pub const MOST: usize = 256 / TOGETHER;
/// Most pairs of coordinates.
const MOST_PAIRS: usize = 4;
/// Largest small integer.
const LARGEST: f32 = 127.0;
/// Coordinates of u up to here are in range of q.
const REACH: f32 = 3.9;

/// The words as small integers.
#[derive(Debug, Clone)]
pub struct Screen {
    /// α.
    scale: f32,
    /// round(βC Σ q_j) is this times Σ q_j.
    centre: f32,
    /// E without Σ|q_j|/2.
    slack: f32,
    /// Σ|q_j| up to here keeps the sums in range.
    most: f32,
    /// The words in order, 32 together.
    words: Vec<[Sixteen; 2]>,
}

/// Which of 32 words is in lane `lane` of vector `vector` of two, so that [`Simd::any_gt_i16`] has its four groups of eight in order.
fn place(vector: usize, lane: usize) -> usize {
    lane % 8 + 8 * vector + lane / 8 * 16
}

impl Screen {
    /// For 128 to 256 words of 7 or 8 coordinates with usual sizes; none for others.
    pub fn new(words: &Words) -> Option<Self> {
        let (p, count) = (words.block, words.count());
        let largest = words.words.iter().fold(0f32, |a, c| a.max(c.abs()));
        let fits = (7..=8).contains(&p) && count.is_multiple_of(TOGETHER);
        if !fits || !(128..=MOST * TOGETHER).contains(&count) || !(1e-3..1e3).contains(&largest) {
            return None;
        }
        let scale = LARGEST / REACH;
        let unit = LARGEST / (2.0 * largest);
        let small = |c: f32| ((c + largest) * unit).round().clamp(0.0, LARGEST) as u8;
        let half = |k: usize| (scale * unit * words.half_norms[k]).round();
        let sum = |word: &[f32]| word.iter().map(|c| c.abs()).sum::<f32>();
        let widest = words.words.chunks_exact(p).map(sum).fold(0f32, f32::max);
        let deepest = (0..count).map(half).fold(0f32, f32::max);
        let slack = 0.5 * (unit * widest + p as f32) + 2.0;
        // |r| ≤ αβ(|⟨u, c⟩| + ‖c‖²/2) + E ≤ βC(Σ|q| + p/2) + deepest + slack + Σ|q|/2.
        let room = 32_000.0 - deepest - slack - unit * largest * 0.5 * p as f32;
        let most = (room / (unit * largest + 0.5)).floor();
        if most < 1.5 * p as f32 * scale {
            return None;
        }
        let sixteen = |first: usize, vector: usize| {
            let k = |lane| first + place(vector, lane);
            let byte = |pair: usize, byte: usize| {
                let word = &words.words[k(byte / 2) * p..][..p];
                word.get(2 * pair + byte % 2).map_or(0, |&c| small(c))
            };
            Sixteen {
                base: std::array::from_fn(|lane| -half(k(lane)) as i16),
                pairs: std::array::from_fn(|pair| std::array::from_fn(|i| byte(pair, i))),
            }
        };
        let words = (0..count)
            .step_by(TOGETHER)
            .map(|first| [sixteen(first, 0), sixteen(first, 1)])
            .collect();
        Some(Self {
            scale,
            centre: unit * largest,
            slack,
            most,
            words,
        })
    }

    /// What eight blocks are in small integers.
    #[inline(always)]
    pub fn prepare<S: Simd, const P: usize>(&self, s: S, x: &[S::F32x8; P]) -> Eight {
        let scale = s.splat(self.scale);
        let (mut sum, mut size, mut largest) = (s.splat(0.0), s.splat(0.0), s.splat(0.0));
        let mut eight = Eight::default();
        let mut even = s.splat_i32(0);
        for (j, &x) in x.iter().enumerate() {
            let q = s.round_ties_even(s.mul(x, scale));
            sum = s.add(sum, q);
            size = s.add(size, s.abs(q));
            largest = s.max(s.abs(q), largest);
            // The low bytes of two coordinates in the low half of a lane.
            let byte = s.and_i32(s.to_i32(q), s.splat_i32(0xff));
            if j % 2 == 0 {
                even = byte;
                s.store_i32(even, &mut eight.pairs[j / 2]);
            } else {
                let both = s.add_i32(even, s.shift_left_8(byte));
                s.store_i32(both, &mut eight.pairs[j / 2]);
            }
        }
        let centre = s.round_ties_even(s.mul(sum, s.splat(-self.centre)));
        s.store_i32(s.to_i32(centre), &mut eight.centre);
        let slack = s.fma(size, s.splat(0.5), s.splat(self.slack));
        let reach = s.round_ties_even(s.add(s.add(slack, slack), s.splat(1.0)));
        s.store_i32(s.to_i32(reach), &mut eight.reach);
        // Neither a byte that does not hold q nor a NaN is in range.
        let bytes = s.gt(s.splat(LARGEST + 0.5), largest);
        s.store(
            s.select(bytes, size, s.splat(f32::INFINITY)),
            &mut eight.size,
        );
        eight
    }

    /// r_k of block i of eight for all words, and the greatest.
    #[inline(always)]
    pub fn sums<S: Simd, const P: usize>(
        &self,
        s: S,
        eight: &Eight,
        i: usize,
        sums: &mut Sums<S>,
    ) -> S::I16x16 {
        let mut q = [s.splat_i16(0); MOST_PAIRS];
        for (q, from) in q.iter_mut().zip(&eight.pairs) {
            *q = s.splat_i16(from[i] as i16);
        }
        let centre = s.splat_i16(eight.centre[i] as i16);
        let mut most = s.splat_i16(i16::MIN);
        for (sums, words) in sums.iter_mut().zip(&self.words) {
            for (sum, words) in sums.iter_mut().zip(words) {
                let mut r = s.add_i16(centre, s.load_i16(&words.base));
                for (words, &q) in words.pairs.iter().zip(&q).take(const { P.div_ceil(2) }) {
                    r = s.add_i16(r, s.madd_u8_i8(words, q));
                }
                most = s.max_i16(most, r);
                *sum = r;
            }
        }
        most
    }

    /// The groups of eight words that may win block i of eight, a bit each; all of them if the block is out of range.
    #[inline(always)]
    pub fn groups<S: Simd>(
        &self,
        s: S,
        eight: &Eight,
        i: usize,
        sums: &Sums<S>,
        most: S::I16x16,
    ) -> u32 {
        let in_range = eight.size[i] <= self.most;
        if !in_range {
            return u32::MAX >> (32 - 4 * self.words.len());
        }
        let limit = i32::from(s.reduce_max_i16(most)) - eight.reach[i] - 1;
        let limit = s.splat_i16(limit.max(-32_768) as i16);
        let mut found = 0;
        for (place, (sums, _)) in sums.iter().zip(&self.words).enumerate() {
            found |= s.any_gt_i16(sums[0], sums[1], limit) << (4 * place);
        }
        found
    }
}

/// r_k of one block, 32 words together.
pub type Sums<S> = [[<S as Simd>::I16x16; 2]; MOST];

/// Sixteen words.
#[derive(Debug, Clone, Copy)]
#[repr(align(32))]
struct Sixteen {
    /// −round(αβ‖c‖²/2) of each.
    base: [i16; LANES_16],
    /// w for each pair of coordinates: the two bytes of each word side by side.
    pairs: [[u8; BYTES]; MOST_PAIRS],
}

/// Eight blocks as small integers.
#[derive(Default)]
pub struct Eight {
    /// q_j and q_(j + 1) in the low bytes.
    pairs: [[i32; LANES_32]; MOST_PAIRS],
    /// −round(βC Σ q_j).
    centre: [i32; LANES_32],
    /// 2E, rounded up.
    reach: [i32; LANES_32],
    /// Σ|q_j|.
    size: [f32; LANES_32],
}
