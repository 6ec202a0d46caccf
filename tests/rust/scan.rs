//! Tests of the scan kernels on every instruction set, against definitions written here.

use blockquant::Isa;
use blockquant::kernels::fast_scan::{
    self, Keys, MAX_LUT_ENTRY, POSITIONS_PER_PART, ROWS_PER_GROUP, Term,
};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn nibble_sums_add_what_the_nibbles_choose(
        rows in 0usize..100,
        eights in prop_oneof![0usize..6, Just(12), Just(60)],
        extreme in any::<bool>(),
        queries in 0usize..6,
        seed in any::<u64>(),
    ) {
        let positions = eights * POSITIONS_PER_PART;
        let mut state = seed | 1;
        let mut draw = |limit: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % limit
        };
        let most = u64::from(MAX_LUT_ENTRY);
        let tables: Vec<u8> = (0..16 * positions)
            .map(|_| if extreme { MAX_LUT_ENTRY } else { draw(most + 1) as u8 })
            .collect();
        let mut nibbles = vec![0u8; fast_scan::nibble_bytes(rows, positions)];
        let groups = rows.div_ceil(ROWS_PER_GROUP);
        let mut expected = vec![0u32; groups * ROWS_PER_GROUP];
        let start: u32 = tables.chunks(16).map(|table| u32::from(table[0])).sum();
        expected.fill(start);
        for row in 0..rows {
            let group = &mut nibbles[row / ROWS_PER_GROUP * positions * 16..][..positions * 16];
            for position in 0..positions {
                let nibble = draw(16) as u8;
                fast_scan::put_nibble(group, row % ROWS_PER_GROUP, position, nibble);
                let table = &tables[16 * position..][..16];
                expected[row] = expected[row] + u32::from(table[usize::from(nibble)]) - u32::from(table[0]);
            }
        }
        for isa in Isa::available() {
            let mut sums = vec![vec![7u16; groups * ROWS_PER_GROUP]; queries];
            let mut slices: Vec<&mut [u16]> = sums.iter_mut().map(|sums| &mut **sums).collect();
            fast_scan::lut_sums(isa, &nibbles, &vec![&*tables; queries], &mut slices);
            for sums in sums {
                let sums: Vec<u32> = sums.iter().map(|&sum| u32::from(sum)).collect();
                prop_assert_eq!(&sums, &expected, "{}", isa.name());
            }
        }
    }

    #[test]
    fn bounds_are_between_and_their_greatest_kept(
        parts in prop::collection::vec(
            ((any::<u16>(), -2f32..2.0), (any::<u16>(), -2f32..2.0), 0f32..0.5, -1f32..1.0),
            0..100,
        ),
        unit in -0.01f32..0.01,
        offset in -9f32..9.0,
        weight in -1f32..1.0,
        reach in 0f32..4.0,
        shifted in any::<bool>(),
        two in any::<bool>(),
        rank in 0usize..100,
        top in 0usize..150,
    ) {
        let first: (Vec<u16>, Vec<f32>) = parts.iter().map(|part| part.0).unzip();
        let second: (Vec<u16>, Vec<f32>) = parts.iter().map(|part| part.1).unzip();
        let spread: Vec<f32> = parts.iter().map(|part| part.2).collect();
        let shift: Vec<f32> = parts.iter().map(|part| part.3).collect();
        let upper: Vec<f32> = parts
            .iter()
            .map(|&(first, second, spread, shift)| {
                let product = |sum: u16| unit.mul_add(f32::from(sum), offset);
                let mut key = first.1 * product(first.0);
                if two {
                    key = second.1.mul_add(product(second.0), key);
                }
                if shifted {
                    key = weight.mul_add(shift, key);
                }
                reach.mul_add(spread, key)
            })
            .collect();
        // The limit is one of the values, and the comparison with it is strict.
        let least = upper.get(rank % upper.len().max(1)).copied().unwrap_or(0.0);
        let most = upper.get(top).copied().unwrap_or(f32::INFINITY);
        let expected: Vec<u32> = (0..upper.len() as u32)
            .filter(|&row| upper[row as usize] > least && upper[row as usize] <= most)
            .map(|row| 1000 + row)
            .collect();
        let keys = Keys {
            first: Term { sums: &first.0, factor: &first.1 },
            second: two.then_some(Term { sums: &second.0, factor: &second.1 }),
            spread: &spread,
            shift: shifted.then_some(&*shift),
            unit,
            offset,
            weight,
            reach,
        };
        for isa in Isa::available() {
            let (mut rows, mut greatest) = (vec![], vec![0.0; upper.len().div_ceil(ROWS_PER_GROUP)]);
            fast_scan::select_in_range(isa, &keys, least, most, 1000, &mut rows);
            prop_assert_eq!(&rows, &expected, "{}", isa.name());
            fast_scan::group_maxima(isa, &keys, &mut greatest);
            let most: Vec<f32> = upper
                .chunks(ROWS_PER_GROUP)
                .map(|group| group.iter().copied().fold(f32::NEG_INFINITY, f32::max))
                .collect();
            prop_assert_eq!(&greatest, &most, "{}", isa.name());
        }
    }
}

#[test]
#[should_panic(expected = "nibbles of whole groups")]
fn lengths_that_do_not_fit() {
    fast_scan::lut_sums(Isa::detect(), &[0; 16], &[&[0; 256]], &mut [&mut [0; 32]]);
}
