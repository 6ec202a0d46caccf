//! A sketch of the rows: few bits from which a search knows which rows it has to look at. It bounds
//! the score of every row, so that most rows are pruned without reading their codes.
//!
//! **The sketch** of a codeword vector c is its signs with the factor g that is best along c: c ≈
//! g·sign(c) with g = ‖c‖²/Σ|cᵢ|. The error e = g·sign(c) − c is orthogonal to c. With the rotated
//! query y′ the sketch gives ⟨g·sign(c), y′⟩ for ⟨c, y′⟩. The difference ⟨e, y′⟩ is random over
//! rotations: it is ‖e‖·‖y′⊥‖ times a coordinate of a uniform point of a sphere, where y′⊥ is the
//! part of y′ orthogonal to c. Its standard deviation is at most ‖e‖·‖y′‖/√(d − 1). So one bit per
//! coordinate gives an estimate of the estimate and the spread of its error, whatever the code is.
//!
//! **The second stage** adds a second plane: the signs of the remainder of c beyond a common
//! magnitude. The two factors g and h are those for which g·sign(c) + h·sign(…) is nearest to c,
//! scaled so that the error is again orthogonal to c. It halves the spread with twice the bits. It
//! is made only when a search needs it.
//!
//! **Contract.** The law of ⟨e, y′⟩ is a law over rotations, for a row and a query that do not
//! depend on the rotation. On such data a search lost 0 to 10 of 10,000 places of the ten best. The
//! law says nothing about rows that are made from the rotation of the seed itself, which requires
//! knowing the seed: for rows that are two-hot in the rotated basis, up to 109 places were lost
//! (`benches/overlooked.py`). A search without a sketch loses none.
//!
//! **A query** becomes a look-up table (LUT) per four coordinates. Four signs are a nibble, and the
//! sum ±y′₁ ± y′₂ ± y′₃ ± y′₄ has sixteen values. They are rounded to multiples of a common unit
//! above the least of them. Both stages use the same LUTs. Rounding the entries of P tables has the
//! standard deviation unit·√(P/12), and the reach includes it.
//!
//! **Cost.** A stage takes d/8 bytes of signs per row, in the layout of
//! [`kernels::fast_scan`](crate::kernels::fast_scan). The first stage adds s·g and s·‖e‖ as
//! float32. The second adds three more numbers.

use super::{Expand, Query};
use crate::aligned::Aligned;
use crate::isa::Isa;
use crate::kernels::fast_scan::{self, MAX_LUT_ENTRY, POSITIONS_PER_PART, ROWS_PER_GROUP};
use crate::kernels::reduce;
use crate::threads::{self, forked::ForkCell};

/// Standard deviations of the sketch's error that a search allows for. A row whose score equals the
/// k-th best is then overlooked once in 160 times, and a better row less often.
const DEVIATIONS: f64 = 2.5;

/// The smallest permitted value of the largest LUT entry, which bounds the dimension.
const MIN_TOP_ENTRY: usize = 7;

/// The magnitude, divided by the mean magnitude, at which the second plane splits. The optimal four
/// levels of a Gaussian coordinate split there: .9816/√(2/π).
const SPLIT_PER_MEAN: f64 = 1.2302;

/// Signs per nibble.
const SIGNS_PER_NIBBLE: usize = 4;

/// The signs of all vectors, one bit per coordinate, four in a nibble.
#[derive(Debug, Clone)]
pub struct Plane {
    positions: usize,
    nibbles: Aligned<u8>,
}

impl Plane {
    fn new(dim: usize, rows: usize) -> Self {
        let positions = dim
            .div_ceil(SIGNS_PER_NIBBLE)
            .next_multiple_of(POSITIONS_PER_PART);
        Self {
            positions,
            nibbles: Aligned::new(fast_scan::nibble_bytes(rows, positions)),
        }
    }

