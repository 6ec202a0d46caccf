//! Bodies for vectors of 512 bits.

mod look_up;
mod products;
mod signs;
mod tile;

pub use products::products;
pub use signs::signs_and_sums;
pub use tile::{expand, tile_products};
