//! Codebooks: the values by which a quantizer replaces a coordinate or a block of coordinates.
//! One coordinate gets Lloyd–Max levels ([`lloyd_max`](mod@lloyd_max)), a block gets k-means
//! codewords ([`block`]).
//!
//! Both minimise the mean squared error for the law of the rotated coordinates u = √d·z, and both
//! are in units of u.
//!
//! FROZEN: a file of codes does not hold its codebook but its parameters, and a digest that refuses
//! the file if the codebook is another. So construction is deterministic to the bit on every
//! platform: it uses `libm`, the frozen seed stream, bit-exact kernels and sums in a fixed order.
//! A change to any step of it makes existing files unreadable; `tests/golden` pins the results.

pub mod block;
pub mod frozen;
pub mod kmeans;
pub mod lloyd_max;
pub mod pruning;
mod transport;
pub mod trellis;
mod word_order;

pub use block::{BlockCodebook, block_codebook};
pub use lloyd_max::{Law, lloyd_max};
