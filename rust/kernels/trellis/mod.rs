//! Trellis codes: one path through a shift register ties all coordinates of a row together.
//!
//! The path is found by the Viterbi algorithm, whose time is linear in the number of coordinates.
//!
//! **Mathematics.** A row of d coordinates is coded by P path bits and by planes of d uncoded bits.
//! The register has 2^ν states. At step k the bit x_k enters:
//!
//! ```text
//! window w = 2·state + x_k       ν + 1 bits, bit 0 is the newest
//! state  ← w mod 2^ν
//! label of a coordinate          bit i is the parity of window & generator i, four bits
//! codeword                       words[16·uncoded + label]
//! ```
//!
//! At whole rates each coordinate has a step (P = d). At half rates the coordinates 0, 2, 4, … have
//! one (P = ⌈d/2⌉), and the label of the coordinate after it comes from the state alone, by other
//! generators. The path is circular: the bits before the first are the last ones. Where P < ν they
//! are zeros.
//!
//! The encoder works in integers. A coordinate u becomes q, and the metric of a label is the
//! squared distance to the nearest of its codewords, less that of the best label, in 8 bits:
//!
//! ```text
//! q = round(u·unit), ties to even, from −4·unit to 4·unit
//! D(q, label) = min over uncoded of (2¹²·q/unit − words[16·uncoded + label])²
//! metric(q, label) = min(255, round((D(q, label) − min D(q, ·))·255/range))
//! ```
//!
//! The Viterbi algorithm keeps the least metric of a path to each state, in 8 bits as well.
//! Additions saturate at 255, of two equal paths the one from the lower state stays, and in every
//! fourth step the least metric of four steps before is subtracted from all:
//!
//! ```text
//! step(k):
//!     for each state s, with predecessors s/2 and s/2 + 2^(ν−1):
//!         a ← metrics[s/2]           ⊞ metric(q, label of window s)
//!         b ← metrics[s/2 + 2^(ν−1)] ⊞ metric(q, label of window s + 2^ν)
//!         decision[k][s] ← b < a
//!         new[s] ← min(a, b)             ⊞ metric(q′, label of state s) at half rates
//!     if k mod 4 = 3: new ← new − least;  least ← min(new)
//! ```
//!
//! **The circle.** A path has to end in the state where it begins. A free search over the last T
//! steps and then the first T, traced back from the best end to the middle, finds this state σ; the
//! row itself is searched from σ to σ. T is 64, or P where that is less. To begin in σ, the
//! predecessors of the first ν steps are forced, because saturated metrics cannot exclude a state.
//! Rows of fewer than 32 steps try every σ, and keep the path with the least sum of D, of equals
//! the one of the least σ. Rows of fewer than ν steps begin in state 0 and end where the metric is
//! least.
//!
//! **The vector body.** A register holds 16 states of two rows, one row in each half. The metrics
//! of a coordinate's 16 labels are one byte shuffle away from those of 16 windows. Lower
//! predecessors j and higher ones j + 2^(ν−1) stand in vectors of their own, and lead to the even
//! states 2j and the odd ones 2j + 1, whose metrics are then interleaved:
//!
//! ```text
//! step:                                      two rows, vectors v of 16 predecessors
//!     t ← 16 metrics of the coordinate       of a row in each half
//!     for v in 0..2^ν/32:
//!         for x in 0, 1:
//!             a ← old[v]           ⊞ shuffle(t, labels of windows 2j + x)
//!             b ← old[v + 2^ν/32]  ⊞ shuffle(t, labels of windows 2j + x + 2^ν)
//!             n_x ← min(a, b)
//!             decisions[v, x] ← movemask(n_x = a)
//!         new[2v], new[2v + 1] ← interleave(n_0, n_1)
//! trace:                                     four rows, one in each 64-bit lane
//!     x ← the decision of the state          words of 64 decisions, selected by bits of the state
//!     state ← state/2 + x·2^(ν−1)
//! finish:
//!     labels of eight steps ← table₀[byte] xor table₁[byte] (xor table₂[byte])
//!     uncoded ← number of limits[label] below q
//! ```
//!
//! Where the windows 2j and 2j + 1 + 2^ν have one label, as in all designs but that of 256 states
//! at half rates, so have 2j + 1 and 2j + 2^ν, and two shuffles serve four windows. Up to 64 states
//! the metrics stay in registers. With more, four vectors of metrics are read and written for two
//! steps at a time. The labels of eight windows are linear in the bits that enter, and the nearest
//! codeword of a label is found by comparing q with the limits between its codewords.
//!
//! **Cost.** On AVX2 a step takes eight instructions for each 16 states of two rows, nine where no
//! shuffle serves two windows, and some 17 more: 25 per coordinate and row at 64 states. At 256 it
//! is 88, since each vector of metrics is read and written in every second step. The search is
//! bound by the ports for vectors, of which two can shuffle and two can add with saturation; at 256
//! states also by the one that takes movemasks and stores of vectors alike. The trace takes eight
//! instructions per coordinate at 64 states, and is bound by the latency of four of them for each
//! four rows. What is left takes two instructions at one uncoded bit and three at three. In all, a
//! row of d = 1536 at 2 bits takes 1.4 times as long as [`nearest`](super::nearest) does with 256
//! words of four coordinates at 64 states, and 4.0 times at 256. A row of few steps is searched
//! from 2^ν states: at 64 states, one of 24 coordinates takes as long as one of 2,600. On AVX-512
//! the AVX2 body runs.
//!
//! **Contract.** Everything from q on is an integer, so that all bodies agree. A row's packed bytes
//! are the P path bits, then the planes of uncoded bits, the lowest first, without gaps; zeros fill
//! the last byte. Any bytes are a row: bits after the last plane never count.

mod code;
pub(super) mod decode;
mod labels;
mod scalar;
mod vector;

pub use code::{Code, Definition, row_bits};
pub use decode::{bytes, codewords, indexes, products};

use super::vector_kernel;

/// The search of some rows, by the definition or by the vector body.
#[derive(Debug, Default, Clone)]
pub struct Workspace {
    scalar: scalar::Work,
    vector: vector::Work,
}

vector_kernel! {
    /// Finds the codes of some rows of `dim` coordinates each and writes their packed bytes.
    ///
    /// # Panics
    /// If `dim` is 0, or if the lengths do not fit together.
    pub fn assign(code: &Code, dim: usize, u: &[f32], work: &mut Workspace, packed: &mut [u8])
}
