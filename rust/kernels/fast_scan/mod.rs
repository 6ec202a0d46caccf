//! Fast scan: approximate products of all rows with a query, from 4-bit look-up tables (LUTs).
//!
//! A search first bounds the score of every row by a cheap sketch, prunes the rows that cannot be
//! among the best, and then reranks the others exactly. These kernels do the first two steps: they
//! sum LUT entries for all rows, turn the sums into upper bounds, and select rows by their bounds.
//!
//! **Mathematics.** A row is P nibbles n₀ … n_(P−1), and a query is a LUT T of 16 bytes for each
//! position: what the query would add for each of the sixteen values of the nibble. [`lut_sums`] is
//! S = Σⱼ Tⱼ\[nⱼ\]. Entries are at most [`MAX_LUT_ENTRY`] and sums are below 2¹⁶; all are integers,
//! so that every order of summation agrees. [`Keys`] then gives key = f·(unit·S + offset) + …, and
//! the upper bound key + reach·spread.
//!
//! **The layout.** Rows stand in groups of [`ROWS_PER_GROUP`]. A group has 16 bytes for each
//! position: byte r holds the nibble of row r in its low half and that of row r + 16 in its high
//! half. P is a multiple of [`POSITIONS_PER_PART`]. A LUT therefore stays in half a vector for 32
//! rows, and one vector of codes holds two positions, each beside its own LUT:
//!
//! ```text
//! codes:       position 2j:  rows 0 … 15, rows 16 … 31 | position 2j + 1:  the same rows
//! LUTs:        position 2j:  entries 0 … 15            | position 2j + 1:  entries 0 … 15
//! shuffle_bytes(LUTs, low_nibbles(codes))    entries of rows 0 … 15, both positions
//! shuffle_bytes(LUTs, high_nibbles(codes))   entries of rows 16 … 31, both positions
//!
//! for each group of 32 rows:
//!     for each part of 16 positions:
//!         bytes ← 0
//!         for each 2 positions:  bytes ← bytes + the entries above    8 · 31 < 256
//!         all ← all + bytes as 16-bit lanes;  high ← high + the high bytes
//!     the sum of odd rows is high; that of even rows is all − (high << 8)
//! ```
//!
//! **Cost.** Two positions of 32 rows take two loads, two masks, a shift, two byte shuffles and two
//! additions; every sixteenth position the byte sums are widened (six instructions). That is 9.8
//! instructions for 64 look-ups. Four queries share the loads and masks of the codes, which leaves
//! 6.8 for each. A row of d = 384 signs (96 positions) takes 15 and 10 instructions, 1.2 and 0.7
//! ns. Bound by the four vector ports; for one query as much by reading the 48 bytes of the row,
//! which come from beyond the second-level cache.

mod scalar;
mod vector;

use super::vector_kernel;

/// Rows of a group, which share the bytes of the layout.
pub const ROWS_PER_GROUP: usize = 32;
/// Positions of a part, after which byte sums are widened: eight entries are added to each byte.
/// The number of positions is a multiple of this.
pub const POSITIONS_PER_PART: usize = 16;
/// The largest LUT entry: the sum of eight fits a byte.
pub const MAX_LUT_ENTRY: u8 = 31;

/// Bytes that `rows` rows of `positions` nibbles take in the layout of groups.
pub fn nibble_bytes(rows: usize, positions: usize) -> usize {
    rows.div_ceil(ROWS_PER_GROUP) * positions * (ROWS_PER_GROUP / 2)
}

/// Writes a row's nibble at a position into `group`, the bytes of its group; `row` counts within
/// the group, and the nibble must be zero before.
pub fn put_nibble(group: &mut [u8], row: usize, position: usize, nibble: u8) {
    let byte = &mut group[position * (ROWS_PER_GROUP / 2) + row % (ROWS_PER_GROUP / 2)];
    *byte |= if row < ROWS_PER_GROUP / 2 {
        nibble
    } else {
        nibble << 4
    };
}

vector_kernel! {
    /// sums\[q\]\[32g + r\] ← Σⱼ luts\[q\]\[16j + nibble j of row r of group g\], for each query q.
    ///
    /// # Panics
    /// If the lengths do not fit together, if the rows are not whole groups, or if the number of
    /// positions is not a multiple of [`POSITIONS_PER_PART`].
    pub fn lut_sums(nibbles: &[u8], luts: &[&[u8]], sums: &mut [&mut [u16]])
}

