//! Bodies over the vectors of [`simd`](crate::kernels::simd).

mod look_up;
mod path;
mod place;
mod products;
mod signs;
mod tile;

pub use products::products;
pub use signs::signs_and_sums;
pub use tile::{expand, tile_products};
