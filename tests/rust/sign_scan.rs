//! Tests of the scan of signs on every instruction set, against definitions written here.

use blockquant::Isa;
use blockquant::kernels::sign_scan::{
    self, Columns, Cut, LEAST_VARIANCE, MAX_DIM, Picked, ROWS_PER_GROUP, SectionColumns,
    SectionCut, SectionsCut, SignQuery,
};
use blockquant::rng::SeedStream;
use proptest::prelude::*;

use crate::common::gaussian;

/// The dimensions of every use, and awkward ones.
fn dims() -> impl Strategy<Value = usize> {
    prop_oneof![
        10 => 1usize..200,
        1 => Just(384),
        1 => Just(1000),
        1 => Just(1536),
        1 => Just(MAX_DIM),
    ]
}

/// The signed weights that a LUT stands for.
fn weights(query: &SignQuery, dim: usize) -> Vec<i32> {
    (0..dim)
        .map(|i| {
            let table = &query.lut[i / 4 * 16..][..16];
            i32::from(table[1 << (i % 4)]) - i32::from(table[0])
        })
        .collect()
}

/// Writes the signs of a row, true for +, in the layout of groups.
fn put_signs(groups: &mut [u8], dim: usize, row: usize, signs: &[bool]) {
    let group = &mut groups[row / 64 * dim.div_ceil(64) * 512..];
    let slot = row % 32 * 2 + row % 64 / 32;
    for (i, &sign) in signs.iter().enumerate() {
        group[i / 8 * 64 + slot] |= u8::from(sign) << (i % 8);
    }
}

/// Checks a query against its mathematics.
fn check_query(y: &[f32], query: &SignQuery) -> Result<(), TestCaseError> {
    let dim = y.len();
    let widest = (y.chunks(4))
        .map(|y| {
            let y: Vec<f32> = (0..4).map(|i| y.get(i).map_or(0.0, |y| y.abs())).collect();
            (y[0] + y[1]) + (y[2] + y[3])
        })
        .fold(0f32, f32::max);
    let mut unit = 2.0 * widest / 15.0;
    let round = |y: f32, unit: f32| y.abs().mul_add(2.0 / unit, 0.5) as i32;
    while (y.chunks(4)).any(|y| y.iter().map(|&y| round(y, unit)).sum::<i32>() > 15) {
        unit *= 1.02;
    }
    prop_assert_eq!(query.unit, unit);
    let expected: Vec<i32> = (y.iter())
        .map(|&y| round(y, unit) * if y < 0.0 { -1 } else { 1 })
        .collect();
    prop_assert_eq!(weights(query, dim), &*expected);
    let half = f64::from(unit) / 2.0;
    let magnitudes: i32 = expected.iter().map(|q| q.abs()).sum();
    prop_assert_eq!(query.offset, (-half * f64::from(magnitudes)) as f32);
    prop_assert_eq!(query.lut.len(), dim.div_ceil(64) * 256);
    for (j, table) in query.lut.chunks(16).enumerate() {
        for (signs, &entry) in table.iter().enumerate() {
            let agreeing: i32 = (0..4)
                .filter_map(|i| Some((expected.get(4 * j + i)?, signs >> i & 1 != 0)))
                .map(|(&q, plus)| if (q > 0) == plus { q.abs() } else { 0 })
                .sum();
            prop_assert_eq!(i32::from(entry), agreeing);
        }
    }
    let sum = |f: &dyn Fn(f64, f64) -> f64| -> f64 {
        let pairs = y.iter().zip(&expected);
        pairs
            .map(|(&y, &q)| f(f64::from(y), half * f64::from(q)))
            .sum()
    };
    let (square, fourth) = (sum(&|y, _| y * y), sum(&|y, _| y.powi(4)));
    let close = |a: f32, b: f64| (f64::from(a) - b).abs() <= 1e-5 * b.abs();
    prop_assert!(close(query.norm, square.sqrt()));
    prop_assert!(close(
        query.kurtosis,
        dim as f64 * fourth / (square * square)
    ));
    let error = sum(&|y, rounded| (y - rounded) * (y - rounded)).sqrt();
    prop_assert!((f64::from(query.error) - error).abs() <= 1e-5 * square.sqrt());
    Ok(())
}

