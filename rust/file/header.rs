//! The header of a file of codes: the parameters of the quantizer and the tensors.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::container::{
    CODES, CODES_WITH_AXES, CODES_WITH_IDS, Entry, Kind, check_length, checksum_key, digits,
};
use super::container::{float32, float64, hexadecimal, metadata, number, parsed, text};
use super::ids::Shape;
use crate::axes::{self, Axes};
use crate::error::{Error, Result, counted};
use crate::quantizer::{Criterion, Group, Spec};
use crate::rotation::RotationKind;

/// Everything that the header says.
#[derive(Debug)]
pub(super) struct Header {
    pub spec: Spec,
    pub rows: usize,
    pub row_bytes: usize,
    pub digest: u64,
    pub ids: Option<Shape>,
    pub tensors: Vec<Entry>,
}

impl Header {
    /// The header of these codes. The checksums of the tensors are still 0.
    pub(super) fn new(spec: &Spec, rows: usize, digest: u64, ids: Option<Shape>) -> Result<Self> {
        let mut spec = spec.clone();
        let (shape, _) = spec.fill()?;
        let row = [rows];
        let row_bytes = shape.row_bytes;
        let packed = [rows, row_bytes];
        let offsets = [rows.saturating_add(1)];
        let (has_numbers, text_bytes) = match ids {
            Some(Shape::Numbers { .. }) => (true, None),
            Some(Shape::Texts { bytes }) => (false, Some(bytes)),
            None => (false, None),
        };
        let has_texts = text_bytes.is_some();
        // This is the only list of tensors, and it gives their order.
        let scalars = shape.scalars;
        let (axes, dim) = (spec.axes.as_deref(), [spec.dim]);
        let kept = [axes.map_or(0, Axes::kept), spec.dim];
        let has_axes = axes.is_some();
        let has_queries = axes.is_some_and(|axes| axes.query_variances().is_some());
        let tensors: [(&str, &str, &[usize], bool); 13] = [
            ("center", "F32", &dim, spec.center.is_some()),
            ("variances", "F64", &dim, has_axes),
            ("query_variances", "F64", &dim, has_queries),
            ("mean", "F32", &dim, has_axes),
            ("axes", "F32", &kept, has_axes),
            ("norm", "F32", &row, scalars.norm),
            ("residual_norm", "F32", &row, scalars.residual_norm),
            ("center_product", "F32", &row, scalars.center_product),
            ("scale", "F32", &row, true),
            ("ids", "I64", &row, has_numbers),
            ("id_offsets", "I64", &offsets, has_texts),
            ("packed", "U8", &packed, true),
            ("id_bytes", "U8", &[text_bytes.unwrap_or(0)], has_texts),
        ];
        let entry = |(name, dtype, shape, is_stored): (_, _, &[usize], bool)| {
            let (shape, checksum) = (shape.to_vec(), 0);
            is_stored.then_some(Entry {
                name,
                dtype,
                shape,
                checksum,
            })
        };
        Ok(Self {
            rows,
            row_bytes,
            digest,
            ids,
            tensors: tensors.into_iter().filter_map(entry).collect(),
            spec,
        })
    }

