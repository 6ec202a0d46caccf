//! Sign scan: approximate products of all rows with a query from one sign per coordinate, and the
//! rows whose bounds reach a threshold.
//!
//! A search first bounds the score of every row by the signs of its codeword and prunes the rows
//! that cannot be among the best. [`sums`] adds what the query gains where the signs agree, and
//! [`sums_reach`] compares the bounds with a threshold. [`ints_reach`] does the same with better
//! products, and [`sections_reach`] for rows whose products are sums over sections of their
//! coordinates.
//!
//! **Mathematics.** A query y becomes integers qᵢ with the signs of y and ŷᵢ = (unit/2)·qᵢ ≈ yᵢ.
//! With S the sum of |qᵢ| over the coordinates at which the signs of c and q agree,
//!
//! ```text
//! ⟨sign(c), ŷ⟩ = unit·S − (unit/2)·Σ|qᵢ|
//! |qᵢ| = ⌊|yᵢ|·(2/unit) + ½⌋
//! ```
//!
//! and a look-up table (LUT) has this sum for each sign of a few coordinates. `unit` is the first
//! of widest/15 · 1.02ⁿ, n = 0, 1, …, for which Σ|q| ≤ 15 in every group of four coordinates, where
//! widest is the largest 2Σ|y| of such a group. All sums are integers, so that every order of
//! summation agrees, and they fit 16 bits up to [`MAX_DIM`] coordinates.
//!
//! **The layout.** Rows stand in groups of [`ROWS_PER_GROUP`]. A group has 64 bytes for each eight
//! coordinates, one per row; bit i of the byte is set where coordinate i is not negative. Even
//! bytes are rows 0 to 31 and odd ones rows 32 to 63 ([`slot`]), so that 16-bit lanes split into
//! two runs of rows in order:
//!
//! ```text
//! codes:   row 0, row 32, row 1, row 33, …, row 31, row 63        signs 8j … 8j + 7 of each
//! LUTs:    entries 0 … 15 of signs 8j … 8j + 3 | entries 0 … 15 of signs 8j + 4 … 8j + 7
//!
//! for each group of 64 rows:
//!     for each part of 64 coordinates:
//!         bytes ← 0
//!         for each 8 coordinates:
//!             bytes ← bytes + shuffle(first LUT, codes & 15) + shuffle(second LUT, codes >> 4)
//!         all ← all + bytes as 16-bit lanes;  high ← high + the high bytes     16 · 15 < 256
//!     the sums of rows 0 to 31 are all − (high << 8), those of rows 32 to 63 are high
//! ```
//!
//! On AVX-512 a table of 64 bytes is one register, and one instruction looks up six signs of 64
//! rows. The top pairs that are left of three bytes are another six signs, so that 64 coordinates
//! take 8 tables for bytes and 3 for pairs in place of 16. The entries of all eleven still add the
//! weights of sixteen groups of four, so that bytes hold them:
//!
//! ```text
//! three bytes:      a7 a6 | a5 … a0        b7 b6 | b5 … b0        c7 c6 | c5 … c0
//! their indexes:    a5 … a0,    b5 … b0,    c5 … c0,    a7 a6 b7 b6 c7 c6
//! the two others:   d5 … d0,    e5 … e0,    d7 d6 e7 e6
//! ```
//!
//! **Cost.** Vector instructions besides loads for 64 coordinates of 64 rows with four queries: on
//! AVX2 328, which are 16 times three to split the codes and 16 to look up and add, and 24 to
//! widen; on AVX-512 109, which are 13 for the indexes and for each query 11 look-ups, 10 additions
//! and 3 to widen. AVX2 is bound by its three vector ports, two of which shuffle. AVX-512 has two,
//! one of which shuffles, and a lower clock. On an Intel Xeon of 2024 a row of d = 384 takes each
//! of four queries 0.83 ns on AVX2 and 0.44 ns on AVX-512, a single query 1.05 and 0.64 ns; but a
//! single query that reads the 48 bytes of the row from beyond the second-level cache is bound by
//! that. The bound of a row takes seven instructions per vector of rows, 0.13 and 0.08 ns.

#[cfg(target_arch = "x86_64")]
mod avx512;
mod scalar;
mod vector;

use super::{kernel, vector_kernel};
use crate::aligned::Aligned;

/// Rows of a group, which share the bytes of the layout.
pub const ROWS_PER_GROUP: usize = 64;
/// The most coordinates whose sums fit 16 bits: fifteen for each four of them.
pub const MAX_DIM: usize = 17_476;

/// Coordinates of a part, after which byte sums are widened; rows are padded to whole parts.
const PART: usize = 64;
/// The largest sum of four weights.
const MAX_ENTRY: i32 = 15;
/// The step between the units that are tried.
const UNIT_STEP: f32 = 1.02;

