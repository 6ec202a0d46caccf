//! The search by a screen with four products of bytes per instruction.
//!
//! It is the search of `screen.rs` with the words in another order, which makes most of the
//! comparisons unnecessary. The words are in sixteen groups of V = K/16, and lane g has the words
//! of group g, so that the largest sum of each lane is that of its group:
//!
//! ```text
//! vector 0:      words 0     V     2V    …   15V
//! vector 1:      words 1     V+1   2V+1  …   15V+1
//!   …              …
//! vector V−1:    words V−1   2V−1  3V−1  …   16V−1
//! maximum:       group 0     1     2     …   15
//! ```
//!
//! **Mathematics.** With C the largest |c|, α and β = 127/C, q = round(αu) and w = round(βc), both
//! at most 127 in magnitude,
//!
//! ```text
//! r_k = Σ w_kj·q_j − round(αβ·‖c_k‖²/2)    is αβ·s_k up to E,
//! E = (β·max_k Σ|c_kj| + Σ|q_j| + p)/2 + 2,
//! ```
//!
//! as in `screen.rs`, where w has half the resolution. The instruction multiplies unsigned bytes,
//! q + 128, with signed ones; 128·Σ w_kj is part of the constant of the word. Sums have 32 bits, so
//! that only a block with a |q_j| beyond a byte is scored against all words.
//!
//! ```text
//! for each tile of 64 blocks:
//!     for each 16 blocks:  q_j + 128, 2E                         one block per lane
//!     for each block:
//!         for each 16 words:  max ← max(max, r)                  one group per lane
//!         append the groups whose maximum is at least max r − 2E to the list of the tile
//!     for each block and group of the list:
//!         score the words of the group; keep the highest, and the lowest word among equal ones
//! ```
//!
//! The list has the groups of all blocks of a tile, so that no branch depends on their number.
//!
//! **Cost.** Sixteen words of a block take two products of four bytes, a maximum and three loads.
//! At K = 256 these are 48 instructions of the vector units per block of eight coordinates, and a
//! group of the list, of which a block has two or three, takes about 35.

use super::{Plan, Words, vector};
use crate::isa::Avx512;

/// Groups of words, one per lane.
const GROUPS: usize = 16;
/// The most words of a group, one per lane of its scores.
const MAX_WORDS_PER_GROUP: usize = 16;
/// The most coordinates of a block.
const MAX_COORDINATES: usize = 8;
/// The largest magnitude of q and w.
const MAX_BYTE: f32 = 127.0;
/// α.
const SCALE: f32 = MAX_BYTE / 3.9;
/// Blocks of a tile.
const BLOCKS_PER_TILE: usize = 64;

/// The words as small integers, and as float32 group by group.
#[derive(Debug, Clone)]
pub struct Wide {
    /// 2E − Σ|q_j|, rounded up.
    reach: i32,
    /// V vectors.
    vectors: Vec<Small>,
    groups: Vec<Group>,
}

/// A word of each group.
#[derive(Debug, Clone)]
#[repr(align(64))]
struct Small {
    /// −round(αβ‖c‖²/2) − 128·Σ w.
    base: [i32; GROUPS],
    /// w of coordinates 0 to 3 and 4 to 7.
    bytes: [[i8; 4 * GROUPS]; 2],
}

/// The words of a group, one per lane.
#[derive(Debug, Clone)]
#[repr(align(64))]
struct Group {
    /// −‖c‖²/2; −∞ in a lane without a word.
    base: [f32; MAX_WORDS_PER_GROUP],
    coordinates: [[f32; MAX_WORDS_PER_GROUP]; MAX_COORDINATES],
}