/// The bits of a query's numbers.
fn bits(query: &SignQuery) -> [u32; 5] {
    let numbers = [
        query.unit,
        query.offset,
        query.error,
        query.norm,
        query.kurtosis,
    ];
    numbers.map(f32::to_bits)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn queries_are_rounded_to_weights(
        dim in dims(),
        seed in any::<u64>(),
        shape in 0usize..4,
        exponent in -30i32..30,
    ) {
        let scale = 2f32.powi(exponent);
        let mut y: Vec<f32> = gaussian(dim, seed).iter().map(|y| y * scale).collect();
        match shape {
            0 => y.iter_mut().skip(1).step_by(3).for_each(|y| *y = -0.0),
            1 => y.fill(-scale),
            2 => y[seed as usize % dim] = 40.0 * scale,
            _ => {}
        }
        let expected = sign_scan::query(Isa::Scalar, &y);
        check_query(&y, &expected)?;
        for isa in Isa::available() {
            prop_assert_eq!(bits(&sign_scan::query(isa, &y)), bits(&expected), "{}", isa.name());
        }
    }

    #[test]
    fn sums_add_the_weights_of_agreeing_signs(
        dim in dims(),
        groups in 1usize..8,
        queries in 0usize..10,
        seed in any::<u64>(),
        extreme in any::<bool>(),
    ) {
        let groups = if dim > 2000 { 1 } else { groups };
        let rows = groups * ROWS_PER_GROUP;
        let mut stream = SeedStream::new(seed, 1);
        let signs: Vec<Vec<bool>> = (0..rows)
            .map(|_| (0..dim).map(|_| extreme || stream.gaussian() >= 0.0).collect())
            .collect();
        let mut codes = vec![0; groups * sign_scan::group_bytes(dim)];
        for (row, signs) in signs.iter().enumerate() {
            put_signs(&mut codes, dim, row, signs);
            prop_assert_eq!(sign_scan::slot(row % 64), row % 32 * 2 + row % 64 / 32);
        }
        let queries: Vec<Vec<f32>> = (0..queries)
            .map(|query| {
                let mut y = gaussian(dim, seed ^ query as u64);
                if extreme {
                    // Every group of four has the largest sum that there is.
                    y.iter_mut().enumerate().for_each(|(i, y)| *y = f32::from(u8::from(i % 4 == 1)));
                }
                y
            })
            .collect();
        let mut expected = Vec::new();
        for query in &queries {
            let weights = weights(&sign_scan::query(Isa::Scalar, query), dim);
            for signs in &signs {
                let agree = |(&q, &sign): (&i32, &bool)| if (q >= 0) == sign { q.abs() } else { 0 };
                let sum: i32 = weights.iter().zip(signs).map(agree).sum();
                expected.push(sum as u16);
            }
        }
        for isa in Isa::available() {
            let queries: Vec<_> = queries.iter().map(|y| sign_scan::query(isa, y)).collect();
            let luts: Vec<&[u8]> = queries.iter().map(|query| &*query.lut).collect();
            let mut sums = vec![7; expected.len()];
            sign_scan::sums(isa, &codes, dim, &luts, &mut sums);
            prop_assert_eq!(&sums, &expected, "{}", isa.name());
        }
    }

    #[test]
    fn rows_reach_a_threshold_unless_their_bound_is_below(
        groups in 0usize..4,
        seed in any::<u64>(),
        special in any::<bool>(),
        shifted in any::<bool>(),
        unit in -0.01f32..0.01,
        offset in -9f32..9.0,
        weight in -1f32..1.0,
        reach in 0f32..4.0,
        threshold in prop_oneof![
            8 => -5f32..5.0,
            1 => Just(f32::INFINITY),
            1 => Just(f32::NEG_INFINITY),
            1 => Just(f32::NAN),
        ],
        at in any::<prop::sample::Index>(),
        on in any::<bool>(),
    ) {
        let rows = groups * ROWS_PER_GROUP;
        let mut stream = SeedStream::new(seed, 2);
        let mut column = || -> Vec<f32> {
            (0..rows)
                .map(|_| {
                    let x = stream.gaussian() as f32;
                    match (special, (x.abs() * 1000.0) as u32 % 8) {
                        (true, 0) => f32::NAN,
                        (true, 1) => f32::INFINITY,
                        (true, 2) => f32::NEG_INFINITY,
                        (true, 3) => -0.0,
                        _ => x,
                    }
                })
                .collect()
        };
        let (factor, spread, shift) = (column(), column(), column());
        let shift = shifted.then_some(&*shift);
        let sums: Vec<u16> = (0..rows as u64).map(|i| (seed.rotate_left(i as u32) ^ i) as u16).collect();
        let ints: Vec<i32> = sums.iter().map(|&sum| (i32::from(sum) - 20_000) * 1999).collect();
        let columns = Columns { factor: &factor, spread: &spread, shift };
        let mut cut = Cut { unit, offset, reach, weight, threshold };
        let key = |product: f32, row: usize| {
            let key = factor[row] * unit.mul_add(product, offset);
            shift.map_or(key, |shift| weight.mul_add(shift[row], key))
        };
        let bound = |product: f32, row: usize| reach.mul_add(spread[row], key(product, row));
        if on && rows > 0 {
            // A row whose bound is the threshold itself.
            cut.threshold = bound(f32::from(sums[at.index(rows)]), at.index(rows));
        }
        let expected = |product: &dyn Fn(usize) -> f32| -> Vec<u64> {
            let bit = |row| {
                let below = bound(product(row), row) < cut.threshold;
                u64::from(!below) << (row % 64)
            };
            let mask = |group| (64 * group..64 * group + 64).map(bit).sum();
            (0..groups).map(mask).collect()
        };
        for isa in Isa::available() {
            let mut masks = vec![7; groups];
            sign_scan::sums_reach(isa, &sums, &columns, &cut, &mut masks);
            prop_assert_eq!(&masks, &expected(&|row| f32::from(sums[row])), "{}", isa.name());
            let live: Vec<u64> = (0..groups as u32).map(|i| seed.rotate_left(7 * i)).collect();
            let mut picked = Picked { rows: vec![7], keys: vec![7.0; 99], bounds: vec![] };
            sign_scan::pick(isa, &sums, &columns, &cut, &masks, &live, &mut picked);
            let is_picked = |row: &usize| (masks[row / 64] & live[row / 64]) >> (row % 64) & 1 != 0;
            let found: Vec<usize> = (0..rows).filter(is_picked).collect();
            let of = |product: &dyn Fn(f32, usize) -> f32| -> Vec<u32> {
                found.iter().map(|&row| number(product(f32::from(sums[row]), row))).collect()
            };
            let numbers = |values: &[f32]| -> Vec<u32> { values.iter().map(|&v| number(v)).collect() };
            prop_assert_eq!(&picked.rows, &found.iter().map(|&r| r as u32).collect::<Vec<_>>());
            prop_assert_eq!(numbers(&picked.keys), of(&key), "{}", isa.name());
            prop_assert_eq!(numbers(&picked.bounds), of(&bound), "{}", isa.name());
            sign_scan::ints_reach(isa, &ints, &columns, &cut, &mut masks);
            prop_assert_eq!(&masks, &expected(&|row| ints[row] as f32), "{}", isa.name());
        }
    }
}

