//! Loading: rows of any real type become norms and rotated coordinates of unit variance.
//!
//! Rows to encode and queries start alike: each is converted to float32, divided by its norm and
//! rotated. They differ in what is subtracted first ([`Origin`]).
//!
//! Along fitted axes a query is multiplied with the axes in float32, and then rotated group by
//! group. Rows to encode are multiplied in [fixed point](crate::kernels::fixed) with R_g V_g, the
//! axes that are rotated already: twice as many products per instruction, and no rotation.

use std::ops::Range;

use super::{Buffers, Quantizer};
use crate::axes::{self, Axes};
use crate::error::{Error, Result};
use crate::isa::Isa;
use crate::kernels::fixed::{self, Panels};
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

/// Which row after one that is turned to fixed point is fetched: the work on one row takes less
/// time than its memory.
const ROWS_AHEAD: usize = 2;

/// Sums in fixed point hold the products of all rows that can have axes.
const _: () = assert!(axes::MAX_DIM <= fixed::MAX_DIM);

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
        let next = which.end;
        let found = (&mut *norms, center_products, &mut *scratch);
        self.each_row(isa, rows, which, origin, found, |i, r, norm| {
            convert::scaled(isa, r, factor_to(unit, norm), &mut u[i * dim..][..dim]);
        })?;
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

    /// [`load`](Self::load) of rows that are encoded along fitted axes, with the axes in fixed
    /// point, which are turned already.
    pub(super) fn load_fixed(
        &self,
        isa: Isa,
        axes: &Panels,
        rows: &dyn Rows,
        which: Range<usize>,
        buffers: &mut Buffers,
    ) -> Result<()> {
        let Buffers {
            norms,
            center_products,
            scratch,
            fixed,
            coordinates,
            ..
        } = buffers;
        let (count, length) = (which.len(), fixed::row_len(self.spec.dim));
        fixed.resize(count * length);
        let found = (norms, center_products, scratch);
        let ahead = which.start + ROWS_AHEAD;
        self.each_row(isa, rows, which, self.origin(), found, |i, r, norm| {
            if ahead + i < rows.rows() {
                rows.prefetch(ahead + i, 0..self.spec.dim);
            }
            let factor = fixed::ONE * factor_to(1, norm);
            convert::scaled_to_fixed(isa, r, factor, &mut fixed[i * length..][..length]);
        })?;
        coordinates.resize(count * axes.axes());
        fixed::products(isa, axes, fixed, coordinates);
        self.part_coordinates(isa, count, buffers);
        Ok(())
    }

    /// Reads rows, hands each to `put` minus its origin and with its norm, and writes the norms and
    /// the products with the center.
    fn each_row(
        &self,
        isa: Isa,
        rows: &dyn Rows,
        which: Range<usize>,
        origin: Origin<'_>,
        (norms, center_products, scratch): (&mut Vec<f64>, &mut Vec<f64>, &mut Vec<f32>),
        mut put: impl FnMut(usize, &[f32], f64),
    ) -> Result<()> {
        let dim = self.spec.dim;
        scratch.resize(scratch.len().max(2 * dim), 0.0);
        let (read, r) = scratch.split_at_mut(dim);
        let r = &mut r[..dim];
        norms.clear();
        center_products.clear();
        for (i, row) in which.enumerate() {
            let x = rows.read(row, read);
            // A square of a float32 does not overflow float64.
            let norm_of = |x: &[f32], r: &[f32]| {
                let norm = reduce::squared_norm(isa, r).sqrt();
                if norm.is_finite() {
                    return Ok(norm);
                }
                // Finite values whose difference is not are reported as such.
                let column = x.iter().position(|x| !x.is_finite());
                column.map_or(Ok(norm), |column| {
                    Err(Error::NotFinite {
                        row,
                        column,
                        value: rows.text(row, column),
                    })
                })
            };
            match origin {
                Origin::Zero => {
                    let norm = norm_of(x, x)?;
                    to_float32("norm", row, norm)?;
                    put(i, x, norm);
                    norms.push(norm);
                    continue;
                }
                Origin::Center(center) => {
                    if self.spec.store_norm {
                        to_float32("norm", row, norm_of(x, x)?)?;
                    }
                    convert::subtract(isa, x, center, r);
                    center_products.push(reduce::dot_f64(isa, center, r));
                }
                Origin::Along(center, square) => {
                    let product = reduce::dot_f64(isa, center, x);
                    convert::subtract_scaled(isa, x, center, product / square, r);
                    center_products.push(product);
                }
            }
            // A difference beyond the range of float32 makes the norm infinite.
            let norm = norm_of(x, r)?;
            to_float32("norm of x − center", row, norm)?;
            put(i, r, norm);
            norms.push(norm);
        }
        Ok(())
    }

    /// Turns unit rows to their coordinates along fitted axes, and these to u and shares.
    fn turn(&self, isa: Isa, axes: &Axes, buffers: &mut Buffers) {
        let (rows, coordinates) = (&buffers.rows, &mut buffers.coordinates);
        let count = rows.len() / axes.dim();
        coordinates.resize(count * self.coded());
        dense::products(isa, axes.axes(), axes.dim(), rows, coordinates);
        self.part_coordinates(isa, count, buffers);
        for part in &self.parts {
            let u = part.of_mut(count, &mut buffers.u);
            part.rotation.apply(isa, u, &mut buffers.scratch);
        }
    }

    /// Parts coordinates along fitted axes into the groups of u, each of unit variance, and shares.
    fn part_coordinates(&self, isa: Isa, count: usize, buffers: &mut Buffers) {
        let Buffers {
            u,
            coordinates,
            shares,
            ..
        } = buffers;
        let (coded, groups) = (self.coded(), self.parts.len());
        u.resize(count * coded);
        shares.resize(count * groups, 0.0);
        for (g, part) in self.parts.iter().enumerate() {
            let u = part.of_mut(count, u);
            for (i, u) in u.chunks_exact_mut(part.dim()).enumerate() {
                let z = &coordinates[i * coded..][part.place.clone()];
                let share = f64::from(reduce::dot(isa, z, z)).sqrt();
                shares[i * groups + g] = share;
                convert::scaled(isa, z, factor_to(part.dim(), share), u);
            }
        }
    }

    /// The axes that have bits, turned by the rotations of their groups, in fixed point; None
    /// without fitted axes. Made at the first call.
    pub(super) fn fixed_axes(&self, isa: Isa) -> Option<&Panels> {
        let axes = self.spec.axes.as_deref()?;
        Some(self.fixed.get_or_make(|| self.turned(isa, axes)))
    }

    /// R_g V_g of the groups, some coordinates at a time.
    fn turned(&self, isa: Isa, axes: &Axes) -> Panels {
        let dim = axes.dim();
        let mut panels = Panels::new(dim, self.coded());
        let (mut some, mut scratch) = (Vec::new(), Vec::new());
        for part in &self.parts {
            let group = &axes.axes()[part.place.start * dim..part.place.end * dim];
            for first in (0..dim).step_by(dense::VECTORS_PER_BATCH) {
                let columns = first..dim.min(first + dense::VECTORS_PER_BATCH);
                some.clear();
                for column in columns.clone() {
                    some.extend(group.iter().skip(column).step_by(dim));
                }
                part.rotation.apply(isa, &mut some, &mut scratch);
                for (column, values) in columns.zip(some.chunks_exact(part.dim())) {
                    panels.set(column, part.place.start, values);
                }
            }
        }
        panels
    }
}

/// The factor that gives a row of this norm the squared norm `square`; 0 for a zero row.
fn factor_to(square: usize, norm: f64) -> f64 {
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
