//! Loading: rows of any real type become norms and rotated coordinates of unit variance.
//!
//! Rows to encode and queries start alike: each is converted to float32, divided by its norm and
//! rotated. They differ in what is subtracted first ([`Origin`]).

use std::ops::Range;

use super::{Buffers, Quantizer};
use crate::axes::Axes;
use crate::error::{Error, Result};
use crate::isa::Isa;
use crate::kernels::{convert, dense, reduce};
use crate::rows::Rows;

/// What is subtracted from a row x first.
#[derive(Debug, Clone, Copy)]
pub(super) enum Origin<'a> {
    /// Nothing.
    Zero,
    /// The center μ, which gives x − μ.
    Center(&'a [f32]),
    /// a·μ with a = ⟨x, μ⟩/‖μ‖², which gives the part of x orthogonal to μ. The second value is
    /// ‖μ‖², which is above 0.
    Along(&'a [f32], f64),
}

/// Coordinates of the next row that are fetched at once: 16 cache lines of float32, about as many
/// as a core waits for at a time.
const LEAST_FETCHED: usize = 256;

impl Quantizer {
    /// What is subtracted from the rows that are encoded.
    pub(super) fn origin(&self) -> Origin<'_> {
        self.center().map_or(Origin::Zero, Origin::Center)
    }

    /// Writes u and the norms of rows minus their origin into the buffers. A zero row stays zero.
    /// With fitted axes, u stands group by group, and each group of a row has unit variance; the
    /// shares ‖z_g‖/N of the groups are written too. With a center μ, ⟨μ, x − μ⟩
    /// ([`Origin::Center`]) or ⟨μ, x⟩ ([`Origin::Along`]) is written too.
    pub(super) fn load(
        &self,
        isa: Isa,
        rows: &dyn Rows,
        which: Range<usize>,
        origin: Origin<'_>,
        buffers: &mut Buffers,
    ) -> Result<()> {
        let dim = self.spec.dim;
        let Buffers {
            u,
            norms,
            center_products,
            scratch,
            rows: unit_rows,
            ..
        } = buffers;
        let fitted = self.spec.axes.as_deref();
        // The squared norm that rows get.
        let unit = if fitted.is_some() { 1 } else { dim };
        let u = if fitted.is_some() { unit_rows } else { u };
        u.resize(which.len() * dim);
        scratch.resize(scratch.len().max(dim), 0.0);
        norms.clear();
        center_products.clear();
        let next = which.end;
        for (row, u) in which.zip(u.chunks_exact_mut(dim)) {
            let x = rows.read(row, &mut scratch[..dim]);
            let squared = reduce::squared_norm(isa, x);
            if !squared.is_finite() {
                let column = x.iter().position(|x| !x.is_finite()).unwrap_or(0);
                return Err(Error::NotFinite {
                    row,
                    column,
                    value: rows.text(row, column),
                });
            }
            match origin {
                Origin::Zero => {
                    let norm = squared.sqrt();
                    to_float32("norm", row, norm)?;
                    convert::scaled(isa, x, unit_factor(norm, unit), u);
                    norms.push(norm);
                    continue;
                }
                Origin::Center(center) => {
                    if self.spec.store_norm {
                        to_float32("norm", row, squared.sqrt())?;
                    }
                    convert::subtract(isa, x, center, u);
                    center_products.push(reduce::dot_f64(isa, center, u));
                }
                Origin::Along(center, square) => {
                    let product = reduce::dot_f64(isa, center, x);
                    convert::subtract_scaled(isa, x, center, product / square, u);
                    center_products.push(product);
                }
            }
            // A difference beyond the range of float32 makes the norm infinite.
            let norm = reduce::squared_norm(isa, u).sqrt();
            to_float32("norm of x − center", row, norm)?;
            convert::scale(isa, u, unit_factor(norm, unit));
            norms.push(norm);
        }
        if let Some(axes) = fitted {
            self.turn(isa, axes, buffers);
            return Ok(());
        }
        // The next row comes from memory while this one is rotated. The memory is not much faster,
        // so it is asked for a piece at a time.
        let rotation = &self.first().rotation;
        let mut columns = if next < rows.rows() { 0..dim } else { 0..0 };
        let piece = (dim / rotation.steps().max(1)).max(LEAST_FETCHED);
        rotation.apply_between(isa, u, scratch, || {
            if !columns.is_empty() {
                let to = dim.min(columns.start + piece);
                rows.prefetch(next, columns.start..to);
                columns.start = to;
            }
        });
        Ok(())
    }

    /// Turns unit rows to their coordinates along fitted axes, and these to u and shares.
    fn turn(&self, isa: Isa, axes: &Axes, buffers: &mut Buffers) {
        let Buffers {
            u,
            rows,
            coordinates,
            shares,
            scratch,
            ..
        } = buffers;
        let (coded, groups) = (self.coded(), self.parts.len());
        let count = rows.len() / axes.dim();
        coordinates.resize(count * coded);
        u.resize(count * coded);
        shares.resize(count * groups, 0.0);
        dense::products(isa, axes.axes(), axes.dim(), rows, coordinates);
        for (g, part) in self.parts.iter().enumerate() {
            let u = part.of_mut(count, u);
            for (i, u) in u.chunks_exact_mut(part.dim()).enumerate() {
                let z = &coordinates[i * coded..][part.place.clone()];
                let share = reduce::squared_norm(isa, z).sqrt();
                shares[i * groups + g] = share;
                convert::scaled(isa, z, unit_factor(share, part.dim()), u);
            }
            part.rotation.apply(isa, u, scratch);
        }
    }
}

/// The factor that gives a row of this norm the squared norm `square`; 0 for a zero row.
fn unit_factor(norm: f64, square: usize) -> f64 {
    if norm > 0.0 {
        (square as f64).sqrt() / norm
    } else {
        0.0
    }
}

/// A scalar of a row as it is stored.
pub(super) fn to_float32(what: &'static str, row: usize, value: f64) -> Result<f32> {
    let stored = value as f32;
    if stored.is_finite() {
        Ok(stored)
    } else {
        Err(Error::Overflow { what, row, value })
    }
}
