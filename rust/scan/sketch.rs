//! A sketch of the rows, for finding out which of them a search has to look at.
//!
//! **The sketch** of a codeword vector c is its signs with the factor that is best along c: c ≈ g·sign(c), g = ‖c‖²/Σ|cᵢ|. The rest
//! r = g·sign(c) − c is orthogonal to c, and of what a query adds to it a rotation leaves only chance: ⟨r, u_y⟩ is ‖r‖·‖u_y⊥‖ times a
//! coordinate of a uniform point of a sphere, of standard deviation ‖r‖·√(d/(d − 1)) at most. So the sketch gives an estimate of the
//! estimate, with its spread, from one bit a coordinate, whatever the code is.
//!
//! **The second level** adds the signs of what is left beyond a common magnitude, and the two factors for which g·sign(c) + h·sign(…) is nearest to c,
//! scaled so that the rest is orthogonal to c again: half the spread for as many bits again. It is derived where a first search needs it.
//!
//! **What holds.** The law of ⟨r, u_y⟩ is one over rotations, for a row and a query that do not depend on the rotation: there a search lost 0 to 10 of
//! 10,000 places of the ten best. For rows that are made from the seed's own rotation, which only one who knows the seed can make, it says nothing: of
//! rows that are two-hot in the rotated basis up to 109 places were lost (`benches/overlooked.py`). A search without sketch loses none.
//!
//! **A query** becomes tables: four signs are a nibble, and the sum ±y₁ ± y₂ ± y₃ ± y₄ has sixteen values, rounded to multiples of a common unit above the
//! least of them; both levels use the same. The rounding of P table entries has the standard deviation unit·√(P/12), and is part of the reach.
//!
//! Held: d/8 bytes of signs a row and level in the layout of [`kernels::fast_scan`](crate::kernels::fast_scan), and s·g and s·‖r‖ as float32 (with
//! the second level five numbers).

use super::{Expand, Query};
use crate::aligned::Aligned;
use crate::isa::Isa;
use crate::kernels::fast_scan::{self, MAX_LUT_ENTRY, POSITIONS_PER_PART, ROWS_PER_GROUP};
use crate::kernels::reduce;
use crate::threads::{self, forked::ForkCell};

/// Standard deviations of the sketch's error that a search allows for: a row at the very edge of the k-th place is then overlooked once in 160
/// times, and one above it less often.
const DEVIATIONS: f64 = 2.5;

/// The least that the greatest table entry may be.
const LEAST_ENTRY: usize = 7;

/// Where the second level splits magnitudes, by their mean: where the best four levels of a Gaussian coordinate do, .9816/√(2/π).
const SPLIT: f64 = 1.2302;

/// Signs of a nibble.
const SIGNS: usize = 4;

/// Signs of vectors, four in a nibble.
#[derive(Debug, Clone)]
pub struct Plane {
    positions: usize,
    nibbles: Aligned<u8>,
}

impl Plane {
    fn new(dim: usize, rows: usize) -> Self {
        let positions = dim.div_ceil(SIGNS).next_multiple_of(POSITIONS_PER_PART);
        Self {
            positions,
            nibbles: Aligned::new(fast_scan::nibble_bytes(rows, positions)),
        }
    }

    /// The bytes of the groups.
    fn groups(&mut self) -> std::slice::ChunksMut<'_, u8> {
        self.nibbles.chunks_mut(self.positions * ROWS_PER_GROUP / 2)
    }

    /// The table sums of each query for the rows from a multiple of [`ROWS_PER_GROUP`] on, for as many whole groups as `sums` have.
    pub fn sums(&self, isa: Isa, tables: &[&Tables], from: usize, sums: &mut [&mut [u16]]) {
        let bytes = |rows: usize| fast_scan::nibble_bytes(rows, self.positions);
        let rows = sums.first().map_or(0, |sums| sums.len());
        let nibbles = &self.nibbles[bytes(from)..][..bytes(rows)];
        let tables: Vec<&[u8]> = tables.iter().map(|tables| &*tables.entries).collect();
        fast_scan::lut_sums(isa, nibbles, &tables, sums);
    }
}

/// Puts the signs of a row's vector into its group.
fn put_signs(group: &mut [u8], row: usize, vector: &[f32]) {
    for (position, signs) in vector.chunks(SIGNS).enumerate() {
        let bits = |bits, &c: &f32| 2 * bits + u8::from(c >= 0.0);
        fast_scan::put_nibble(group, row, position, signs.iter().rev().fold(0, bits));
    }
}

/// Σ|cᵢ|.
fn sum_of_magnitudes(vector: &[f32]) -> f64 {
    vector.iter().map(|&c| f64::from(c.abs())).sum()
}

/// The factor of the signs that is best along the vector: ‖c‖²/Σ|cᵢ|, or 0.
fn sign_factor(isa: Isa, vector: &[f32]) -> f64 {
    let sum = sum_of_magnitudes(vector);
    let factor = reduce::squared_norm(isa, vector) / sum;
    if sum > 0.0 { factor } else { 0.0 }
}

/// A number for each row.
#[derive(Debug)]
pub struct Column {
    /// The numbers.
    pub values: Vec<f32>,
    /// The greatest magnitude.
    pub greatest: f32,
}

