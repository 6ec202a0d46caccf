//! The packed bytes of a path: its bits, and the uncoded bits of the nearest codewords.

use super::tables::{STEPS, Tables, Vector};
use crate::kernels::simd::{BYTES, Simd};
use crate::kernels::trellis::Code;
use crate::kernels::trellis::decode::CHOICES;

/// Labels and uncoded bits of a row.
#[derive(Debug, Default, Clone)]
pub struct Choice {
    /// The bits that enter, from the ν before the first step on, as bytes.
    entering: Vec<u8>,
    /// Their labels.
    pub labels: Vec<Vector>,
    /// 32 uncoded bits per word.
    planes: [Vec<u32>; 3],
}

/// Looks up the labels on a path of `steps` steps, whose bit k is the one that leaves the register
/// in step k.
#[inline(always)]
pub fn find_labels(code: &Code, steps: usize, path: &[u64], choice: &mut Choice) {
    let Choice {
        entering, labels, ..
    } = choice;
    entering.clear();
    entering.extend(path.iter().flat_map(|word| word.to_le_bytes()));
    // Rows end anywhere in a vector of labels, and what is after them does not count.
    entering.resize(entering.len() + 2 * BYTES, 0);
    let coordinates = if code.between.is_some() {
        2 * steps
    } else {
        steps
    };
    labels.resize(coordinates.div_ceil(BYTES), Vector::default());
    match (code.between.is_some(), code.memory + STEPS <= 16) {
        (false, true) => of_steps::<1, 2>(&code.vector, entering, labels),
        (false, false) => of_steps::<1, 3>(&code.vector, entering, labels),
        (true, true) => of_steps::<2, 2>(&code.vector, entering, labels),
        (true, false) => of_steps::<2, 3>(&code.vector, entering, labels),
    }
}

/// P words of labels for eight steps, which depend on B bytes.
#[inline(always)]
fn of_steps<const P: usize, const B: usize>(
    tables: &Tables,
    entering: &[u8],
    labels: &mut [Vector],
) {
    let parts = tables.eights.as_chunks::<P>().0.as_chunks::<256>().0;
    let parts: &[_; B] = parts.first_chunk().expect("a table for each byte");
    for (labels, entering) in labels.iter_mut().zip(entering.windows(8).step_by(4 / P)) {
        let (quarters, _) = labels.0.as_chunks_mut::<8>();
        for (i, quarter) in quarters.iter_mut().enumerate() {
            let mut word = 0;
            for (part, byte) in parts.iter().zip(&entering[i / P..]) {
                word ^= part[usize::from(*byte)][i % P];
            }
            *quarter = word.to_le_bytes();
        }
    }
}

/// Writes the packed bytes of a row of q + 4·unit on a path as [`find_labels`] takes it. `row` has
/// at least as many coordinates as all vectors of labels.
#[inline(always)]
pub fn finish<S: Simd>(
    s: S,
    code: &Code,
    dim: usize,
    row: &[u16],
    path: &[u64],
    choice: &mut Choice,
    packed: &mut [u8],
) {
    let steps = code.steps(dim);
    let mut bits = Bits::new(packed);
    for (k, pair) in (0..steps).step_by(64).zip(path.windows(2)) {
        let word = pair[0] >> code.memory | pair[1] << (64 - code.memory);
        bits.push(word, (steps - k).min(64));
    }
    if code.uncoded > 0 {
        find_labels(code, steps, path, choice);
        match code.uncoded {
            1 => find_planes::<S, 1>(s, &code.vector, row, choice),
            2 => find_planes::<S, 2>(s, &code.vector, row, choice),
            _ => find_planes::<S, 3>(s, &code.vector, row, choice),
        }
        for plane in &choice.planes[..code.uncoded] {
            for (i, &word) in (0..dim).step_by(32).zip(plane) {
                bits.push(u64::from(word), (dim - i).min(32));
            }
        }
    }
    bits.end();
}

/// Finds U planes of uncoded bits: the bits of the number of limits below q.
#[inline(always)]
fn find_planes<S: Simd, const U: usize>(s: S, tables: &Tables, row: &[u16], choice: &mut Choice) {
    let Choice { labels, planes, .. } = choice;
    for plane in &mut planes[..U] {
        plane.resize(labels.len(), 0);
    }
    let rows = row.as_chunks::<BYTES>().0;
    let mut limits = [[s.splat_i16(0); 2]; CHOICES - 1];
    for (limits, [low, high]) in limits.iter_mut().zip(&tables.limits) {
        *limits = [s.load_u8(&low.0), s.load_u8(&high.0)];
    }
    for (i, (labels, row)) in labels.iter().zip(rows).enumerate() {
        let labels = s.load_u8(&labels.0);
        let (quarters, _) = row.as_chunks();
        // As the limits of 32 labels come out of the interleaving.
        let row = [0, 1].map(|first| [&quarters[first], &quarters[first + 2]]);
        let row = [s.load_halves_u16(row[0]), s.load_halves_u16(row[1])];
        let mut bits = [[s.splat_i16(0); 2]; U];
        for (choice, [low, high]) in (1..1 << U).zip(limits) {
            let (low, high) = (s.shuffle_bytes(low, labels), s.shuffle_bytes(high, labels));
            let limits = s.interleave_u8(low, high);
            // Limits ascend: bit p of their number below q is the parity of those at the multiples
            // of 2^p.
            for (half, limits) in limits.into_iter().enumerate() {
                let is_above = s.gt_i16(row[half], limits);
                for (p, bits) in bits.iter_mut().enumerate() {
                    if choice % (1 << p) == 0 {
                        bits[half] = s.xor_u8(bits[half], is_above);
                    }
                }
            }
        }
        for (plane, bits) in planes.iter_mut().zip(bits) {
            plane[i] = s.movemask_i16(bits[0], bits[1]);
        }
    }
}

/// Bits that are written one after the other.
struct Bits<'a> {
    bytes: &'a mut [u8],
    /// Bits that are not written yet, fewer than 64.
    pending: u64,
    count: usize,
}

impl<'a> Bits<'a> {
    #[inline(always)]
    fn new(bytes: &'a mut [u8]) -> Self {
        Self {
            bytes,
            pending: 0,
            count: 0,
        }
    }

    /// Appends the lowest 1 to 64 bits of a word.
    #[inline(always)]
    fn push(&mut self, word: u64, count: usize) {
        let word = word & u64::MAX >> (64 - count);
        self.pending |= word << self.count;
        let all = self.count + count;
        if all >= 64 {
            let bytes = std::mem::take(&mut self.bytes);
            let (eight, rest) = bytes.split_at_mut(8);
            eight.copy_from_slice(&self.pending.to_le_bytes());
            self.bytes = rest;
            self.pending = word.checked_shr(64 - self.count as u32).unwrap_or(0);
        }
        self.count = all % 64;
    }

    /// Writes what is left, and zeros to the end of the last byte.
    #[inline(always)]
    fn end(self) {
        let bytes = self.pending.to_le_bytes();
        self.bytes.copy_from_slice(&bytes[..self.bytes.len()]);
    }
}
