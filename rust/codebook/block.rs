//! The codebook of a block: k-means for the exact law of p coordinates of a uniform point of the sphere (arXiv 2605.19972).
//!
//! A block u of p coordinates has density ∝ (1 − ‖u‖²/d)^((d−p−2)/2) on the ball of radius √d (at p = d it is the sphere itself); as d grows
//! it tends to N(0, I). The codebook of K = 2^w words minimises E‖u − c(u)‖² and depends on (d, p, K) only.
//!
//! **How it is made.**
//! 1. *Frozen tables.* For the shapes in use (`SHAPES`) the crate carries the codebook for N(0, I), made once by `examples/freeze_codebooks.rs`
//!    with far more samples than a construction could afford; fixed point of 2⁻¹², 16 bits a coordinate. Other shapes start from points of the best density
//!    f^(p/(p+2)).
//! 2. *To the exact law.* The law differs from the limit by O(p/d), and the error of a codebook near its optimum grows with the square of its
//!    displacement, so from d = 48 on (and above p²) a frozen table is used as it stands: what refining it could win is below what a sample of affordable size would lose
//!    (a codebook fitted to n samples a word is worse by 1/n).
//! 3. *Else Lloyd steps* on samples of the exact law of d (deterministic, both signs), from the start scaled to fit, the better of
//!    before and after on other samples.
//!
//! p = 1 is the Lloyd–Max solution ([`scalar`](super::scalar)) up to 8 bits.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use super::kmeans::{self, Samples};
use super::scalar::{Law, distortion, lloyd_max};
use crate::error::{Error, Result};
use crate::rng::SeedStream;

const LABEL_CODEBOOK: u64 = 4;
const LABEL_DISTORTION: u64 = 5;

/// (p, w) of the frozen tables beyond p in 2…8 with w in 1…8, in the order of the file.
const LARGE: [(usize, u32); 9] = [
    (2, 10),
    (3, 9),
    (3, 10),
    (3, 12),
    (4, 10),
    (4, 12),
    (5, 10),
    (6, 12),
    (12, 12),
];

/// Fixed point of the frozen tables: 2⁻¹².
pub const FROZEN_UNIT: f32 = 1.0 / 4096.0;

static FROZEN: &[u8] = include_bytes!("gaussian.bin");

/// The (p, w) of the frozen tables, in the order of the file.
pub fn frozen_shapes() -> impl Iterator<Item = (usize, u32)> {
    (2..=8)
        .flat_map(|p| (1..=8).map(move |w| (p, w)))
        .chain(LARGE)
}

/// The frozen table of p and w, where there is one.
fn frozen(block: usize, width: u32) -> Option<Vec<f32>> {
    let mut from = 0;
    for (p, w) in frozen_shapes() {
        let bytes = (2 * p) << w;
        if (p, w) == (block, width) {
            let (pairs, _) = FROZEN.get(from..from + bytes)?.as_chunks::<2>();
            let value = |pair: &[u8; 2]| f32::from(i16::from_le_bytes(*pair)) * FROZEN_UNIT;
            return Some(pairs.iter().map(value).collect());
        }
        from += bytes;
    }
    None
}

/// The codebook of (d, p, w).
#[derive(Debug)]
pub struct BlockCodebook {
    /// d.
    pub dim: usize,
    /// p, coordinates of a block.
    pub block: usize,
    /// w, bits of an index.
    pub width: u32,
    /// 2^w × p, word by word, in units of u.
    pub words: Vec<f32>,
    nmse: OnceLock<f64>,
}

impl BlockCodebook {
    /// Its own expected error E‖u − c(u)‖²/p under the exact law: exact for p = 1, else from 2²⁰ samples (relative standard error
    /// about 0.2 %; 2¹⁸ beyond K = 256, 2¹⁵ beyond 4096).
    /// Computed at the first call.
    pub fn nmse(&self) -> f64 {
        *self.nmse.get_or_init(|| {
            if self.block == 1 && self.width <= 8 {
                return distortion(Law::Sphere { dim: self.dim }, &self.words);
            }
            let count = match self.width {
                0..=8 => 1 << 20,
                9..=12 => 1 << 18,
                _ => 1 << 15,
            };
            let mut stream = SeedStream::new(shape_seed(self.block, self.width), LABEL_DISTORTION);
            Samples::draw(Some(self.dim), self.block, count, &mut stream).distortion(&self.words)
        })
    }
}

fn shape_seed(block: usize, width: u32) -> u64 {
    block as u64 * 64 + u64::from(width)
}

