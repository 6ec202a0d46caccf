//! Every kernel on every instruction set of this machine, nanoseconds a row: `cargo bench --bench kernels`.
//!
//! The names are kernel/parameters/ISA/d, so `cargo bench --bench kernels -- nearest` takes a part. The definitions stand beside the vector bodies,
//! and `nearest block` (brute force) beside `nearest pruned`, for the ratios.

use std::time::Duration;

use blockquant::Isa;
use blockquant::codebook::{Law, block_codebook, lloyd_max};
use blockquant::kernels::quantize::{self, Levels};
use blockquant::kernels::{convert, dense, fast_scan, fwht, nearest, pack, reduce, rescale};
use blockquant::rng::SeedStream;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

const DIMS: [usize; 4] = [128, 384, 1536, 1000];

/// One row at a time of a few that differ, so that branches are predicted no better than in use.
struct Rows {
    dim: usize,
    values: Vec<f32>,
    next: usize,
}

impl Rows {
    fn new(dim: usize) -> Self {
        let mut stream = SeedStream::new(0, dim as u64);
        let values = (0..64 * dim).map(|_| stream.gaussian() as f32).collect();
        Self {
            dim,
            values,
            next: 0,
        }
    }

    fn row(&mut self) -> &[f32] {
        self.next = (self.next + 1) % (self.values.len() / self.dim);
        &self.values[self.next * self.dim..][..self.dim]
    }
}

/// Runs `work` on a row for each instruction set and dimension.
fn each<W: FnMut(Isa, &[f32])>(
    criterion: &mut Criterion,
    name: &str,
    mut make: impl FnMut(usize) -> W,
) {
    let mut group = criterion.benchmark_group(name);
    for dim in DIMS {
        for isa in Isa::available() {
            let mut work = make(dim);
            let mut rows = Rows::new(dim);
            group.bench_function(BenchmarkId::new(isa.name(), dim), |b| {
                b.iter(|| work(isa, rows.row()));
            });
        }
    }
    group.finish();
}

fn transforms(criterion: &mut Criterion) {
    for (name, kernel) in [
        ("fwht forward", fwht::forward as fn(_, _, &_, &mut _)),
        ("fwht backward", fwht::backward),
    ] {
        each(criterion, name, |dim| {
            let size = 1 << dim.ilog2();
            let factors = vec![(size as f32).sqrt().recip(); size];
            let mut x = vec![0f32; size];
            move |isa, row| {
                x.copy_from_slice(&row[..size]);
                kernel(isa, None, &factors, &mut x);
            }
        });
    }
    each(criterion, "dense products, 24 vectors", |dim| {
        let matrix = vec![0.5f32; dim * dim];
        let (x, mut out) = (vec![0.25f32; 24 * dim], vec![0f32; 24 * dim]);
        move |isa, _| dense::products(isa, &matrix, dim, &x, &mut out)
    });
    each(
        criterion,
        "dense panel_products, 16 rows, 24 vectors",
        |dim| {
            let panel = vec![0.5; dim * dense::ROWS_PER_PANEL];
            let (x, mut out) = (vec![0.5; 24 * dim], vec![0.0; 24 * dense::ROWS_PER_PANEL]);
            move |isa, _| dense::panel_products(isa, &panel, dim, &x, &mut out)
        },
    );
    each(criterion, "dense transposed_products, 24 vectors", |dim| {
        let matrix = vec![0.5f32; dim * dim];
        let (x, mut out) = (vec![0.25f32; 24 * dim], vec![0f32; 24 * dim]);
        move |isa, _| dense::transposed_products(isa, &matrix, dim, &x, &mut out)
    });
}

fn levels(criterion: &mut Criterion) {
    for bits in [1, 2, 4, 8] {
        let levels = Levels::new(&lloyd_max(Law::Gaussian, bits).expect("1 to 8 bits"));
        each(criterion, &format!("quantize, {bits} bits"), |dim| {
            let (levels, mut index) = (levels.clone(), vec![0u16; dim]);
            move |isa, row| quantize::quantize(isa, row, &levels, &mut index)
        });
        each(criterion, &format!("dequantize, {bits} bits"), |dim| {
            let index: Vec<u16> = (0..dim).map(|i| (i * 7 % (1 << bits)) as u16).collect();
            let (levels, mut c) = (levels.clone(), vec![0f32; dim]);
            move |isa, _| quantize::dequantize(isa, &index, &levels, &mut c)
        });
    }
}