impl Wide {
    /// Arranges words for which there is a [`Screen`](super::Screen): a multiple of 32, from 128 to
    /// 256, of seven or eight moderate coordinates.
    pub fn new(words: &Words) -> Self {
        let (p, per_group) = (words.block, words.count() / GROUPS);
        let largest = words.words.iter().fold(0f32, |a, c| a.max(c.abs()));
        let unit = MAX_BYTE / largest;
        let word = |k: usize| &words.words[k * p..][..p];
        let small = |c: f32| (c * unit).round().clamp(-MAX_BYTE, MAX_BYTE) as i8;
        let base = |k: usize| {
            let sum: i32 = word(k).iter().map(|&c| i32::from(small(c))).sum();
            -(SCALE * unit * words.half_norms[k]).round() as i32 - 128 * sum
        };
        let byte = |k: usize, j: usize| word(k).get(j).map_or(0, |&c| small(c));
        let vectors = (0..per_group).map(|v| Small {
            base: std::array::from_fn(|g| base(g * per_group + v)),
            bytes: [0, 4]
                .map(|first| std::array::from_fn(|i| byte(i / 4 * per_group + v, first + i % 4))),
        });
        let groups = (0..GROUPS).map(|g| {
            let of = |lane: usize| (lane < per_group).then_some(g * per_group + lane);
            let value = |lane, j| of(lane).and_then(|k| word(k).get(j).copied());
            Group {
                base: std::array::from_fn(|lane| {
                    of(lane).map_or(f32::NEG_INFINITY, |k| -words.half_norms[k])
                }),
                coordinates: std::array::from_fn(|j| {
                    std::array::from_fn(|lane| value(lane, j).unwrap_or(0.0))
                }),
            }
        });
        let size = |word: &[f32]| word.iter().map(|c| c.abs()).sum::<f32>();
        let widest = words.words.chunks_exact(p).map(size).fold(0f32, f32::max);
        Self {
            reach: (unit * widest + p as f32 + 4.0).ceil() as i32 + 1,
            vectors: vectors.collect(),
            groups: groups.collect(),
        }
    }
}

#[inline(always)]
pub fn pruned(s: Avx512, u: &[f32], plan: &Plan, index: &mut [u16]) {
    match (&plan.wide, plan.words.block) {
        (Some(wide), 7) => search::<7>(s, u, wide, index),
        (Some(wide), 8) => search::<8>(s, u, wide, index),
        _ => vector::pruned(s.avx2(), u, plan, index),
    }
}

/// Coordinate j of each block of a tile.
type Tile<const P: usize> = [[f32; BLOCKS_PER_TILE]; P];

/// The blocks of a tile as small integers.
#[repr(align(64))]
struct Blocks {
    /// q + 128 of coordinates 0 to 3 and 4 to 7 of each block, the first in the low bits.
    bytes: [[[i32; 16]; BLOCKS_PER_TILE / 16]; 2],
    /// 2E, rounded up; the largest number if a byte does not hold a q.
    reach: [[i32; 16]; BLOCKS_PER_TILE / 16],
}

#[inline(always)]
fn search<const P: usize>(s: Avx512, u: &[f32], wide: &Wide, index: &mut [u16]) {
    let blocks = index.len();
    assert_eq!(u.len(), P * blocks, "coordinates of the blocks");
    let mut x = [[0f32; BLOCKS_PER_TILE]; P];
    let mut small = Blocks {
        bytes: [[[0; 16]; 4]; 2],
        reach: [[0; 16]; 4],
    };
    let mut list = [0; (BLOCKS_PER_TILE + 1) * GROUPS];
    for (tile, out) in index.chunks_mut(BLOCKS_PER_TILE).enumerate() {
        for (j, lanes) in x.iter_mut().enumerate() {
            // Lanes after the last block keep old values, whose results are not used.
            let rest = &u[j * blocks + tile * BLOCKS_PER_TILE..];
            match rest.first_chunk() {
                Some(full) => *lanes = *full,
                None => lanes[..rest.len()].copy_from_slice(rest),
            }
        }
        for sixteen in 0..out.len().div_ceil(16) {
            prepare(s, &x, sixteen, wide.reach, &mut small);
        }
        let mut length = 0;
        for i in 0..out.len() {
            length += candidates(s, wide, &small, i, &mut list[length..]);
        }
        choose(s, &x, wide, &list[..length], out);
    }
}

