//! What vectors look up to decode.

use crate::kernels::simd::BYTES;
use crate::kernels::trellis::labels::LABELS;

/// Choices of uncoded bits at most.
pub const CHOICES: usize = 8;

/// The path bits that a label can depend on here: those of a group of four coordinates, and the
/// eight before it.
const MOST_BACK: usize = 8;

/// The labels of groups of coordinates, and the bytes of the codewords.
#[derive(Debug, Clone)]
pub struct Tables {
    /// \[2·d + pair\]\[nibble\]: what the four path bits that are d nibbles back add to the labels
    /// of coordinates 2·pair (in the low half of the byte) and 2·pair + 1 of a group. The first 16
    /// bytes are of even groups, the others of odd ones.
    pub labels: [[u8; BYTES]; 6],
    /// \[d\]\[nibble\]: what the four path bits that are d nibbles back add to the highest bits of
    /// the four labels of a group. They are in the low half of the byte of an even group, and in
    /// the high half of that of an odd one.
    pub tops: [[u8; BYTES]; 3],
    /// \[uncoded\]\[label\]: the low bytes of the codewords plus 2¹⁵, and the high ones.
    pub words: [[[u8; LABELS]; CHOICES]; 2],
}

impl Tables {
    /// The tables of the labels of windows and, at half rates, of states. None if a label depends
    /// on more bits than vectors look at, which is so from 512 states on.
    pub fn new(windows: &[u8], states: Option<&[u8]>, words: &[i16]) -> Option<Self> {
        let width = windows.len().ilog2() as usize;
        if width > MOST_BACK + 1 {
            return None;
        }
        let mut labels = [[0; BYTES]; 6];
        for (at, label) in labels.iter_mut().enumerate() {
            let (back, pair) = (at / 2, at % 2);
            for (place, label) in label.iter_mut().enumerate() {
                let (is_odd, nibble) = (place / LABELS, place % LABELS);
                let of = |coordinate: usize| -> u8 {
                    // The step of the coordinate within the nibble, and the labels of its window.
                    let (step, labels, width) = match states {
                        None => (coordinate, windows, width),
                        Some(states) => match 4 * is_odd + coordinate {
                            at if at % 2 == 1 => (at / 2, states, width - 1),
                            at => (at / 2, windows, width),
                        },
                    };
                    // Bit b of the nibble is bit step + 4·back − b of the window.
                    let bits = (0..4).filter(|b| nibble >> b & 1 == 1);
                    let places = bits.filter_map(|b| (step + 4 * back).checked_sub(b));
                    let places = places.filter(|&place| place < width);
                    places.fold(0, |label, place| label ^ labels[1 << place])
                };
                *label = of(2 * pair) | of(2 * pair + 1) << 4;
            }
        }
        let mut tops = [[0; BYTES]; 3];
        for (pairs, top) in labels.as_chunks::<2>().0.iter().zip(&mut tops) {
            for (place, top) in top.iter_mut().enumerate() {
                let [a, b] = [pairs[0][place], pairs[1][place]];
                let bits = a >> 3 & 1 | a >> 6 & 2 | b >> 1 & 4 | b >> 4 & 8;
                *top = bits << (place / LABELS * 4);
            }
        }
        let mut bytes = [[[0; LABELS]; CHOICES]; 2];
        for (i, &word) in words.iter().enumerate() {
            for (byte, to) in (word as u16 ^ 1 << 15).to_le_bytes().iter().zip(&mut bytes) {
                to[i / LABELS][i % LABELS] = *byte;
            }
        }
        Some(Self {
            labels,
            tops,
            words: bytes,
        })
    }
}
