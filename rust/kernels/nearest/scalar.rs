//! The definition.

use super::{Plan, Words};
use crate::kernels::LANES;

#[inline(always)]
pub fn block(u: &[f32], words: &Words, index: &mut [u16]) {
    let Words {
        block,
        words,
        half_norms,
    } = words;
    assert_eq!(u.len(), block * index.len(), "coordinates of the blocks");
    match block {
        1 => fixed::<1>(u, words, half_norms, index),
        2 => fixed::<2>(u, words, half_norms, index),
        3 => fixed::<3>(u, words, half_norms, index),
        4 => fixed::<4>(u, words, half_norms, index),
        5 => fixed::<5>(u, words, half_norms, index),
        6 => fixed::<6>(u, words, half_norms, index),
        7 => fixed::<7>(u, words, half_norms, index),
        8 => fixed::<8>(u, words, half_norms, index),
        _ => any(u, *block, words, half_norms, index),
    }
}

pub fn pruned(u: &[f32], plan: &Plan, index: &mut [u16]) {
    block(u, &plan.words, index);
}

/// A block size known when compiling: the coordinates of 16 blocks stay in registers.
#[inline(always)]
fn fixed<const P: usize>(u: &[f32], words: &[f32], half_norms: &[f32], index: &mut [u16]) {
    let blocks = index.len();
    for (group, out) in index.chunks_mut(LANES).enumerate() {
        let mut x = [[0f32; LANES]; P];
        for (j, lanes) in x.iter_mut().enumerate() {
            let from = j * blocks + group * LANES;
            lanes[..out.len()].copy_from_slice(&u[from..from + out.len()]);
        }
        let mut best = [f32::NEG_INFINITY; LANES];
        let mut winner = [0u32; LANES];
        let (words, _) = words.as_chunks::<P>();
        for ((k, word), &half) in (0u32..).zip(words).zip(half_norms) {
            let mut score = [-half; LANES];
            for (lanes, &c) in x.iter().zip(word) {
                for l in 0..LANES {
                    score[l] = lanes[l].mul_add(c, score[l]);
                }
            }
            for l in 0..LANES {
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

/// A block size known only now: the coordinates are read again for every codeword.
#[inline(always)]
fn any(u: &[f32], block: usize, words: &[f32], half_norms: &[f32], index: &mut [u16]) {
    let blocks = index.len();
    for (group, out) in index.chunks_mut(LANES).enumerate() {
        let live = out.len();
        let mut best = [f32::NEG_INFINITY; LANES];
        let mut winner = [0u32; LANES];
        for ((k, word), &half) in (0u32..).zip(words.chunks_exact(block)).zip(half_norms) {
            let mut score = [-half; LANES];
            for (j, &c) in word.iter().enumerate() {
                let from = j * blocks + group * LANES;
                if live == LANES {
                    let lanes = &u[from..from + LANES];
                    for l in 0..LANES {
                        score[l] = lanes[l].mul_add(c, score[l]);
                    }
                } else {
                    for (s, &value) in score.iter_mut().zip(&u[from..from + live]) {
                        *s = value.mul_add(c, *s);
                    }
                }
            }
            for l in 0..LANES {
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

pub fn gather(index: &[u16], words: &Words, out: &mut [f32]) {
    let Words { block, words, .. } = words;
    assert_eq!(out.len(), block * index.len(), "coordinates of the blocks");
    gather_from(0, index, words, out);
}

/// [`gather`] of the blocks from `first` on.
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
