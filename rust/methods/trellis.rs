//! Trellis codes: one path through a shift register chooses the codewords of all coordinates of the
//! row (trellis-coded quantization: Marcellin and Fischer, IEEE Transactions on Communications 38,
//! 1990; of weights, QTIP, arXiv 2406.11235).
//!
//! A block code has to search its codebook, and ends where that is too large; the Viterbi search
//! over a trellis is linear in d. A row takes exactly b·d bits, without a state to begin from,
//! because the path is circular. [`kernels::trellis`](crate::kernels::trellis) defines the code and
//! [`codebook::trellis`](crate::codebook::trellis) has its frozen tables.
//!
//! The indexes of a row are its packed bits in words of 16: the bits belong to no coordinate alone.
//!
//! FROZEN: the order of the bits.

use super::{Blueprint, Method, Parameters, RowsOf, Workspace};
use crate::codebook::trellis::{Design, design, designs};
use crate::codes::{Field, Layout};
use crate::error::{Error, Result};
use crate::isa::Isa;
use crate::kernels::asymmetric::ROWS_PER_CALL;
use crate::kernels::trellis::{self, Code};

/// The states for callers who do not choose.
const DEFAULT_STATES: usize = 64;

/// The bits of an index.
const WORD: usize = 16;

/// Bytes of rows that need no memory of their own to be decoded.
const MOST_ON_STACK: usize = 1024;

/// Rows whose paths are searched together.
const ROWS: usize = 4;

/// A trellis code for rows of `dim` coordinates.
#[derive(Debug)]
struct Trellis {
    dim: usize,
    code: Code,
}

/// The design of these parameters.
fn find(parameters: Parameters) -> Result<&'static Design> {
    let Parameters { bits, states, .. } = parameters;
    let states = states.unwrap_or(DEFAULT_STATES);
    design(states, bits).ok_or_else(|| {
        let of_states = designs().iter().filter(|design| design.states() == states);
        let rates: Vec<f64> = of_states
            .map(|design| f64::from(design.half_bits()) / 2.0)
            .collect();
        let problem = match rates.is_empty() {
            true => format!(
                "states={states} for trellis, expected one of {}",
                list(&self::states())
            ),
            false => format!(
                "bits={bits} for trellis with states={states}, expected one of {}",
                list(&rates)
            ),
        };
        Error::invalid(problem)
    })
}

/// The numbers of states that there are, in ascending order.
pub(super) fn states() -> Vec<usize> {
    let mut states: Vec<usize> = designs().iter().map(Design::states).collect();
    states.dedup();
    states
}

/// Numbers with commas between them.
fn list(numbers: &[impl ToString]) -> String {
    let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    numbers.join(", ")
}

/// The bits of the path and of the planes, in words.
pub(super) fn layout(parameters: Parameters) -> Result<Blueprint> {
    let design = find(parameters)?;
    let bits = design.bits(parameters.dim);
    let field = |count, width| Field { count, width };
    let rest = field(1, (bits % WORD) as u32);
    Ok(Blueprint {
        states: Some(design.states()),
        ..Blueprint::new([field(bits / WORD, WORD as u32), rest])
    })
}

pub(super) fn build(parameters: Parameters) -> Result<Box<dyn Method>> {
    Ok(Box::new(Trellis {
        dim: parameters.dim,
        code: find(parameters)?.code(),
    }))
}

impl Method for Trellis {
    fn rows(&self) -> usize {
        ROWS
    }

    fn assign(&self, isa: Isa, u: &[f32], work: &mut Workspace, index: &mut [u16]) {
        let Workspace { path, bytes, .. } = work;
        let row_bytes = self.code.row_bytes(self.dim);
        bytes.resize(u.len() / self.dim * row_bytes, 0);
        trellis::assign(isa, &self.code, self.dim, u, path, bytes);
        let words = row_bytes.div_ceil(2);
        for (bytes, index) in (bytes.chunks_exact(row_bytes)).zip(index.chunks_exact_mut(words)) {
            for (word, bytes) in index.iter_mut().zip(bytes.chunks(2)) {
                *word = bytes
                    .iter()
                    .rev()
                    .fold(0, |word, &byte| word << 8 | u16::from(byte));
            }
        }
    }

    fn codewords(&self, isa: Isa, index: &[u16], c: &mut [f32]) {
        let row_bytes = self.code.row_bytes(self.dim);
        let (mut room, mut more) = ([0; MOST_ON_STACK], Vec::new());
        let bytes = if row_bytes < MOST_ON_STACK {
            &mut room[..]
        } else {
            more.resize(row_bytes + 1, 0);
            &mut more
        };
        for (bytes, word) in bytes.as_chunks_mut().0.iter_mut().zip(index) {
            *bytes = word.to_le_bytes();
        }
        trellis::codewords(isa, &self.code, &bytes[..row_bytes], c);
    }

    fn expand_packed(
        &self,
        isa: Isa,
        _layout: &Layout,
        row: &[u8],
        _index: &mut Vec<u16>,
        out: &mut [f32],
    ) {
        trellis::codewords(isa, &self.code, row, out);
    }

    fn codebook(&self) -> (Vec<f32>, usize) {
        (self.code.words().to_vec(), 1)
    }

    fn rows_of(&self) -> RowsOf<'_> {
        RowsOf::Path(&self.code)
    }

    fn products(
        &self,
        isa: Isa,
        _layout: &Layout,
        rows: [&[u8]; ROWS_PER_CALL],
        y: &[f32],
        _index: &mut Vec<u16>,
    ) -> Option<[f32; ROWS_PER_CALL]> {
        let mut out = [0.0; ROWS_PER_CALL];
        trellis::products(isa, &self.code, rows, y, &mut out);
        Some(out)
    }
}