/// Bytes of signs per row.
pub fn sign_bytes(dim: usize) -> usize {
    dim.div_ceil(PART) * (PART / 8)
}

/// Bytes of a group of rows.
pub fn group_bytes(dim: usize) -> usize {
    sign_bytes(dim) * ROWS_PER_GROUP
}

/// Where a row stands among the 64 bytes of eight coordinates; `row` counts within the group.
pub fn slot(row: usize) -> usize {
    row % 32 * 2 + row / 32
}

/// A query for the scan of signs.
#[derive(Debug, Clone)]
pub struct SignQuery {
    /// The tables, in the form of the instruction set on which the query was made: 16 entries for
    /// each four coordinates, or on AVX-512 the eleven tables of 64 entries for each 64
    /// coordinates.
    pub lut: Aligned<u8>,
    /// What a sum of 1 is worth.
    pub unit: f32,
    /// What a sum of 0 is worth.
    pub offset: f32,
    /// ‖y − ŷ‖, where ŷ is the rounded query.
    pub error: f32,
    /// ‖y‖.
    pub norm: f32,
    /// d·Σy⁴/(Σy²)²: about 3 where the coordinates are spread, d where only one is not zero; ∞ for
    /// a query without weights.
    pub kurtosis: f32,
}

vector_kernel! {
    /// Rounds a query to weights and makes its LUT.
    ///
    /// A query has no weights if it is zero, not finite, or so small or large that unit or 2/unit
    /// is not a finite number: its unit is then 1, its offset 0, its error is its norm (∞ if that
    /// is not finite), and its kurtosis is infinite.
    pub fn query(y: &[f32]) -> SignQuery; avx512
}

vector_kernel! {
    /// out\[rows·q + r\] ← the sum of the weights of query q whose signs agree with row r, where
    /// `rows` is that of all groups.
    ///
    /// The LUTs are those of queries that [`query`] made on the same instruction set; of other
    /// bytes the sums are not defined. Queries are scanned in fours, each four over all groups, so
    /// groups that fit the second-level cache are read from memory once.
    ///
    /// # Panics
    /// If the lengths do not fit together, or if `dim` is above [`MAX_DIM`].
    pub fn sums(groups: &[u8], dim: usize, luts: &[&[u8]], out: &mut [u16]); avx512
}

/// Numbers of the rows, one per row each.
#[derive(Debug, Clone, Copy)]
pub struct Columns<'a> {
    /// fᵢ: the factor of the row's product.
    pub factor: &'a [f32],
    /// The row's part of the error of its product; the query's part is the reach.
    pub spread: &'a [f32],
    /// hᵢ: an addend of each row, if there is one.
    pub shift: Option<&'a [f32]>,
}

/// How products become upper bounds, and what is cut off.
///
/// The bound of row i is reach·spreadᵢ + (weight·hᵢ + fᵢ·(unit·Sᵢ + offset)), each product with its
/// addition rounded once; the shift h is optional.
#[derive(Debug, Clone, Copy)]
pub struct Cut {
    /// What a sum of 1 is worth.
    pub unit: f32,
    /// What a sum of 0 is worth.
    pub offset: f32,
    /// How many spreads the bound lies above the product.
    pub reach: f32,
    /// The factor of the shift.
    pub weight: f32,
    /// Rows whose bound is below this are cut off.
    pub threshold: f32,
}

vector_kernel! {
    /// Bit r of masks\[g\] ← whether the bound of row 64g + r, from its sum of weights, is not
    /// below the threshold; it is set where the bound is NaN.
    ///
    /// # Panics
    /// If the lengths do not fit together.
    pub fn sums_reach(sums: &[u16], columns: &Columns<'_>, cut: &Cut, masks: &mut [u64]); avx512
}

vector_kernel! {
    /// [`sums_reach`] for products that are 32-bit integers, which become the nearest float32.
    ///
    /// # Panics
    /// If the lengths do not fit together.
    pub fn ints_reach(dots: &[i32], columns: &Columns<'_>, cut: &Cut, masks: &mut [u64]); avx512
}

/// Rows that a filter has left, with their keys and bounds.
#[derive(Debug, Default)]
pub struct Picked {
    /// The rows, in ascending order.
    pub rows: Vec<u32>,
    /// weight·hᵢ + fᵢ·(unit·Sᵢ + offset) of each.
    pub keys: Vec<f32>,
    /// The bound of each.
    pub bounds: Vec<f32>,
}

kernel! {
    /// Overwrites `picked` with the rows whose bits are set both in `masks` and in `live`, and with
    /// their keys and bounds by [`Cut`].
    ///
    /// # Panics
    /// If the lengths do not fit together.
    pub fn pick(
        sums: &[u16],
        columns: &Columns<'_>,
        cut: &Cut,
        masks: &[u64],
        live: &[u64],
        picked: &mut Picked,
    ); avx512
}

/// The most sections of a row.
pub const MAX_SECTIONS: usize = 4;

/// Numbers of rows that are sums over sections, one per row each.
#[derive(Debug, Clone, Copy)]
pub struct SectionColumns<'a> {
    /// The factor of the section's product, and its part of the error, for each section.
    pub sections: &'a [[&'a [f32]; 2]],
    /// 1/αᵢ, where α is the factor of the row's whole product; +∞ where α is 0, and NaN for a row
    /// that is never cut off.
    pub inverse: &'a [f32],
    /// hᵢ: an addend of each row, if there is one.
    pub shift: Option<&'a [f32]>,
}