    /// The length and the header, as bytes of the file.
    pub(super) fn render(&self) -> Vec<u8> {
        let spec = &self.spec;
        let mut pairs = vec![
            ("digest", hexadecimal(self.digest)),
            ("method", spec.method.clone()),
            ("dim", spec.dim.to_string()),
            ("bits", spec.bits.to_string()),
        ];
        pairs.extend(spec.scale.clone().map(|scale| ("scale", scale)));
        pairs.extend(spec.block.map(|block| ("block", block.to_string())));
        pairs.extend(spec.states.map(|states| ("states", states.to_string())));
        pairs.extend([
            ("rotation", spec.rotation.name().to_owned()),
            ("seed", spec.seed.to_string()),
            ("store_norm", spec.store_norm.to_string()),
        ]);
        pairs.extend(
            spec.scale_search
                .map(|count| ("scale_search", count.to_string())),
        );
        let groups: Vec<(String, String)> = (spec.groups.iter().flatten().enumerate())
            .map(|(place, group)| {
                let Group { axes, method, bits } = group;
                (group_key(place), format!("{axes} {method} {bits}"))
            })
            .collect();
        if let Some(axes) = &spec.axes {
            pairs.extend(groups.iter().map(|(key, group)| (&**key, group.clone())));
            pairs.extend([
                (
                    "criterion",
                    spec.criterion.unwrap_or_default().name().to_owned(),
                ),
                ("sample_rows", axes.rows().to_string()),
                ("shrinkage", axes.shrinkage().to_string()),
            ]);
        }
        match self.ids {
            Some(Shape::Numbers { next }) => {
                pairs.extend([("ids", "int64".into()), ("next_id", next.to_string())]);
            }
            Some(Shape::Texts { .. }) => pairs.push(("ids", "utf-8".into())),
            None => {}
        }
        let packed = self.tensors.iter().position(|entry| entry.name == "packed");
        self.kind()
            .render(&pairs, self.tensors.iter(), packed.unwrap_or(0))
    }

    fn kind(&self) -> Kind {
        match (&self.spec.axes, self.ids) {
            (Some(_), _) => CODES_WITH_AXES,
            (None, Some(_)) => CODES_WITH_IDS,
            (None, None) => CODES,
        }
    }

    /// Reads the header of a file, and checks it and the length of the file. The second value is
    /// where the tensors start.
    pub(super) fn parse(file: &[u8]) -> Result<(Self, usize)> {
        let (kind, bytes, json) = CODES.open_this_or(&[CODES_WITH_IDS, CODES_WITH_AXES], file)?;
        let metadata = metadata(&json)?;
        let rows = json["scale"]["shape"][0].as_u64();
        let rows = rows
            .and_then(|rows| usize::try_from(rows).ok())
            .ok_or_else(|| Error::invalid("the header does not give a number of rows for scale"))?;
        let mut spec = spec(metadata)?;
        let tensors = &file[bytes.len()..];
        if kind == CODES_WITH_AXES {
            read_axes(metadata, &mut spec, tensors)?;
        } else {
            spec.center = center(metadata, &spec, tensors)?;
        }
        let has_ids = kind == CODES_WITH_IDS || metadata.contains_key("ids");
        let ids = match has_ids && kind != CODES {
            true => Some(ids(metadata, &json)?),
            false => None,
        };
        let mut header = Self::new(&spec, rows, number(metadata, "digest", digits)?, ids)?;
        for tensor in &mut header.tensors {
            tensor.checksum = number(metadata, &checksum_key(tensor.name), digits)?;
        }
        let tensors: u128 = header.tensors.iter().map(Entry::bytes).sum();
        check_length(file, bytes.len() as u128 + tensors, &counted(rows, "row"))?;
        kind.check_header(bytes, header.render())?;
        Ok((header, bytes.len()))
    }
}

fn spec(metadata: &Map<String, Value>) -> Result<Spec> {
    let optional = |key| metadata.contains_key(key);
    let scale = optional("scale").then(|| text(metadata, "scale").map(str::to_owned));
    let whole = |key| {
        optional(key)
            .then(|| number(metadata, key, parsed))
            .transpose()
    };
    Ok(Spec {
        scale: scale.transpose()?,
        block: whole("block")?,
        states: whole("states")?,
        scale_search: whole("scale_search")?,
        rotation: RotationKind::from_name(text(metadata, "rotation")?)?,
        seed: number(metadata, "seed", parsed)?,
        store_norm: number(metadata, "store_norm", parsed)?,
        ..Spec::new(
            text(metadata, "method")?,
            number(metadata, "dim", parsed)?,
            number(metadata, "bits", parsed)?,
        )
    })
}

