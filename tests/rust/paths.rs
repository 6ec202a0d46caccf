//! What is computed from packed trellis codes, on every instruction set, against the mathematics
//! as it is written here: windows bit by bit, labels by parities.

use blockquant::Isa;
use blockquant::codebook::trellis::designs;
use blockquant::kernels::attention::{self, Codewords, ROWS_PER_TILE, Tile};
use blockquant::kernels::code_products::{self as kernels, CodeTables};
use blockquant::kernels::reduce;
use blockquant::kernels::trellis::{Code, Definition, bytes, codewords, indexes, products};
use blockquant::rng::SeedStream;
use proptest::prelude::*;

use crate::common::gaussian;

/// What a code is made of, which it keeps to itself.
#[derive(Debug)]
struct Parts {
    memory: u32,
    generators: Vec<[u32; 4]>,
    words: Vec<i16>,
}

impl Parts {
    fn code(&self) -> Code {
        Code::new(&Definition {
            memory: self.memory,
            generators: self.generators[0],
            between: self.generators.get(1).copied(),
            words: &self.words,
            unit: 64,
            range: 1 << 24,
        })
    }

    /// Any generators and any words: also of 512 and 1,024 states, which vectors leave to the
    /// definition, and words whose sign is not their highest bit.
    fn random(memory: u32, uncoded: u32, is_half: bool, seed: u64) -> Self {
        let mut stream = SeedStream::new(seed, 31);
        let mut generators =
            |bits: u32| std::array::from_fn(|_| stream.next_u64() as u32 % (1 << bits));
        let mut all = vec![generators(memory + 1)];
        if is_half {
            all.push(generators(memory));
        }
        let mut words: Vec<i16> = (0..16 << uncoded)
            .map(|_| stream.next_u64() as i16)
            .collect();
        // Zero is positive, and the lowest of all integers is a word too.
        (words[0], words[3]) = (0, i16::MIN);
        if seed.is_multiple_of(2) {
            let half = words.len() / 2;
            for (i, word) in words.iter_mut().enumerate() {
                let size = (i32::from(*word).abs() - 1).max(0) as i16;
                *word = if i < half { -1 - size } else { size };
            }
        }
        Self {
            memory,
            generators: all,
            words,
        }
    }

    /// The index of each coordinate of a row.
    fn indexes(&self, row: &[u8], dim: usize) -> Vec<u8> {
        let is_half = self.generators.len() == 2;
        let steps = if is_half { dim.div_ceil(2) } else { dim } as isize;
        let bit = |at: usize| u32::from(row[at / 8] >> (at % 8) & 1);
        let path = |step: isize| match step {
            0.. => bit(step as usize),
            _ if steps >= self.memory as isize => bit((step + steps) as usize),
            _ => 0,
        };
        let label = |coordinate: usize| {
            let (step, phase) = if is_half {
                (coordinate / 2, coordinate % 2)
            } else {
                (coordinate, 0)
            };
            let width = self.memory as usize + 1 - phase;
            let window: u32 = (0..width)
                .map(|i| path(step as isize - i as isize) << i)
                .sum();
            let generators = self.generators[phase];
            (0..4)
                .map(|i| ((window & generators[i]).count_ones() & 1) << i)
                .sum::<u32>()
        };
        let planes = (self.words.len() / 16).ilog2() as usize;
        let index = |coordinate: usize| {
            let bits = (0..planes).map(|p| bit(steps as usize + p * dim + coordinate) << p);
            (16 * bits.sum::<u32>() + label(coordinate)) as u8
        };
        (0..dim).map(index).collect()
    }
}

