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
use crate::kernels::sign_scan::{ROWS_PER_GROUP, group_bytes};
use crate::threads;

/// Rows of a chunk, which are derived and kept together.
pub(super) const ROWS_PER_CHUNK: usize = 1024;

/// The signs of some rows in groups of [`ROWS_PER_GROUP`], and the shape of each.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    pub groups: Aligned<u8>,
    /// g of each row, in whole groups; 0 beyond the last row.
    pub factor: Vec<f32>,
    /// e′ of each row; 0 beyond the last row.
    pub spread: Vec<f32>,
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
        let mut sums = [[0; 2]; ROWS_PER_GROUP];
        for (rows, group) in
            (rows.chunks(ROWS_PER_GROUP)).zip(self.groups.chunks_exact_mut(bytes))
        {
            (tables.codes).signs_and_sums(isa, codes.packed, rows, group, &mut sums);
            for &sums in &sums[..rows.len()] {
                let shape = tables.shape(sums);
                self.factor.push(shape.factor);
                self.spread.push(shape.spread);
            }
        }
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
#[derive(Debug, Clone)]
pub struct Signs {
    dim: usize,
    rows: usize,
    chunks: Vec<Arc<Chunk>>,
}

impl Signs {
    /// Derives the signs of all rows.
    pub(crate) fn new(isa: Isa, tables: &Tables, codes: CodesRef<'_>) -> Self {
        let none = Self {
            dim: tables.codes.dim(),
            rows: 0,
            chunks: Vec::new(),
        };
        none.extended(isa, tables, codes)
    }

    /// The signs of these codes, which begin with the rows that the signs have. Whole chunks are
    /// shared with the old signs.
    pub(crate) fn extended(&self, isa: Isa, tables: &Tables, codes: CodesRef<'_>) -> Self {
        let whole = self.rows / ROWS_PER_CHUNK;
        let rows = codes.len();
        let firsts: Vec<usize> = (whole..rows.div_ceil(ROWS_PER_CHUNK)).collect();
        let new = threads::map(firsts, |_, chunk| {
            let from = chunk * ROWS_PER_CHUNK;
            let rows: Vec<u32> = (from..rows.min(from + ROWS_PER_CHUNK)).map(|r| r as u32).collect();
            let mut chunk = Chunk::default();
            chunk.derive(isa, tables, codes, &rows);
            Arc::new(chunk)
        });
        let chunks = self.chunks[..whole].iter().cloned().chain(new).collect();
        Self {
            dim: self.dim,
            rows,
            chunks,
        }
    }

    /// The signs of the first rows only.
    pub fn truncated(&self, rows: usize) -> Self {
        let whole = rows.min(self.rows) / ROWS_PER_CHUNK;
        Self {
            dim: self.dim,
            rows: whole * ROWS_PER_CHUNK,
            chunks: self.chunks[..whole].to_vec(),
        }
    }

    /// The dimension d.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The bytes of memory that they take.
    pub fn bytes(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.bytes()).sum()
    }

    pub(super) fn chunk(&self, chunk: usize) -> &Chunk {
        &self.chunks[chunk]
    }
}