    /// The bytes of the groups.
    fn groups(&mut self) -> std::slice::ChunksMut<'_, u8> {
        self.nibbles.chunks_mut(self.positions * ROWS_PER_GROUP / 2)
    }

    /// The LUT sums of each query for the rows from `from` on, which is a multiple of
    /// [`ROWS_PER_GROUP`]. The lengths of `sums` are whole groups.
    pub fn sums(&self, isa: Isa, luts: &[&QueryLuts], from: usize, sums: &mut [&mut [u16]]) {
        let bytes = |rows: usize| fast_scan::nibble_bytes(rows, self.positions);
        let rows = sums.first().map_or(0, |sums| sums.len());
        let nibbles = &self.nibbles[bytes(from)..][..bytes(rows)];
        let luts: Vec<&[u8]> = luts.iter().map(|luts| &*luts.entries).collect();
        fast_scan::lut_sums(isa, nibbles, &luts, sums);
    }
}

/// Writes the signs of a row's vector into its group.
fn put_signs(group: &mut [u8], row: usize, vector: &[f32]) {
    for (position, signs) in vector.chunks(SIGNS_PER_NIBBLE).enumerate() {
        let bits = |bits, &c: &f32| 2 * bits + u8::from(c >= 0.0);
        fast_scan::put_nibble(group, row, position, signs.iter().rev().fold(0, bits));
    }
}

/// Σ|cᵢ|.
fn sum_of_magnitudes(vector: &[f32]) -> f64 {
    vector.iter().map(|&c| f64::from(c.abs())).sum()
}

/// The factor g = ‖c‖²/Σ|cᵢ| of the signs, or 0 for a zero vector.
fn sign_factor(isa: Isa, vector: &[f32]) -> f64 {
    let sum = sum_of_magnitudes(vector);
    let factor = reduce::squared_norm(isa, vector) / sum;
    if sum > 0.0 { factor } else { 0.0 }
}

/// One number per row.
#[derive(Debug)]
pub struct Column {
    /// The numbers.
    pub values: Vec<f32>,
    /// The largest magnitude.
    pub max_magnitude: f32,
}

impl Column {
    fn new(values: Vec<f32>) -> Self {
        let max_magnitude = max_magnitude(&values);
        Self {
            values,
            max_magnitude,
        }
    }
}

/// The largest magnitude, computed in lanes; NaN if a value is NaN.
pub(super) fn max_magnitude(values: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut most = [0f32; LANES];
    let (whole, rest) = values.as_chunks::<LANES>();
    for values in whole {
        for (most, value) in most.iter_mut().zip(values) {
            *most = if value.abs() > *most || value.is_nan() {
                value.abs()
            } else {
                *most
            };
        }
    }
    let greater = |most: f32, value: &f32| {
        if value.abs() > most || value.is_nan() {
            value.abs()
        } else {
            most
        }
    };
    most.iter().chain(rest).fold(0.0, greater)
}

/// Σ sign(aᵢ)·sign(bᵢ).
fn agreement(a: &[f32], b: &[f32]) -> f64 {
    let differ = (a.iter().zip(b)).filter(|(a, b)| (**a >= 0.0) != (**b >= 0.0));
    a.len() as f64 - 2.0 * differ.count() as f64
}

/// The factors g and h for which g·sign(c) + h·sign(rest) is nearest to c, the projection of c. If
/// the signs agree everywhere or nowhere, the second plane adds nothing and h is 0. `first` is
/// Σ|cᵢ|, and `both` is the agreement of the signs.
fn two_factors(c: &[f32], rest: &[f32], first: f64, both: f64) -> [f64; 2] {
    let dim = c.len() as f64;
    let second: f64 = (c.iter().zip(rest))
        .map(|(&c, &rest)| f64::from(if rest >= 0.0 { c } else { -c }))
        .sum();
    let determinant = dim * dim - both * both;
    if determinant > 0.0 {
        let solved = |a: f64, b: f64| (dim * a - both * b) / determinant;
        [solved(first, second), solved(second, first)]
    } else {
        [first / dim, 0.0]
    }
}

