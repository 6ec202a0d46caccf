//! The key-value cache: the state depends on the tokens alone, errors and stops leave it as it was,
//! and files that are not whole are refused.

use blockquant::cache::{
    CacheSpec, Center, Coding, Contiguous, Dtype, KeyValueCache, Mask, Tensor, Values,
};
use blockquant::threads::{Answer, interruptible};
use blockquant::{Error, Isa};
use half::{bf16, f16};
use proptest::prelude::*;

use crate::common::{gaussian, in_repository};

const HEADS: usize = 2;
const DIM: usize = 12;

fn spec() -> CacheSpec {
    CacheSpec {
        batch: 2,
        keys: Coding::new("eden", 3.0),
        values: Coding::new("eden", 2.0),
        window: 20,
        ..CacheSpec::new(HEADS, DIM)
    }
}

fn specs() -> Vec<CacheSpec> {
    vec![
        spec(),
        CacheSpec {
            center: Center::rotary(1e4, DIM),
            centroids: 5,
            rollback: 40,
            ..spec()
        },
        CacheSpec {
            keys: Coding::new("turboquant/prod", 2.0),
            center: Center::Given(vec![0.5; HEADS * DIM]),
            ..spec()
        },
        CacheSpec {
            keys: Coding::new("trellis", 3.0),
            values: Coding::new("trellis", 1.0),
            ..spec()
        },
        CacheSpec {
            keys: Coding {
                scale_search: Some(5),
                ..Coding::new("eden", 3.0)
            },
            ..spec()
        },
        CacheSpec {
            values: Coding::new("blockquant", 1.5),
            center: Center::None,
            byte_scales: Some(false),
            sinks: 70,
            ..spec()
        },
    ]
}

/// Some of the tokens of two sequences.
struct Piece<'a> {
    values: &'a [f32],
    tokens: usize,
    first: usize,
    count: usize,
}

impl Tensor for Piece<'_> {
    fn shape(&self) -> [usize; 4] {
        [2, HEADS, self.count, DIM]
    }

    fn dtype(&self) -> Dtype {
        Dtype::Float32
    }

    fn row(&self, sequence: usize, head: usize, token: usize) -> Values<'_> {
        let row = (sequence * HEADS + head) * self.tokens + self.first + token;
        Values::Float32(&self.values[row * DIM..][..DIM])
    }
}

fn numbers(tokens: usize, seed: u64) -> Vec<f32> {
    gaussian(2 * HEADS * tokens * DIM, seed)
}

/// Appends the tokens up to `last` of those that `k` and `v` hold.
fn extend(cache: &mut KeyValueCache, isa: Isa, k: &[f32], v: &[f32], last: usize) {
    let tokens = k.len() / (2 * HEADS * DIM);
    let piece = |values| Piece {
        values,
        tokens,
        first: cache.len(),
        count: last - cache.len(),
    };
    let (k, v) = (piece(k), piece(v));
    cache.append_on(isa, &k, &v, None).unwrap();
}

fn attend(cache: &KeyValueCache, isa: Isa, m: usize) -> Vec<f32> {
    let q = gaussian(cache.batch() * 2 * HEADS * m * DIM, 9);
    let mut out = vec![0.0; q.len()];
    cache
        .attend_on(isa, &q, 2 * HEADS, m, None, None, &mut out)
        .unwrap();
    out
}

#[test]
fn pieces_and_instruction_sets_change_no_bit() {
    let (k, v) = (numbers(250, 1), numbers(250, 2));
    for spec in specs() {
        let mut whole = KeyValueCache::new(spec.clone()).unwrap();
        extend(&mut whole, Isa::Scalar, &k, &v, 250);
        for isa in Isa::available() {
            let mut pieces = KeyValueCache::new(spec.clone()).unwrap();
            for last in [1, 2, 70, 71, 135, 250] {
                extend(&mut pieces, isa, &k, &v, last);
            }
            assert_eq!(pieces.to_bytes().unwrap(), whole.to_bytes().unwrap());
            assert_eq!(pieces.bytes(), whole.bytes());
            for m in [1, 40] {
                assert_eq!(attend(&pieces, isa, m), attend(&whole, Isa::Scalar, m));
            }
            let rows = pieces.decode_on(isa).unwrap();
            assert_eq!(rows, whole.decode_on(Isa::Scalar).unwrap());
        }
    }
}

