//! The vector bodies of all kernels of this folder.

pub use super::expand::{expand_i8, expand_i16};
pub use super::packed::{packed_dots_i8, packed_sums_i8};
pub use super::tiles::{dots_i8, dots_i16, logits, softmax, sums_f32, sums_i8, sums_i16};
