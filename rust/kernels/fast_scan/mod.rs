//! The scan: for every row the sum of table entries that its nibbles choose, and which rows such sums leave in question.
//!
//! A row of P nibbles gives S = Σⱼ Tⱼ\[nibble j\] with a table of 16 bytes for each position: what a query would add for each of the sixteen
//! meanings of a nibble. Entries are at most [`MAX_LUT_ENTRY`] and sums below 2¹⁶, all integers, so every instruction set and every order agrees.
//!
//! **The layout.** Rows stand in groups of [`ROWS_PER_GROUP`]. A group has 16 bytes for each position: byte r holds row r in its low nibble and row
//! r + 16 in its high one. P is a multiple of [`POSITIONS_PER_PART`]. So a table stays in a register for 32 rows, and a register of 32 bytes of
//! codes meets the tables of two positions side by side.
//!
//! **Its cost.** Two positions of 32 rows are two loads, two masks, a shift, two table look-ups and two additions of bytes; every sixteenth position the
//! byte sums are widened (six instructions). 9.8 instructions for 64 look-ups; four queries share the load and masks of the codes, 6.8 for each.
//! d = 384 in signs (96 positions) are 15 and 10 instructions a row, 1.2 and .7 ns, bound by the four vector ports; one query is as much bound by
//! reading the row's 48 bytes, which come from beyond the second-level cache.

mod scalar;
mod vector;

use super::vector_kernel;

/// Rows of a group.
pub const ROWS_PER_GROUP: usize = 32;
/// What the number of positions is a multiple of: as many entries as can be added before a byte is full.
pub const POSITIONS_PER_PART: usize = 16;
/// The greatest table entry: eight of them fit a byte.
pub const MAX_LUT_ENTRY: u8 = 31;

/// Bytes of the group layout for `rows` rows of `positions` nibbles.
pub fn nibble_bytes(rows: usize, positions: usize) -> usize {
    rows.div_ceil(ROWS_PER_GROUP) * positions * (ROWS_PER_GROUP / 2)
}

/// Puts a row's nibble of a position into `group`, the bytes of the row's group (zero before).
pub fn put_nibble(group: &mut [u8], row: usize, position: usize, nibble: u8) {
    let byte = &mut group[position * (ROWS_PER_GROUP / 2) + row % (ROWS_PER_GROUP / 2)];
    *byte |= if row < ROWS_PER_GROUP / 2 {
        nibble
    } else {
        nibble << 4
    };
}

vector_kernel! {
    /// sums\[q\]\[32g + r\] ← Σⱼ tables\[q\]\[16j + nibble j of row r of group g\] for each query q, for whole groups.
    ///
    /// # Panics
    /// If the lengths do not fit, or the number of positions is no multiple of [`POSITIONS_PER_PART`].
    pub fn lut_sums(nibbles: &[u8], tables: &[&[u8]], sums: &mut [&mut [u16]])
}

/// The sums of some rows and the factor of each.
#[derive(Debug, Clone, Copy)]
pub struct Term<'a> {
    /// Sᵢ.
    pub sums: &'a [u16],
    /// fᵢ.
    pub factor: &'a [f32],
}

/// What turns sums into keys: keyᵢ = fᵢ·(unit·Sᵢ + offset), the same again for a second term, + weight·hᵢ.
#[derive(Debug, Clone, Copy)]
pub struct Keys<'a> {
    /// The first term.
    pub first: Term<'a>,
    /// The second, where there is one.
    pub second: Option<Term<'a>>,
    /// Standard deviation of the key's error, without the query's part.
    pub spread: &'a [f32],
    /// hᵢ, where there is one.
    pub shift: Option<&'a [f32]>,
    /// unit.
    pub unit: f32,
    /// offset.
    pub offset: f32,
    /// weight.
    pub weight: f32,
    /// Factor of the spread.
    pub reach: f32,
}

impl Keys<'_> {
    /// The key of row i, without the reach.
    fn key(&self, i: usize) -> f32 {
        let product = |term: &Term<'_>| self.unit.mul_add(f32::from(term.sums[i]), self.offset);
        let mut key = self.first.factor[i] * product(&self.first);
        if let Some(second) = &self.second {
            key = second.factor[i].mul_add(product(second), key);
        }
        (self.shift).map_or(key, |shift| self.weight.mul_add(shift[i], key))
    }

    /// The key with its reach.
    fn bound(&self, i: usize) -> f32 {
        self.reach.mul_add(self.spread[i], self.key(i))
    }

    /// Rows, all lengths checked.
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
    /// greatest\[g\] ← the greatest keyᵢ + reach·spreadᵢ of the rows of group g, at least −∞; a bound that is no number is none.
    ///
    /// # Panics
    /// If the lengths do not fit.
    pub fn group_maxima(keys: &Keys<'_>, greatest: &mut [f32])
}

vector_kernel! {
    /// Appends `from` + i to `rows` for every i with `least` < keyᵢ + reach·spreadᵢ ≤ `most`, ascending.
    ///
    /// # Panics
    /// If the lengths do not fit.
    pub fn select_in_range(keys: &Keys<'_>, least: f32, most: f32, from: u32, rows: &mut Vec<u32>)
}

/// The lengths, checked: the number of positions.
fn positions(nibbles: &[u8], tables: &[&[u8]], sums: &[&mut [u16]]) -> usize {
    assert_eq!(tables.len(), sums.len(), "tables and sums of the queries");
    let positions = tables.first().map_or(0, |table| table.len() / 16);
    for (tables, sums) in tables.iter().zip(sums) {
        assert!(
            tables.len() == positions * 16 && positions.is_multiple_of(POSITIONS_PER_PART),
            "tables of a multiple of {POSITIONS_PER_PART} positions"
        );
        let bytes = nibble_bytes(sums.len(), positions);
        assert!(
            sums.len().is_multiple_of(ROWS_PER_GROUP) && nibbles.len() == bytes,
            "nibbles of whole groups"
        );
    }
    positions
}