#[test]
fn half_precision_is_kept() {
    let x = gaussian(HEADS * 30 * DIM, 3);
    let shape = [1, HEADS, 30, DIM];
    let halves: Vec<f16> = x.iter().map(|&x| f16::from_f32(x)).collect();
    let brains: Vec<bf16> = x.iter().map(|&x| bf16::from_f32(x)).collect();
    for (values, expected) in [
        (
            Values::Float16(&halves),
            halves.iter().map(|x| x.to_f32()).collect::<Vec<_>>(),
        ),
        (
            Values::Bfloat16(&brains),
            brains.iter().map(|x| x.to_f32()).collect(),
        ),
    ] {
        let mut cache = KeyValueCache::new(CacheSpec { batch: 1, ..spec() }).unwrap();
        let tokens = Contiguous::new(values, shape).unwrap();
        cache.append(&tokens, &tokens, None).unwrap();
        assert_eq!(cache.dtype(), Some(values.dtype()));
        assert_eq!(cache.decode().unwrap().0, expected);
        assert_eq!(cache.bytes(), 2 * 2 * x.len() + size_of::<usize>());
    }
    assert!(Contiguous::new(Values::Float32(&x), [1, HEADS, 31, DIM]).is_err());
}

#[test]
fn a_mask_hides_tokens() {
    struct Even;
    impl Mask for Even {
        fn read(&self, _: usize, _: usize, _: usize, from: usize, out: &mut [f32]) {
            for (token, out) in (from..).zip(out) {
                *out = if token % 2 == 0 {
                    0.0
                } else {
                    f32::NEG_INFINITY
                };
            }
        }
    }
    let (k, mut v) = (numbers(250, 1), numbers(250, 2));
    for row in v.chunks_exact_mut(DIM).skip(1).step_by(2) {
        row.fill(1e6); // The number of tokens is even, so these are the odd ones of each head.
    }
    let mut cache = KeyValueCache::new(spec()).unwrap();
    extend(&mut cache, Isa::Scalar, &k, &v, 250);
    let q = gaussian(2 * HEADS * DIM, 9);
    let mut out = vec![0.0; q.len()];
    cache
        .attend(&q, HEADS, 1, None, Some(&Even), &mut out)
        .unwrap();
    assert!(out.iter().all(|x| x.abs() < 10.0), "{out:?}");
    cache.attend(&q, HEADS, 1, None, None, &mut out).unwrap();
    assert!(out.iter().any(|x| x.abs() > 1e4));
}

#[test]
fn a_stop_changes_nothing() {
    let (k, v) = (numbers(20_000, 1), numbers(20_000, 2));
    let mut start = KeyValueCache::new(spec()).unwrap();
    extend(&mut start, Isa::Scalar, &k, &v, 100);
    let before = start.to_bytes().unwrap();
    let piece = |values| Piece {
        values,
        tokens: 20_000,
        first: 100,
        count: 19_000,
    };
    let (k, v) = (piece(&k), piece(&v));
    // Whatever the speed of the machine: until the question comes.
    let mut cache = start.clone();
    let stopped = interruptible(
        || Answer::Stop,
        || loop {
            cache = start.clone();
            cache.append(&k, &v, None)?;
        },
    );
    assert_eq!(stopped, Err::<(), _>(Error::Interrupted));
    if cache.len() == 100 {
        assert_eq!(cache.to_bytes().unwrap(), before);
    } else {
        assert_eq!(cache.len(), 19_100);
    }
    // The stopped call changed no page that the copies share.
    assert_eq!(start.to_bytes().unwrap(), before);
    start.append(&k, &v, None).unwrap();
    let mut out = vec![0.0; 2 * HEADS * 50 * DIM];
    let reads = interruptible(
        || Answer::Stop,
        || loop {
            start.attend(&k.values[..out.len()], HEADS, 50, None, None, &mut out)?;
            start.decode()?;
        },
    );
    assert_eq!(reads, Err::<(), _>(Error::Interrupted));
}

