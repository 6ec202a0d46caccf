//! Upper bounds of a product, from the signs of the codeword vector and from its integers.
//!
//! **Level 0, the signs.** c ≈ g·sign(c) with g = ‖c‖²/Σ|cᵢ|. The error e = g·sign(c) − c is
//! orthogonal to c, and ⟨e, y′⟩ is random over rotations: it is ‖e‖·‖y′⊥‖ times a coordinate of a
//! uniform point of a sphere, where y′⊥ is the part of y′ orthogonal to c. So with the estimate
//! g·⟨sign(c), y′⟩ the product x = ⟨c, y′⟩ is at most the largest x with
//!
//! ```text
//! x ≤ estimate + D·‖e‖·√(‖y′‖² − x²/‖c‖²)/√(d − 1)          D = 3 deviations
//! ```
//!
//! except with a small probability. Weights of the query are whole numbers, and their rounding adds
//! g·⟨sign(c), ŷ − y′⟩, whose deviation is g·‖y′ − ŷ‖ however near c and y′ are. The two errors are
//! independent, so their squares add:
//!
//! ```text
//! x ≤ estimate + √(D²·‖e‖²·(‖y′‖² − x²/‖c‖²)/(d − 1) + D²·g²·‖y′ − ŷ‖²)
//! ```
//!
//! Of 1 − x²/(‖c‖²‖y′‖²) at least A² = 1/4 is taken. Where rows have a direction in common with the
//! query, their errors are alike, and bounds close to all of them would rank rows by these errors.
//!
//! A row keeps g and the spread `e′² = ‖e‖² + η²·g²·d`, which filters multiply with one number per
//! query and tile.
//!
//! **Level 1, the integers.** c ≈ c̃ in 7 bits and y′ ≈ ỹ in 8 bits give the integer product
//! ⟨c̃, ỹ⟩. Its error has two parts, the rounding of either factor times the other factor. D₁ = 4
//! times the deviation that the largest error and the longest codeword allow is added.
//!
//! **Contract.** Both bounds depend on the code of the row and on the query alone, never on other
//! rows, and are a fixed sequence of rounded operations. The law of level 0 is one over rotations,
//! for a row and a query that do not depend on the rotation. Where it cannot hold, the bound is +∞:
//! for a row whose coordinates are not spread (`MAX_ERROR`) and for a query whose coordinates are
//! not (a kurtosis above `MAX_KURTOSIS`, which is 3 for a Gaussian).

use crate::isa::Isa;
use crate::kernels::code_products::{self, CodeTables, FieldWords, IntQuery};
use crate::kernels::sign_scan::{self, SignQuery};
use crate::kernels::trellis::Code;

/// Deviations of the error of level 0 that a bound allows for. A row whose score equals the k-th
/// best is then overlooked once in 740 times, and a better row less often.
const SIGN_DEVIATIONS: f64 = 3.0;
/// Deviations of the rounding error of level 1 that a bound allows for.
const INT_DEVIATIONS: f64 = 4.0;
/// η: how much of the rounding error of the weights the spread of a row includes.
const ROUNDING: f64 = 0.25;
/// The largest ‖e‖²/‖c‖² of a row whose coordinates are spread: those of embeddings have .4 to .7.
const MAX_ERROR: f64 = 0.75;
/// The largest kurtosis of a query whose coordinates are spread.
const MAX_KURTOSIS: f32 = 9.0;
/// A: the least √(1 − cos²) that the bound of level 0 assumes of a row and a query.
const LEAST_ACROSS: f64 = 0.5;
/// The most coordinates for which sums of weights fit 16 bits.
const MAX_SIGNS: usize = sign_scan::MAX_DIM;
/// The most coordinates for which integer products fit 32 bits.
const MAX_INTS: usize = 100_000;

/// The integers of all codewords, with what the bounds need of them.
#[derive(Debug)]
pub struct Tables {
    /// The integers.
    pub codes: CodeTables,
    /// The largest ‖c‖/√d of any code.
    longest: f64,
}

impl Tables {
    /// The tables of codes with these fields; none if there are too many coordinates, or if the
    /// codewords are not finite or all zero.
    pub fn new(fields: &[FieldWords<'_>]) -> Option<Self> {
        let codes = CodeTables::new(fields)?;
        let longest = (fields.iter())
            .flat_map(|field| field.words.chunks_exact(field.coordinates))
            .map(|word| {
                let square: f64 = word.iter().map(|&w| f64::from(w) * f64::from(w)).sum();
                square / word.len() as f64
            })
            .fold(0.0, f64::max);
        Self::checked(codes, longest)
    }

    /// The tables of codes of `dim` coordinates that are paths of this code, as by [`Tables::new`].
    pub fn of_path(code: &Code, dim: usize) -> Option<Self> {
        let squares = code.words().iter().map(|&w| f64::from(w) * f64::from(w));
        Self::checked(CodeTables::of_path(code, dim)?, squares.fold(0.0, f64::max))
    }

    fn checked(codes: CodeTables, longest_square: f64) -> Option<Self> {
        (codes.dim() <= MAX_INTS).then(|| Self {
            codes,
            longest: longest_square.sqrt(),
        })
    }

    /// Whether rows have bounds of level 0.
    pub fn has_signs(&self) -> bool {
        self.codes.dim() <= MAX_SIGNS
    }

    /// The shape of a row with these sums of magnitudes and squares.
    pub fn shape(&self, sums: [u32; 2]) -> Shape {
        let [magnitude, square] = [
            f64::from(sums[0]) * f64::from(self.codes.magnitude_unit),
            f64::from(sums[1]) * f64::from(self.codes.square_unit),
        ];
        if magnitude <= 0.0 {
            return Shape::UNKNOWN;
        }
        let factor = square / magnitude;
        let signs = factor * factor * self.codes.dim() as f64;
        let error = (signs - square).max(0.0);
        if error > MAX_ERROR * square {
            return Shape::UNKNOWN;
        }
        Shape {
            factor: factor as f32,
            spread: (error + ROUNDING * ROUNDING * signs).sqrt() as f32,
        }
    }
}

/// What level 0 knows of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shape {
    /// g.
    pub factor: f32,
    /// e′; +∞ if the law does not hold for the row.
    pub spread: f32,
}

