//! The signs of the codeword vectors, with what level 0 knows of each row: derived from the packed
//! codes alone.
//!
//! A batch of queries derives them tile by tile and keeps nothing. For one query at a time deriving
//! costs more than the scan, so they can be kept ([`Signs`]): d/8 + 8 bytes per row, d rounded up
//! to a multiple of 64. Rows that are appended to the codes are added to what is there.

use std::sync::Arc;

use super::bounds::{Shape, Tables};
use crate::aligned::Aligned;
use crate::codes::CodesRef;
use crate::isa::Isa;
use crate::kernels::code_products;
use crate::kernels::sign_scan::{ROWS_PER_GROUP, group_bytes};
use crate::threads;

/// Rows of a chunk, which are derived and kept together.
pub(super) const ROWS_PER_CHUNK: usize = 1024;
/// Groups of a chunk.
pub(super) const GROUPS_PER_CHUNK: usize = ROWS_PER_CHUNK / ROWS_PER_GROUP;

/// The signs of some rows in groups of [`ROWS_PER_GROUP`], and the shape of each.
#[derive(Debug)]
pub(super) struct Chunk {
    pub groups: Aligned<u8>,
    /// g of each row, in whole groups; 0 beyond the last row.
    pub factor: Vec<f32>,
    /// e′ of each row; 0 beyond the last row.
    pub spread: Vec<f32>,
    /// At least the largest ‖c‖ of a row with a bound.
    pub longest: f32,
}

impl Default for Chunk {
    fn default() -> Self {
        Self {
            groups: Aligned::new(0),
            factor: Vec::new(),
            spread: Vec::new(),
            longest: 0.0,
        }
    }
}

impl Chunk {
    /// Overwrites the chunk with these rows.
    pub fn derive(&mut self, isa: Isa, tables: &Tables, codes: CodesRef<'_>, rows: &[u32]) {
        let bytes = group_bytes(tables.codes.dim());
        let groups = rows.len().div_ceil(ROWS_PER_GROUP);
        if self.groups.len() != groups * bytes {
            self.groups = Aligned::new(groups * bytes);
        }
        self.factor.clear();
        self.spread.clear();
        let mut longest = 0f64;
        let mut sums = [[0; 2]; ROWS_PER_GROUP];
        for (rows, group) in (rows.chunks(ROWS_PER_GROUP)).zip(self.groups.chunks_exact_mut(bytes))
        {
            code_products::signs_and_sums(isa, &tables.codes, codes.packed, rows, group, &mut sums);
            for &sums in &sums[..rows.len()] {
                let shape = tables.shape(sums);
                longest = longest.max(shape.square(tables.codes.dim()));
                self.factor.push(shape.factor);
                self.spread.push(shape.spread);
            }
        }
        self.longest = (longest.sqrt() as f32).next_up();
        self.factor.resize(groups * ROWS_PER_GROUP, 0.0);
        self.spread.resize(groups * ROWS_PER_GROUP, 0.0);
    }

    pub fn shape(&self, place: usize) -> Shape {
        Shape {
            factor: self.factor[place],
            spread: self.spread[place],
        }
    }

    fn bytes(&self) -> usize {
        self.groups.len() + 8 * self.factor.len()
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
    /// Derives the signs of all rows.
    pub(crate) fn new(isa: Isa, tables: &Tables, codes: CodesRef<'_>) -> Self {
        let none = Self {
            dim: tables.codes.dim(),
            chunks: Vec::new(),
            starts: vec![0],
        };
        none.extended(isa, tables, codes)
    }

    /// The signs of these codes, which begin with the rows that the signs have. Whole chunks are
    /// shared with the old signs; after many deletions all are derived again.
    pub(crate) fn extended(&self, isa: Isa, tables: &Tables, codes: CodesRef<'_>) -> Self {
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
        )
    }

    /// The signs of the rows that are to be `kept`, one entry per row. Nothing is derived.
    pub fn kept(&self, kept: &[bool]) -> Self {
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
        Self::of(self.dim, chunks)
    }

    fn of(dim: usize, chunks: Vec<Kept>) -> Self {
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
        }
    }

    /// The dimension d.
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
        self.chunks.iter().map(bytes).sum()
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
