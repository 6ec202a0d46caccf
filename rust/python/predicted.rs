//! What a model of fitted axes predicts, as Python takes it.

use crate::quantizer::{Predicted, PredictedGroup};

/// Method, axes, bits, share of the variance, distortion and share of the error of a group.
type Group = (Option<String>, usize, f64, f64, f64, f64);

/// Both errors, and the groups.
pub(super) type Prediction = (f64, f64, Vec<Group>);

pub(super) fn prediction(found: &Predicted) -> Prediction {
    let group = |of: &PredictedGroup| {
        let method = of.method.clone();
        (
            method,
            of.axes,
            of.bits,
            of.variance,
            of.distortion,
            of.error,
        )
    };
    let groups = found.groups.iter().map(group).collect();
    (found.nmse, found.ip_error, groups)
}
