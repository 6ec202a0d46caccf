//! A tile of rows: which places of a chunk it has, and the columns of its rows in the units of a
//! metric.

use super::Expand;
use super::bounds::Tables;
use super::corpus::Corpus;
use super::levels::PerSection;
use super::signs::{Chunk, Places};
use crate::isa::Isa;
use crate::kernels::convert;
use crate::kernels::sign_scan::{Columns, Cut, MAX_SECTIONS, ROWS_PER_GROUP, SectionColumns};

/// Places of a chunk, in whole groups, and the rows that they hold.
#[derive(Debug, Default)]
pub(super) struct Tile {
    /// The group of the chunk that is the first of the tile.
    pub group: usize,
    /// The places of each group that hold rows that may be found.
    pub masks: Vec<u64>,
    /// The number of these rows.
    pub rows: usize,
    /// The row of the first place.
    first: usize,
    /// The number of rows that the places hold.
    length: usize,
    /// The row of each place, if some places hold none.
    row_of: Vec<u32>,
}

impl Tile {
    /// Takes these groups of a chunk.
    pub fn fill(
        &mut self,
        places: Places<'_>,
        groups: std::ops::Range<usize>,
        allowed: Option<&[u64]>,
    ) {
        self.group = groups.start;
        self.first = places.first_of(groups.start);
        self.masks.clear();
        self.row_of.clear();
        self.length = 0;
        for group in groups {
            let live = places.live(group);
            let first = self.first + self.length;
            let mut mask = live;
            if places.live.is_some() {
                let mut row = first as u32;
                for place in 0..ROWS_PER_GROUP {
                    self.row_of.push(row);
                    row += (live >> place & 1) as u32;
                }
            }
            if let Some(allowed) = allowed {
                mask = if places.live.is_none() {
                    // Rows stand in whole groups from a multiple of 64 on unless rows before them
                    // were deleted.
                    live & word_at(allowed, first)
                } else {
                    let rows = &self.row_of[self.row_of.len() - ROWS_PER_GROUP..];
                    let bit = |place: usize| (word_at(allowed, rows[place] as usize) & 1) << place;
                    live & (0..ROWS_PER_GROUP).map(bit).sum::<u64>()
                };
            }
            self.length += live.count_ones() as usize;
            self.masks.push(mask);
        }
        self.rows = self
            .masks
            .iter()
            .map(|mask| mask.count_ones() as usize)
            .sum();
    }

    /// The row of a place that holds one.
    pub fn row(&self, place: usize) -> u32 {
        match self.row_of.get(place) {
            Some(&row) => row,
            None => (self.first + place) as u32,
        }
    }

    /// Lists the rows that may be found.
    pub fn list(&self, rows: &mut Vec<u32>) {
        rows.clear();
        for (group, &mask) in self.masks.iter().enumerate() {
            let mut mask = mask;
            while mask != 0 {
                rows.push(self.row(group * ROWS_PER_GROUP + mask.trailing_zeros() as usize));
                mask &= mask - 1;
            }
        }
    }

    /// Lists all rows of a tile in which every place holds one.
    pub fn list_all(&self, rows: &mut Vec<u32>) {
        rows.clear();
        rows.extend((self.first..self.first + self.length).map(|row| row as u32));
    }
}

/// Up to 64 bits from this one on.
fn word_at(bits: &[u64], from: usize) -> u64 {
    let (word, shift) = (from / 64, from % 64);
    let low = bits.get(word).copied().unwrap_or(0) >> shift;
    match shift {
        0 => low,
        _ => low | bits.get(word + 1).copied().unwrap_or(0) << (64 - shift),
    }
}