impl Column {
    fn new(values: Vec<f32>) -> Self {
        let greatest = greatest(&values);
        Self { values, greatest }
    }
}

/// The greatest magnitude, lane by lane; no number if one of them is none.
pub(super) fn greatest(values: &[f32]) -> f32 {
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

/// The factors g, h for which g·sign(c) + h·sign(rest) is the nearest to c: the projection of c. Where the signs agree everywhere or nowhere, the
/// second adds nothing. `first` is Σ|cᵢ|, `both` the agreement.
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

/// Signs, factors and spreads of the rows of a batch.
#[derive(Debug)]
pub struct Sketch {
    dim: usize,
    /// Signs of c.
    pub plane: Plane,
    /// s·g of each row.
    pub factor: Column,
    /// s·‖r‖ of each row.
    pub spread: Column,
    second: ForkCell<Second>,
}

/// The second level.
#[derive(Debug)]
pub struct Second {
    /// Signs of what is left of c beyond a common magnitude.
    pub plane: Plane,
    /// The factors of both planes, in order.
    pub factors: [Column; 2],
    /// s·‖r‖ of each row.
    pub spread: Column,
}

/// What of a query the sketch is multiplied with.
#[derive(Debug, Clone)]
pub struct Tables {
    entries: Aligned<u8>,
    /// Of the table entries, in estimates for a factor of 1.
    pub unit: f32,
    /// The estimate for a factor of 1 where all entries are 0.
    pub offset: f32,
    /// The reach of the rounding, as an addition to the offset.
    pub rounding: f32,
    /// The reach of the sketch, as a factor of the spread.
    pub reach: f32,
}

impl Sketch {
    /// Whether rows of this many coordinates leave table entries enough of their precision.
    pub fn fits(dim: usize) -> bool {
        let positions = dim.div_ceil(SIGNS).next_multiple_of(POSITIONS_PER_PART);
        positions <= usize::from(u16::MAX) / LEAST_ENTRY
    }

    /// The first level for the rows with these scales; `expand` writes their codeword vectors.
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
            // Damaged codes: with no number for the greatest spread no bound is used.
            spread.greatest = f32::NAN;
        }
        Self {
            dim,
            plane,
            factor: Column::new(factor),
            spread,
            second: ForkCell::new(),
        }
    }

    /// The second level, made at the first call; the arguments are those of [`Sketch::new`].
    pub fn second(&self, isa: Isa, scale: &[f32], expand: &impl Expand) -> &Second {
        (self.second).get_or_make(|| self.make_second(isa, scale, expand))
    }

    fn make_second(&self, isa: Isa, scale: &[f32], expand: &impl Expand) -> Second {
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
                    let split = (SPLIT * sum / dim as f64) as f32;
                    for (rest, &c) in rest.iter_mut().zip(&*c) {
                        *rest = c - split.copysign(c);
                    }
                    put_signs(group, row, rest);
                    let square = reduce::squared_norm(isa, c);
                    let both = agreement(c, rest);
                    let [g, h] = two_factors(c, rest, sum, both);
                    let own = dim as f64 * (g * g + h * h) + 2.0 * g * h * both;
                    // Scaled so that the rest is orthogonal to c: ⟨c, g·s₁ + h·s₂⟩ is the square of the projection.
                    let onto = if own > 0.0 { square / own } else { 0.0 };
                    let left = onto * onto * own - square;
                    *values = [onto * g, onto * h, left.max(0.0).sqrt()]
                        .map(|value| (f64::from(scale) * value) as f32);
                }
            },
        );
        let column = |i: usize| Column::new(values.iter().map(|values| values[i]).collect());
        Second {
            plane,
            factors: [column(0), column(1)],
            spread: column(2),
        }
    }

    /// d.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.factor.values.len()
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        let second = self.second.get().map_or(0, |second| {
            second.plane.nibbles.len() + 12 * second.spread.values.len()
        });
        self.plane.nibbles.len() + 8 * self.rows() + second
    }

    /// The tables of a query.
    pub fn tables(&self, query: &Query) -> Tables {
        let y = &query.vector[..self.dim];
        let positions = self.plane.positions;
        let most = (usize::from(u16::MAX) / positions).min(usize::from(MAX_LUT_ENTRY)) as f32;
        let parts = y.chunks(SIGNS);
        let span = |part: &[f32]| 2.0 * part.iter().map(|y| y.abs()).sum::<f32>();
        let widest = parts.clone().map(span).fold(0f32, f32::max);
        let unit = if widest > 0.0 { widest / most } else { 1.0 };
        let mut entries = Aligned::new(16 * positions);
        for (part, table) in parts.zip(entries.as_chunks_mut::<16>().0) {
            // Above the least sum: with no bit set what the negative coordinates have, and 2y more for each bit.
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
        Tables {
            entries,
            unit: (query.factor * f64::from(unit)) as f32,
            offset: (query.factor * least) as f32,
            rounding: (DEVIATIONS * query.factor * rounding) as f32,
            reach: (DEVIATIONS * query.factor * (dim / (dim - 1.0).max(1.0)).sqrt()) as f32,
        }
    }
}