fn blocks(criterion: &mut Criterion) {
    for (p, w) in [(2, 8), (4, 8), (4, 12), (8, 8)] {
        let name = |kernel: &str| format!("nearest {kernel}, p = {p}, K = {}", 1 << w);
        let book = |dim| block_codebook(dim, p, w).expect("a codebook");
        each(criterion, &name("block"), |dim| {
            let (book, mut index) = (book(dim), vec![0u16; dim / p]);
            move |isa, row| {
                nearest::brute_force(isa, &row[..dim / p * p], book.plan().words(), &mut index)
            }
        });
        each(criterion, &name("pruned"), |dim| {
            let (book, mut index) = (book(dim), vec![0u16; dim / p]);
            move |isa, row| nearest::pruned(isa, &row[..dim / p * p], book.plan(), &mut index)
        });
        each(criterion, &name("gather"), |dim| {
            let book = book(dim);
            let index: Vec<u16> = (0..dim / p).map(|i| (i * 37 % (1 << w)) as u16).collect();
            let mut c = vec![0f32; dim / p * p];
            move |isa, _| nearest::gather(isa, &index, book.plan().words(), &mut c)
        });
    }
}

fn rescaling(criterion: &mut Criterion) {
    for bits in [2u32, 4] {
        each(criterion, &format!("rescale search, {bits} bits"), |dim| {
            let (mut work, mut steps) = (rescale::Workspace::default(), vec![0u16; dim]);
            move |isa, row| rescale::search(isa, row, (1 << (bits - 1)) - 1, &mut work, &mut steps)
        });
    }
}

fn packing(criterion: &mut Criterion) {
    for width in 1..=16u32 {
        let index = |dim: usize| -> Vec<u16> {
            (0..dim)
                .map(|i| (i * 40503 % (1 << width)) as u16)
                .collect()
        };
        let bytes = |dim: usize| (dim * width as usize).div_ceil(8);
        each(criterion, &format!("pack, {width} bits"), |dim| {
            let (index, mut row) = (index(dim), vec![0u8; bytes(dim)]);
            move |isa, _| {
                row.fill(0);
                pack::pack(isa, &index, width, 0, &mut row);
            }
        });
        each(criterion, &format!("unpack, {width} bits"), |dim| {
            let (mut index, row) = (index(dim), vec![0x5au8; bytes(dim)]);
            move |isa, _| pack::unpack(isa, &row, width, 0, &mut index)
        });
    }
}

fn sums(criterion: &mut Criterion) {
    each(criterion, "reduce dot", |dim| {
        let y = vec![0.5f32; dim];
        move |isa, row| {
            std::hint::black_box(reduce::dot(isa, row, &y));
        }
    });
    each(criterion, "reduce dot_and_square", |dim| {
        let y = vec![0.5f32; dim];
        move |isa, row| {
            std::hint::black_box(reduce::dot_and_square(isa, row, &y));
        }
    });
    each(criterion, "reduce squared_norm", |_| {
        |isa: Isa, row: &[f32]| {
            std::hint::black_box(reduce::squared_norm(isa, row));
        }
    });
    each(criterion, "convert scaled", |dim| {
        let mut out = vec![0f32; dim];
        move |isa, row| convert::scaled(isa, row, 0.3, &mut out)
    });
}

fn scans(criterion: &mut Criterion) {
    each(criterion, "lut_sums, signs of 1024 rows", |dim| {
        let positions = dim
            .div_ceil(4)
            .next_multiple_of(fast_scan::POSITIONS_PER_PART);
        let nibbles = vec![0x5a; fast_scan::nibble_bytes(1024, positions)];
        let (tables, mut sums) = (vec![9; 16 * positions], [0; 1024]);
        move |isa, _| fast_scan::lut_sums(isa, &nibbles, &[&tables], &mut [&mut sums])
    });
    each(
        criterion,
        "lut_sums, signs of 1024 rows, 2 queries",
        |dim| {
            let positions = dim
                .div_ceil(4)
                .next_multiple_of(fast_scan::POSITIONS_PER_PART);
            let nibbles = vec![0x5a; fast_scan::nibble_bytes(1024, positions)];
            let (tables, mut sums) = (vec![9; 16 * positions], [[0; 1024]; 2]);
            move |isa, _| {
                let mut sums = sums.each_mut().map(|sums| &mut sums[..]);
                fast_scan::lut_sums(isa, &nibbles, &[&tables, &tables], &mut sums);
            }
        },
    );
    each(criterion, "group_maxima, 1024 rows", |_| {
        let (sums, rows) = ([100; 1024], [1.0; 1024]);
        let mut greatest = [0.0; 1024 / fast_scan::ROWS_PER_GROUP];
        move |isa, _| {
            let keys = fast_scan::Keys {
                first: fast_scan::Term {
                    sums: &sums,
                    factor: &rows,
                },
                second: None,
                spread: &rows,
                shift: None,
                unit: 1.0,
                offset: 0.0,
                weight: 0.0,
                reach: 3.0,
            };
            fast_scan::group_maxima(isa, &keys, &mut greatest);
        }
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(300))
        .sample_size(20);
    targets = transforms, levels, blocks, rescaling, packing, sums, scans
}
criterion_main!(benches);
