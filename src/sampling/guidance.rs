//! Classifier-free guidance (paper, section on generation): `s · conditional + (1 − s) · unconditional`.

/// Combines two rows of logits in place into `conditional`; must precede any masking.
pub fn guide(conditional: &mut [f32], unconditional: &[f32], scale: f32) {
    for (c, u) in conditional.iter_mut().zip(unconditional) {
        *c = scale * *c + (1.0 - scale) * u;
    }
}