impl Shape {
    /// A row without a bound.
    pub const UNKNOWN: Self = Self {
        factor: 0.0,
        spread: f32::INFINITY,
    };

    /// ‖e‖, from g and e′ alone.
    fn error(self, dim: usize) -> f64 {
        let (factor, spread) = (f64::from(self.factor), f64::from(self.spread));
        let rounding = ROUNDING * ROUNDING * factor * factor * dim as f64;
        (spread * spread - rounding).max(0.0).sqrt()
    }

    /// ‖c‖², from g and e′ alone; 0 without a bound.
    pub fn square(self, dim: usize) -> f64 {
        let (factor, spread) = (f64::from(self.factor), f64::from(self.spread));
        if spread.is_infinite() {
            return 0.0;
        }
        (factor * factor * dim as f64 * (1.0 + ROUNDING * ROUNDING) - spread * spread).max(0.0)
    }
}

/// A query in whole numbers, with the constants of its bounds.
#[derive(Debug)]
pub struct Levels {
    /// The weights of level 0; none if its law does not hold for the query.
    pub signs: Option<SignLevel>,
    /// The integers of level 1.
    pub ints: IntQuery,
    /// What an integer product is worth.
    pub unit: f32,
    /// What level 1 adds to its estimate.
    pub margin: f32,
}

/// Level 0 of a query.
#[derive(Debug)]
pub struct SignLevel {
    /// The weights as a LUT.
    pub query: SignQuery,
    /// D·‖y′‖/√(d − 1): what a spread of 1 adds to an estimate of a row orthogonal to the query.
    pub reach: f32,
    /// ‖y′ − ŷ‖/‖y′‖.
    error: f64,
    dim: usize,
}

impl Levels {
    /// The levels of a prepared query; none if it is zero.
    pub fn new(isa: Isa, tables: &Tables, y: &[f32]) -> Option<Self> {
        let dim = tables.codes.dim();
        let ints = code_products::query(isa, &tables.codes, y);
        if !(ints.unit.is_normal() && ints.error.is_finite()) {
            return None;
        }
        let norm_square: f64 = y.iter().map(|&y| f64::from(y) * f64::from(y)).sum();
        let words = f64::from(tables.codes.word_error);
        let error = f64::from(ints.error) * tables.longest;
        let margin = (error * error + norm_square * words * words).sqrt();
        let signs = tables.has_signs().then(|| sign_scan::query(isa, y));
        let signs = signs
            .filter(|query| query.kurtosis <= MAX_KURTOSIS)
            .map(|query| {
                let norm = f64::from(query.norm);
                let error = f64::from(query.error) / norm;
                let reach = SIGN_DEVIATIONS * norm / (dim as f64 - 1.0).max(1.0).sqrt();
                SignLevel {
                    query,
                    reach: reach as f32,
                    error,
                    dim,
                }
            });
        Some(Self {
            signs,
            unit: (f64::from(ints.unit) * f64::from(tables.codes.word_unit)) as f32,
            margin: (INT_DEVIATIONS * margin) as f32,
            ints,
        })
    }

    /// The estimate of level 1.
    pub fn estimate(&self, product: i32) -> f32 {
        self.unit * product as f32
    }

    /// The bound of level 1.
    pub fn upper(&self, product: i32) -> f32 {
        self.estimate(product) + self.margin
    }
}

impl SignLevel {
    /// The bound of level 0 for a row of this shape whose weights add up to `sum`.
    pub fn upper(&self, shape: Shape, sum: u16) -> f32 {
        let square = shape.square(self.dim);
        if square <= 0.0 {
            return f32::INFINITY;
        }
        let estimate = self.query.unit * f32::from(sum) + self.query.offset;
        let size = square.sqrt() * f64::from(self.query.norm);
        let near = f64::from(shape.factor) * f64::from(estimate) / size;
        let far = f64::from(self.reach) * shape.error(self.dim) / size;
        let rounding = SIGN_DEVIATIONS * f64::from(shape.factor) * self.error / square.sqrt();
        let all = 1.0 + far * far;
        let reach = far * far * (all - near * near) + rounding * rounding * all;
        let across = (near + reach.max(0.0).sqrt()) / all;
        let least = near + (LEAST_ACROSS * LEAST_ACROSS * far * far + rounding * rounding).sqrt();
        (across.max(least) * size) as f32
    }

    /// The least multiple of a spread that covers both errors of a row that reaches the bound, if
    /// √(1 − cos²) between it and the query is at most `across`.
    pub fn widening(&self, across: f32) -> f32 {
        across.max((self.error / ROUNDING).max(LEAST_ACROSS) as f32)
    }
}
