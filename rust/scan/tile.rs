//! A tile of rows: which places of a chunk it has, and the columns of its rows in the units of a
//! metric.

use super::Expand;
use super::corpus::Corpus;
use super::signs::{Chunk, Places};
use crate::isa::Isa;
use crate::kernels::convert;
use crate::kernels::sign_scan::{Columns, Cut, ROWS_PER_GROUP};

/// Rows of the sample that a high key is taken from.
const SAMPLE: usize = 256;

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

/// The columns of a tile in the units of the metric.
#[derive(Debug, Default)]
pub(super) struct TileColumns {
    factor: Vec<f32>,
    spread: Vec<f32>,
    shift: Vec<f32>,
    alpha: Vec<f32>,
    /// The largest |h|.
    pub most: f32,
    /// The least and the largest h.
    ends: [f32; 2],
    /// At least the largest α·‖c‖.
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
        self.factor.resize(length, 0.0);
        self.spread.resize(length, 0.0);
        let (factor, spread) = (
            &chunk.factor[place..][..length],
            &chunk.spread[place..][..length],
        );
        let most = convert::scale_columns(
            isa,
            &self.alpha,
            factor,
            spread,
            &mut self.factor,
            &mut self.spread,
        );
        self.size = most * chunk.longest;
        let places = (0..length).take(if tile.row_of.is_empty() {
            tile.length
        } else {
            length
        });
        let last = corpus.codes.len() - 1;
        self.fill_shift(
            corpus,
            places.map(|place| tile.row(place).min(last as u32)),
            length,
        );
    }

    /// The columns of level 1: α is both the factor and the spread.
    pub fn fill_alpha<E: Expand>(&mut self, corpus: &Corpus<'_, E>, rows: &[u32]) {
        let length = rows.len().next_multiple_of(ROWS_PER_GROUP);
        self.factor.clear();
        self.spread.clear();
        for &row in rows {
            let alpha = corpus.alpha(row as usize);
            self.factor.push(alpha.unwrap_or(0.0));
            self.spread.push(alpha.unwrap_or(f32::INFINITY));
        }
        self.factor.resize(length, 0.0);
        self.spread.resize(length, 0.0);
        self.fill_shift(corpus, rows.iter().copied(), length);
    }

    fn fill_shift<E: Expand>(
        &mut self,
        corpus: &Corpus<'_, E>,
        rows: impl Iterator<Item = u32>,
        length: usize,
    ) {
        self.shift.clear();
        self.most = 0.0;
        self.ends = [0.0; 2];
        if !corpus.has_shift() {
            return;
        }
        self.shift
            .extend(rows.map(|row| corpus.shift(row as usize)));
        let start = [f32::INFINITY, f32::NEG_INFINITY];
        self.ends = (self.shift.iter()).fold(start, |[low, high], &shift| {
            [low.min(shift), high.max(shift)]
        });
        self.most = self.ends[0].abs().max(self.ends[1].abs());
        self.shift.resize(length, 0.0);
    }

    pub fn view(&self) -> Columns<'_> {
        Columns {
            factor: &self.factor,
            spread: &self.spread,
            shift: (!self.shift.is_empty()).then_some(&self.shift),
        }
    }

    /// The key of a place with this sum, and its bound.
    pub fn bound(&self, place: usize, sum: u16, cut: &Cut) -> [f32; 2] {
        // Products are not fused: without the instruction that is a call.
        let product = cut.unit * f32::from(sum) + cut.offset;
        let mut key = self.factor[place] * product;
        if let Some(&shift) = self.shift.get(place) {
            key += cut.weight * shift;
        }
        [key, cut.reach * self.spread[place] + key]
    }

    /// A key that about this share of the rows reaches, from a sample of them.
    pub fn high_key(&self, sums: &[u16], cut: &Cut, share: f64) -> f32 {
        let step = (sums.len() / SAMPLE).max(1);
        let key = |place: usize| self.bound(place, sums[place], cut)[0];
        let mut keys: Vec<f32> = (0..sums.len()).step_by(step).map(key).collect();
        let rank = ((share * keys.len() as f64).ceil() as usize).clamp(1, keys.len() - 1);
        *keys.select_nth_unstable_by(rank, |a, b| b.total_cmp(a)).1
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