/// The columns of a tile in the units of the metric: with α of one section, beside 1/α of more.
#[derive(Debug, Default)]
pub(super) struct TileColumns {
    factor: Vec<f32>,
    spread: Vec<f32>,
    shift: Vec<f32>,
    alpha: Vec<f32>,
    inverse: Vec<f32>,
    /// The gains of a group of rows, section by section.
    gains: Vec<f32>,
    /// The largest |h|.
    pub most: f32,
    /// The least and the largest h.
    ends: [f32; 2],
    /// At least the largest α·‖c‖ of a row of one section.
    size: f32,
}

impl TileColumns {
    /// The columns of level 0. The signs of the first place are at `place` of the chunk.
    pub fn fill<E: Expand>(
        &mut self,
        isa: Isa,
        corpus: &Corpus<'_, E>,
        chunk: &Chunk,
        place: usize,
        tile: &Tile,
    ) {
        let length = tile.masks.len() * ROWS_PER_GROUP;
        self.alpha.clear();
        if tile.row_of.is_empty() {
            corpus.alphas(tile.first..tile.first + tile.length, &mut self.alpha);
        } else {
            let last = corpus.codes.len() - 1;
            let alpha = |&row: &u32| corpus.alpha(last.min(row as usize)).unwrap_or(f32::NAN);
            self.alpha.extend(tile.row_of.iter().map(alpha));
        }
        self.alpha.resize(length, 0.0);
        if let Some(only) = chunk.only() {
            self.factor.resize(length, 0.0);
            self.spread.resize(length, 0.0);
            let most = convert::scale_columns(
                isa,
                &self.alpha,
                &only.factor[place..][..length],
                &only.spread[place..][..length],
                &mut self.factor,
                &mut self.spread,
            );
            self.size = most * chunk.longest;
        } else {
            self.fill_inverse();
        }
        self.shift.clear();
        if corpus.has_shift() && tile.row_of.is_empty() {
            corpus.shifts(tile.first..tile.first + tile.length, &mut self.shift);
        } else if corpus.has_shift() {
            let last = corpus.codes.len() - 1;
            let shift = |&row: &u32| corpus.shift(last.min(row as usize));
            self.shift.extend(tile.row_of.iter().map(shift));
        }
        self.finish_shift(length);
    }

    /// 1/α, which is ∞ where α is 0. Both become NaN for a row without bounds.
    fn fill_inverse(&mut self) {
        self.inverse.clear();
        self.inverse.extend(self.alpha.iter_mut().map(|alpha| {
            // Without branches, which the compiler would not turn into vectors.
            let (value, range) = (*alpha, convert::USABLE);
            #[allow(clippy::manual_range_contains)]
            let usable = (value >= range.start) & (value < range.end);
            *alpha = if usable | (value == 0.0) {
                value
            } else {
                f32::NAN
            };
            alpha.abs().recip()
        }));
    }

    /// The columns of level 1 of up to a group of rows: gains, and of rows of one section α with
    /// its gain as factor and as spread.
    pub fn fill_ints<E: Expand>(&mut self, corpus: &Corpus<'_, E>, tables: &Tables, rows: &[u32]) {
        let alpha = rows.iter().map(|&row| corpus.alpha(row as usize));
        self.alpha.clear();
        self.alpha
            .extend(alpha.map(|alpha| alpha.unwrap_or(f32::NAN)));
        self.alpha.resize(ROWS_PER_GROUP, 0.0);
        self.gains.clear();
        self.gains.resize(MAX_SECTIONS * ROWS_PER_GROUP, 1.0);
        if let Some(gains) = tables.gains() {
            let mut each = [0.0; MAX_SECTIONS];
            for (place, &row) in rows.iter().enumerate() {
                gains.gains(corpus.codes.row(row as usize), &mut each);
                for (column, gain) in self.gains.chunks_exact_mut(ROWS_PER_GROUP).zip(each) {
                    column[place] = gain;
                }
            }
        }
        if let [_] = tables.sections() {
            self.factor.clear();
            self.spread.clear();
            for (&alpha, &gain) in self.alpha.iter().zip(&self.gains) {
                let is_usable = !alpha.is_nan();
                let product = alpha * gain;
                self.factor.push(if is_usable { product } else { 0.0 });
                self.spread
                    .push(if is_usable { product } else { f32::INFINITY });
            }
        } else {
            self.fill_inverse();
        }
        self.shift.clear();
        if corpus.has_shift() {
            let shift = rows.iter().map(|&row| corpus.shift(row as usize));
            self.shift.extend(shift);
        }
        self.finish_shift(ROWS_PER_GROUP);
    }

