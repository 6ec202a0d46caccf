//! The levels of a query: its numbers in whole units, with the constants of the bounds
//! ([`bounds`](super::bounds)).

use super::bounds::{ROUNDING, Section, Shape, Tables};
use crate::isa::Isa;
use crate::kernels::code_products::{self, IntQuery};
use crate::kernels::sign_scan::{self, LEAST_VARIANCE, MAX_SECTIONS, SectionCut, SignQuery};

/// Deviations of the error of level 0 that a bound allows for. A row whose score equals the k-th
/// best is then overlooked once in 740 times, and a better row less often.
const SIGN_DEVIATIONS: f64 = 3.0;
/// Deviations of the rounding error of level 1 that a bound allows for.
const INT_DEVIATIONS: f64 = 4.0;
/// The largest kurtosis of a query whose coordinates are spread.
const MAX_KURTOSIS: f32 = 9.0;
/// A: the least √(1 − cos²) that the bound of level 0 assumes of a row and a query.
const LEAST_ACROSS: f64 = 0.5;

/// One value for each section of a row; those beyond the last mean nothing.
pub type PerSection<T> = [T; MAX_SECTIONS];

/// A query in whole numbers, with the constants of its bounds.
#[derive(Debug)]
pub struct Levels {
    /// Level 0; none if its law does not hold for the query.
    pub signs: Option<SignLevel>,
    /// Level 1 of each section.
    ints: Vec<IntSection>,
}

/// Level 1 of a section.
#[derive(Debug, Clone)]
pub struct IntSection {
    pub query: IntQuery,
    /// What an integer product is worth.
    unit: f32,
    /// What is added to the estimate.
    margin: f32,
}

/// Level 0 of a query: of its first sections by integers if there are any, and of the others by
/// signs.
#[derive(Debug)]
pub struct SignLevel {
    /// The integers of sections, which are those of level 1.
    whole: Vec<IntSection>,
    sections: Vec<SignSection>,
    /// What all of them add to bounds of rows of more sections.
    cuts: Vec<SectionCut>,
}

/// Level 0 of a section.
#[derive(Debug)]
pub struct SignSection {
    /// The weights as a LUT.
    pub query: SignQuery,
    /// D·‖y′‖/√(d − 1): what a spread of 1 adds to an estimate of a row orthogonal to the query.
    pub reach: f32,
    /// ‖y′ − ŷ‖/‖y′‖.
    error: f64,
    dim: usize,
}

/// What level 1 knows of a row.
#[derive(Debug, Clone, Copy)]
pub struct Bounded {
    /// The estimate of its product.
    pub estimate: f32,
    /// The bound.
    pub upper: f32,
}

/// What level 0 knows of a row.
#[derive(Debug, Clone, Copy)]
pub enum Seen {
    /// The shape and the sum of weights of its only section.
    Signs(Shape, u16),
    /// Its bound.
    Upper(f32),
}

impl Levels {
    /// The levels of a prepared query; none if its numbers are too large.
    pub fn new(isa: Isa, tables: &Tables, y: &[f32]) -> Option<Self> {
        let mut rest = y;
        let (mut ints, mut signs) = (Vec::new(), Vec::new());
        let mut has_signs = tables.has_signs();
        for (i, section) in tables.sections().iter().enumerate() {
            let (y, after) = rest.split_at(section.dim());
            rest = after;
            ints.push(IntSection::new(isa, section, y));
            if has_signs && i >= tables.whole() {
                let found = SignSection::new(isa, y);
                has_signs = found.is_some();
                signs.extend(found);
            }
        }
        let is_usable =
            |ints: &IntSection| ints.query.unit.is_normal() && ints.query.error.is_finite();
        ints.iter().all(is_usable).then_some(Self {
            signs: has_signs.then(|| SignLevel::new(&ints[..tables.whole()], signs)),
            ints,
        })
    }

    /// The integers of a section.
    pub fn ints(&self, section: usize) -> &IntQuery {
        &self.ints[section].query
    }

    /// The number of sections.
    pub fn sections(&self) -> usize {
        self.ints.len()
    }

    /// What the sections add to bounds of level 1, with margins widened by a factor.
    pub fn cuts(&self, slack: f32) -> PerSection<SectionCut> {
        let mut cuts = PerSection::default();
        for (cut, section) in cuts.iter_mut().zip(&self.ints) {
            *cut = section.cut();
            cut.reach *= slack;
        }
        cuts
    }

    /// What level 1 knows of a row with these gains and the integer product that `product` gives
    /// for each section.
    pub fn bounded(
        &self,
        gains: Option<&PerSection<f32>>,
        product: impl Fn(usize) -> i32,
    ) -> Bounded {
        let Some(gains) = gains else {
            let section = &self.ints[0];
            let estimate = section.unit * product(0) as f32;
            let upper = estimate + section.margin;
            return Bounded { estimate, upper };
        };
        if let [section] = self.ints.as_slice() {
            let estimate = gains[0] * (section.unit * product(0) as f32);
            let upper = estimate + gains[0] * section.margin;
            return Bounded { estimate, upper };
        }
        let (mut estimate, mut variance) = (0.0, LEAST_VARIANCE);
        for (place, (section, &gain)) in self.ints.iter().zip(gains).enumerate() {
            estimate += gain * (section.unit * product(place) as f32);
            let margin = gain * section.margin;
            variance += margin * margin;
        }
        let upper = estimate + variance.sqrt();
        Bounded { estimate, upper }
    }
}