/// Codes of every shape, the designs among them.
fn all_parts() -> Vec<Parts> {
    let mut all: Vec<Parts> = Vec::new();
    for design in designs() {
        let (words, choices) = (design.codewords(), 1 << design.uncoded);
        all.push(Parts {
            memory: design.memory,
            generators: design.generators.to_vec(),
            words: (0..words.len())
                .map(|at| words[at % 16 * choices + at / 16])
                .collect(),
        });
    }
    // The generators of half rates (METHODS.md, section 7).
    let half = [
        (4, [0o14, 0o16, 0o12, 0o37], [0o1, 0o2, 0o6, 0o11]),
        (5, [0o36, 0o16, 0o32, 0o55], [0o35, 0o12, 0o14, 0o23]),
        (6, [0o153, 0o70, 0o76, 0o103], [0o56, 0o45, 0o30, 0o67]),
        (8, [0o653, 0o342, 0o23, 0o416], [0o177, 0o176, 0o54, 0o355]),
    ];
    for (memory, with, without) in half {
        for uncoded in 0..4 {
            all.push(Parts {
                generators: vec![with, without],
                ..Parts::random(memory, uncoded, true, u64::from(uncoded))
            });
        }
    }
    for memory in 4..=10 {
        for seed in 0..4 {
            let uncoded = (seed as u32 + memory) % 4;
            all.push(Parts::random(memory, uncoded, seed % 2 == 1, seed + 10));
        }
    }
    all
}

const DIMS: [usize; 22] = [
    1, 2, 3, 5, 7, 8, 9, 13, 16, 31, 33, 64, 65, 100, 127, 128, 129, 255, 257, 384, 511, 770,
];

fn random_bytes(count: usize, seed: u64) -> Vec<u8> {
    let mut stream = SeedStream::new(seed, 5);
    (0..count).map(|_| stream.next_u64() as u8).collect()
}

#[test]
fn any_bytes_decode_as_the_mathematics_says() {
    for (seed, parts) in (0..).zip(all_parts()) {
        let code = parts.code();
        let table = random_bytes(parts.words.len(), seed);
        for dim in DIMS {
            let row = random_bytes(code.row_bytes(dim), seed + dim as u64);
            let index = parts.indexes(&row, dim);
            let word = |&index: &u8| f32::from(parts.words[usize::from(index)]) / 4096.0;
            let words: Vec<u32> = index.iter().map(|index| word(index).to_bits()).collect();
            let values: Vec<u8> = index
                .iter()
                .map(|&index| table[usize::from(index)])
                .collect();
            for isa in Isa::available() {
                let what = format!("{} {parts:?} {dim}", isa.name());
                let mut found = vec![0xa5; dim];
                indexes(isa, &code, &row, &mut found);
                assert_eq!(found, index, "indexes {what}");
                bytes(isa, &code, dim, &table, &row, &mut found);
                assert_eq!(found, values, "bytes {what}");
                let mut found = vec![0xa5; 2 * dim];
                bytes(isa, &code, dim, &table, &row.repeat(2), &mut found);
                assert_eq!(found, values.repeat(2), "two rows {what}");
                let mut found = vec![f32::NAN; dim];
                codewords(isa, &code, &row, &mut found);
                let found: Vec<u32> = found.iter().map(|c| c.to_bits()).collect();
                assert_eq!(found, words, "codewords {what}");
            }
        }
    }
}

#[test]
fn products_have_the_bits_of_the_dot_product() {
    for (seed, parts) in (0..).zip(all_parts()) {
        let code = parts.code();
        for dim in DIMS {
            let y: Vec<f32> = (gaussian(dim, seed).iter().enumerate())
                .map(|(i, y)| y * [1.0, 1e30, 1e-30, 0.0, -1e-42][(i + seed as usize) % 5])
                .collect();
            let row_bytes = code.row_bytes(dim);
            let rows = random_bytes(4 * row_bytes, seed + 7);
            let rows: [&[u8]; 4] = std::array::from_fn(|r| &rows[r * row_bytes..][..row_bytes]);
            let expected = rows.map(|row| {
                let index = parts.indexes(row, dim);
                let word = |&index: &u8| f32::from(parts.words[usize::from(index)]) / 4096.0;
                let c: Vec<f32> = index.iter().map(word).collect();
                reduce::dot(Isa::Scalar, &c, &y).to_bits()
            });
            for isa in Isa::available() {
                let mut found = [f32::NAN; 4];
                products(isa, &code, rows, &y, &mut found);
                assert_eq!(
                    found.map(f32::to_bits),
                    expected,
                    "{} {parts:?} {dim}",
                    isa.name()
                );
            }
        }
    }
}

