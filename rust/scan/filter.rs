//! What the levels cut off of a tile: rows of one section by its factor and its spread, rows of
//! more by those of each.

use super::levels::{Bounded, PerSection, Seen, SignLevel};
use super::signs::Chunk;
use super::tile::TileColumns;
use crate::isa::Isa;
use crate::kernels::code_products::{self, IntQuery};
use crate::kernels::sign_scan::{self, Cut, Picked, ROWS_PER_GROUP, SectionsCut};

/// Queries that share the LUT pass over a tile.
pub(super) const QUERIES_PER_PASS: usize = 4;
/// Rows of the sample that a high key is taken from.
const SAMPLE: usize = 256;

/// What is cut off of the rows of a tile.
#[derive(Debug, Clone, Copy)]
pub(super) enum TileCut {
    /// Rows of one section.
    One(Cut),
    /// Rows of more.
    Sections(SectionsCut),
}

impl TileCut {
    /// The key below which rows are cut off.
    pub fn threshold(&self) -> f32 {
        match self {
            Self::One(cut) => cut.threshold,
            Self::Sections(cut) => cut.threshold,
        }
    }

    /// The cut of rows whose estimate is below this threshold or does not reach the bar.
    pub fn without_reach(self, threshold: f32) -> Self {
        let threshold = threshold.max(self.threshold());
        match self {
            Self::One(cut) => Self::One(Cut {
                reach: 0.0,
                threshold,
                ..cut
            }),
            Self::Sections(mut cut) => {
                cut.sections
                    .iter_mut()
                    .for_each(|section| section.reach = 0.0);
                Self::Sections(SectionsCut { threshold, ..cut })
            }
        }
    }
}

/// The products of level 0 of the rows of some groups with some queries, section by section.
#[derive(Debug, Default)]
pub(super) struct Sums {
    ints: Vec<i32>,
    /// Integer products of a group.
    tile: Vec<i32>,
    values: Vec<u16>,
    whole: usize,
    sections: usize,
    queries: usize,
    rows: usize,
}

/// The products of level 0 with a query.
#[derive(Debug, Clone, Copy)]
pub(super) struct QuerySums<'a> {
    /// Integer products of the first sections, and sums of weights of the others.
    ints: PerSection<&'a [i32]>,
    sums: PerSection<&'a [u16]>,
    whole: usize,
    sections: usize,
}

impl Sums {
    /// The products of some groups of a chunk, the first of which begins at a place.
    pub fn fill(
        &mut self,
        isa: Isa,
        chunk: &Chunk,
        place: usize,
        groups: usize,
        levels: &[&SignLevel],
    ) {
        let Some(first) = levels.first() else { return };
        (self.whole, self.sections) = (first.whole().len(), chunk.sections.len());
        (self.queries, self.rows) = (levels.len(), groups * ROWS_PER_GROUP);
        let all = self.queries * self.rows;
        let (whole, signs) = chunk.sections.split_at(self.whole);
        self.ints.resize(whole.len() * all, 0);
        self.values.resize(signs.len() * all, 0);
        self.tile.resize(self.queries * ROWS_PER_GROUP, 0);
        for (i, section) in whole.iter().enumerate() {
            let queries: Vec<&IntQuery> =
                levels.iter().map(|level| &level.whole()[i].query).collect();
            let tiles = section.groups_at(place, groups);
            let out = &mut self.ints[i * all..][..all];
            let tiles = tiles.chunks_exact((tiles.len() / groups.max(1)).max(1));
            for (group, tile) in tiles.enumerate() {
                let dim = queries[0].dim();
                code_products::tile_products(isa, tile, dim, &queries, &mut self.tile);
                let products = self.tile.chunks_exact(ROWS_PER_GROUP);
                for (out, products) in out.chunks_exact_mut(self.rows).zip(products) {
                    out[group * ROWS_PER_GROUP..][..ROWS_PER_GROUP].copy_from_slice(products);
                }
            }
        }
        for (i, section) in signs.iter().enumerate() {
            let mut luts: [&[u8]; QUERIES_PER_PASS] = Default::default();
            for (lut, level) in luts.iter_mut().zip(levels) {
                *lut = &level.sections()[i].query.lut;
            }
            let planes = section.groups_at(place, groups);
            let out = &mut self.values[i * all..][..all];
            let dim = first.sections()[i].dim();
            sign_scan::sums(isa, planes, dim, &luts[..levels.len()], out);
        }
    }

    /// The products with a query.
    pub fn of(&self, query: usize) -> QuerySums<'_> {
        let all = (self.queries * self.rows).max(1);
        let here = query * self.rows..(query + 1) * self.rows;
        let mut found = QuerySums {
            ints: PerSection::default(),
            sums: PerSection::default(),
            whole: self.whole,
            sections: self.sections,
        };
        for (of, ints) in found.ints.iter_mut().zip(self.ints.chunks_exact(all)) {
            *of = &ints[here.clone()];
        }
        for (of, sums) in found.sums.iter_mut().zip(self.values.chunks_exact(all)) {
            *of = &sums[here.clone()];
        }
        found
    }
}

impl<'a> QuerySums<'a> {
    fn ints(&self) -> &[&'a [i32]] {
        &self.ints[..self.whole]
    }

    fn sums(&self) -> &[&'a [u16]] {
        &self.sums[..self.sections - self.whole]
    }

    /// The product of a row in a section.
    fn product(&self, section: usize, at: usize) -> f32 {
        match self.ints().get(section) {
            Some(ints) => ints[at] as f32,
            None => f32::from(self.sums[section - self.whole][at]),
        }
    }
}