/// The signs, factors and spreads of the rows of a batch.
#[derive(Debug)]
pub struct Sketch {
    dim: usize,
    /// The signs of c.
    pub plane: Plane,
    /// s·g of each row.
    pub factor: Column,
    /// s·‖e‖ of each row.
    pub spread: Column,
    second: ForkCell<SecondStage>,
}

/// The second stage of a sketch.
#[derive(Debug)]
pub struct SecondStage {
    /// The signs of the remainder of c beyond a common magnitude.
    pub plane: Plane,
    /// The factors of both planes, in order.
    pub factors: [Column; 2],
    /// s·‖e‖ of each row.
    pub spread: Column,
}

/// A query as LUTs, with the constants that turn their sums into estimates.
#[derive(Debug, Clone)]
pub struct QueryLuts {
    entries: Aligned<u8>,
    /// The value of one LUT unit, for a factor of 1.
    pub unit: f32,
    /// The estimate for a factor of 1 if all entries are 0.
    pub offset: f32,
    /// The part of the reach that is due to rounding, as an addition to the offset.
    pub rounding: f32,
    /// The part of the reach that is due to the sketch, as a factor of the spread.
    pub reach: f32,
}

impl Sketch {
    /// Whether the LUT entries are precise enough for rows of this many coordinates.
    pub fn fits(dim: usize) -> bool {
        let positions = dim
            .div_ceil(SIGNS_PER_NIBBLE)
            .next_multiple_of(POSITIONS_PER_PART);
        positions <= usize::from(u16::MAX) / MIN_TOP_ENTRY
    }

    /// The first stage for the rows with these scales; `expand` writes their codeword vectors.
    pub fn new(isa: Isa, dim: usize, scale: &[f32], expand: &impl Expand) -> Self {
        let mut plane = Plane::new(dim, scale.len());
        let (mut factor, mut spread) = (vec![0f32; scale.len()], vec![0f32; scale.len()]);
        let groups = (plane.groups())
            .zip(factor.chunks_mut(ROWS_PER_GROUP))
            .zip(spread.chunks_mut(ROWS_PER_GROUP))
            .zip(scale.chunks(ROWS_PER_GROUP));
        threads::for_each(
            groups,
            || (Vec::new(), vec![0f32; dim]),
            |(index, c), place, (((group, factor), spread), scale)| {
                for (row, &scale) in scale.iter().enumerate() {
                    expand.expand(place * ROWS_PER_GROUP + row, index, c);
                    put_signs(group, row, c);
                    let g = sign_factor(isa, c);
                    let rest = g * g * dim as f64 - reduce::squared_norm(isa, c);
                    factor[row] = (f64::from(scale) * g) as f32;
                    spread[row] = (f64::from(scale) * rest.max(0.0).sqrt()) as f32;
                }
            },
        );
        let mut spread = Column::new(spread);
        if scale.iter().any(|scale| scale.is_nan() || *scale < 0.0) {
            // These codes are damaged: a NaN here makes the search use no bound.
            spread.max_magnitude = f32::NAN;
        }
        Self {
            dim,
            plane,
            factor: Column::new(factor),
            spread,
            second: ForkCell::new(),
        }
    }

    /// The second stage, which the first call makes. The arguments are those of [`Sketch::new`].
    pub fn second(&self, isa: Isa, scale: &[f32], expand: &impl Expand) -> &SecondStage {
        (self.second).get_or_make(|| self.make_second(isa, scale, expand))
    }