/// Checks the integers of a search on every instruction set.
fn check_search(parts: &Parts, dim: usize, count: usize, seed: u64) {
    const STORED: usize = 70;
    let code = parts.code();
    let tables = CodeTables::of_path(&code, dim).unwrap();
    let row_bytes = code.row_bytes(dim);
    assert_eq!((tables.dim(), tables.row_bytes()), (dim, row_bytes));
    let packed = random_bytes(STORED * row_bytes, seed);
    let mut stream = SeedStream::new(seed, 6);
    let rows: Vec<u32> = (0..count)
        .map(|_| (stream.next_u64() % STORED as u64) as u32)
        .collect();
    let y = gaussian(dim, seed + 1);
    let unit = kernels::query(Isa::Scalar, &tables, &y).unit;
    let y_bytes: Vec<i32> = y
        .iter()
        .map(|y| (y * unit.recip()).round_ties_even() as i32)
        .collect();

    let mut group = vec![0; kernels::group_bytes(dim)];
    let mut sums = [[0; 2]; 64];
    let mut tile = vec![0; kernels::tile_bytes(dim)];
    let mut dots = vec![0; count];
    for (r, &row) in rows.iter().enumerate() {
        let slot = if r < 32 { 2 * r } else { 2 * (r - 32) + 1 };
        let row = &packed[row as usize * row_bytes..][..row_bytes];
        for (j, index) in parts.indexes(row, dim).into_iter().enumerate() {
            let word = f64::from(parts.words[usize::from(index)]) / 4096.0;
            let steps = (word / f64::from(tables.word_unit)).round_ties_even() as i32;
            sums[r][0] += steps.unsigned_abs();
            sums[r][1] += steps.pow(2) as u32;
            group[j / 8 * 64 + slot] |= u8::from(word >= 0.0) << (j % 8);
            let place = r / 16 * dim.div_ceil(4) * 64 + j / 4 * 64 + r % 16 * 4 + j % 4;
            tile[place] = (steps + 64) as u8;
            dots[r] += steps * y_bytes[j];
        }
    }
    for isa in Isa::available() {
        let name = isa.name();
        let query = kernels::query(isa, &tables, &y);
        let mut found = vec![0xa5; group.len()];
        let mut found_sums = [[7; 2]; 64];
        kernels::signs_and_sums(isa, &tables, &packed, &rows, &mut found, &mut found_sums);
        assert!(found == group, "signs {name} {parts:?} {dim}");
        assert_eq!(found_sums, sums, "sums {name} {parts:?} {dim}");
        let mut found = vec![0xa5; tile.len()];
        kernels::expand(isa, &tables, &packed, &rows, &mut found);
        assert!(found == tile, "tile {name} {parts:?} {dim}");
        let mut found = vec![1; count];
        kernels::products(isa, &tables, &packed, &rows, &query, &mut found);
        assert_eq!(found, dots, "products {name} {parts:?} {dim}");
        let mut found = vec![1; 64];
        kernels::tile_products(isa, &tile, dim, &[&query], &mut found);
        assert_eq!(found[..count], dots, "tile products {name} {parts:?} {dim}");
    }
}

#[test]
fn searches_read_the_codewords() {
    for (seed, parts) in (0..).zip(all_parts()) {
        for (i, dim) in DIMS.into_iter().enumerate() {
            check_search(&parts, dim, [64, 1, 33][i % 3], seed);
        }
    }
}

/// The units make the sums over all words right, so that estimates have no bias.
#[test]
fn units_are_right_on_average() {
    for parts in all_parts() {
        let tables = CodeTables::of_path(&parts.code(), 10).unwrap();
        let sizes = || {
            parts
                .words
                .iter()
                .map(|&word| f64::from(word).abs() / 4096.0)
        };
        let steps = || sizes().map(|size| (size / f64::from(tables.word_unit)).round_ties_even());
        let (magnitude, square) = (
            sizes().sum::<f64>(),
            sizes().map(|size| size * size).sum::<f64>(),
        );
        let found = steps().sum::<f64>() * f64::from(tables.magnitude_unit);
        assert!((found / magnitude - 1.0).abs() < 1e-6, "{parts:?}");
        let found = steps().map(|steps| steps * steps).sum::<f64>() * f64::from(tables.square_unit);
        assert!((found / square - 1.0).abs() < 1e-6, "{parts:?}");
        let widest = sizes().fold(0.0, f64::max);
        assert!((63.0 * f64::from(tables.word_unit) / widest - 1.0).abs() < 1e-6);
    }
}

