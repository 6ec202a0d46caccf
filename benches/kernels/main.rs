//! Measures each kernel on each instruction set of this machine and ends with a table of
//! nanoseconds per call.
//!
//! ```text
//! cargo bench --bench kernels                      everything, about five minutes
//! cargo bench --bench kernels -- --quick           everything with few samples, under two minutes
//! cargo bench --bench kernels -- nearest fwht      kernels whose name contains one of the words
//! ```
//!
//! A call handles one row of dimension d, or what the name of the kernel says. The column "×
//! scalar" says how many times faster an instruction set is than the scalar definition, which is
//! compiled for the baseline of the target (on x86-64 without FMA: `mul_add` is then a library
//! call). The table has the fastest of the samples, since a busy machine only ever makes one
//! slower. Without `--bench`, as `cargo test --benches` runs it, each kernel is called once.

mod measure;
mod paths;

use std::hint::black_box;

use blockquant::Isa;
use blockquant::codebook::{Law, block_codebook, lloyd_max};
use blockquant::kernels::code_products::{CodeTables, FieldWords};
use blockquant::kernels::quantize::{self, Levels};
use blockquant::kernels::{
    asymmetric, code_products, convert, dense, fixed, fwht, moments, nearest, pack, reduce,
    rescale, sign_scan,
};

use measure::Bench;

/// The first two are sizes of attention heads at which every rotation is dense.
const DENSE_DIMS: [usize; 6] = [64, 96, 128, 384, 1536, 1000];

fn transforms(bench: &mut Bench) {
    for (name, kernel) in [
        ("fwht forward", fwht::forward as fn(_, _, &_, &mut _)),
        ("fwht backward", fwht::backward),
    ] {
        bench.each(name, |dim| {
            let size = 1 << dim.ilog2();
            let factors = vec![(size as f32).sqrt().recip(); size];
            let mut x = vec![0f32; size];
            move |isa, row| {
                x.copy_from_slice(&row[..size]);
                kernel(isa, None, &factors, &mut x);
            }
        });
    }
    bench.each("dense panel_products, 16 rows, 24 vectors", |dim| {
        let panel = vec![0.5; dim * dense::ROWS_PER_PANEL];
        let (x, mut out) = (vec![0.5; 24 * dim], vec![0.0; 24 * dense::ROWS_PER_PANEL]);
        move |isa, _| dense::panel_products(isa, &panel, dim, &x, &mut out)
    });
    let both: [(_, fn(_, &_, _, &_, &mut _)); 2] = [
        ("products", dense::products),
        ("transposed_products", dense::transposed_products),
    ];
    for ((name, kernel), n) in both.into_iter().flat_map(|both| [(both, 24), (both, 1)]) {
        let name = format!("dense {name}, vectors = {n}");
        bench.at(&DENSE_DIMS, &name, |dim| {
            let matrix = vec![0.5f32; dim * dim];
            let (x, mut out) = (vec![0.25f32; n * dim], vec![0f32; n * dim]);
            move |isa, _| kernel(isa, &matrix, dim, &x, &mut out)
        });
    }
    bench.at(&DENSE_DIMS, "fixed products, 48 rows", |dim| {
        let panels = fixed::Panels::new(dim, dim);
        let rows = fixed::ROWS_PER_CALL;
        let (x, mut out) = (vec![1; rows * fixed::row_len(dim)], vec![0.0; rows * dim]);
        move |isa, _| fixed::products(isa, &panels, &x, &mut out)
    });
    for rounds in [3, 4, 5] {
        bench.at(&[64], &format!("fwht forward, {rounds} rounds"), |_| {
            let (factors, mut x) = ([0.125; 64], [0f32; 64]);
            move |isa, row| {
                x.copy_from_slice(row);
                (0..rounds).for_each(|_| fwht::forward(isa, None, &factors, &mut x));
            }
        });
    }
}

fn levels(bench: &mut Bench) {
    for bits in [1, 2, 4, 8] {
        let levels = Levels::new(&lloyd_max(Law::Gaussian, bits).expect("1 to 8 bits"));
        bench.each(&format!("quantize, {bits} bits"), |dim| {
            let (levels, mut index) = (levels.clone(), vec![0u16; dim]);
            move |isa, row| quantize::quantize(isa, row, &levels, &mut index)
        });
        bench.each(&format!("dequantize, {bits} bits"), |dim| {
            let index: Vec<u16> = (0..dim).map(|i| (i * 7 % (1 << bits)) as u16).collect();
            let (levels, mut c) = (levels.clone(), vec![0f32; dim]);
            move |isa, _| quantize::dequantize(isa, &index, &levels, &mut c)
        });
    }
}

