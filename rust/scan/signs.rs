//! The signs of the codeword vectors, with what level 0 knows of each row: derived from the packed
//! codes alone.
//!
//! A batch of queries derives them tile by tile and keeps nothing. For one query at a time deriving
//! costs more than the scan, so they can be kept ([`Signs`]): d/8 + 8 bytes per row, d rounded up
//! to a multiple of 64, or as many for each section of a row; of a section that level 0 takes by
//! its integers d + 8 bytes. The scalars that codes along fitted axes pack are kept beside them, 4
//! or 8 bytes per row ([`RowScalars`]). Rows that are appended to the codes are added to what is
//! there.

use std::sync::Arc;

use super::bounds::{Section, Shape, Tables};
use crate::aligned::Aligned;
use crate::codes::CodesRef;
use crate::isa::Isa;
use crate::kernels::code_products;
use crate::kernels::sign_scan::{MAX_SECTIONS, ROWS_PER_GROUP, group_bytes};
use crate::threads;

/// Rows of a chunk, which are derived and kept together.
pub(super) const ROWS_PER_CHUNK: usize = 1024;
/// Groups of a chunk.
pub(super) const GROUPS_PER_CHUNK: usize = ROWS_PER_CHUNK / ROWS_PER_GROUP;

/// The signs of some rows and the shape of each.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    /// The sections of the rows.
    pub sections: Vec<SectionSigns>,
    /// Whether the first has integers.
    has_whole: bool,
    /// At least the largest ‖c‖ of a row that has a bound and one section, by signs.
    pub longest: f32,
}

/// A section of some rows: signs in groups of [`ROWS_PER_GROUP`], and shapes. Where level 0 takes
/// the section by its integers, these stand in place of the signs, and the gain is both the factor
/// and the spread.
#[derive(Debug)]
pub(super) struct SectionSigns {
    pub groups: Aligned<u8>,
    /// g of each row, in whole groups, with its gain; 0 beyond the last row.
    pub factor: Vec<f32>,
    /// e′ of each row, with its gain; 0 beyond the last row.
    pub spread: Vec<f32>,
}

impl Default for SectionSigns {
    fn default() -> Self {
        Self {
            groups: Aligned::new(0),
            factor: Vec::new(),
            spread: Vec::new(),
        }
    }
}

impl Chunk {
    /// Overwrites the chunk with these rows.
    pub fn derive(&mut self, isa: Isa, tables: &Tables, codes: CodesRef<'_>, rows: &[u32]) {
        let sections = tables.sections();
        self.sections.resize_with(sections.len(), Default::default);
        for (i, (of, section)) in self.sections.iter_mut().zip(sections).enumerate() {
            of.resize(rows.len().div_ceil(ROWS_PER_GROUP), tables.bytes_of(i));
            if i < tables.whole() {
                of.derive_ints(isa, section, codes, rows);
            } else {
                of.derive_signs(isa, section, codes, rows);
            }
        }
        if let Some(gains) = tables.gains() {
            let mut each = [0.0; MAX_SECTIONS];
            for (place, &row) in rows.iter().enumerate() {
                gains.gains(codes.row(row as usize), &mut each);
                for (of, &gain) in self.sections.iter_mut().zip(&each) {
                    let shape = of.shape(place).times(gain);
                    (of.factor[place], of.spread[place]) = (shape.factor, shape.spread);
                }
            }
        }
        self.has_whole = tables.whole() > 0;
        if let Some(only) = self.only() {
            let squares = (0..rows.len()).map(|place| only.shape(place).square(tables.dim()));
            self.longest = (squares.fold(0.0, f64::max).sqrt() as f32).next_up();
        }
    }

    /// The only section, if it is by signs.
    pub fn only(&self) -> Option<&SectionSigns> {
        match self.sections.as_slice() {
            [only] if !self.has_whole => Some(only),
            _ => None,
        }
    }

    fn bytes(&self) -> usize {
        let bytes = |of: &SectionSigns| of.groups.len() + 8 * of.factor.len();
        self.sections.iter().map(bytes).sum()
    }
}

impl SectionSigns {
    /// Makes room for some groups of so many bytes.
    fn resize(&mut self, groups: usize, bytes: usize) {
        if self.groups.len() != groups * bytes {
            self.groups = Aligned::new(groups * bytes);
        }
        self.factor.clear();
        self.factor.resize(groups * ROWS_PER_GROUP, 0.0);
        self.spread.clear();
        self.spread.resize(groups * ROWS_PER_GROUP, 0.0);
    }