#[test]
fn errors_name_the_place() {
    let (k, v) = (numbers(80, 1), numbers(80, 2));
    let mut cache = KeyValueCache::new(CacheSpec {
        layer: Some(6),
        ..spec()
    })
    .unwrap();
    extend(&mut cache, Isa::Scalar, &k, &v, 80);
    let before = cache.to_bytes().unwrap();
    let mut bad = numbers(5, 3);
    bad[(HEADS * 5 + 3) * DIM + 7] = f32::NAN; // sequence 1, head 0, token 3
    let shape = [2, HEADS, 5, DIM];
    let bad = Contiguous::new(Values::Float32(&bad), shape).unwrap();
    let error = cache.append(&bad, &bad, None).unwrap_err().to_string();
    assert_eq!(
        error,
        "layer 6: keys: sequence 1, head 0, token 83, coordinate 7 is NaN, expected a finite \
         number of at most 1e33 in magnitude"
    );
    assert!(cache.crop(81).is_err());
    assert!(cache.select(&[]).is_err());
    assert!(cache.select(&[2]).is_err());
    assert!(cache.reorder(&[0]).is_err());
    assert!(cache.repeat(0).is_err());
    assert_eq!(cache.to_bytes().unwrap(), before);
}

#[test]
fn golden_caches() {
    for name in ["rotary", "halves"] {
        let path = in_repository(&format!("tests/golden/cache/{name}.safetensors"));
        let cache = KeyValueCache::load(&path).unwrap();
        assert_eq!(cache.to_bytes().unwrap(), std::fs::read(path).unwrap());
        assert!(cache.coded_tokens(0) >= 64);
    }
}

/// What a program does with a cache.
#[derive(Debug, Clone)]
enum Step {
    Append(usize),
    Crop(usize),
    Select(Vec<usize>),
    Store,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => (1usize..90).prop_map(Step::Append),
        3 => (0usize..400).prop_map(Step::Crop),
        1 => prop::collection::vec(0usize..2, 2).prop_map(Step::Select),
        1 => Just(Step::Store),
    ];
    prop::collection::vec(step, 1..14)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn any_program_keeps_the_rows(steps in steps(), which in 0usize..4) {
        let isa = Isa::current().unwrap();
        let (k, v) = (numbers(1300, 1), numbers(1300, 2));
        let mut cache = KeyValueCache::new(specs()[which].clone()).unwrap();
        for step in steps {
            match step {
                Step::Append(count) => {
                    let last = cache.len() + count;
                    extend(&mut cache, isa, &k, &v, last);
                }
                Step::Crop(n) => {
                    let n = n.min(cache.len());
                    let (before, tokens) = (cache.decode().unwrap().1, cache.len());
                    let coded = cache.coded_tokens(0);
                    cache.crop(n).unwrap();
                    if n < coded {
                        // Coded rows stay as they are, or are uncoded.
                        prop_assert!(cache.coded_tokens(0) <= n);
                    }
                    if n == tokens {
                        prop_assert_eq!(cache.decode().unwrap().1, before);
                    }
                }
                Step::Select(rows) => cache.reorder(&rows).unwrap(),
                Step::Store => {
                    let bytes = cache.to_bytes().unwrap();
                    cache = KeyValueCache::from_bytes(&bytes).unwrap();
                    prop_assert_eq!(cache.to_bytes().unwrap(), bytes);
                }
            }
            let spec = cache.spec();
            let exact = cache.len() - cache.coded_tokens(0);
            prop_assert!(exact >= cache.len().min(spec.sinks));
            prop_assert!(exact < spec.sinks + spec.window + 64 || cache.coded_tokens(0) == 0);
            if !cache.is_empty() {
                let out = attend(&cache, isa, 1);
                prop_assert!(out.iter().all(|x| x.abs() < 6.0));
            }
        }
    }

    #[test]
    fn damaged_bytes_are_refused(at in 0usize..18_208, flip in 1u8..=255, cut in any::<bool>()) {
        let path = in_repository("tests/golden/cache/rotary.safetensors");
        let mut bytes = std::fs::read(path).unwrap();
        let at = at % bytes.len();
        if cut {
            bytes.truncate(at);
        } else {
            bytes[at] ^= flip;
        }
        prop_assert!(KeyValueCache::from_bytes(&bytes).is_err());
    }
}