fn blocks(bench: &mut Bench) {
    for (p, w) in [(2, 8), (4, 8), (4, 12), (8, 8)] {
        let name = |kernel: &str| format!("nearest {kernel}, p = {p}, K = {}", 1 << w);
        let book = |dim| block_codebook(dim, p, w).expect("a codebook");
        bench.each(&name("brute_force"), |dim| {
            let (book, mut index) = (book(dim), vec![0u16; dim / p]);
            move |isa, row| {
                nearest::brute_force(isa, &row[..dim / p * p], book.plan().words(), &mut index)
            }
        });
        bench.each(&name("pruned"), |dim| {
            let (book, mut index) = (book(dim), vec![0u16; dim / p]);
            move |isa, row| nearest::pruned(isa, &row[..dim / p * p], book.plan(), &mut index)
        });
        bench.each(&name("gather"), |dim| {
            let book = book(dim);
            let index: Vec<u16> = (0..dim / p).map(|i| (i * 37 % (1 << w)) as u16).collect();
            let mut c = vec![0f32; dim / p * p];
            move |isa, _| nearest::gather(isa, &index, book.plan().words(), &mut c)
        });
    }
}

fn rescaling(bench: &mut Bench) {
    for bits in [2u32, 4] {
        bench.each(&format!("rescale search, {bits} bits"), |dim| {
            let (mut work, mut steps) = (rescale::Workspace::default(), vec![0u16; dim]);
            move |isa, row| rescale::search(isa, row, (1 << (bits - 1)) - 1, &mut work, &mut steps)
        });
    }
}

fn packing(bench: &mut Bench) {
    for width in 1..=16u32 {
        let index = |dim: usize| -> Vec<u16> {
            (0..dim)
                .map(|i| (i * 40503 % (1 << width)) as u16)
                .collect()
        };
        let bytes = |dim: usize| (dim * width as usize).div_ceil(8);
        bench.each(&format!("pack, {width} bits"), |dim| {
            let (index, mut row) = (index(dim), vec![0u8; bytes(dim)]);
            move |isa, _| {
                row.fill(0);
                pack::pack(isa, &index, width, 0, &mut row);
            }
        });
        bench.each(&format!("unpack, {width} bits"), |dim| {
            let (mut index, row) = (index(dim), vec![0x5au8; bytes(dim)]);
            move |isa, _| pack::unpack(isa, &row, width, 0, &mut index)
        });
    }
}

fn sums(bench: &mut Bench) {
    bench.each("moments add_products, 8 coordinates, 64 rows", |dim| {
        let panels = dim / moments::WIDTH;
        let rows = vec![[0.5; moments::WIDTH]; 64 * panels];
        let mut tiles = vec![moments::Tile::default(); panels];
        move |isa, _| moments::add_products(isa, &rows[..64], &rows, &mut tiles)
    });
    bench.each("reduce dot", |dim| {
        let y = vec![0.5f32; dim];
        move |isa, row| {
            black_box(reduce::dot(isa, row, &y));
        }
    });
    bench.each("reduce dot_and_square", |dim| {
        let y = vec![0.5f32; dim];
        move |isa, row| {
            black_box(reduce::dot_and_square(isa, row, &y));
        }
    });
    bench.each("reduce error_sums", |dim| {
        let y = vec![0.5f32; dim];
        move |isa, row| {
            black_box(reduce::error_sums(isa, row, &y));
        }
    });
    bench.each("reduce squared_norm", |_| {
        |isa: Isa, row: &[f32]| {
            black_box(reduce::squared_norm(isa, row));
        }
    });
    bench.each("convert scaled", |dim| {
        let mut out = vec![0f32; dim];
        move |isa, row| convert::scaled(isa, row, 0.3, &mut out)
    });
}