/// The LUT sums of some rows, with the factor of each row.
#[derive(Debug, Clone, Copy)]
pub struct Term<'a> {
    /// Sᵢ: the LUT sum of row i.
    pub sums: &'a [u16],
    /// fᵢ: the factor of row i.
    pub factor: &'a [f32],
}

/// How sums become keys and upper bounds.
///
/// keyᵢ = fᵢ·(unit·Sᵢ + offset) + f′ᵢ·(unit·S′ᵢ + offset) + weight·hᵢ, where f′ and S′ are those of
/// the second term and h is the shift; both are optional. The upper bound of row i is keyᵢ +
/// reach·spreadᵢ.
#[derive(Debug, Clone, Copy)]
pub struct Keys<'a> {
    /// The first term.
    pub first: Term<'a>,
    /// The second term, if the sketch has a second plane.
    pub second: Option<Term<'a>>,
    /// The row's part of the standard deviation of the key's error; the query's part is in `reach`.
    pub spread: &'a [f32],
    /// hᵢ: an addend of each row, if there is one.
    pub shift: Option<&'a [f32]>,
    /// The value of one LUT unit.
    pub unit: f32,
    /// The value of a LUT sum of 0.
    pub offset: f32,
    /// The factor of the shift.
    pub weight: f32,
    /// How many spreads the upper bound lies above the key.
    pub reach: f32,
}

impl Keys<'_> {
    /// The key of row i.
    fn key(&self, i: usize) -> f32 {
        let product = |term: &Term<'_>| self.unit.mul_add(f32::from(term.sums[i]), self.offset);
        let mut key = self.first.factor[i] * product(&self.first);
        if let Some(second) = &self.second {
            key = second.factor[i].mul_add(product(second), key);
        }
        (self.shift).map_or(key, |shift| self.weight.mul_add(shift[i], key))
    }

    /// The upper bound of row i.
    fn upper_bound(&self, i: usize) -> f32 {
        self.reach.mul_add(self.spread[i], self.key(i))
    }

    /// Checks all lengths and returns the number of rows.
    fn rows(&self) -> usize {
        let rows = self.spread.len();
        let others = self.second.iter().chain([&self.first]);
        let lengths = others.flat_map(|term| [term.sums.len(), term.factor.len()]);
        let shift = self.shift.map(<[f32]>::len);
        assert!(
            lengths.chain(shift).all(|length| length == rows),
            "sums, factors, spreads and shifts of the rows"
        );
        rows
    }
}

vector_kernel! {
    /// maxima\[g\] ← the largest upper bound of the rows of group g.
    ///
    /// A bound that is NaN is ignored; a group without another bound has −∞.
    ///
    /// # Panics
    /// If the lengths do not fit together.
    pub fn group_maxima(keys: &Keys<'_>, maxima: &mut [f32])
}

vector_kernel! {
    /// Appends `first_row` + i to `rows`, ascending, for each i whose upper bound is above `above`
    /// and at most `up_to`.
    ///
    /// # Panics
    /// If the lengths do not fit together.
    pub fn select_in_range(
        keys: &Keys<'_>,
        above: f32,
        up_to: f32,
        first_row: u32,
        rows: &mut Vec<u32>,
    )
}

/// Checks all lengths and returns the number of positions.
fn positions(nibbles: &[u8], luts: &[&[u8]], sums: &[&mut [u16]]) -> usize {
    assert_eq!(luts.len(), sums.len(), "LUTs and sums of the queries");
    let positions = luts.first().map_or(0, |lut| lut.len() / 16);
    for (lut, sums) in luts.iter().zip(sums) {
        assert!(
            lut.len() == positions * 16 && positions.is_multiple_of(POSITIONS_PER_PART),
            "LUTs of a multiple of {POSITIONS_PER_PART} positions"
        );
        let bytes = nibble_bytes(sums.len(), positions);
        assert!(
            sums.len().is_multiple_of(ROWS_PER_GROUP) && nibbles.len() == bytes,
            "nibbles of whole groups"
        );
    }
    positions
}
