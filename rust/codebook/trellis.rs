//! The designs of the trellis code: its generators and its codewords. A design says which codewords
//! a path through the trellis can choose, and it depends on the number of states and the rate only.
//!
//! The code has 2^ν states. On every coordinate of phase 0 one bit x enters a shift register: the
//! window is w = 2·state + x, of ν + 1 bits, and the next state is w mod 2^ν. At whole rates every
//! coordinate has phase 0. At half rates the coordinates 0, 2, 4, … have phase 0; the others have
//! phase 1, where no bit enters and the window is the state, of ν bits.
//!
//! A window names one of 16 labels l: bit i of l is the parity of w AND g_i. A label is a subset of
//! m = 2^t codewords, and t uncoded bits j name one of them. So the rate is t + 1 or, at half rates,
//! t + ½ bits per coordinate. The codewords are symmetric, c(15 − l, m − 1 − j) = −c(l, j), and the
//! highest bit of the index l·m + j or of j is their sign ([`Design::sign_is_stored`]).
//!
//! `examples/freeze_trellis` searches the generators and trains the codewords: the codes are
//! trellis-coded quantization (Marcellin and Fischer 1990) with trained subsets.
//!
//! FROZEN: a change to a number here makes codes unreadable or changes them; `tests/golden` pins
//! the codes that come from them.

mod tables;

use crate::kernels::trellis::{Code, Definition};

/// The number of labels.
pub const LABELS: usize = 16;

/// One design.
#[derive(Debug)]
pub struct Design {
    /// ν, the number of bits of a state.
    pub memory: u32,
    /// t, the number of uncoded bits per coordinate; m = 2^t.
    pub uncoded: u32,
    /// The generators g_0 to g_3 of each phase: one phase at whole rates, two at half rates. Bit 0
    /// of a generator looks at the newest bit of the window, and g_0 makes bit 0 of the label.
    pub generators: &'static [[u32; 4]],
    /// The mean squared error per coordinate on Gaussian rows of 2,048 that start in any state,
    /// in units of 2⁻²⁴: those of the square of a codeword.
    pub distortion: u32,
    /// The excess distance, in multiples of [`distortion`](Self::distortion), from which on the
    /// metric is 255.
    pub cap: u32,
    /// The codewords of the labels 0 to 7; the others follow by symmetry.
    half: &'static [i16],
}

impl Design {
    /// The codewords c(l, j) in the order l·m + j, in units of 2⁻¹² of those of u. All phases have
    /// the same.
    pub fn codewords(&self) -> Vec<i16> {
        let mirrored = self.half.iter().rev().map(|c| -c);
        self.half.iter().copied().chain(mirrored).collect()
    }

    /// 2^ν.
    pub fn states(&self) -> usize {
        1 << self.memory
    }

    /// Twice the rate in bits per coordinate.
    pub fn half_bits(&self) -> u32 {
        2 * self.uncoded + if self.generators.len() == 1 { 2 } else { 1 }
    }

    /// Whether the sign of a codeword is a stored bit: the highest uncoded bit, which is 1 where
    /// the codeword is positive. Where it is not, the sign is bit 3 of the label.
    pub fn sign_is_stored(&self) -> bool {
        self.uncoded > 0
    }
}

impl Design {
    /// The tables of the encoder and the decoder.
    pub fn code(&self) -> Code {
        let words = self.codewords();
        let choices = words.len() / LABELS;
        let place = |at: usize| words[at % LABELS * choices + at / LABELS];
        let words: Vec<i16> = (0..words.len()).map(place).collect();
        Code::new(&Definition {
            memory: self.memory,
            generators: self.generators[0],
            between: self.generators.get(1).copied(),
            words: &words,
            unit: if self.half_bits() <= 4 { 64 } else { 128 },
            range: self.cap * self.distortion,
        })
    }
}

/// The design for `states` states and `bits` bits per coordinate, if there is one.
pub fn design(states: usize, bits: f64) -> Option<&'static Design> {
    let fits = |d: &&Design| d.states() == states && f64::from(d.half_bits()) == 2.0 * bits;
    tables::DESIGNS.iter().find(fits)
}

/// All designs, by states and then by rate.
pub fn designs() -> &'static [Design] {
    &tables::DESIGNS
}