fn build(dim: usize, block: usize, width: u32) -> Vec<f32> {
    let mut stream = SeedStream::new(shape_seed(block, width), LABEL_CODEBOOK);
    let count = 1usize << width;
    let (mut words, known) = match frozen(block, width) {
        Some(words) => (words, true),
        None => (kmeans::start(block, count, &mut stream), false),
    };
    if known && dim >= 48.max(block * block) {
        return words;
    }
    let (samples, rounds) = match (width, known) {
        (..=8, true) => ((192 * count).clamp(1 << 13, 1 << 15), 6),
        (..=8, false) => ((192 * count).clamp(1 << 14, 1 << 15), 16),
        (..=12, true) => (1 << 17, 4),
        (..=12, false) => ((64 * count).clamp(1 << 15, 1 << 18), 8),
        _ => (16 * count, 2),
    };
    let fit = Samples::draw(Some(dim), block, samples, &mut stream);
    shrink_to_support(&mut words, dim, block);
    let before = words.clone();
    for _ in 0..rounds {
        fit.lloyd(&mut words, 1.0);
    }
    if known {
        let other = Samples::draw(Some(dim), block, samples, &mut stream);
        if other.distortion(&before) < other.distortion(&words) {
            return before;
        }
    }
    words
}

/// Words far outside the ball of radius √d would never be chosen: their radius r is bent to r/√(1 + r²/(d·(1 + 2/p))), the map between a
/// Gaussian and the sphere's projection.
fn shrink_to_support(words: &mut [f32], dim: usize, block: usize) {
    let reach = dim as f32 * (1.0 + 2.0 / block as f32);
    for word in words.chunks_exact_mut(block) {
        let squared: f32 = word.iter().map(|c| c * c).sum();
        let factor = 1.0 / (1.0 + squared / reach).sqrt();
        word.iter_mut().for_each(|c| *c *= factor);
    }
}

/// The codebook for blocks of `block` of `dim` coordinates with indexes of `width` bits. Built once in a process.
///
/// # Errors
/// If `block` is not 1 to `dim`, or `width` not 1 to 16.
pub fn block_codebook(dim: usize, block: usize, width: u32) -> Result<Arc<BlockCodebook>> {
    type Cache = Mutex<HashMap<(usize, usize, u32), Arc<BlockCodebook>>>;
    static CACHE: OnceLock<Cache> = OnceLock::new();
    if block == 0 || block > dim {
        return Err(Error::invalid(format!(
            "block={block}, expected 1 to dim={dim}"
        )));
    }
    if !(1..=16).contains(&width) {
        return Err(Error::invalid(format!(
            "block indexes of {width} bits, expected 1 to 16"
        )));
    }
    let cache = CACHE.get_or_init(Cache::default);
    let lock = || {
        cache
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    };
    if let Some(found) = lock().get(&(dim, block, width)) {
        return Ok(found.clone());
    }
    // Built outside the lock, which the pool's threads may want; a second builder makes the same bits.
    let words = if block == 1 && width <= 8 {
        lloyd_max(Law::Sphere { dim }, width)?.to_vec()
    } else {
        build(dim, block, width)
    };
    let made = Arc::new(BlockCodebook {
        dim,
        block,
        width,
        words,
        nmse: OnceLock::new(),
    });
    Ok(lock().entry((dim, block, width)).or_insert(made).clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// METHODS.md section 3: normalised MSE with scale `none`, d = 1536.
    #[test]
    fn quality_of_the_table() {
        for (block, width, best) in [
            (2, 2, 0.3631),
            (2, 4, 0.1078),
            (2, 6, 0.0300),
            (2, 8, 0.0082),
            (3, 6, 0.1017),
            (3, 9, 0.0276),
            (3, 12, 0.0076),
            (4, 4, 0.3440),
            (4, 8, 0.0976),
            (4, 12, 0.0262),
            (5, 10, 0.0948),
            (6, 12, 0.0920),
            (8, 8, 0.3238),
            (12, 12, 0.3126),
        ] {
            let words = &block_codebook(1536, block, width).unwrap().words;
            let count = if width <= 8 { 1 << 22 } else { 1 << 20 };
            let mut stream = SeedStream::new(1, 99);
            let nmse = Samples::draw(Some(1536), block, count, &mut stream).distortion(words);
            println!("p={block} w={width}: {nmse:.5}, table {best}");
            // The table's rounding, its half per cent, and three standard errors of this estimate.
            let most = (best + 5e-5) * 1.005 * 1.003;
            assert!(
                nmse < most && nmse > 0.93 * best,
                "p={block} w={width}: {nmse} against {best}"
            );
        }
    }

    #[test]
    fn every_small_shape_works() {
        for dim in 1..=20 {
            for block in 1..=dim.min(9) {
                for width in [1, 2, 3, 5, 8] {
                    let codebook = block_codebook(dim, block, width).unwrap();
                    assert!(codebook.words.iter().all(|c| c.is_finite()));
                    let mut stream = SeedStream::new(2, 99);
                    let nmse = Samples::draw(Some(dim), block, 1 << 12, &mut stream)
                        .distortion(&codebook.words);
                    let shannon = libm::pow(4.0, -f64::from(width) / block as f64);
                    assert!(nmse < 0.999, "{dim} {block} {width}: {nmse}");
                    // On the whole sphere a block can beat the Gaussian bound.
                    assert!(
                        block + 3 > dim || nmse > 0.9 * shannon,
                        "{dim} {block} {width}: {nmse}"
                    );
                }
            }
        }
        assert!(block_codebook(4, 5, 2).is_err());
        assert!(block_codebook(4, 2, 17).is_err());
    }
}