/// Level 0 of a query for the rows of a tile.
#[derive(Clone, Copy)]
pub(super) struct TileSigns<'a> {
    pub columns: &'a TileColumns,
    pub chunk: &'a Chunk,
    /// The place in the chunk of the first row, and the number of rows.
    pub place: usize,
    pub rows: usize,
    pub level: &'a SignLevel,
    pub sums: QuerySums<'a>,
}

impl TileSigns<'_> {
    /// Sets the masks of the rows that are not cut off.
    pub fn reach(&self, isa: Isa, cut: &TileCut, masks: &mut [u64]) {
        match cut {
            TileCut::One(cut) => {
                sign_scan::sums_reach(isa, self.sums.sums[0], &self.columns.view(), cut, masks);
            }
            TileCut::Sections(cut) => {
                let rows = self.place..self.place + masks.len() * ROWS_PER_GROUP;
                let mut sections: PerSection<[&[f32]; 2]> = Default::default();
                for (of, signs) in sections.iter_mut().zip(&self.chunk.sections) {
                    *of = [&signs.factor[rows.clone()], &signs.spread[rows.clone()]];
                }
                let columns = self
                    .columns
                    .section_view(&sections[..self.chunk.sections.len()]);
                let (ints, sums) = (self.sums.ints(), self.sums.sums());
                sign_scan::sections_reach(isa, ints, sums, &columns, cut, masks);
            }
        }
    }

    /// Finds the rows of the tile whose bits are set in both masks, with their keys and bounds. The
    /// bounds of the products of rows of more sections are kept, because they take long.
    pub fn pick(
        &self,
        isa: Isa,
        cut: &TileCut,
        masks: &[u64],
        live: &[u64],
        (picked, uppers): (&mut Picked, &mut Vec<f32>),
    ) {
        uppers.clear();
        let cut = match cut {
            TileCut::One(cut) => {
                let (sums, columns) = (self.sums.sums[0], self.columns.view());
                return sign_scan::pick(isa, sums, &columns, cut, masks, live, picked);
            }
            TileCut::Sections(cut) => cut,
        };
        let Picked { rows, keys, bounds } = picked;
        rows.clear();
        keys.clear();
        bounds.clear();
        for (group, (mask, live)) in masks.iter().zip(live).enumerate() {
            let mut mask = mask & live;
            while mask != 0 {
                let at = group * ROWS_PER_GROUP + mask.trailing_zeros() as usize;
                mask &= mask - 1;
                let Bounded { estimate, upper } = self.bounded(at);
                rows.push(at as u32);
                keys.push(self.columns.key(at, estimate, cut.weight));
                bounds.push(self.columns.key(at, upper, cut.weight));
                uppers.push(upper);
            }
        }
    }

    /// What level 0 found of a row, whose bound is kept if it has more sections.
    pub fn seen(&self, at: usize, upper: Option<&f32>) -> Seen {
        match upper {
            Some(&upper) => Seen::Upper(upper),
            None => {
                let shape = self.chunk.sections[0].shape(self.place + at);
                Seen::Signs(shape, self.sums.sums[0][at])
            }
        }
    }

    fn bounded(&self, at: usize) -> Bounded {
        bounded(self.level, self.chunk, self.place + at, &self.sums, at)
    }

    /// A key that about this share of the rows reaches by their estimates, from a sample of them.
    pub fn high_key(&self, cut: &TileCut, share: f64) -> f32 {
        let rows = self.rows;
        let step = (rows / SAMPLE).max(1);
        let key = |at: usize| match cut {
            TileCut::One(cut) => self.columns.key_of_sum(at, self.sums.sums[0][at], cut),
            TileCut::Sections(cut) => (self.columns).key(at, self.bounded(at).estimate, cut.weight),
        };
        let mut keys: Vec<f32> = (0..rows).step_by(step).map(key).collect();
        let rank = ((share * keys.len() as f64).ceil() as usize).clamp(1, keys.len() - 1);
        *keys.select_nth_unstable_by(rank, |a, b| b.total_cmp(a)).1
    }
}

/// What level 0 knows of the row at a place of a chunk, whose sums are those at `at`.
fn bounded(
    level: &SignLevel,
    chunk: &Chunk,
    place: usize,
    sums: &QuerySums<'_>,
    at: usize,
) -> Bounded {
    let shape = |section: usize| chunk.sections[section].shape(place);
    level.bounded(|section| (shape(section), sums.product(section, at)))
}

/// What level 0 knows of the row at a place of a chunk whose first sums these are.
pub(super) fn seen(level: &SignLevel, chunk: &Chunk, place: usize, sums: &QuerySums<'_>) -> Seen {
    match level.only() {
        Some(_) => Seen::Signs(chunk.sections[0].shape(place), sums.sums[0][place]),
        None => Seen::Upper(bounded(level, chunk, place, sums, place).upper),
    }
}

/// Sets the masks of up to a group of rows that level 1 does not cut off, by their integer products
/// in each section. The columns are those of the rows.
pub(super) fn ints_reach(
    isa: Isa,
    products: &[&[i32]],
    columns: &TileColumns,
    cut: &TileCut,
    masks: &mut [u64],
) {
    match cut {
        TileCut::One(cut) => {
            sign_scan::ints_reach(isa, products[0], &columns.view(), cut, masks);
        }
        TileCut::Sections(cut) => {
            let mut sections: PerSection<[&[f32]; 2]> = Default::default();
            for (section, of) in sections.iter_mut().enumerate().take(products.len()) {
                *of = [columns.gains(section); 2];
            }
            let columns = columns.section_view(&sections[..products.len()]);
            sign_scan::sections_reach(isa, products, &[], &columns, cut, masks);
        }
    }
}