/// What a section of a query adds to the bounds of rows.
#[derive(Debug, Clone, Copy, Default)]
pub struct SectionCut {
    /// What a product of 1 is worth.
    pub unit: f32,
    /// What a product of 0 is worth.
    pub offset: f32,
    /// How many of the section's errors are allowed for.
    pub reach: f32,
}

/// How the products of sections become upper bounds, and what is cut off.
///
/// With factors f and errors e of the sections, products S and V = Σ (reach·e)², a row is cut off
/// where α·(Σ f·(unit·S + offset) + √V) + weight·h is below the threshold. No root is taken: this
/// is so where the gap g below is positive and its square is above V.
///
/// ```text
/// g ← (threshold − weight·h)/α;  for each section:  g ← g − f·(unit·S + offset)
/// V ← 10⁻³⁰;                     for each section:  V ← V + (reach·e)²
/// cut off where g·|g| > V                                             never where g or V is NaN
/// ```
///
/// Every product with its addition is rounded once. The least V is above what squares of small
/// numbers lose.
#[derive(Debug, Clone, Copy)]
pub struct SectionsCut {
    /// The sections, of which there are as many as columns have.
    pub sections: [SectionCut; MAX_SECTIONS],
    /// The factor of the shift.
    pub weight: f32,
    /// Rows whose bound is below this are cut off.
    pub threshold: f32,
}

/// The least V.
pub const LEAST_VARIANCE: f32 = 1e-30;

vector_kernel! {
    /// Bit r of masks\[g\] ← whether row 64g + r is not cut off, from the products of each section:
    /// of the first sections integers, which become the nearest float32, and of the others sums of
    /// weights.
    ///
    /// # Panics
    /// If the lengths do not fit together, or there are not 1 to [`MAX_SECTIONS`] sections.
    pub fn sections_reach(
        ints: &[&[i32]],
        sums: &[&[u16]],
        columns: &SectionColumns<'_>,
        cut: &SectionsCut,
        masks: &mut [u64],
    )
}

/// Checks all lengths.
fn check_sections(ints: &[&[i32]], sums: &[&[u16]], columns: &SectionColumns<'_>, masks: &[u64]) {
    let rows = masks.len() * ROWS_PER_GROUP;
    let sections = columns.sections.len();
    assert!((1..=MAX_SECTIONS).contains(&sections), "sections of a row");
    assert_eq!(
        ints.len() + sums.len(),
        sections,
        "products of each section"
    );
    let of_sections = columns.sections.iter().flatten().map(|column| column.len());
    let lengths = ints.iter().map(|ints| ints.len());
    let lengths = lengths.chain(sums.iter().map(|sums| sums.len()));
    let shift = columns.shift.map(<[f32]>::len);
    assert!(
        lengths
            .chain(of_sections)
            .chain([columns.inverse.len()])
            .chain(shift)
            .all(|length| length == rows),
        "one mask per group, and numbers of its rows"
    );
}

/// Checks all lengths and returns the number of rows.
fn rows(groups: &[u8], dim: usize, luts: &[&[u8]], lut_bytes: usize, out: &[u16]) -> usize {
    assert!(dim <= MAX_DIM, "at most {MAX_DIM} coordinates");
    let bytes = group_bytes(dim).max(1);
    let rows = groups.len() / bytes * ROWS_PER_GROUP;
    assert!(groups.len().is_multiple_of(bytes), "whole groups of rows");
    assert_eq!(out.len(), rows * luts.len(), "one sum per row and query");
    assert!(
        luts.iter().all(|lut| lut.len() == lut_bytes),
        "LUTs of the dimension"
    );
    rows
}

/// Checks all lengths.
fn check_columns(rows: usize, columns: &Columns<'_>, masks: &[u64]) {
    assert_eq!(rows, masks.len() * ROWS_PER_GROUP, "one mask per group");
    let lengths = [columns.factor.len(), columns.spread.len()];
    let shift = columns.shift.map(<[f32]>::len);
    assert!(
        lengths
            .into_iter()
            .chain(shift)
            .all(|length| length == rows),
        "factors, spreads and shifts of the rows"
    );
}
