// What pursuits without exact numbers of the Gram matrix compute from the atoms.

fn cosine(s: u32, j: u32) -> f32 {
    var sum = 0.0;
    for (var i = 0u; i < n.dim; i++) {
        sum += dictionary_at(s * n.dim + i) * dictionary_at(j * n.dim + i);
    }
    return sum;
}

fn before_rests(b: u32, lane: u32, t: u32) { find_residual(b, lane, t); }

// d_uᵀ (y − D_I γ) for a chosen atom.
fn rest_along(b: u32, t: u32, u: u32) -> f32 { return along_residual(b, chosen[u]); }
