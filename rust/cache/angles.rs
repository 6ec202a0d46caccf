//! The rotary embedding R_j: pair (f, f + dim/2) of a key is turned by the angle j·ω_f.
//!
//! Cosines and sines are made page by page. Those of the page's first token j₀ come from `libm`,
//! and one table of the angles i·ω_f, i < 64, serves every page:
//!
//! ```text
//! cos((j₀ + i)ω) = cos(j₀ω)·cos(iω) − sin(j₀ω)·sin(iω)
//! sin((j₀ + i)ω) = sin(j₀ω)·cos(iω) + cos(j₀ω)·sin(iω)
//! ```
//!
//! All this is float64, and the results are rounded to float32. The products with keys and means
//! are float32, without fused operations.

use super::PAGE_TOKENS;

/// The frequencies of a rotary embedding with the table of a page.
#[derive(Debug)]
pub(super) struct Rotary {
    frequencies: Vec<f64>,
    /// cos(iω) and sin(iω), [`PAGE_TOKENS`] × dim/2.
    table: Vec<(f64, f64)>,
}

/// The cosines and sines of successive tokens.
#[derive(Debug, Default)]
pub(super) struct Angles {
    half: usize,
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl Rotary {
    pub(super) fn new(frequencies: &[f64]) -> Self {
        let angle = |i: usize, frequency: f64| {
            let angle = i as f64 * frequency;
            (libm::cos(angle), libm::sin(angle))
        };
        let row = |i| {
            frequencies
                .iter()
                .map(move |&frequency| angle(i, frequency))
        };
        Self {
            frequencies: frequencies.to_vec(),
            table: (0..PAGE_TOKENS).flat_map(row).collect(),
        }
    }

    /// The angles of the tokens from `first` on, at most [`PAGE_TOKENS`].
    pub(super) fn angles(&self, first: usize, count: usize) -> Angles {
        let half = self.frequencies.len();
        let start: Vec<(f64, f64)> = (self.frequencies.iter())
            .map(|frequency| first as f64 * frequency)
            .map(|angle| (libm::cos(angle), libm::sin(angle)))
            .collect();
        let pairs = |row: &[(f64, f64)], pair: fn((f64, f64), (f64, f64)) -> f64| -> Vec<f32> {
            let pairs = start.iter().zip(row);
            pairs.map(|(&a, &b)| pair(a, b) as f32).collect()
        };
        let rows = || self.table[..count * half].chunks_exact(half);
        Angles {
            half,
            cos: rows()
                .flat_map(|row| pairs(row, |a, b| a.0 * b.0 - a.1 * b.1))
                .collect(),
            sin: rows()
                .flat_map(|row| pairs(row, |a, b| a.1 * b.0 + a.0 * b.1))
                .collect(),
        }
    }
}

impl Angles {
    fn of(&self, i: usize) -> (&[f32], &[f32]) {
        let range = i * self.half..(i + 1) * self.half;
        (&self.cos[range.clone()], &self.sin[range])
    }

    /// Writes R x of the i-th token into `out`.
    pub(super) fn turn(&self, i: usize, x: &[f32], out: &mut [f32]) {
        let (cos, sin) = self.of(i);
        let (x, y) = x.split_at(self.half);
        let (out_x, out_y) = out.split_at_mut(self.half);
        for f in 0..self.half {
            out_x[f] = x[f] * cos[f] - y[f] * sin[f];
            out_y[f] = y[f] * cos[f] + x[f] * sin[f];
        }
    }

    /// Writes Rᵀ x of the i-th token into `out`, in float64.
    pub(super) fn turn_back(&self, i: usize, x: &[f32], out: &mut [f64]) {
        let (cos, sin) = self.of(i);
        let (x, y) = x.split_at(self.half);
        let (out_x, out_y) = out.split_at_mut(self.half);
        for f in 0..self.half {
            let (cos, sin) = (f64::from(cos[f]), f64::from(sin[f]));
            let (x, y) = (f64::from(x[f]), f64::from(y[f]));
            out_x[f] = x * cos + y * sin;
            out_y[f] = y * cos - x * sin;
        }
    }
}
