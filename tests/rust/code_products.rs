//! Signs, sums, integer products and tiles of packed codes, against unpacking and word look-up as
//! they are written here.

use blockquant::Isa;
use blockquant::kernels::code_products::{self as kernels, CodeTables, FieldWords, IntQuery};
use blockquant::kernels::pack;
use blockquant::rng::SeedStream;
use proptest::prelude::*;

use crate::common::gaussian;

/// Count, width and coordinates of the fields of a row.
type Shape = Vec<(usize, u32, usize)>;

/// What the tables are made of.
#[derive(Debug)]
struct Codebooks {
    shape: Shape,
    words: Vec<Vec<f32>>,
}

impl Codebooks {
    fn new(shape: &Shape, seed: u64) -> Self {
        let words = shape.iter().enumerate().map(|(i, &(_, width, p))| {
            let mut words = gaussian(p << width, seed + i as u64);
            // Zeros count as positive, of either sign.
            words[0] = -0.0;
            words
        });
        Self {
            shape: shape.clone(),
            words: words.collect(),
        }
    }

    fn fields(&self) -> Vec<FieldWords<'_>> {
        let fields = self.shape.iter().zip(&self.words);
        fields
            .map(|(&(count, width, coordinates), words)| FieldWords {
                count,
                width,
                words,
                coordinates,
            })
            .collect()
    }

    fn tables(&self) -> CodeTables {
        CodeTables::new(&self.fields()).unwrap()
    }

    fn dim(&self) -> usize {
        self.shape.iter().map(|(count, _, p)| count * p).sum()
    }

    fn row_bytes(&self) -> usize {
        let bits = self
            .shape
            .iter()
            .map(|(count, width, _)| count * *width as usize);
        bits.sum::<usize>().div_ceil(8)
    }

    /// The words of a row.
    fn words_of(&self, row: &[u8]) -> Vec<&[f32]> {
        let mut found = Vec::new();
        let mut bit = 0;
        for (&(count, width, p), words) in self.shape.iter().zip(&self.words) {
            let mut indexes = vec![0; count];
            pack::unpack(Isa::Scalar, row, width, bit, &mut indexes);
            found.extend(indexes.iter().map(|&k| &words[usize::from(k) * p..][..p]));
            bit += count * width as usize;
        }
        found
    }
}

fn random_bytes(count: usize, seed: u64) -> Vec<u8> {
    let mut stream = SeedStream::new(seed, 5);
    (0..count).map(|_| stream.next_u64() as u8).collect()
}

fn random_rows(count: usize, below: usize, seed: u64) -> Vec<u32> {
    let mut stream = SeedStream::new(seed, 6);
    (0..count)
        .map(|_| (stream.next_u64() % below as u64) as u32)
        .collect()
}

/// word7 − 64 of a number.
fn steps(word: f32, tables: &CodeTables) -> i32 {
    (f64::from(word) / f64::from(tables.word_unit)).round_ties_even() as i32
}

/// The signed bytes of a query, which the kernels keep to themselves.
fn query_bytes(y: &[f32], query: &IntQuery) -> Vec<i32> {
    let steps = if y.iter().all(|&y| y == 0.0) {
        0.0
    } else {
        query.unit.recip()
    };
    y.iter()
        .map(|y| (y * steps).round_ties_even() as i32)
        .collect()
}

/// Row, coordinate and word7 of every byte of a tile.
fn tile_byte(dim: usize, row: usize, j: usize) -> usize {
    row / 16 * dim.div_ceil(4) * 64 + j / 4 * 64 + row % 16 * 4 + j % 4
}