/// Packed codes as integers.
fn coded(bench: &mut Bench) {
    for (p, w) in [(2, 8), (4, 8), (4, 12), (8, 8)] {
        let tables = move |dim| {
            let book = block_codebook(dim, p, w).expect("a codebook");
            let field = FieldWords {
                count: dim / p,
                width: w,
                words: &book.words,
                coordinates: p,
            };
            CodeTables::new(&[field]).expect("tables")
        };
        let packed = |tables: &CodeTables| -> Vec<u8> {
            let bytes = 1024 * tables.row_bytes();
            (0..bytes).map(|i| (i * 167 + i / 256) as u8).collect()
        };
        bench.each(
            &format!("code_products products, 64 rows, p = {p}, w = {w}"),
            |dim| {
                let tables = tables(dim);
                let packed = packed(&tables);
                let rows: Vec<u32> = (0..64).map(|i| i * 173 % 1024).collect();
                let mut out = vec![0; 64];
                move |isa, row| {
                    let query = code_products::query(isa, &tables, row);
                    code_products::products(isa, &tables, &packed, &rows, &query, &mut out);
                }
            },
        );
        bench.each(
            &format!("code_products signs_and_sums, 64 rows, p = {p}, w = {w}"),
            |dim| {
                let tables = tables(dim);
                let packed = packed(&tables);
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
    }
}

/// The scan of signs.
fn sign_scans(bench: &mut Bench) {
    bench.each("sign_scan query", |_| {
        |isa, y| {
            black_box(sign_scan::query(isa, y));
        }
    });
    for queries in [1, 4, 16] {
        let name = format!("sign_scan sums, 1024 rows, queries = {queries}");
        bench.each(&name, |dim| {
            // The groups begin at a cache line, as in use.
            let bytes = 16 * sign_scan::group_bytes(dim);
            let groups = vec![0x5a; bytes + 63];
            let from = groups.as_ptr().align_offset(64);
            let mut sums = vec![0; 1024 * queries];
            let mut made: Option<(Isa, sign_scan::SignQuery)> = None;
            move |isa, y| {
                let (_, query) = match made.take_if(|(other, _)| *other == isa) {
                    Some(same) => made.insert(same),
                    None => made.insert((isa, sign_scan::query(isa, y))),
                };
                let luts = vec![&*query.lut; queries];
                sign_scan::sums(isa, &groups[from..][..bytes], dim, &luts, &mut sums);
            }
        });
    }
    let (sums, column) = ([100; 1024], [1.0; 1024]);
    let columns = sign_scan::Columns {
        factor: &column,
        spread: &column,
        shift: None,
    };
    let cut = sign_scan::Cut {
        unit: 1.0,
        offset: 0.0,
        reach: 3.0,
        weight: 0.0,
        threshold: 200.0,
    };
    bench.each("sign_scan sums_reach, 1024 rows", |_| {
        let mut masks = [0; 16];
        move |isa, _| sign_scan::sums_reach(isa, &sums, &columns, &cut, &mut masks)
    });
}

/// Products of four coded rows with a query.
fn reranking(bench: &mut Bench) {
    for (p, w) in [(2, 8), (4, 8), (8, 8)] {
        let name = format!("asymmetric codeword_products, 4 rows, p = {p}");
        bench.each(&name, |dim| {
            let book = block_codebook(dim, p, w).expect("a codebook");
            let index: Vec<u16> = (0..dim / p).map(|i| (i * 37 % (1 << w)) as u16).collect();
            let mut products = [0.0; asymmetric::ROWS_PER_CALL];
            move |isa, row| {
                let y = &row[..dim / p * p];
                let words = book.plan().words();
                asymmetric::codeword_products(isa, [&index; 4], words, y, &mut products);
            }
        });
    }
    for bits in 1..=asymmetric::MAX_LEVEL_BITS {
        let name = format!("asymmetric level_products, 4 rows, {bits} bits");
        let levels = Levels::new(&lloyd_max(Law::Gaussian, bits).expect("1 to 8 bits"));
        bench.each(&name, |dim| {
            let levels = levels.clone();
            let packed = vec![0x5a; (dim * bits as usize).div_ceil(8)];
            let mut products = [0.0; asymmetric::ROWS_PER_CALL];
            move |isa, row| {
                asymmetric::level_products(isa, [&packed; 4], bits, &levels, row, &mut products);
            }
        });
    }
}

fn main() {
    let mut bench = Bench::from_args(std::env::args().skip(1)).unwrap_or_else(|message| {
        eprintln!("{message}");
        std::process::exit(2);
    });
    for kernels in [
        transforms,
        levels,
        blocks,
        rescaling,
        packing,
        sums,
        coded,
        sign_scans,
        reranking,
        paths::assigned,
        paths::coded,
    ] {
        kernels(&mut bench);
    }
    bench.print();
}
