//! The rotary embedding of positions: tables of cosines and sines.
//!
//! R_j turns each pair of coordinates f and f + d/2 by the angle j·ω_f:
//!
//! ```text
//! (R_j x)[f]       = x[f]·cos(jω_f) − x[f + d/2]·sin(jω_f)
//! (R_j x)[f + d/2] = x[f + d/2]·cos(jω_f) + x[f]·sin(jω_f)
//! ```
//!
//! The product of a query with a turned vector μ is a sum of cosines and sines of the position:
//!
//! ```text
//! ⟨q, R_j μ⟩ = Σ_f A_f cos(jω_f) + B_f sin(jω_f)
//! A_f = q[f]·μ[f] + q[f + d/2]·μ[f + d/2]    B_f = q[f + d/2]·μ[f] − q[f]·μ[f + d/2]
//! ```
//!
//! For a tile that begins at position P, the phase of P is applied to A and B once, and a table of
//! cos(iω_f) and sin(iω_f) for i < 64 serves every tile. Cosines and sines are computed in float64
//! with `libm` and rounded to float32.

use crate::aligned::Aligned;
use crate::kernels::attention::ROWS_PER_TILE;

/// The cosines and sines of a set of frequencies.
#[derive(Debug, Clone)]
pub struct Tables {
    frequencies: Vec<f64>,
    /// d rows of 64: cos(iω_f), then sin(iω_f).
    columns: Aligned<f32>,
    /// 64 rows of d, the transpose of `columns`.
    rows: Aligned<f32>,
    /// The position of the first page.
    origin: usize,
    /// cos(Pω_f), then sin(Pω_f), of the positions P = origin, origin + 64, …
    phases: Vec<f32>,
}

impl Tables {
    /// The tables of d/2 frequencies ω, with pages of 64 positions from `origin` on.
    pub fn new(frequencies: Vec<f64>, origin: usize) -> Self {
        let dim = 2 * frequencies.len();
        let mut tables = Self {
            columns: Aligned::new(dim * ROWS_PER_TILE),
            rows: Aligned::new(dim * ROWS_PER_TILE),
            frequencies,
            origin,
            phases: Vec::new(),
        };
        let mut turn = vec![0f32; dim];
        for i in 0..ROWS_PER_TILE {
            tables.cos_sin(i, &mut turn);
            for (f, &value) in turn.iter().enumerate() {
                tables.columns[f * ROWS_PER_TILE + i] = value;
            }
            tables.rows[i * dim..][..dim].copy_from_slice(&turn);
        }
        tables
    }

    /// Coordinates d, twice the number of frequencies.
    pub fn dim(&self) -> usize {
        2 * self.frequencies.len()
    }

    /// cos(jω_f) for each f, then sin(jω_f), of the position j.
    pub fn cos_sin(&self, position: usize, out: &mut [f32]) {
        let (cos, sin) = out.split_at_mut(self.frequencies.len());
        for ((cos, sin), frequency) in cos.iter_mut().zip(sin).zip(&self.frequencies) {
            let angle = position as f64 * frequency;
            *cos = libm::cos(angle) as f32;
            *sin = libm::sin(angle) as f32;
        }
    }

    /// Computes the phases of all pages that begin before `end` ahead. Without it, every call of
    /// attention computes them again.
    pub fn extend(&mut self, end: usize) {
        let (dim, origin) = (self.dim(), self.origin);
        let pages = end.saturating_sub(origin).div_ceil(ROWS_PER_TILE);
        let known = self.phases.len() / dim.max(1);
        let mut turn = vec![0f32; dim];
        for page in known..pages {
            self.cos_sin(origin + page * ROWS_PER_TILE, &mut turn);
            self.phases.extend_from_slice(&turn);
        }
    }

    /// [`Tables::cos_sin`] of a position, from memory if it is known, else computed in `room`.
    pub(super) fn phase<'a>(&'a self, position: usize, room: &'a mut Vec<f32>) -> &'a [f32] {
        let dim = self.dim();
        let offset = position.wrapping_sub(self.origin);
        let known = self.phases.len() / dim.max(1);
        if offset.is_multiple_of(ROWS_PER_TILE) && offset / ROWS_PER_TILE < known {
            return &self.phases[offset / ROWS_PER_TILE * dim..][..dim];
        }
        room.resize(dim, 0.0);
        self.cos_sin(position, room);
        room
    }

    /// d rows of 64: cos(iω_f), then sin(iω_f).
    pub(super) fn columns(&self) -> &[f32] {
        &self.columns
    }

    /// 64 rows of d.
    pub(super) fn rows(&self) -> &[f32] {
        &self.rows
    }
}