/// Checks every kernel on every instruction set.
fn check(shape: &Shape, rows: usize, seed: u64) {
    const STORED: usize = 70;
    let books = Codebooks::new(shape, seed);
    let (dim, row_bytes) = (books.dim(), books.row_bytes());
    let tables = books.tables();
    assert_eq!((tables.dim(), tables.row_bytes()), (dim, row_bytes));
    let packed = random_bytes(STORED * row_bytes, seed);
    let rows = random_rows(rows, STORED, seed);

    let y: Vec<Vec<f32>> = (0..7).map(|i| gaussian(dim, seed + 100 + i)).collect();
    let queries = y.iter().map(|y| kernels::query(Isa::Scalar, &tables, y));
    let queries: Vec<_> = queries.collect();
    let bytes: Vec<_> = y
        .iter()
        .zip(&queries)
        .map(|(y, query)| query_bytes(y, query))
        .collect();

    let mut group = vec![0; kernels::group_bytes(dim)];
    let mut sums = [[0; 2]; 64];
    let mut tile = vec![0; kernels::tile_bytes(dim)];
    let mut dots = vec![0; queries.len() * 64];
    let bias: Vec<i32> = bytes.iter().map(|y| -64 * y.iter().sum::<i32>()).collect();
    for (dots, bias) in dots.chunks_exact_mut(64).zip(bias) {
        dots.fill(bias);
    }
    for (r, &row) in rows.iter().enumerate() {
        let mut at = 0;
        let slot = if r < 32 { 2 * r } else { 2 * (r - 32) + 1 };
        for word in books.words_of(&packed[row as usize * row_bytes..][..row_bytes]) {
            let size = |size: fn(f64) -> f64| word.iter().map(|&w| size(f64::from(w))).sum::<f64>();
            let units = [tables.magnitude_unit, tables.square_unit].map(f64::from);
            for (sum, size) in sums[r]
                .iter_mut()
                .zip([size(f64::abs) / units[0], size(|w| w * w) / units[1]])
            {
                *sum += size.round().min(255.0) as u32;
            }
            for &number in word {
                group[at / 8 * 64 + slot] |= u8::from(number >= 0.0) << (at % 8);
                tile[tile_byte(dim, r, at)] = (steps(number, &tables) + 64) as u8;
                at += 1;
            }
        }
        for (q, y) in bytes.iter().enumerate() {
            let word7 = (0..dim).map(|j| i32::from(tile[tile_byte(dim, r, j)]));
            dots[q * 64 + r] = word7.zip(y).map(|(word7, y)| (word7 - 64) * y).sum();
        }
    }

    for isa in Isa::available() {
        let name = isa.name();
        let found: Vec<_> = y.iter().map(|y| kernels::query(isa, &tables, y)).collect();
        for (found, query) in found.iter().zip(&queries) {
            let numbers =
                |query: &IntQuery| (query.unit.to_bits(), query.error.to_bits(), query.sum);
            assert_eq!(numbers(found), numbers(query), "query {name}");
        }
        let mut found_group = vec![0xa5; group.len()];
        let mut found_sums = [[7; 2]; 64];
        kernels::signs_and_sums(
            isa,
            &tables,
            &packed,
            &rows,
            &mut found_group,
            &mut found_sums,
        );
        assert!(found_group == group, "signs {name}");
        assert_eq!(found_sums, sums, "sums {name}");
        let mut found_tile = vec![0xa5; tile.len()];
        kernels::expand(isa, &tables, &packed, &rows, &mut found_tile);
        assert!(found_tile == tile, "tile {name}");
        for queries in [
            &found[..],
            &found[..1],
            &found[..4],
            &found[..6],
            &found[..0],
        ] {
            let queries: Vec<_> = queries.iter().collect();
            let mut found_dots = vec![1; queries.len() * 64];
            kernels::tile_products(isa, &tile, dim, &queries, &mut found_dots);
            assert_eq!(found_dots, dots[..found_dots.len()], "tile products {name}");
        }
        for (q, query) in found.iter().enumerate() {
            let mut found = vec![1; rows.len()];
            kernels::products(isa, &tables, &packed, &rows, query, &mut found);
            assert_eq!(found, dots[q * 64..][..rows.len()], "products {name}");
        }
    }
}

