//! Intervals of inner products on packed codes: bounds on each inner product that hold with a
//! stated probability. The law behind them is in [`interval`](crate::interval).
//!
//! As in the [scan](crate::scan), a query is rotated once, a tile of rows is unpacked, and each
//! pair takes one dot product ([`dense`]). The two roots of a quadratic equation follow in float64.
//! Bounds are rounded outward to float32.

use super::Quantizer;
use super::query::Centering;
use crate::aligned::Aligned;
use crate::codes::CodesRef;
use crate::error::{Error, Result, counted};
use crate::interval::{Direction, Interval, UNIT};
use crate::isa::Isa;
use crate::kernels::{dense, reduce};
use crate::methods::ScaleRule;
use crate::rows::Rows;
use crate::scan::products::ROWS_PER_TILE;
use crate::scan::{columns, joined};
use crate::threads;

/// The places for the bounds of a tile, low and high, with one piece per query each.
type Tile<'a> = (Vec<&'a mut [f32]>, Vec<&'a mut [f32]>);

impl Quantizer {
    /// Bounds on ⟨x, y⟩, each pair of which holds with probability `confidence`. `low` and `high`
    /// are m × n, and row j belongs to query j.
    ///
    /// Needs the scale rule `mse` or `unbiased` and stored norms.
    pub fn interval(
        &self,
        isa: Isa,
        codes: CodesRef<'_>,
        y: &dyn Rows,
        confidence: f64,
        low: &mut [f32],
        high: &mut [f32],
    ) -> Result<()> {
        let (dim, rows) = (self.spec.dim, codes.len());
        let norms = self.quantized_norms(codes)?;
        let interval = Interval::new(dim, confidence)?;
        let (queries, _) = self.queries(isa, y, Centering::Across)?;
        let center_products = self.center_products(codes, Centering::Across);
        // ⟨μ, r⟩ and x − μ are rounded to float32. Both errors together are a share of ‖μ‖‖r‖.
        let center_rounding = 2.0 * UNIT * self.center_square.sqrt();
        for out in [&*low, &*high] {
            if out.len() != rows * queries.len() {
                return Err(Error::invalid(format!(
                    "room for {}, expected m × n = {} × {rows}",
                    counted(out.len(), "value"),
                    queries.len()
                )));
            }
        }
        if rows == 0 {
            return Ok(());
        }
        if let Some(scalars) = &self.scalars {
            return self.interval_of_groups(
                isa,
                (scalars, codes),
                &queries,
                confidence,
                [low, high],
            );
        }
        let tiles = columns(low, rows, ROWS_PER_TILE).into_iter();
        let tiles = tiles.zip(columns(high, rows, ROWS_PER_TILE));
        let vectors = joined(&queries);
        let buffers = || {
            let indices = self.shape.layout.indices();
            let products = vec![0f32; ROWS_PER_TILE * dense::VECTORS_PER_BATCH];
            (
                vec![0u16; indices],
                Aligned::new(ROWS_PER_TILE * dim),
                products,
            )
        };
        let work = |(index, words, products): &mut (Vec<u16>, Aligned<f32>, Vec<f32>),
                    tile: usize,
                    (mut lows, mut highs): Tile<'_>| {
            let from = tile * ROWS_PER_TILE;
            let live = ROWS_PER_TILE.min(rows - from);
            let words = &mut words[..live * dim];
            let known: Vec<_> = (from..)
                .zip(words.chunks_exact_mut(dim))
                .map(|(row, c)| {
                    let found = self.direction(isa, codes, norms, row, index, c);
                    let along = f64::from(codes.scale[row]) * found.factor / dim as f64;
                    let center_product = center_products.as_deref().map(|products| products[row]);
                    (interval.of(found.cosine), along, found.norm, center_product)
                })
                .collect();
            let pieces = lows
                .chunks_mut(dense::VECTORS_PER_BATCH)
                .zip(highs.chunks_mut(dense::VECTORS_PER_BATCH));
            for ((queries, vectors), (lows, highs)) in (queries.chunks(dense::VECTORS_PER_BATCH))
                .zip(vectors.chunks(dense::VECTORS_PER_BATCH * dim))
                .zip(pieces)
            {
                threads::check();
                let products = &mut products[..live * queries.len()];
                dense::products(isa, words, dim, vectors, products);
                let bounds = lows.iter_mut().zip(highs).zip(products.chunks_exact(live));
                for (query, ((low, high), products)) in queries.iter().zip(bounds) {
                    let length = query.factor * dim as f64;
                    let rounding = center_rounding * query.along.abs();
                    for (i, (&product, (bounds, along, norm, center_product))) in
                        products.iter().zip(&known).enumerate()
                    {
                        let (least, most) = bounds.at(f64::from(product) * along);
                        let (base, size) = (query.base(*center_product), norm * length);
                        low[i] = round_down(size * least + base - rounding * norm);
                        high[i] = round_up(size * most + base + rounding * norm);
                    }
                }
            }
        };
        threads::for_each(tiles, buffers, work);
        Ok(())
    }

    /// The values of every row that an [`Interval`] needs besides the estimate.
    ///
    /// Needs the scale rule `mse` or `unbiased` and stored norms.
    pub fn directions(&self, isa: Isa, codes: CodesRef<'_>) -> Result<Vec<Direction>> {
        let norms = self.quantized_norms(codes)?;
        let tiles = (0..codes.len()).step_by(ROWS_PER_TILE).collect();
        let found = threads::map(tiles, |_, from| -> Vec<Direction> {
            let mut index = vec![0u16; self.shape.layout.indices()];
            let mut c = vec![0f32; self.spec.dim];
            let rows = from..codes.len().min(from + ROWS_PER_TILE);
            rows.map(|row| self.direction(isa, codes, norms, row, &mut index, &mut c))
                .collect()
        });
        Ok(found.concat())
    }

    /// The direction of a row. The vector that queries are multiplied with is written to `c`.
    fn direction(
        &self,
        isa: Isa,
        codes: CodesRef<'_>,
        norms: &[f32],
        row: usize,
        index: &mut [u16],
        c: &mut [f32],
    ) -> Direction {
        self.unpack(isa, codes, row, index);
        self.method().expand(isa, index, 0.0, c);
        let (scale, norm) = (codes.scale[row], norms[row]);
        // A subnormal float32 has too few digits to determine an angle.
        let is_accurate = scale.is_normal() && norm.is_normal();
        let (s, norm) = (f64::from(scale), f64::from(norm));
        let square = reduce::squared_norm(isa, c) / self.spec.dim as f64;
        if !is_accurate || square == 0.0 {
            return Direction {
                cosine: 0.0,
                factor: 0.0,
                norm,
            };
        }
        let rho = match self.scale {
            ScaleRule::Mse => s * square / norm,
            _ => norm / s,
        };
        Direction {
            cosine: (rho / square.sqrt()).clamp(0.0, 1.0),
            factor: 1.0 / (s * square.sqrt()),
            norm,
        }
    }

    /// The norms of what was quantized, if codes and scale rule determine the angle.
    fn quantized_norms<'a>(&self, codes: CodesRef<'a>) -> Result<&'a [f32]> {
        if self.scale == ScaleRule::None {
            return Err(Error::invalid(format!(
                "intervals need the scale rule unbiased or mse, which keep the angle of row and \
                 code; {} has another rule",
                match self.spec.scale {
                    Some(_) => format!("{}/{}", self.spec.method, self.scale.name()),
                    None => self.spec.method.clone(),
                }
            )));
        }
        self.check(codes)?;
        if self
            .scalars
            .as_ref()
            .is_some_and(|scalars| !scalars.has_errors())
        {
            return Err(Error::MissingNorms {
                what: "intervals need".to_owned(),
            });
        }
        let norms = self
            .residual_norms(codes)
            .ok_or_else(|| Error::MissingNorms {
                what: "intervals need".to_owned(),
            })?;
        if norms.len() != codes.len() {
            return Err(Error::invalid(format!(
                "{}, expected {}, one per row",
                counted(norms.len(), "norm"),
                codes.len()
            )));
        }
        Ok(norms)
    }
}

