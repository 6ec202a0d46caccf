//! A key-value cache that stays in codes.

pub mod attend;
pub mod coder;
pub mod tables;
