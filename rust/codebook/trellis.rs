//! The designs of the trellis code: its generators and its codewords. A design says which codewords
//! a path through the trellis can choose, and it depends on the number of states and the rate only.
//!
//! The code has 2^ν states. On every coordinate of phase 0 one bit x enters a shift register: the
//! window is w = 2·state + x, of ν + 1 bits, and the next state is w mod 2^ν. At whole rates every
//! coordinate has phase 0. At half rates the coordinates 0, 2, 4, … have phase 0; the others have
//! phase 1, where no bit enters and the window is the state, of ν bits.
//!
//! A window names one of 16 labels l: bit i of l is the parity of w AND g_i. A label stands for
//! m = 2^t codewords, and t uncoded bits j name one of them. So the rate is t + 1 bits per
//! coordinate, or t + ½ at half rates. The codewords c_i are in the order of i = 16·j + l. They are
//! symmetric, c_(16m − 1 − i) = −c_i, and the highest bit of i is 1 where c_i is positive. That is
//! the highest uncoded bit, or bit 3 of the label where t = 0.
//!
//! `examples/freeze_trellis` searches the generators and trains the codewords. The code is
//! trellis-coded quantization (Marcellin and Fischer 1990) with trained subsets.
//!
//! FROZEN: a change to a number here makes codes unreadable or changes them; `tests/golden` pins
//! the codes that come from them.

mod tables;

use crate::kernels::trellis::{Code, Definition, row_bits};

/// The number of labels.
pub const LABELS: usize = 16;

/// One design.
#[derive(Debug)]
pub struct Design {
    /// ν, the number of bits of a state.
    pub memory: u32,
    /// t, the number of uncoded bits per coordinate.
    pub uncoded: u32,
    /// The generators g_0 to g_3 of each phase: one phase at whole rates, two at half rates. Bit 0
    /// of a generator looks at the newest bit of the window.
    pub generators: &'static [[u32; 4]],
    /// The mean squared error per coordinate of Gaussian rows of 2,048 that start in any state, in
    /// units of 2⁻²⁴, as the square of a codeword has them.
    pub distortion: u32,
    /// The second half of the codewords.
    positive: &'static [i16],
}

impl Design {
    /// The codewords c_0, c_1, … in units of 2⁻¹² of those of u: the same for all phases.
    pub fn codewords(&self) -> Vec<i16> {
        let negative = self.positive.iter().rev().map(|c| -c);
        negative.chain(self.positive.iter().copied()).collect()
    }

    /// 2^ν.
    pub fn states(&self) -> usize {
        1 << self.memory
    }

    /// The bits of a row.
    pub fn bits(&self, dim: usize) -> usize {
        row_bits(dim, self.generators.len(), self.uncoded as usize)
    }

    /// Twice the rate in bits per coordinate.
    pub fn half_bits(&self) -> u32 {
        2 * self.uncoded + if self.generators.len() == 1 { 2 } else { 1 }
    }

    /// The excess of the squared distance, in multiples of [`distortion`](Self::distortion), from
    /// which on the metric of a label is 255. The best one grows with the rate; half of it would
    /// ruin the code.
    pub fn cap(&self) -> u32 {
        match self.half_bits() {
            1 => 40,
            2 => 60,
            3..=6 => 80,
            _ => 100,
        }
    }

    /// The tables of the encoder and the decoder.
    pub fn code(&self) -> Code {
        Code::new(&Definition {
            memory: self.memory,
            generators: self.generators[0],
            between: self.generators.get(1).copied(),
            words: &self.codewords(),
            unit: if self.half_bits() <= 4 { 64 } else { 128 },
            range: self.cap() * self.distortion,
        })
    }
}

/// The design for `states` states and `bits` bits per coordinate, if there is one.
pub fn design(states: usize, bits: f64) -> Option<&'static Design> {
    let fits =
        |design: &&Design| design.states() == states && f64::from(design.half_bits()) == 2.0 * bits;
    tables::DESIGNS.iter().find(fits)
}

/// All designs, by states and then by rate.
pub fn designs() -> &'static [Design] {
    &tables::DESIGNS
}