/// What ids a file of version 2 has.
fn ids(metadata: &Map<String, Value>, json: &Value) -> Result<Shape> {
    match text(metadata, "ids")? {
        "int64" => {
            let next = number(metadata, "next_id", parsed)?;
            Ok(Shape::Numbers { next })
        }
        "utf-8" => {
            let bytes = json["id_bytes"]["shape"][0].as_u64();
            let bytes = bytes.and_then(|bytes| usize::try_from(bytes).ok());
            let bytes = bytes
                .ok_or_else(|| Error::invalid("the header does not give the size of id_bytes"))?;
            Ok(Shape::Texts { bytes })
        }
        other => Err(Error::invalid(format!(
            "ids is {other:?} in the metadata, expected \"int64\" or \"utf-8\""
        ))),
    }
}

/// The center, if there is one. It is the first of the tensors.
fn center(metadata: &Map<String, Value>, spec: &Spec, tensors: &[u8]) -> Result<Option<Vec<f32>>> {
    if !metadata.contains_key("center_checksum") {
        return Ok(None);
    }
    spec.shape()?; // limits dim
    let bytes = tensors.get(..4 * spec.dim).ok_or_else(|| {
        Error::invalid(format!(
            "the file is truncated: it has {} of tensors, expected at least the {} of center",
            counted(tensors.len(), "byte"),
            4 * spec.dim
        ))
    })?;
    Ok(Some(float32(bytes).collect()))
}

/// The key of a group of axes.
fn group_key(place: usize) -> String {
    format!("group_{place}")
}

/// The groups of axes and the model, whose tensors are the first.
fn read_axes(metadata: &Map<String, Value>, spec: &mut Spec, tensors: &[u8]) -> Result<()> {
    let mut groups = Vec::new();
    while metadata.contains_key(&group_key(groups.len())) {
        groups.push(group(text(metadata, &group_key(groups.len()))?)?);
    }
    // Limits all sizes.
    axes::check_dim(spec.dim)?;
    let kept = groups
        .iter()
        .map(|group| group.axes)
        .fold(0, usize::saturating_add);
    if !(1..=spec.dim).contains(&kept) {
        return Err(Error::invalid(format!(
            "groups of {kept} axes, expected 1 to dim={}",
            spec.dim
        )));
    }
    let has_queries = metadata.contains_key(&checksum_key("query_variances"));
    let lengths = [
        8 * spec.dim,
        if has_queries { 8 * spec.dim } else { 0 },
        4 * spec.dim,
        4 * spec.dim * kept,
    ];
    let all: usize = lengths.iter().sum();
    let mut left = tensors.get(..all).ok_or_else(|| {
        Error::invalid(format!(
            "the file is truncated: it has {} of tensors, expected at least the {all} of the axes",
            counted(tensors.len(), "byte")
        ))
    })?;
    let mut next = |length: usize| {
        let (bytes, rest) = left.split_at(length);
        left = rest;
        bytes
    };
    let [variances, queries, mean, axes] = lengths.map(&mut next);
    let queries = has_queries.then(|| float64(queries).collect());
    let model = Axes::new(
        float32(mean).collect(),
        float32(axes).collect(),
        float64(variances).collect(),
        queries,
        number(metadata, "sample_rows", parsed)?,
        number(metadata, "shrinkage", parsed)?,
    )?;
    spec.axes = Some(Arc::new(model));
    spec.criterion = Some(Criterion::from_name(text(metadata, "criterion")?)?);
    spec.groups = Some(groups);
    Ok(())
}

/// A group as it is written: axes, method and bits per axis.
fn group(text: &str) -> Result<Group> {
    let parts: Vec<&str> = text.split(' ').collect();
    let group = match parts[..] {
        [axes, method, bits] => axes
            .parse()
            .ok()
            .zip(bits.parse().ok())
            .map(|(axes, bits)| Group {
                axes,
                method: method.to_owned(),
                bits,
            }),
        _ => None,
    };
    group.ok_or_else(|| {
        Error::invalid(format!(
            "a group of axes is {text:?} in the metadata, expected axes, method and bits"
        ))
    })
}