impl IntSection {
    fn cut(&self) -> SectionCut {
        SectionCut {
            unit: self.unit,
            offset: 0.0,
            reach: self.margin,
        }
    }

    fn new(isa: Isa, section: &Section, y: &[f32]) -> Self {
        let query = code_products::query(isa, &section.codes, y);
        let norm_square: f64 = y.iter().map(|&y| f64::from(y) * f64::from(y)).sum();
        let words = f64::from(section.codes.word_error);
        let error = f64::from(query.error) * section.longest;
        let margin = (error * error + norm_square * words * words).sqrt();
        Self {
            unit: (f64::from(query.unit) * f64::from(section.codes.word_unit)) as f32,
            margin: (INT_DEVIATIONS * margin) as f32,
            query,
        }
    }
}

impl SignLevel {
    fn new(whole: &[IntSection], sections: Vec<SignSection>) -> Self {
        let cuts = whole.iter().map(IntSection::cut);
        Self {
            whole: whole.to_vec(),
            cuts: cuts.chain(sections.iter().map(SignSection::cut)).collect(),
            sections,
        }
    }

    /// The sections by integers.
    pub fn whole(&self) -> &[IntSection] {
        &self.whole
    }

    /// The sections by signs.
    pub fn sections(&self) -> &[SignSection] {
        &self.sections
    }

    /// The only section, if it is by signs.
    pub fn only(&self) -> Option<&SignSection> {
        match (self.whole.as_slice(), self.sections.as_slice()) {
            ([], [only]) => Some(only),
            _ => None,
        }
    }

    /// What the sections add to bounds of level 0, with reaches widened by a factor.
    pub fn cuts(&self, slack: f32) -> PerSection<SectionCut> {
        let mut cuts = PerSection::default();
        for (cut, of) in cuts.iter_mut().zip(&self.cuts) {
            let reach = of.reach * slack;
            *cut = SectionCut { reach, ..*of };
        }
        cuts
    }

    /// The estimate of level 0 of a row with gains, and the bound: of the shape and of the product
    /// that `of` gives for each section.
    pub fn bounded(&self, of: impl Fn(usize) -> (Shape, f32)) -> Bounded {
        let (mut estimate, mut variance) = (0.0, LEAST_VARIANCE);
        for (place, cut) in self.cuts.iter().enumerate() {
            let (shape, product) = of(place);
            estimate += shape.factor * (cut.unit * product + cut.offset);
            let error = cut.reach * shape.spread;
            variance += error * error;
        }
        let upper = estimate + variance.sqrt();
        Bounded { estimate, upper }
    }

    /// The bound of level 0 of a row.
    pub fn upper(&self, seen: Seen) -> f32 {
        match seen {
            Seen::Signs(shape, sum) => self.sections[0].upper(shape, sum),
            Seen::Upper(upper) => upper,
        }
    }
}

impl SignSection {
    /// The section of a prepared query; none if the law of level 0 does not
    /// hold.
    fn new(isa: Isa, y: &[f32]) -> Option<Self> {
        let query = sign_scan::query(isa, y);
        let norm = f64::from(query.norm);
        // A section that is zero has no weights and no error.
        let is_zero = norm == 0.0;
        if query.kurtosis > MAX_KURTOSIS && !is_zero {
            return None;
        }
        let error = if is_zero {
            0.0
        } else {
            f64::from(query.error) / norm
        };
        let reach = SIGN_DEVIATIONS * norm / (y.len() as f64 - 1.0).max(1.0).sqrt();
        Some(Self {
            query,
            reach: reach as f32,
            error,
            dim: y.len(),
        })
    }

    /// d, the coordinates of the section.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// ⟨sign(c), ŷ⟩ of a row whose weights add up to `sum`.
    fn product(&self, sum: u16) -> f32 {
        self.query.unit * f32::from(sum) + self.query.offset
    }

    /// What the section adds to bounds of rows of more sections, for both errors.
    fn cut(&self) -> SectionCut {
        SectionCut {
            unit: self.query.unit,
            offset: self.query.offset,
            reach: self.reach * self.error_in_spreads().max(1.0),
        }
    }

    /// The rounding error of the weights, where that in spreads is 1.
    fn error_in_spreads(&self) -> f32 {
        (self.error / ROUNDING) as f32
    }

    /// The bound of level 0 for a row that is this section alone, of this shape, whose weights add
    /// up to `sum`.
    fn upper(&self, shape: Shape, sum: u16) -> f32 {
        let square = shape.square(self.dim);
        if square <= 0.0 {
            return f32::INFINITY;
        }
        let estimate = self.product(sum);
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

    /// The least multiple of a spread that covers both errors of a row that is this section alone
    /// and reaches the bound, if √(1 − cos²) between it and the query is at most `across`.
    pub fn widening(&self, across: f32) -> f32 {
        across.max(self.error_in_spreads().max(LEAST_ACROSS as f32))
    }
}