    /// Writes the signs and shapes of these rows, whose gains are 1.
    fn derive_signs(&mut self, isa: Isa, section: &Section, codes: CodesRef<'_>, rows: &[u32]) {
        let bytes = group_bytes(section.dim());
        let mut sums = [[0; 2]; ROWS_PER_GROUP];
        let columns = (self.factor.chunks_exact_mut(ROWS_PER_GROUP))
            .zip(self.spread.chunks_exact_mut(ROWS_PER_GROUP));
        let groups = self.groups.chunks_exact_mut(bytes).zip(columns);
        for (rows, (group, (factor, spread))) in rows.chunks(ROWS_PER_GROUP).zip(groups) {
            let packed = codes.packed;
            code_products::signs_and_sums(isa, &section.codes, packed, rows, group, &mut sums);
            let columns = factor.iter_mut().zip(spread);
            for (&sums, (factor, spread)) in sums[..rows.len()].iter().zip(columns) {
                let shape = section.shape(sums);
                (*factor, *spread) = (shape.factor, shape.spread);
            }
        }
    }

    /// Writes the integers of these rows, whose gains are 1.
    fn derive_ints(&mut self, isa: Isa, section: &Section, codes: CodesRef<'_>, rows: &[u32]) {
        let bytes = code_products::tile_bytes(section.dim());
        let groups = self.groups.chunks_exact_mut(bytes);
        for (rows, tile) in rows.chunks(ROWS_PER_GROUP).zip(groups) {
            code_products::expand(isa, &section.codes, codes.packed, rows, tile);
        }
        self.factor[..rows.len()].fill(1.0);
        self.spread[..rows.len()].fill(1.0);
    }

    pub fn shape(&self, place: usize) -> Shape {
        Shape {
            factor: self.factor[place],
            spread: self.spread[place],
        }
    }

    /// The bytes of some groups of rows from a place on.
    pub fn groups_at(&self, place: usize, groups: usize) -> &[u8] {
        let bytes = self.groups.len() / (self.factor.len() / ROWS_PER_GROUP).max(1);
        &self.groups[place / ROWS_PER_GROUP * bytes..][..groups * bytes]
    }
}

/// Scalars of rows, which take as long to derive from codes along fitted axes as the signs take to
/// scan: each is in a cache line of its own. None of those that a quantizer need not derive.
#[derive(Debug, Clone, Default)]
pub struct RowScalars {
    /// ⟨μ, r⟩.
    pub center_products: Option<Arc<[f32]>>,
    /// ‖x‖.
    pub norms: Option<Arc<[f32]>>,
}

impl RowScalars {
    /// What `make` makes of each of them.
    pub fn map(&self, make: impl Fn(&[f32]) -> Arc<[f32]>) -> Self {
        let make = |values: &Option<Arc<[f32]>>| values.as_deref().map(&make);
        Self {
            center_products: make(&self.center_products),
            norms: make(&self.norms),
        }
    }

    fn bytes(&self) -> usize {
        let each = [&self.center_products, &self.norms];
        each.into_iter()
            .flatten()
            .map(|values| 4 * values.len())
            .sum()
    }
}

/// The signs and shapes of all rows of a batch of codes, kept for searches with few queries.
///
/// Rows that are deleted leave holes, so that the rows after them need not move.
#[derive(Debug, Clone)]
pub struct Signs {
    dim: usize,
    chunks: Vec<Kept>,
    /// The row that the first place of each chunk holds, and the number of rows in the end.
    starts: Vec<usize>,
    scalars: RowScalars,
}

/// A chunk with the places of it that hold a row.
#[derive(Debug, Clone)]
struct Kept {
    chunk: Arc<Chunk>,
    /// Places that were filled.
    length: usize,
    /// One bit per place; none if all that were filled hold a row.
    live: Option<Arc<[u64; GROUPS_PER_CHUNK]>>,
}

impl Kept {
    fn rows(&self) -> usize {
        match &self.live {
            None => self.length,
            Some(live) => live.iter().map(|word| word.count_ones() as usize).sum(),
        }
    }
}

impl Signs {
    /// Derives the signs of all rows, which have these scalars.
    pub(crate) fn new(isa: Isa, tables: &Tables, codes: CodesRef<'_>, scalars: RowScalars) -> Self {
        let none = Self {
            dim: tables.dim(),
            chunks: Vec::new(),
            starts: vec![0],
            scalars: RowScalars::default(),
        };
        none.extended(isa, tables, codes, scalars)
    }

