//! Rows per second of each method's encode and decode, with one thread, on the instruction set in
//! use: `cargo bench --bench codec`.
//!
//! Criterion's arguments apply: `cargo bench --bench codec -- rabitq` measures a part.

use std::time::Duration;

use blockquant::rng::SeedStream;
use blockquant::threads;
use blockquant::{Dense, Isa, Quantizer, Spec};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const ROWS: usize = 96;

fn codec(criterion: &mut Criterion) {
    threads::set_num_threads(1).expect("one thread");
    let isa = Isa::current().expect("BLOCKQUANT_ISA names an instruction set of this machine");
    for (method, rates) in [
        ("blockquant", [1.0, 2.0, 3.0, 4.0].as_slice()),
        ("eden", &[1.0, 2.0, 4.0, 8.0]),
        ("turboquant/mse", &[2.0, 4.0]),
        ("turboquant/prod", &[2.0]),
        ("rabitq", &[1.0, 2.0, 4.0]),
    ] {
        for &bits in rates {
            let mut group = criterion.benchmark_group(format!("{method}-{bits}bit-{}", isa.name()));
            group.throughput(Throughput::Elements(ROWS as u64));
            for dim in [128, 384, 1536, 1000] {
                let quantizer =
                    Quantizer::new(Spec::new(method, dim, bits)).expect("a valid quantizer");
                let mut stream = SeedStream::new(0, 0);
                let x: Vec<f32> = (0..ROWS * dim).map(|_| stream.gaussian() as f32).collect();
                let rows = Dense::new(&x, dim).expect("whole rows");
                let codes = quantizer.encode_rows(isa, &rows).expect("finite rows");
                let mut back = vec![0f32; x.len()];
                group.bench_function(BenchmarkId::new("encode", dim), |b| {
                    b.iter(|| quantizer.encode_rows(isa, &rows));
                });
                group.bench_function(BenchmarkId::new("decode", dim), |b| {
                    b.iter(|| quantizer.decode_into(isa, codes.view(), &mut back));
                });
            }
            group.finish();
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600))
        .sample_size(20);
    targets = codec
}
criterion_main!(benches);
