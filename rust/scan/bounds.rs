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
//! **Sections.** With fitted axes a row is divided into sections, whose products are summed with
//! gains of the row: x = Σ h·⟨c, y′⟩. Sections have rotations of their own, so their errors are
//! independent, and the squares of what is added for them add. A² is 1, since the direction that a
//! row and a query share is in few of the sections:
//!
//! ```text
//! level 0:  x ≤ Σ h·estimate + √Σ (h·D·e′·‖y′‖/√(d − 1)·max(1, ‖y′ − ŷ‖/(η‖y′‖)))²
//! level 1:  x ≤ Σ h·estimate + √Σ (h·margin)²
//! ```
//!
//! The first section has few coordinates and most of the product, so that its signs would leave
//! most of the error. Level 0 takes its integers in their place, with the margin of level 1: on
//! real rows .2 to .6 % pass it in place of 2 to 12 %, and 32 coordinates of integers take as long
//! as 128 signs.
//!
//! **Contract.** Both bounds depend on the code of the row and on the query alone, never on other
//! rows, and are a fixed sequence of rounded operations. The law of level 0 is one over rotations,
//! for a row and a query that do not depend on the rotation. Where it cannot hold, the bound is +∞:
//! for a row whose coordinates are not spread (`MAX_ERROR`) and for a query whose coordinates are
//! not (a kurtosis above `MAX_KURTOSIS`, which is 3 for a Gaussian). What belongs to a query is in
//! `levels.rs`.

use crate::kernels::code_products::{self, CodeTables, FieldWords};
use crate::kernels::sign_scan::{self, MAX_SECTIONS};
use crate::kernels::trellis::Code;

/// η: how much of the rounding error of the weights the spread of a row includes.
pub(super) const ROUNDING: f64 = 0.25;
/// The largest ‖e‖²/‖c‖² of a row whose coordinates are spread: those of embeddings have .4 to .7.
const MAX_ERROR: f64 = 0.75;
/// ‖e‖²/‖c‖² of a Gaussian, and what is allowed for one coordinate: with d coordinates it
/// falls as 1/√d, and is [`MAX_ERROR`] for d = 384.
const GAUSSIAN_ERROR: f64 = 0.571;
const ERROR_DEVIATION: f64 = 3.5;
/// The most coordinates for which sums of weights fit 16 bits.
const MAX_SIGNS: usize = sign_scan::MAX_DIM;
/// The most coordinates of a section that level 0 takes by its integers.
const MAX_WHOLE: usize = 128;
/// The most coordinates for which integer products fit 32 bits.
const MAX_INTS: usize = 100_000;

/// The integers of the codewords of a section, with what the bounds need of them.
#[derive(Debug)]
pub struct Section {
    /// The integers.
    pub codes: CodeTables,
    /// The largest ‖c‖/√d of any code.
    pub(super) longest: f64,
    /// The largest ‖e‖²/‖c‖² of a row whose coordinates are spread.
    most_error: f64,
}

/// The gains of packed rows.
pub trait Gains: std::fmt::Debug + Send + Sync {
    /// Writes h of each section of a packed row.
    fn gains(&self, row: &[u8], out: &mut [f32]);
}

/// What searches need of codes: the sections of a row, which is one without gains, or up to
/// [`MAX_SECTIONS`] with them.
#[derive(Debug)]
pub struct Tables {
    sections: Vec<Section>,
    gains: Option<Box<dyn Gains>>,
    /// How many of the sections, from the first on, level 0 takes by their integers: none or one.
    whole: usize,
}

impl Tables {
    /// The tables of rows that are one section.
    pub fn new(section: Section) -> Self {
        Self {
            sections: vec![section],
            gains: None,
            whole: 0,
        }
    }

    /// The tables of rows that have a gain for each of these sections; none if there are no
    /// sections or too many.
    pub fn with_gains(sections: Vec<Section>, gains: Box<dyn Gains>) -> Option<Self> {
        let whole = usize::from(sections.first()?.dim() <= MAX_WHOLE);
        (sections.len() <= MAX_SECTIONS).then_some(Self {
            sections,
            gains: Some(gains),
            whole,
        })
    }

    /// The sections of a row.
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// How gains are read; none if rows are one section without a gain.
    pub fn gains(&self) -> Option<&dyn Gains> {
        self.gains.as_deref()
    }

    /// How many sections, from the first on, level 0 takes by their integers.
    pub fn whole(&self) -> usize {
        self.whole
    }

    /// The coordinates of a row.
    pub fn dim(&self) -> usize {
        self.sections.iter().map(Section::dim).sum()
    }

    /// The bytes that level 0 has of a section of a group of rows: signs or integers.
    pub fn bytes_of(&self, section: usize) -> usize {
        let dim = self.sections[section].dim();
        if section < self.whole {
            code_products::tile_bytes(dim)
        } else {
            sign_scan::group_bytes(dim)
        }
    }

    /// The bytes that level 0 has of a group of rows.
    pub fn group_bytes(&self) -> usize {
        (0..self.sections.len())
            .map(|section| self.bytes_of(section))
            .sum()
    }

    /// Whether rows have bounds of level 0.
    pub fn has_signs(&self) -> bool {
        self.sections
            .iter()
            .all(|section| section.dim() <= MAX_SIGNS)
    }
}

impl Section {
    /// The section of codes with these fields; none if there are too many coordinates, or if the
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

    /// The section of codes of `dim` coordinates that are paths of this code, as by
    /// [`Section::new`].
    pub fn of_path(code: &Code, dim: usize) -> Option<Self> {
        let squares = code.words().iter().map(|&w| f64::from(w) * f64::from(w));
        Self::checked(CodeTables::of_path(code, dim)?, squares.fold(0.0, f64::max))
    }

    fn checked(codes: CodeTables, longest_square: f64) -> Option<Self> {
        (codes.dim() <= MAX_INTS).then(|| Self {
            codes,
            longest: longest_square.sqrt(),
            most_error: MAX_ERROR,
        })
    }

    /// The section of codes that are bytes of rows, as by [`CodeTables::within`]. Few coordinates
    /// are spread less evenly.
    pub fn within(self, first_byte: usize, stride: usize) -> Self {
        let most_error = GAUSSIAN_ERROR + ERROR_DEVIATION / (self.dim() as f64).sqrt();
        Self {
            codes: self.codes.within(first_byte, stride),
            most_error: MAX_ERROR.max(most_error),
            ..self
        }
    }

    /// d, the coordinates of the section.
    pub fn dim(&self) -> usize {
        self.codes.dim()
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
        if error > self.most_error * square {
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
    /// This shape with a gain of the row.
    pub fn times(self, gain: f32) -> Self {
        if gain == 0.0 {
            // Whatever the section is, nothing of it counts.
            return Self {
                factor: 0.0,
                spread: 0.0,
            };
        }
        Self {
            factor: gain * self.factor,
            spread: gain * self.spread,
        }
    }

    /// A row without a bound.
    pub const UNKNOWN: Self = Self {
        factor: 0.0,
        spread: f32::INFINITY,
    };

    /// ‖e‖, from g and e′ alone.
    pub(super) fn error(self, dim: usize) -> f64 {
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