    /// The signs of these codes, which begin with the rows that the signs have. Whole chunks are
    /// shared with the old signs; after many deletions all are derived again.
    pub(crate) fn extended(
        &self,
        isa: Isa,
        tables: &Tables,
        codes: CodesRef<'_>,
        scalars: RowScalars,
    ) -> Self {
        let dense = 2 * self.rows() >= self.chunks.len().saturating_sub(1) * ROWS_PER_CHUNK;
        let full = |kept: &&Kept| kept.length == ROWS_PER_CHUNK;
        let whole = if dense {
            self.chunks.iter().take_while(full).count()
        } else {
            0
        };
        let (first, rows) = (self.starts[whole], codes.len());
        let firsts: Vec<usize> = (first..rows).step_by(ROWS_PER_CHUNK).collect();
        let new = threads::map(firsts, |_, from| {
            let rows: Vec<u32> = (from..rows.min(from + ROWS_PER_CHUNK))
                .map(|r| r as u32)
                .collect();
            let mut chunk = Chunk::default();
            chunk.derive(isa, tables, codes, &rows);
            Kept {
                chunk: Arc::new(chunk),
                length: rows.len(),
                live: None,
            }
        });
        Self::of(
            self.dim,
            self.chunks[..whole].iter().cloned().chain(new).collect(),
            scalars,
        )
    }

    /// The signs of the rows that are to be `kept`, one entry per row. Nothing is derived.
    pub fn kept(&self, kept: &[bool]) -> Self {
        let scalars = self.scalars.map(|values| {
            let kept = kept.iter().copied().chain(std::iter::repeat(true));
            let values = values.iter().copied().zip(kept);
            values
                .filter_map(|(value, kept)| kept.then_some(value))
                .collect()
        });
        let mut kept = kept.iter().copied().chain(std::iter::repeat(true));
        let chunks = (self.chunks.iter())
            .map(|old| {
                let mut live = match &old.live {
                    Some(live) => **live,
                    None => std::array::from_fn(|group| {
                        first_bits(old.length.saturating_sub(group * ROWS_PER_GROUP))
                    }),
                };
                let mut holes = false;
                for word in &mut live {
                    let mut left = *word;
                    while left != 0 {
                        let bit = left & left.wrapping_neg();
                        left ^= bit;
                        if !kept.next().unwrap_or(true) {
                            *word ^= bit;
                            holes = true;
                        }
                    }
                }
                Kept {
                    live: if holes {
                        Some(Arc::new(live))
                    } else {
                        old.live.clone()
                    },
                    ..old.clone()
                }
            })
            .filter(|kept| kept.rows() > 0)
            .collect();
        Self::of(self.dim, chunks, scalars)
    }

    fn of(dim: usize, chunks: Vec<Kept>, scalars: RowScalars) -> Self {
        let mut starts = vec![0];
        let mut rows = 0;
        for kept in &chunks {
            rows += kept.rows();
            starts.push(rows);
        }
        Self {
            dim,
            chunks,
            starts,
            scalars,
        }
    }

    /// The scalars of the rows.
    pub fn scalars(&self) -> &RowScalars {
        &self.scalars
    }

    /// The coordinates of a row that have signs.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.starts[self.chunks.len()]
    }

    /// The bytes of memory that they take.
    pub fn bytes(&self) -> usize {
        let holes = size_of::<[u64; GROUPS_PER_CHUNK]>();
        let bytes = |kept: &Kept| kept.chunk.bytes() + kept.live.as_ref().map_or(0, |_| holes);
        self.chunks.iter().map(bytes).sum::<usize>() + self.scalars.bytes()
    }

    pub(super) fn chunks(&self) -> usize {
        self.chunks.len()
    }

    /// The places of a chunk: its signs, the row of its first place, the places that were filled,
    /// and which of them hold a row if not all do.
    pub(super) fn chunk(&self, chunk: usize) -> Places<'_> {
        let kept = &self.chunks[chunk];
        Places {
            chunk: Some(&kept.chunk),
            first: self.starts[chunk],
            length: kept.length,
            live: kept.live.as_deref(),
        }
    }
}

/// The places of a chunk and the rows that they hold, in order.
#[derive(Debug, Clone, Copy)]
pub(super) struct Places<'a> {
    /// The signs, if they are kept.
    pub chunk: Option<&'a Chunk>,
    /// The row of the first place that holds one.
    pub first: usize,
    /// Places that were filled.
    pub length: usize,
    /// One bit per place; none if all hold a row.
    pub live: Option<&'a [u64; GROUPS_PER_CHUNK]>,
}

impl Places<'_> {
    /// The bits of a group's places that hold rows.
    pub fn live(&self, group: usize) -> u64 {
        let filled = first_bits(self.length.saturating_sub(group * ROWS_PER_GROUP));
        self.live.map_or(filled, |live| live[group] & filled)
    }

    /// The row of the first place of a group.
    pub fn first_of(&self, group: usize) -> usize {
        let before = match self.live {
            None => group * ROWS_PER_GROUP,
            Some(live) => live[..group]
                .iter()
                .map(|word| word.count_ones() as usize)
                .sum(),
        };
        self.first + before
    }
}

/// The lowest `count` bits, all 64 if there are more.
pub(super) fn first_bits(count: usize) -> u64 {
    match count {
        0..ROWS_PER_GROUP => (1 << count) - 1,
        _ => u64::MAX,
    }
}