#[test]
fn zero_words_have_no_tables() {
    let parts = Parts {
        words: vec![0; 32],
        ..Parts::random(6, 1, false, 1)
    };
    assert!(CodeTables::of_path(&parts.code(), 8).is_none());
}

/// The codewords of a cache, padded, their products and their sums.
fn check_cache(parts: &Parts, dim: usize, rows: usize, count: usize, seed: u64) {
    let code = parts.code();
    let integers: Vec<i8> = random_bytes(parts.words.len(), seed)
        .into_iter()
        .map(|byte| (byte as i8).max(-127))
        .collect();
    let words = Codewords::<i8>::of_path(&code, dim, integers.clone());
    let wide: Vec<i16> = integers.iter().map(|&k| i16::from(k) * 16).collect();
    let wide = Codewords::<i16>::of_path(&code, dim, wide);
    let (stride, row_bytes) = (words.stride(), words.row_bytes());
    assert_eq!(
        (stride, row_bytes),
        (dim.next_multiple_of(16), code.row_bytes(dim))
    );
    let packed = random_bytes(rows * row_bytes, seed + 1);
    let mut expected = vec![0i8; rows * stride];
    for (row, out) in packed
        .chunks_exact(row_bytes)
        .zip(expected.chunks_exact_mut(stride))
    {
        for (out, index) in out.iter_mut().zip(parts.indexes(row, dim)) {
            *out = integers[usize::from(index)];
        }
    }
    let mut q = vec![0i16; count * stride];
    let y = gaussian(count * dim, seed);
    for (q, y) in q.chunks_exact_mut(stride).zip(y.chunks_exact(dim)) {
        attention::to_i16(Isa::Scalar, y, 1000.0, &mut q[..dim]);
    }
    let mut dots = vec![[0f32; ROWS_PER_TILE]; count];
    attention::dots_i8(Isa::Scalar, &expected, &q, &mut dots);
    let (p, sums) = (
        gaussian(count * ROWS_PER_TILE, seed + 2),
        gaussian(count * stride, seed + 3),
    );
    let mut expected_sums = sums.clone();
    attention::sums_i8(Isa::Scalar, &p, &expected, count, &mut expected_sums);
    let live = |tiles: &[Tile]| -> Vec<f32> {
        tiles
            .iter()
            .flat_map(|tile| tile[..rows].to_vec())
            .collect()
    };
    for isa in Isa::available() {
        let name = isa.name();
        let mut found = vec![1i8; rows * stride];
        attention::expand_i8(isa, &packed, &words, &mut found);
        assert_eq!(found, expected, "{name} {parts:?} {dim}");
        let mut found = vec![1i16; rows * stride];
        attention::expand_i16(isa, &packed, &wide, &mut found);
        let times_16: Vec<i16> = expected.iter().map(|&k| i16::from(k) * 16).collect();
        assert_eq!(found, times_16, "{name} {parts:?} {dim}");
        let mut found = vec![[0f32; ROWS_PER_TILE]; count];
        attention::packed_dots_i8(isa, &packed, &words, &mut vec![3], &q, &mut found);
        assert_eq!(live(&found), live(&dots), "dots {name} {parts:?} {dim}");
        let mut found = sums.clone();
        attention::packed_sums_i8(isa, &packed, &words, &mut vec![3], &p, count, &mut found);
        assert_eq!(found, expected_sums, "sums {name} {parts:?} {dim}");
    }
}

#[test]
fn caches_read_the_codewords() {
    for (seed, parts) in (0..).zip(all_parts()) {
        for (i, dim) in DIMS.into_iter().enumerate() {
            check_cache(&parts, dim, [64, 1, 8, 13][i % 4], 1 + i % 5, seed);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn codes_of_any_shape(
        memory in 4u32..=10, uncoded in 0u32..4, is_half: bool, dim in 1usize..600,
        rows in 1usize..=64, seed in 0u64..1000,
    ) {
        let parts = Parts::random(memory, uncoded, is_half, seed);
        check_search(&parts, dim, rows, seed);
        check_cache(&parts, dim, rows, 1 + rows % 5, seed);
    }
}
