//! The kernels of trellis codes.

use blockquant::codebook::trellis::{Design, design, designs};
use blockquant::kernels::code_products::CodeTables;
use blockquant::kernels::trellis::{self, Code};
use blockquant::kernels::{asymmetric, code_products, sign_scan};
use blockquant::rng::SeedStream;

use crate::measure::Bench;

/// Four rows on their paths through a trellis.
pub fn assigned(bench: &mut Bench) {
    // The number of states matters more than the rate.
    let some = |d: &&Design| d.states() == 64 || d.half_bits() == 4;
    for design in designs().iter().filter(some) {
        let bits = f64::from(design.half_bits()) / 2.0;
        let name = format!(
            "trellis assign, 4 rows, {} states, {bits} bits",
            design.states()
        );
        bench.at(&[24, 64, 384, 1536], &name, |dim| {
            let (code, mut work) = (design.code(), trellis::Workspace::default());
            let mut packed = vec![0; 4 * code.row_bytes(dim)];
            let mut stream = SeedStream::new(1, dim as u64);
            let rows: Vec<f32> = (0..64 * dim).map(|_| stream.gaussian() as f32).collect();
            let mut from = 0;
            move |isa, _| {
                from = (from + 4 * dim) % rows.len();
                trellis::assign(
                    isa,
                    &code,
                    dim,
                    &rows[from..][..4 * dim],
                    &mut work,
                    &mut packed,
                );
            }
        });
    }
}

/// What is computed from packed trellis codes.
pub fn coded(bench: &mut Bench) {
    for bits in 1..=4 {
        let design = design(64, f64::from(bits)).expect("a design");
        let code = || design.code();
        let packed = |code: &Code, dim: usize| -> Vec<u8> {
            let bytes = 1024 * code.row_bytes(dim);
            (0..bytes).map(|i| (i * 167 + i / 256) as u8).collect()
        };
        bench.each(&format!("trellis bytes, 64 rows, {bits} bits"), |dim| {
            let code = code();
            let (packed, table) = (packed(&code, dim), vec![7; code.words().len()]);
            let mut out = vec![0; 64 * dim];
            move |isa, _| {
                let rows = &packed[..64 * code.row_bytes(dim)];
                trellis::bytes(isa, &code, dim, &table, rows, &mut out);
            }
        });
        bench.each(&format!("trellis codewords, {bits} bits"), |dim| {
            let code = code();
            let packed = packed(&code, dim);
            let mut out = vec![0.0; dim];
            move |isa, _| trellis::codewords(isa, &code, &packed[..code.row_bytes(dim)], &mut out)
        });
        bench.each(&format!("trellis products, 4 rows, {bits} bits"), |dim| {
            let code = code();
            let packed = packed(&code, dim);
            let mut out = [0.0; asymmetric::ROWS_PER_CALL];
            move |isa, y| {
                let row = &packed[..code.row_bytes(dim)];
                trellis::products(isa, &code, [row; 4], y, &mut out);
            }
        });
        let tables = |dim| CodeTables::of_path(&design.code(), dim).expect("tables");
        bench.each(
            &format!("code_products products, 64 rows, path, {bits} bits"),
            |dim| {
                let (tables, packed) = (tables(dim), packed(&code(), dim));
                let rows: Vec<u32> = (0..64).map(|i| i * 173 % 1024).collect();
                let mut out = vec![0; 64];
                move |isa, row| {
                    let query = code_products::query(isa, &tables, row);
                    code_products::products(isa, &tables, &packed, &rows, &query, &mut out);
                }
            },
        );
        bench.each(
            &format!("code_products signs_and_sums, 64 rows, path, {bits} bits"),
            |dim| {
                let (tables, packed) = (tables(dim), packed(&code(), dim));
                let rows: Vec<u32> = (0..64).collect();
                let mut group = vec![0; sign_scan::group_bytes(dim)];
                let mut sums = [[0; 2]; 64];
                move |isa, _| {
                    code_products::signs_and_sums(
                        isa, &tables, &packed, &rows, &mut group, &mut sums,
                    );
                }
            },
        );
        bench.each(
            &format!("code_products expand, 64 rows, path, {bits} bits"),
            |dim| {
                let (tables, packed) = (tables(dim), packed(&code(), dim));
                let rows: Vec<u32> = (0..64).collect();
                let mut tile = vec![0; code_products::tile_bytes(dim)];
                move |isa, _| code_products::expand(isa, &tables, &packed, &rows, &mut tile)
            },
        );
    }
}