/// Fields of all widths, with words that are not too many for a test; a tail in half of them.
fn shape() -> impl Strategy<Value = Shape> {
    let width =
        prop_oneof![4 => 1u32..=8, 2 => prop::sample::select(vec![1u32, 2, 4, 8]), 1 => 9u32..=16];
    (
        width,
        1usize..=300,
        0usize..=20,
        any::<prop::sample::Index>(),
        1u32..=10,
    )
        .prop_map(|(width, dim, p, tail, tail_width)| {
            let most = if width > 12 {
                2
            } else if width > 8 {
                5
            } else {
                20
            };
            let p = if p == 0 { 1 } else { 1 + p % most };
            let mut shape = vec![(dim.div_ceil(p), width, p)];
            if p > 1 && tail.index(2) == 1 {
                shape.push((1, tail_width, 1 + tail.index(p - 1)));
            }
            shape
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_layout_equals_word_look_up(shape in shape(), rows in 1usize..=64, seed in 0u64..1000) {
        check(&shape, rows, seed);
    }
}

/// The layouts of the methods, whole and with every kind of end.
#[test]
fn usual_layouts_equal_word_look_up() {
    for (width, p) in [
        (8, 8),
        (8, 4),
        (12, 4),
        (8, 2),
        (4, 2),
        (2, 2),
        (8, 16),
        (8, 3),
        (16, 2),
    ] {
        for count in [1, 15, 16, 33, 48, 64, 65, 96, 130] {
            check(&vec![(count, width, p)], 64, 1);
            check(&vec![(count, width, p), (1, width - 1, p - 1)], 37, 2);
        }
    }
    for width in 1..=9 {
        for dim in [1, 7, 8, 63, 64, 65, 128, 384, 385, 509, 777] {
            check(&vec![(dim, width, 1)], 64, 3);
            check(&vec![(dim, width, 1), (1, 5, 3)], 9, 4);
        }
    }
}

/// Words that are longer than rows usually are.
/// Codes that are bytes of longer rows give what they give alone.
#[test]
fn bytes_of_rows_are_read_like_rows() {
    let (first, stride) = (5, 900);
    for shape in [
        vec![(48, 4, 1)],
        vec![(37, 3, 1)],
        vec![(32, 8, 4)],
        vec![(40, 6, 1)],
        vec![(9, 8, 8), (5, 2, 1)],
        vec![(20, 12, 4)],
    ] {
        let books = Codebooks::new(&shape, 3);
        let (dim, bytes) = (books.dim(), books.row_bytes());
        let alone = random_bytes(70 * bytes, 4);
        let mut within = random_bytes(70 * stride, 5);
        for (row, code) in within
            .chunks_exact_mut(stride)
            .zip(alone.chunks_exact(bytes))
        {
            row[first..][..bytes].copy_from_slice(code);
        }
        let (tables, some) = (books.tables(), books.tables().within(first, stride));
        let rows = random_rows(61, 70, 6);
        for isa in Isa::available() {
            let found = [(&tables, &alone), (&some, &within)].map(|(tables, packed)| {
                let query = kernels::query(isa, tables, &gaussian(dim, 7));
                let mut dots = vec![0; rows.len()];
                kernels::products(isa, tables, packed, &rows, &query, &mut dots);
                let mut group = vec![0; kernels::group_bytes(dim)];
                let mut sums = [[0; 2]; 64];
                kernels::signs_and_sums(isa, tables, packed, &rows, &mut group, &mut sums);
                let mut tile = vec![0; kernels::tile_bytes(dim)];
                kernels::expand(isa, tables, packed, &rows, &mut tile);
                (dots, group, sums, tile)
            });
            assert!(found[0] == found[1], "{shape:?} {}", isa.name());
        }
    }
}

#[test]
fn long_words_equal_word_look_up() {
    for p in [33, 64, 100, 1000] {
        check(&vec![(3, 5, p), (1, 4, p - 1)], 5, 4);
    }
}

#[test]
fn unusable_words_have_no_tables() {
    let tables = |words: &[f32]| {
        let coordinates = words.len() / 2;
        CodeTables::new(&[FieldWords {
            count: 3,
            width: 1,
            words,
            coordinates,
        }])
        .is_some()
    };
    assert!(tables(&[1.0, -1.0]));
    assert!(tables(&[0.0, 1e-6]));
    assert!(!tables(&[0.0, -0.0]));
    assert!(!tables(&[1.0, f32::NAN]));
    assert!(!tables(&[f32::INFINITY, 1.0]));
    assert!(!tables(&[1e-40, 0.0]));
    assert!(!tables(&[1e30, 0.0]), "its square is not a float32");
    assert!(CodeTables::new(&[]).is_none());
}

/// The two magnitudes of 2-bit levels do not become less exact than those of other words.
#[test]
fn sizes_are_close_in_units() {
    let levels = [-1.510_417_6f32, -0.452_780_03, 0.452_780_03, 1.510_417_6];
    let field = FieldWords {
        count: 64,
        width: 2,
        words: &levels,
        coordinates: 1,
    };
    let tables = CodeTables::new(&[field]).unwrap();
    let units = [tables.magnitude_unit, tables.square_unit];
    for level in &levels[2..] {
        for (size, unit, widest) in [
            (*level, units[0], levels[3]),
            (level * level, units[1], levels[3] * levels[3]),
        ] {
            let close = (size / unit).round() * unit;
            assert!((close - size).abs() < 0.001 * widest, "{size} as {close}");
        }
    }
}

#[test]
fn queries_without_a_unit_are_zero() {
    let words = [-1.0f32, 1.0];
    let field = FieldWords {
        count: 20,
        width: 1,
        words: &words,
        coordinates: 1,
    };
    let tables = CodeTables::new(&[field]).unwrap();
    for isa in Isa::available() {
        for (value, error) in [(0.0f32, 0.0f32), (1e-40, 0.0), (2e-37, 1e-36)] {
            let query = kernels::query(isa, &tables, &[value; 20]);
            assert_eq!((query.unit, query.sum), (1.0, 0));
            assert!(query.error >= 0.0 && query.error <= error);
        }
        let query = kernels::query(isa, &tables, &[-3e38; 20]);
        assert_eq!(query.sum, -127 * 20);
    }
}
