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
//! row itself is searched from σ to σ. To begin in σ, the predecessors of the first ν steps are
//! forced, because saturated metrics cannot exclude a state. Rows of fewer than 32 steps try every
//! σ, and keep the path with the least sum of D, of equals the one of the least σ. Rows of fewer
//! than ν steps begin in state 0 and end where the metric is least.
//!
//! **Contract.** Everything from q on is an integer, so that all bodies agree. A row's packed bytes
//! are the P path bits, then the planes of uncoded bits, the lowest first, without gaps; zeros fill
//! the last byte. Any bytes are a row: bits after the last plane never count.

mod code;
pub(super) mod decode;
mod scalar;

use code::LABELS;
pub use code::{Code, Definition};
pub use decode::{bytes, codewords, indexes, products};

use super::kernel;

/// States of the paths of several rows, and what is found about them.
#[derive(Debug, Default, Clone)]
pub struct Workspace {
    /// q of a row.
    integers: Vec<i16>,
    /// A bit per step and state: whether the path comes from the higher predecessor.
    decisions: Vec<u8>,
    /// Metrics of all states before and after a step.
    metrics: [Vec<u8>; 2],
    /// The words that a path chooses, and those of the best path so far.
    chosen: [Vec<u8>; 2],
    /// The bits of a path, and those of the best path so far.
    path: [Vec<u8>; 2],
}

kernel! {
    /// Finds the codes of some rows of `dim` coordinates each and writes their packed bytes.
    ///
    /// # Panics
    /// If `dim` is 0, or if the lengths do not fit together.
    pub fn assign(code: &Code, dim: usize, u: &[f32], work: &mut Workspace, packed: &mut [u8])
}