/// The bits of a number; NaNs may have any.
fn number(value: f32) -> u32 {
    if value.is_nan() {
        f32::NAN.to_bits()
    } else {
        value.to_bits()
    }
}

/// Normal numbers, of which some are special.
fn column(stream: &mut SeedStream, rows: usize, special: bool) -> Vec<f32> {
    let number = |x: f32| match (special, (x.abs() * 1000.0) as u32 % 16) {
        (true, 0) => f32::NAN,
        (true, 1) => f32::INFINITY,
        (true, 2) => f32::NEG_INFINITY,
        (true, 3) => -0.0,
        (true, 4) => 1e30 * x,
        (true, 5) => 1e-30 * x,
        _ => x,
    };
    (0..rows)
        .map(|_| number(stream.gaussian() as f32))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn rows_of_sections_reach_a_threshold_unless_their_bound_is_below(
        groups in 0usize..4,
        ints in 0usize..5,
        sums in 0usize..5,
        seed in any::<u64>(),
        special in any::<bool>(),
        shifted in any::<bool>(),
        weight in -1f32..1.0,
        reach in 0f32..4.0,
        threshold in prop_oneof![
            8 => -5f32..5.0,
            1 => Just(f32::INFINITY),
            1 => Just(f32::NEG_INFINITY),
            1 => Just(f32::NAN),
        ],
    ) {
        let ints = if sums == 0 { ints.max(1) } else { ints.min(4 - sums) };
        let (rows, sections) = (groups * ROWS_PER_GROUP, ints + sums);
        let mut stream = SeedStream::new(seed, 2);
        let columns: Vec<[Vec<f32>; 2]> = (0..sections)
            .map(|_| [(); 2].map(|()| column(&mut stream, rows, special)))
            .collect();
        let [inverse, shift] = [(); 2].map(|()| column(&mut stream, rows, special));
        let shift = shifted.then_some(&*shift);
        let mut cut = SectionsCut { sections: Default::default(), weight, threshold };
        for of in &mut cut.sections {
            *of = SectionCut {
                unit: 1e-4 * stream.gaussian() as f32,
                offset: stream.gaussian() as f32,
                reach: reach * stream.uniform() as f32,
            };
        }
        let mut numbers = || -> Vec<u64> { (0..rows).map(|_| stream.next_u64()).collect() };
        let int_products: Vec<Vec<i32>> = (0..ints)
            .map(|_| numbers().iter().map(|&x| (x as i32) >> 12).collect())
            .collect();
        let sum_products: Vec<Vec<u16>> = (0..sums)
            .map(|_| numbers().iter().map(|&x| x as u16).collect())
            .collect();
        let product = |section: usize, row: usize| match int_products.get(section) {
            Some(ints) => ints[row] as f32,
            None => f32::from(sum_products[section - ints][row]),
        };
        let reaches = |row: usize| {
            let base = shift.map_or(threshold, |shift| (-weight).mul_add(shift[row], threshold));
            let (mut gap, mut variance) = (base * inverse[row], LEAST_VARIANCE);
            for (section, of) in cut.sections[..sections].iter().enumerate() {
                let value = -of.unit.mul_add(product(section, row), of.offset);
                gap = columns[section][0][row].mul_add(value, gap);
                let error = of.reach * columns[section][1][row];
                variance = error.mul_add(error, variance);
            }
            let is_below = gap * gap.abs() > variance;
            !is_below
        };
        let mask = |group: usize| -> u64 {
            (0..64).map(|bit| u64::from(reaches(64 * group + bit)) << bit).sum()
        };
        let expected: Vec<u64> = (0..groups).map(mask).collect();
        let views: Vec<[&[f32]; 2]> = columns.iter().map(|[a, b]| [&**a, &**b]).collect();
        let view = SectionColumns { sections: &views, inverse: &inverse, shift };
        let int_products: Vec<&[i32]> = int_products.iter().map(|products| &**products).collect();
        let sum_products: Vec<&[u16]> = sum_products.iter().map(|products| &**products).collect();
        for isa in Isa::available() {
            let mut masks = vec![7; groups];
            sign_scan::sections_reach(isa, &int_products, &sum_products, &view, &cut, &mut masks);
            prop_assert_eq!(&masks, &expected, "{}", isa.name());
        }
    }
}

