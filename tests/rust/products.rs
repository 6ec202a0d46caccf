//! Tests of the products that work on packed codes and on panels of a matrix. On every instruction
//! set they equal the scalar definition of a dot product of expanded rows, bit for bit.

use blockquant::Isa;
use blockquant::kernels::nearest::Words;
use blockquant::kernels::quantize::Levels;
use blockquant::kernels::{asymmetric, dense, pack, reduce};
use proptest::prelude::*;

use crate::common::values;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn products_of_words_are_those_of_the_words_one_after_the_other(
        (block, words, index, y) in (1usize..10, 1usize..40, 0usize..70).prop_flat_map(|(p, k, m)| {
            let index = prop::collection::vec(0..k as u16, 4 * m);
            (Just(p), values(p * k), index, values(p * m))
        }),
    ) {
        let words = Words::new(&words, block);
        let m = index.len() / 4;
        for isa in Isa::available() {
            let rows = [0, 1, 2, 3].map(|r| &index[r * m..][..m]);
            let mut products = [7f32; 4];
            asymmetric::codeword_products(isa, rows, &words, &y, &mut products);
            for (index, product) in rows.iter().zip(products) {
                let mut c = vec![7f32; y.len()];
                asymmetric::concatenate(isa, index, &words, &mut c);
                for (word, &k) in c.chunks(block).zip(*index) {
                    prop_assert_eq!(word, &words.words()[usize::from(k) * block..][..block]);
                }
                let dot = reduce::dot(Isa::Scalar, &c, &y);
                prop_assert_eq!(product.to_bits(), dot.to_bits(), "{:?}", isa);
            }
        }
    }

    #[test]
    fn products_of_packed_levels_are_those_of_the_levels(
        width in 1u32..5,
        y in prop_oneof![0usize..70, Just(96), Just(100)].prop_flat_map(values),
        few in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let count = if few { 1 << width } else { 16 };
        let table: Vec<f32> = (0..count).map(|k| k as f32 - 1.7).collect();
        let levels = Levels::new(&table);
        let index: Vec<Vec<u16>> = (0..4)
            .map(|r| {
                let drawn = |i: usize| (seed >> ((i * 7 + r * 13) % 60)) as u16 & ((1 << width) - 1);
                (0..y.len()).map(drawn).collect()
            })
            .collect();
        let bytes = (y.len() * width as usize).div_ceil(8);
        let rows: Vec<Vec<u8>> = (index.iter())
            .map(|index| {
                let mut row = vec![0u8; bytes];
                pack::pack(Isa::Scalar, index, width, 0, &mut row);
                row
            })
            .collect();
        for isa in Isa::available() {
            let mut products = [7f32; 4];
            let rows = [0, 1, 2, 3].map(|r| &*rows[r]);
            asymmetric::level_products(isa, rows, width, &levels, &y, &mut products);
            for (index, product) in index.iter().zip(products) {
                let c: Vec<f32> = index.iter().map(|&k| table[usize::from(k)]).collect();
                let dot = reduce::dot(Isa::Scalar, &c, &y);
                prop_assert_eq!(product.to_bits(), dot.to_bits(), "{:?} {}", isa, width);
            }
        }
    }

    #[test]
    fn products_with_a_panel_are_those_with_its_rows((dim, matrix, x) in
        (0usize..=16, prop_oneof![1usize..70, Just(96), Just(128)], 0usize..16).prop_flat_map(|(r, d, n)| {
            (Just(d), values(r * d), values(n * d))
        }),
    ) {
        let count = x.len() / dim;
        for isa in Isa::available() {
            let mut by_lane = vec![9f32; x.len()];
            for (from, to) in x.chunks(dim).zip(by_lane.chunks_mut(dim)) {
                dense::to_lane_order(isa, from, to);
            }
            let mut panel = vec![0f32; dim * dense::ROWS_PER_PANEL];
            dense::pack_panel(isa, &matrix, dim, &mut panel);
            let mut out = vec![9f32; count * dense::ROWS_PER_PANEL];
            dense::panel_products(isa, &panel, dim, &by_lane, &mut out);
            for (x, out) in x.chunks(dim).zip(out.chunks(dense::ROWS_PER_PANEL)) {
                for (row, product) in matrix.chunks(dim).zip(out) {
                    let dot = reduce::dot(Isa::Scalar, row, x);
                    prop_assert_eq!(product.to_bits(), dot.to_bits(), "{:?}", isa);
                }
            }
        }
    }
}
