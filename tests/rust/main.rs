//! All integration tests of the core, as one program: one link instead of one per file.
//!
//! A module's name selects its tests, for example `cargo test --release --test all kernels::`.

mod attention;
mod axes;
mod cache;
mod code_products;
mod common;
mod file;
mod fitted;
mod fitted_files;
mod fixed;
mod fuzz;
mod golden;
mod ids;
mod interval;
mod kernels;
mod methods;
mod nearest;
mod paths;
mod predicted;
mod products;
mod scale_search;
mod search;
mod search_sections;
mod sign_scan;
mod threads;
mod trellis;
mod trellis_tables;
