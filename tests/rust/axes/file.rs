//! Files of fitted axes: golden bytes, round trips, and damage, which is never read.

use blockquant::file::checksum;
use blockquant::{Axes, Error};

use crate::common::in_repository;

/// FROZEN: these models always have the same bytes, in `tests/golden/axes`. Their numbers are exact
/// on every platform.
fn golden() -> [(&'static str, Axes); 2] {
    let mean = vec![0.5, -2.0, 1024.0, 0.0];
    let half = [0.5f32, 0.5, 0.5, 0.5];
    let axes: Vec<f32> = [
        [1.0; 4],
        [1.0, -1.0, 1.0, -1.0],
        [1.0, 1.0, -1.0, -1.0],
        [1.0, -1.0, -1.0, 1.0],
    ]
    .into_iter()
    .flat_map(|signs| (0..4).map(move |i| signs[i] * half[i]))
    .collect();
    let variances = vec![6.25, 1.0 / 3.0, 0.125, 0.0];
    let queries = Some(vec![0.1, 7.0, 0.0, 1e-300]);
    let all = Axes::new(
        mean.clone(),
        axes.clone(),
        variances.clone(),
        queries,
        12,
        1.0 / 7.0,
    );
    let first = Axes::new(mean, axes[..8].to_vec(), variances, None, u64::MAX, 0.0);
    [("queries", all.unwrap()), ("first", first.unwrap())]
}

#[test]
fn golden_files() {
    for (name, axes) in golden() {
        let path = in_repository(&format!("tests/golden/axes/{name}.safetensors"));
        if std::env::var_os("BLOCKQUANT_WRITE_GOLDEN").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            axes.save(&path).unwrap();
        }
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes, axes.to_bytes(), "{name}");
        let back = Axes::load(&path).unwrap();
        assert!(back == axes && back.digest() == axes.digest(), "{name}");
    }
}

/// FROZEN: codes name their model by it.
#[test]
fn golden_digests() {
    let [queries, first] = golden().map(|(_, axes)| format!("{:016x}", axes.digest()));
    assert_eq!(
        (&*queries, &*first),
        ("0ec99f7516fc0c60", "c183d03f8afda1cc")
    );
}

#[test]
fn every_flip_and_truncation_is_an_error() {
    for (_, axes) in golden() {
        let bytes = axes.to_bytes();
        for at in 0..bytes.len() {
            for bit in [0, 3, 7] {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << bit;
                assert!(Axes::from_bytes(&damaged).is_err(), "byte {at}");
            }
            let text = Axes::from_bytes(&bytes[..at]).unwrap_err().to_string();
            assert!(text.starts_with("the file is truncated: it has "), "{text}");
        }
        let text = Axes::from_bytes(&[&bytes[..], &[0]].concat())
            .unwrap_err()
            .to_string();
        assert!(text.contains("too long"), "{text}");
    }
}

/// A file whose header is changed, with checksums that are right again.
fn forged(old: &str, new: &str) -> Result<Axes, Error> {
    let bytes = golden()[0].1.to_bytes();
    let length = usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
    let text = std::str::from_utf8(&bytes[8..8 + length]).unwrap();
    assert!(text.contains(old), "{text}");
    Axes::from_bytes(&with_header(
        &text.replacen(old, new, 1),
        &bytes[8 + length..],
    ))
}

