//! The scales of a coded page: float32, or one logarithmic byte each.
//!
//! **Bytes.** A page has for each head a base B (int16), and each row has one byte e. The scale is
//! 0 if e = 0, and 2^((B + e)/12) rounded to float32 otherwise. B is the largest exponent of the
//! page and head minus 255, so the largest scale has e = 255, and scales below 2^(−254/12) ≈ 2^−21
//! of the largest become 0. The exponent of s is 12·log2(s), rounded to the nearest whole number,
//! half to even, and at most 1535, so that every byte stands for a finite float32. The step is
//! 5.9 %, the error at most 2.9 %.
//!
//! FROZEN: the bytes of saved caches depend on it.

use crate::threads::forked::ForkCell;

/// Steps per factor of 2.
const STEPS_PER_OCTAVE: i32 = 12;
/// The exponent of the largest scale: one more is beyond float32.
const MOST: i32 = 128 * STEPS_PER_OCTAVE - 1;
/// The exponent of the smallest float32 above 0, 2^−149.
const LEAST: i32 = -149 * STEPS_PER_OCTAVE;
/// The byte of the largest scale of a page and head.
const TOP: i32 = 255;

/// Scales, head by head, with as many rows for each head.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scales {
    Floats(Vec<f32>),
    Bytes { bases: Vec<i16>, bytes: Vec<u8> },
}

/// Zeros of the table before the least exponent.
const BELOW: usize = 256;

/// [`BELOW`] zeros, and the scale of each exponent from [`LEAST`] on.
fn table() -> &'static [f32] {
    static TABLE: ForkCell<Vec<f32>> = ForkCell::new();
    TABLE.get_or_make(|| {
        let scale = |exponent: i32| {
            let octave = exponent.div_euclid(STEPS_PER_OCTAVE);
            let step = exponent.rem_euclid(STEPS_PER_OCTAVE);
            let fraction = libm::exp2(f64::from(step) / f64::from(STEPS_PER_OCTAVE));
            libm::ldexp(fraction, octave) as f32
        };
        let zeros = std::iter::repeat_n(0.0, BELOW);
        zeros.chain((LEAST..=MOST).map(scale)).collect()
    })
}

/// 12·log2 of a scale above 0, rounded.
fn exponent(scale: f32) -> i32 {
    let exponent = f64::from(STEPS_PER_OCTAVE) * libm::log2(scale.into());
    (exponent.round_ties_even() as i32).min(MOST)
}

impl Scales {
    /// The scales of `heads` heads, as bytes or as they are.
    pub(super) fn new(scales: Vec<f32>, heads: usize, as_bytes: bool) -> Self {
        if !as_bytes {
            return Self::Floats(scales);
        }
        let mut bases = Vec::with_capacity(heads);
        let mut bytes = Vec::with_capacity(scales.len());
        for scales in scales.chunks(scales.len() / heads) {
            let exponents = || {
                let some = |&scale: &f32| (scale > 0.0).then(|| exponent(scale));
                scales.iter().map(some)
            };
            let base = exponents().flatten().max().map_or(0, |most| most - TOP);
            bases.push(base as i16);
            let byte = |exponent: Option<i32>| exponent.map_or(0, |exponent| exponent - base);
            bytes.extend(exponents().map(|exponent| byte(exponent).clamp(0, TOP) as u8));
        }
        Self::Bytes { bases, bytes }
    }

    /// Writes the `out.len()` scales of a head.
    pub(super) fn read(&self, head: usize, out: &mut [f32]) {
        match self {
            Self::Floats(scales) => {
                out.copy_from_slice(&scales[head * out.len()..][..out.len()]);
            }
            Self::Bytes { bases, bytes } => {
                // The table has 256 zeros before the least exponent, as a base may be below it.
                let from = (i32::from(bases[head]) - LEAST + BELOW as i32).max(0) as usize;
                let Some(table) = table().get(from..).and_then(<[f32]>::first_chunk) else {
                    unreachable!("a base is at least 255 below the largest exponent")
                };
                let table: &[f32; 256] = table;
                let bytes = &bytes[head * out.len()..][..out.len()];
                for (scale, &byte) in out.iter_mut().zip(bytes) {
                    let found = table[usize::from(byte)];
                    *scale = if byte == 0 { 0.0 } else { found };
                }
            }
        }
    }

    /// The first `len` of `rows` scales of each head.
    pub(super) fn truncated(&self, rows: usize, len: usize) -> Self {
        match self {
            Self::Floats(scales) => Self::Floats(first_rows(scales, rows, len, 1)),
            Self::Bytes { bases, bytes } => Self::Bytes {
                bases: bases.clone(),
                bytes: first_rows(bytes, rows, len, 1),
            },
        }
    }

    /// Whether a base stands in a page that [`Scales::new`] makes.
    pub(super) fn is_base(base: i16) -> bool {
        (LEAST - TOP..=MOST - TOP).contains(&base.into())
    }

    /// The float32 scales, or the bases and the bytes; the others are empty.
    pub(super) fn parts(&self) -> (&[f32], &[i16], &[u8]) {
        match self {
            Self::Floats(scales) => (scales, &[], &[]),
            Self::Bytes { bases, bytes } => (&[], bases, bytes),
        }
    }

    /// The number of bytes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Floats(scales) => size_of_val(&scales[..]),
            Self::Bytes { bases, bytes } => size_of_val(&bases[..]) + bytes.len(),
        }
    }
}

/// The first `len` of `rows` rows of `width` values of each head.
pub(super) fn first_rows<T: Copy>(values: &[T], rows: usize, len: usize, width: usize) -> Vec<T> {
    let first = |head: &[T]| head[..len * width].to_vec();
    values.chunks(rows * width).flat_map(first).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_is_within_half_a_step_of_the_scale() {
        let half = libm::exp2(0.5 / f64::from(STEPS_PER_OCTAVE)) * (1.0 + 1e-7);
        for top in [1.0f32, 3e38, 1e-30, f32::MAX] {
            let scales: Vec<f32> = (0..64).map(|i| top * 0.8f32.powi(i)).collect();
            let stored = Scales::new(scales.clone(), 1, true);
            let mut back = vec![0.0; 64];
            stored.read(0, &mut back);
            for (scale, back) in scales.iter().zip(back) {
                let ratio = f64::from(*scale) / f64::from(back);
                assert!(back.is_finite());
                let limit = if *scale > 2.0f32.powi(127) {
                    1.06
                } else {
                    half
                };
                assert!((1.0 / limit..=limit).contains(&ratio), "{scale} {back}");
            }
        }
    }

    #[test]
    fn zeros_and_tiny_scales_are_zeros() {
        let stored = Scales::new(vec![0.0, 0.0, 1.0, 1e-7, 1e-6, 0.0], 3, true);
        let mut back = vec![9.0; 2];
        stored.read(0, &mut back);
        assert_eq!(back, [0.0, 0.0]);
        stored.read(1, &mut back);
        assert_eq!(back, [1.0, 0.0]);
        stored.read(2, &mut back);
        assert!(back[0] > 0.0 && back[1] == 0.0);
        let subnormal = Scales::new(vec![f32::from_bits(1)], 1, true);
        subnormal.read(0, &mut back[..1]);
        assert_eq!(back[0], f32::from_bits(1));
    }
}
