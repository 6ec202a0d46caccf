//! The bits of attention: the same on every instruction set, in every company.

use blockquant::Isa;
use blockquant::cache::attend::{Offset, Queries, Work, attend};
use blockquant::cache::tables::Tables;
use blockquant::rng::SeedStream;

use super::{Head, coder, gaussians};

/// All results of a call, as bits.
fn bits_of(
    isa: Isa,
    head: &Head,
    offset: Offset<'_>,
    debias: f32,
    queries: Queries<'_>,
    work: &mut Work,
) -> Vec<u32> {
    let mut out = vec![f32::NAN; queries.visible.len() * head.values.dim()];
    let blocks = head.blocks();
    attend(
        isa,
        &head.keys,
        &head.values,
        offset,
        debias,
        &blocks,
        queries,
        work,
        &mut out,
    );
    assert!(out.iter().all(|x| !x.is_nan()), "a NaN");
    out.iter().map(|x| x.to_bits()).collect()
}

const SIZES: [usize; 10] = [1, 3, 7, 64, 80, 96, 128, 192, 256, 576];

/// Every instruction set gives the same bits, whatever the size and however extreme the values, and
/// a query gives the bits that it gives alone.
#[test]
fn bits_do_not_depend_on_the_instruction_set_or_on_other_queries() {
    let methods = [
        ("blockquant", 3.0, "blockquant", 2.0),
        ("eden", 1.0, "rabitq", 4.0),
        ("blockquant", 4.0, "turboquant/mse", 8.0),
        ("turboquant/prod", 2.0, "blockquant", 3.0),
        ("trellis", 3.0, "trellis", 1.0),
    ];
    for (i, &dim) in SIZES.iter().enumerate() {
        let (km, kb, vm, vb) = methods[i % methods.len()];
        let value_dim = SIZES[(i + 3) % SIZES.len()];
        let (keys, values) = (coder(km, dim, kb, 1), coder(vm, value_dim, vb, 2));
        let mut head = Head::new(keys, values, &[64, 64, 3, 61], 1, i as u64);
        for exponent in [0, 30, -30, 34] {
            let size = 10f32.powi(exponent);
            for (p, (_, k, v, _)) in head.pages.iter_mut().enumerate() {
                for (j, s) in k.scale.iter_mut().chain(&mut v.scale).enumerate() {
                    *s = if (j + p) % 5 == 0 {
                        0.0
                    } else {
                        size * (j % 7) as f32
                    };
                }
            }
            extreme(&head, i as u64, size);
        }
    }
}

fn extreme(head: &Head, seed: u64, size: f32) {
    let dim = head.keys.dim();
    let frequencies = (0..dim / 2).map(|f| 0.9f64.powi(f as i32)).collect();
    let tables = Tables::new(frequencies, 5);
    let centers = &head.centers;
    let offset = match dim % 2 {
        0 => Offset::Rotary {
            centers,
            tables: &tables,
        },
        _ => Offset::Static { centers },
    };
    let mut stream = SeedStream::new(seed, 79);
    let tokens = head.tokens();
    let visible = [tokens, tokens - 3, 80, 70, 69, 5, 1, 0, tokens];
    let mut q = gaussians(&mut stream, visible.len() * dim);
    // Query 1 is huge, query 2 zero, query 3 one large coordinate.
    q[dim..2 * dim].iter_mut().for_each(|q| *q *= 1e37);
    q[2 * dim..3 * dim].fill(0.0);
    q[3 * dim] = 1e20;
    let mut mask = vec![0f32; visible.len() * tokens];
    mask[8 * tokens..].fill(f32::NEG_INFINITY);
    let queries = |from: usize, to: usize| Queries {
        q: &q[from * dim..to * dim],
        visible: &visible[from..to],
        mask: Some(&mask[from * tokens..to * tokens]),
        scale: 1.0 / (dim as f32).sqrt(),
    };
    let mut work = Work::default();
    let all = queries(0, visible.len());
    let expected = bits_of(Isa::Scalar, head, offset, 0.02, all, &mut work);
    for isa in Isa::available() {
        let found = bits_of(isa, head, offset, 0.02, all, &mut work);
        assert!(found == expected, "{} dim {dim} size {size:e}", isa.name());
        for (count, step) in [(1, 1), (2, 2), (4, 3), (5, 4)] {
            for from in (0..visible.len() - count + 1).step_by(step) {
                let some = queries(from, from + count);
                let found = bits_of(isa, head, offset, 0.02, some, &mut work);
                let length = head.values.dim();
                let expected = &expected[from * length..(from + count) * length];
                assert!(found == expected, "{count} queries from {from}, dim {dim}");
            }
        }
    }
    let length = head.values.dim();
    assert!(
        expected[7 * length..].iter().all(|&x| x == 0),
        "a query that sees nothing"
    );
}