/// The file with this header and these tensors, and the right checksum of the header.
fn with_header(text: &str, tensors: &[u8]) -> Vec<u8> {
    const DIGITS: &str = "header_checksum\":\"";
    let mut file = [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    let at = 8 + text.find(DIGITS).unwrap() + DIGITS.len();
    file[at..at + 16].fill(b'0');
    let sum = format!("{:016x}", checksum(&file));
    file[at..at + 16].copy_from_slice(sum.as_bytes());
    file.extend(tensors);
    file
}

#[test]
fn a_forged_header_is_refused() {
    for (old, new, says) in [
        ("\"rows\":\"12\"", "\"rows\":\"012\"", "expected"),
        ("\"rows\":\"12\"", "\"rows\":\"0\"", "rows is 0"),
        (
            "\"rows\":\"12\"",
            "\"rows\":\"-1\"",
            "rows is \"-1\" in the metadata",
        ),
        ("\"rows\":\"12\"", "\"rows\":\"13\"", "expected"), // another digest
        (
            "\"shrinkage\":\"0.1",
            "\"shrinkage\":\"2.1",
            "shrinkage is 2.1",
        ),
        (
            "\"shrinkage\":\"0.1",
            "\"shrinkage\":\"NaN0.1",
            "shrinkage is \"NaN",
        ),
        ("\"digest\":\"", "\"digests\":\"", "expected"),
        (
            "\"query_variances\":{",
            "\"query_variance\":{",
            "query_variance",
        ),
        ("\"mean\":{", "\"means\":{", "means"),
        ("[4,4]", "[16]", "expected F32 of shape"),
        ("[4,4]", "[2,8]", "expected F32 of shape"),
        ("\"F64\"", "\"I64\"", "expected F64"),
        ("\"version\":\"1\"", "\"version\":\"2\"", "version \"2\""),
        ("blockquant-axes", "blockquant-cache", "a key-value cache"),
        ("blockquant-axes", "blockquant", "it holds codes"),
        (
            "blockquant-axes",
            "something-else",
            "not a file of fitted axes",
        ),
    ] {
        let text = forged(old, new).expect_err(new).to_string();
        assert!(text.contains(says), "{new}: {text:?} has no {says:?}");
    }
}

#[test]
fn a_forged_model_is_refused() {
    let bytes = golden()[0].1.to_bytes();
    let length = usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
    let (header, tensors) = bytes.split_at(8 + length);
    let header = std::str::from_utf8(&header[8..]).unwrap();
    // variances, query variances, mean and axes: 32, 32, 16 and 64 bytes.
    let forge = |name: &str, from: usize, to: usize, at: usize, value: &[u8]| {
        let mut tensors = tensors.to_vec();
        tensors[at..at + value.len()].copy_from_slice(value);
        let key = format!("\"{name}_checksum\":\"");
        let digits = header.find(&key).unwrap() + key.len();
        let sum = format!("{:016x}", checksum(&tensors[from..to]));
        let header = [&header[..digits], &sum, &header[digits + 16..]].concat();
        Axes::from_bytes(&with_header(&header, &tensors))
            .unwrap_err()
            .to_string()
    };
    let nan = f64::NAN.to_le_bytes();
    for (found, says) in [
        (
            forge("variances", 0, 32, 8, &9f64.to_le_bytes()),
            "variances[1] is above",
        ),
        (forge("variances", 0, 32, 24, &nan), "variances[3] is NaN"),
        (
            forge("query_variances", 32, 64, 32, &nan),
            "query_variances[0] is NaN",
        ),
        (
            forge("mean", 64, 80, 64, &f32::INFINITY.to_le_bytes()),
            "mean of row 0 is inf",
        ),
        (forge("mean", 64, 80, 64, &0f32.to_le_bytes()), "expected"), // another digest
        (
            forge("axes", 80, 144, 80, &0.6f32.to_le_bytes()),
            "orthonormal",
        ),
        (
            forge("axes", 80, 144, 80, &f32::NAN.to_le_bytes()),
            "axes of row 0 is NaN",
        ),
    ] {
        assert!(found.contains(says), "{found:?} has no {says:?}");
    }
}

#[test]
fn errors_name_the_file() {
    let path = in_repository("tests/golden/centered.safetensors");
    let text = Axes::load(&path).unwrap_err().to_string();
    assert!(
        text.contains("centered.safetensors: this is not a file of fitted axes: it holds codes")
    );
    let text = Axes::load(&path.with_file_name("none"))
        .unwrap_err()
        .to_string();
    assert!(text.contains("none: "), "{text}");
}