/// A float32 that is not above `value` and at most one unit below it. It is the rounded value of
/// the number half a unit lower, which takes no branch.
pub(super) fn round_down(value: f64) -> f32 {
    // Half a unit of a normal number, and of a subnormal number: 2⁻¹⁵⁰.
    const HALF_UNIT: f64 = 1.0001 / (1u64 << 24) as f64;
    const HALF_SUBNORMAL: f64 = 0.5 * f32::MIN_POSITIVE as f64 / (1u64 << 23) as f64;
    let value = value.min(f64::from(f32::MAX));
    (value - (value.abs() * HALF_UNIT + HALF_SUBNORMAL)) as f32
}

/// A float32 that is not below `value` and at most one unit above it.
pub(super) fn round_up(value: f64) -> f32 {
    -round_down(-value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_goes_outward() {
        let mut stream = crate::rng::SeedStream::new(1, 1);
        for power in [
            -1e300, -1e39, -1.0, -1e-37, -1e-44, 1e-46, 3e-45, 1e-37, 1.0, 1e38, 1e39,
        ] {
            for _ in 0..1000 {
                let value = power * (1.0 + stream.gaussian().abs());
                let (low, high) = (round_down(value), round_up(value));
                assert!(f64::from(low) <= value && value <= f64::from(high));
                assert!(high <= low.next_up().next_up().next_up(), "{value:e}");
            }
        }
        assert_eq!((round_down(0.0), round_up(0.0)), (0.0, 0.0));
    }
}