#[test]
fn queries_without_weights_have_none_and_say_so() {
    let with = |i: usize, value: f32| {
        let mut y = gaussian(100, 3);
        y[i] = value;
        y
    };
    let mut queries = vec![vec![], vec![0.0; 100], vec![-0.0; 7], vec![1e-40; 70]];
    for i in [0, 17, 99] {
        queries.extend([f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY].map(|v| with(i, v)));
    }
    queries.push(with(50, f32::MAX));
    queries.push(vec![f32::MAX; 100]);
    for y in queries {
        for isa in Isa::available() {
            let query = sign_scan::query(isa, &y);
            assert_eq!(bits(&query), bits(&sign_scan::query(Isa::Scalar, &y)));
            if y.iter().all(|&y| y.abs() < 1e-30) || y.iter().any(|y| !y.is_finite()) {
                assert_eq!(
                    (query.unit, query.offset, query.kurtosis),
                    (1.0, 0.0, f32::INFINITY)
                );
                assert_eq!(query.error, query.norm);
                assert!(query.lut.iter().all(|&entry| entry == 0));
                let codes = vec![0x5a; sign_scan::group_bytes(y.len())];
                let mut sums = vec![7; if y.is_empty() { 0 } else { 64 }];
                sign_scan::sums(isa, &codes, y.len(), &[&query.lut], &mut sums);
                assert!(sums.iter().all(|&sum| sum == 0));
            }
        }
    }
}

#[test]
fn a_group_with_the_largest_sums_fits_16_bits() {
    let y: Vec<f32> = (0..MAX_DIM)
        .map(|i| if i % 4 == 0 { -1.0 } else { 0.0 })
        .collect();
    for isa in Isa::available() {
        let query = sign_scan::query(isa, &y);
        // All signs are −.
        let codes = vec![0; sign_scan::group_bytes(MAX_DIM)];
        let mut sums = [0; 64];
        sign_scan::sums(isa, &codes, MAX_DIM, &[&query.lut], &mut sums);
        assert_eq!(sums, [u16::MAX; 64], "{}", isa.name());
    }
}