    /// The gains of a row of the group.
    pub fn gains_of(&self, place: usize) -> PerSection<f32> {
        std::array::from_fn(|section| self.gains(section)[place])
    }

    /// The gains of a section of a group of rows.
    pub fn gains(&self, section: usize) -> &[f32] {
        &self.gains[section * ROWS_PER_GROUP..][..ROWS_PER_GROUP]
    }

    /// Finds the least and the largest of the shifts, and fills up their column.
    fn finish_shift(&mut self, length: usize) {
        (self.most, self.ends) = (0.0, [0.0; 2]);
        if self.shift.is_empty() {
            return;
        }
        const LANES: usize = 8;
        let (mut low, mut high) = ([f32::INFINITY; LANES], [f32::NEG_INFINITY; LANES]);
        let (whole, rest) = self.shift.as_chunks::<LANES>();
        let mut last = [self.shift[0]; LANES];
        last[..rest.len()].copy_from_slice(rest);
        for shifts in whole.iter().chain([&last]) {
            for lane in 0..LANES {
                let shift = shifts[lane];
                low[lane] = if shift < low[lane] { shift } else { low[lane] };
                high[lane] = if shift > high[lane] {
                    shift
                } else {
                    high[lane]
                };
            }
        }
        let low = low.into_iter().fold(f32::INFINITY, f32::min);
        let high = high.into_iter().fold(f32::NEG_INFINITY, f32::max);
        self.ends = [low, high];
        self.most = low.abs().max(high.abs());
        self.shift.resize(length, 0.0);
    }

    /// The columns of rows of one section.
    pub fn view(&self) -> Columns<'_> {
        Columns {
            factor: &self.factor,
            spread: &self.spread,
            shift: self.shifts(),
        }
    }

    /// The columns of rows of more sections, beside those of each section.
    pub fn section_view<'a>(&'a self, sections: &'a [[&'a [f32]; 2]]) -> SectionColumns<'a> {
        SectionColumns {
            sections,
            inverse: &self.inverse,
            shift: self.shifts(),
        }
    }

    fn shifts(&self) -> Option<&[f32]> {
        (!self.shift.is_empty()).then_some(&self.shift)
    }

    /// The key of a place with this product; a NaN where the row has no bounds.
    pub fn key(&self, place: usize, product: f32, weight: f32) -> f32 {
        let added = self.shift.get(place).map_or(0.0, |shift| weight * shift);
        self.alpha[place] * product + added
    }

    /// The key of a place with this sum.
    pub fn key_of_sum(&self, place: usize, sum: u16, cut: &Cut) -> f32 {
        // Products are not fused: without the instruction that is a call.
        let key = self.factor[place] * (cut.unit * f32::from(sum) + cut.offset);
        let added = self.shift.get(place).map(|shift| cut.weight * shift);
        added.map_or(key, |added| key + added)
    }

    /// The largest √(1 − cos²) between the query and a row that reaches the threshold: the row
    /// whose key needs the least cosine for it.
    pub fn across(&self, threshold: f32, weight: f32, norm: f32) -> f32 {
        let added = f64::from(weight * self.ends[0]).max(f64::from(weight * self.ends[1]));
        let size = f64::from(self.size) * f64::from(norm);
        let cosine = 0.99999 * (f64::from(threshold) - added) / size;
        if cosine > 0.0 {
            (1.0 - cosine.min(1.0).powi(2)).sqrt() as f32
        } else {
            1.0
        }
    }
}