    fn make_second(&self, isa: Isa, scale: &[f32], expand: &impl Expand) -> SecondStage {
        let dim = self.dim;
        let mut plane = Plane::new(dim, scale.len());
        let mut values = vec![[0f32; 3]; scale.len()];
        let groups = (plane.groups())
            .zip(values.chunks_mut(ROWS_PER_GROUP))
            .zip(scale.chunks(ROWS_PER_GROUP));
        threads::for_each(
            groups,
            || (Vec::new(), vec![0f32; dim], vec![0f32; dim]),
            |(index, c, rest), place, ((group, values), scale)| {
                for (row, (values, &scale)) in values.iter_mut().zip(scale).enumerate() {
                    expand.expand(place * ROWS_PER_GROUP + row, index, c);
                    let sum = sum_of_magnitudes(c);
                    let split = (SPLIT_PER_MEAN * sum / dim as f64) as f32;
                    for (rest, &c) in rest.iter_mut().zip(&*c) {
                        *rest = c - split.copysign(c);
                    }
                    put_signs(group, row, rest);
                    let square = reduce::squared_norm(isa, c);
                    let both = agreement(c, rest);
                    let [g, h] = two_factors(c, rest, sum, both);
                    let own = dim as f64 * (g * g + h * h) + 2.0 * g * h * both;
                    // The scale makes the error orthogonal to c: ⟨c, g·s₁ + h·s₂⟩ is the squared
                    // norm of the projection.
                    let onto = if own > 0.0 { square / own } else { 0.0 };
                    let remaining = onto * onto * own - square;
                    *values = [onto * g, onto * h, remaining.max(0.0).sqrt()]
                        .map(|value| (f64::from(scale) * value) as f32);
                }
            },
        );
        let column = |i: usize| Column::new(values.iter().map(|values| values[i]).collect());
        SecondStage {
            plane,
            factors: [column(0), column(1)],
            spread: column(2),
        }
    }

    /// The dimension d.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.factor.values.len()
    }

    /// The bytes of memory that all stages take.
    pub fn bytes(&self) -> usize {
        let second = self.second.get().map_or(0, |second| {
            second.plane.nibbles.len() + 12 * second.spread.values.len()
        });
        self.plane.nibbles.len() + 8 * self.rows() + second
    }

    /// The LUTs of a query.
    pub fn luts(&self, query: &Query) -> QueryLuts {
        let y = &query.vector[..self.dim];
        let positions = self.plane.positions;
        let most = (usize::from(u16::MAX) / positions).min(usize::from(MAX_LUT_ENTRY)) as f32;
        let parts = y.chunks(SIGNS_PER_NIBBLE);
        let span = |part: &[f32]| 2.0 * part.iter().map(|y| y.abs()).sum::<f32>();
        let widest = parts.clone().map(span).fold(0f32, f32::max);
        let unit = if widest > 0.0 { widest / most } else { 1.0 };
        let mut entries = Aligned::new(16 * positions);
        for (part, table) in parts.zip(entries.as_chunks_mut::<16>().0) {
            // Sums above the least sum. Without a set bit the sum has the negative coordinates,
            // and each bit adds 2y.
            let mut above = [0f32; 16];
            above[0] = part.iter().map(|y| -2.0 * y.min(0.0)).sum();
            for (i, &y) in part.iter().enumerate() {
                let (set, with_bit) = above.split_at_mut(1 << i);
                for (to, from) in with_bit.iter_mut().zip(set) {
                    *to = *from + 2.0 * y;
                }
            }
            for (entry, above) in table.iter_mut().zip(above) {
                *entry = (above / unit + 0.5).min(most) as u8;
            }
        }
        let least: f64 = y.iter().map(|&y| -f64::from(y.abs())).sum();
        let dim = self.dim as f64;
        let rounding = f64::from(unit) * (positions as f64 / 12.0).sqrt();
        QueryLuts {
            entries,
            unit: (query.factor * f64::from(unit)) as f32,
            offset: (query.factor * least) as f32,
            rounding: (DEVIATIONS * query.factor * rounding) as f32,
            reach: (DEVIATIONS * query.factor * (dim / (dim - 1.0).max(1.0)).sqrt()) as f32,
        }
    }
}
