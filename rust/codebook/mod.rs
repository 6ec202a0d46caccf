//! Codebooks: Lloyd–Max levels for a coordinate ([`scalar`]) and k-means codewords for a block ([`block`]), in units of u = √d·z.
//!
//! Deterministic to the bit on every platform: `libm`, the seed stream, kernels that are bit-exact, and sums in a fixed order.

pub mod block;
pub mod frozen;
pub mod kmeans;
pub mod pruning;
pub mod scalar;
mod transport;

pub use block::{BlockCodebook, block_codebook};
pub use scalar::{Law, lloyd_max};
