//! The definition: scores of all codewords, sixteen blocks side by side.

use super::{Plan, Words};
use crate::kernels::SUM_LANES;

#[inline(always)]
pub fn brute_force(u: &[f32], words: &Words, index: &mut [u16]) {
    let Words {
        block,
        words,
        half_norms,
    } = words;
    assert_eq!(u.len(), block * index.len(), "coordinates of the blocks");
    match block {
        1 => known_size::<1>(u, words, half_norms, index),
        2 => known_size::<2>(u, words, half_norms, index),
        3 => known_size::<3>(u, words, half_norms, index),
        4 => known_size::<4>(u, words, half_norms, index),
        5 => known_size::<5>(u, words, half_norms, index),
        6 => known_size::<6>(u, words, half_norms, index),
        7 => known_size::<7>(u, words, half_norms, index),
        8 => known_size::<8>(u, words, half_norms, index),
        _ => any_size(u, *block, words, half_norms, index),
    }
}

pub fn pruned(u: &[f32], plan: &Plan, index: &mut [u16]) {
    brute_force(u, &plan.words, index);
}

/// A block size that is known when compiling: the coordinates of 16 blocks stay in registers.
#[inline(always)]
fn known_size<const P: usize>(u: &[f32], words: &[f32], half_norms: &[f32], index: &mut [u16]) {
    let blocks = index.len();
    for (group, out) in index.chunks_mut(SUM_LANES).enumerate() {
        let mut x = [[0f32; SUM_LANES]; P];
        for (j, lanes) in x.iter_mut().enumerate() {
            let from = j * blocks + group * SUM_LANES;
            lanes[..out.len()].copy_from_slice(&u[from..from + out.len()]);
        }
        let mut best = [f32::NEG_INFINITY; SUM_LANES];
        let mut winner = [0u32; SUM_LANES];
        let (words, _) = words.as_chunks::<P>();
        for ((k, word), &half) in (0u32..).zip(words).zip(half_norms) {
            let mut score = [-half; SUM_LANES];
            for (lanes, &c) in x.iter().zip(word) {
                for l in 0..SUM_LANES {
                    score[l] = lanes[l].mul_add(c, score[l]);
                }
            }
            for l in 0..SUM_LANES {
                let better = score[l] > best[l];
                best[l] = if better { score[l] } else { best[l] };
                winner[l] = if better { k } else { winner[l] };
            }
        }
        for (slot, &k) in out.iter_mut().zip(&winner) {
            *slot = k as u16;
        }
    }
}

/// A block size that is known only at run time: the coordinates of 16 blocks stand side by side in
/// the first-level cache and are read once for four codewords, whose eight vectors of sums are as
/// many as the two multiply-add units have in flight.
#[inline(always)]
fn any_size(u: &[f32], block: usize, words: &[f32], half_norms: &[f32], index: &mut [u16]) {
    let blocks = index.len();
    let mut x = vec![[0f32; SUM_LANES]; block];
    for (group, out) in index.chunks_mut(SUM_LANES).enumerate() {
        for (j, lanes) in x.iter_mut().enumerate() {
            let from = j * blocks + group * SUM_LANES;
            lanes[..out.len()].copy_from_slice(&u[from..from + out.len()]);
        }
        let mut best = [f32::NEG_INFINITY; SUM_LANES];
        let mut winner = [0u32; SUM_LANES];
        let mut k = 0;
        let mut keep = |score: [f32; SUM_LANES]| {
            for l in 0..SUM_LANES {
                let better = score[l] > best[l];
                best[l] = if better { score[l] } else { best[l] };
                winner[l] = if better { k } else { winner[l] };
            }
            k += 1;
        };
        let (fours, rest) = half_norms.as_chunks::<4>();
        let (in_fours, in_rest) = words.split_at(4 * fours.len() * block);
        for (four, halves) in in_fours.chunks_exact(4 * block).zip(fours) {
            let [mut s0, mut s1, mut s2, mut s3] = halves.map(|half| [-half; SUM_LANES]);
            let (w01, w23) = four.split_at(2 * block);
            let ((w0, w1), (w2, w3)) = (w01.split_at(block), w23.split_at(block));
            for ((((lanes, c0), c1), c2), c3) in x.iter().zip(w0).zip(w1).zip(w2).zip(w3) {
                add_products(&mut s0, lanes, *c0);
                add_products(&mut s1, lanes, *c1);
                add_products(&mut s2, lanes, *c2);
                add_products(&mut s3, lanes, *c3);
            }
            [s0, s1, s2, s3].into_iter().for_each(&mut keep);
        }
        for (word, half) in in_rest.chunks_exact(block).zip(rest) {
            let mut score = [-half; SUM_LANES];
            for (lanes, c) in x.iter().zip(word) {
                add_products(&mut score, lanes, *c);
            }
            keep(score);
        }
        for (slot, &k) in out.iter_mut().zip(&winner) {
            *slot = k as u16;
        }
    }
}

/// Adds the products of one coordinate of sixteen blocks with that of a codeword.
#[inline(always)]
fn add_products(score: &mut [f32; SUM_LANES], lanes: &[f32; SUM_LANES], c: f32) {
    for l in 0..SUM_LANES {
        score[l] = lanes[l].mul_add(c, score[l]);
    }
}

pub fn gather(index: &[u16], words: &Words, out: &mut [f32]) {
    let Words { block, words, .. } = words;
    assert_eq!(out.len(), block * index.len(), "coordinates of the blocks");
    gather_from(0, index, words, out);
}

/// [`gather`] for the blocks from `first` on.
#[inline(always)]
pub fn gather_from(first: usize, index: &[u16], words: &[f32], out: &mut [f32]) {
    let blocks = index.len();
    let block = out.len() / blocks.max(1);
    for (i, &k) in index.iter().enumerate().skip(first) {
        let word = &words[usize::from(k) * block..][..block];
        for (j, &c) in word.iter().enumerate() {
            out[i + j * blocks] = c;
        }
    }
}