/// Rounds sixteen blocks, one per lane, to small integers.
#[inline(always)]
fn prepare<const P: usize>(
    s: Avx512,
    x: &Tile<P>,
    sixteen: usize,
    reach: i32,
    blocks: &mut Blocks,
) {
    let (scale, limit) = (s.splat(SCALE), s.splat(MAX_BYTE + 0.5));
    let mut bytes = [s.zero(); 2];
    let mut size = s.splat_i32(reach);
    let mut fits = u16::MAX;
    for (j, lanes) in x.iter().enumerate() {
        let x = s.mul(s.load(&lanes.as_chunks().0[sixteen]), scale);
        // False for NaN too.
        fits &= s.lt(s.abs(x), limit);
        let q = s.round_to_i32(x);
        size = s.add_i32(size, s.abs_i32(q));
        let byte = s.and(s.add_i32(q, s.splat_i32(128)), s.splat_i32(0xff));
        let byte = match j % 4 {
            0 => byte,
            1 => s.shift_left_u32::<8>(byte),
            2 => s.shift_left_u32::<16>(byte),
            _ => s.shift_left_u32::<24>(byte),
        };
        bytes[j / 4] = s.add_i32(bytes[j / 4], byte);
    }
    for (to, bytes) in blocks.bytes.iter_mut().zip(bytes) {
        s.store_i32(bytes, &mut to[sixteen]);
    }
    let size = s.select_i32(fits, s.splat_i32(i32::MAX / 2), size);
    s.store_i32(size, &mut blocks.reach[sixteen]);
}

/// Writes the groups that may win block i, each as 16i + group, and returns their number.
#[inline(always)]
fn candidates(s: Avx512, wide: &Wide, blocks: &Blocks, i: usize, list: &mut [i32]) -> usize {
    let [low, high] = &blocks.bytes;
    let q = [
        s.splat_i32(low.as_flattened()[i]),
        s.splat_i32(high.as_flattened()[i]),
    ];
    let mut maxima = s.splat_i32(i32::MIN);
    for small in &wide.vectors {
        let mut r = s.load_i32(&small.base);
        r = s.dot_u8_i8(r, q[0], s.load_i8(&small.bytes[0]));
        r = s.dot_u8_i8(r, q[1], s.load_i8(&small.bytes[1]));
        maxima = s.max_i32(maxima, r);
    }
    let least = s.largest_i32(maxima) - blocks.reach.as_flattened()[i];
    let may_win = s.ge_i32(maxima, s.splat_i32(least));
    let numbers = s.add_i32(s.load_i32(&NUMBERS), s.splat_i32((i * GROUPS) as i32));
    if let Some(to) = list.first_chunk_mut() {
        s.store_i32(s.compress_i32(may_win, numbers), to);
    }
    may_win.count_ones() as usize
}

/// 0, 1, …, 15.
const NUMBERS: [i32; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

/// Scores the groups of a list of candidates and writes the words that win.
#[inline(always)]
fn choose<const P: usize>(s: Avx512, x: &Tile<P>, wide: &Wide, list: &[i32], out: &mut [u16]) {
    let mut best = [rank(f32::NEG_INFINITY, 0); BLOCKS_PER_TILE];
    let per_group = wide.vectors.len() as u32;
    for &candidate in list {
        let (i, g) = (
            candidate as usize / GROUPS % BLOCKS_PER_TILE,
            candidate as usize % GROUPS,
        );
        let group = &wide.groups[g];
        let mut score = s.load(&group.base);
        for (x, c) in x.iter().zip(&group.coordinates) {
            score = s.fma(s.splat(x[i]), s.load(c), score);
        }
        // A score that is NaN never wins.
        let score = s.max(score, s.splat(f32::NEG_INFINITY));
        let highest = s.largest(score);
        let word = g as u32 * per_group + s.eq(score, s.splat(highest)).trailing_zeros();
        best[i] = best[i].max(rank(highest, word));
    }
    for (out, best) in out.iter_mut().zip(best) {
        *out = !best as u16;
    }
}

/// A number in the order of the scores, and of equal ones in the reverse order of the words.
#[inline(always)]
fn rank(score: f32, word: u32) -> u64 {
    // Adding 0 makes a −0, which equals 0, a 0. The bits of floats that are not negative are in
    // order; those of negative ones are in reverse order, below them once their sign is flipped.
    let bits = (score + 0.0).to_bits();
    let ordered = bits ^ (((bits as i32 >> 31) as u32) | 1 << 31);
    u64::from(ordered) << 32 | u64::from(!word)
}
