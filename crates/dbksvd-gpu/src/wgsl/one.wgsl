// Codes a sample by one atom alone: c ← y·d, r ← y − c d. One workgroup.

struct Numbers { dim: u32, sparsity: u32, sample: u32, atom: u32, is_non_negative: u32 }
var<immediate> n: Numbers;

@group(0) @binding(0) var<parts, read_write> residual: array<f32>;
@group(0) @binding(1) var<parts, read> y: array<f32>;
@group(0) @binding(2) var<parts, read> dictionary: array<f32>;
@group(0) @binding(3) var<storage, read_write> support: array<u32>;
@group(0) @binding(4) var<storage, read_write> values: array<f32>;
@group(0) @binding(5) var<storage, read_write> lengths: array<u32>;

var<workgroup> partial: array<f32, LANES>;

@compute @workgroup_size(LANES)
fn code_by_one(@builtin(local_invocation_index) lane: u32) {
    let from_y = n.sample * n.dim;
    let from_d = n.atom * n.dim;
    var dot = 0.0;
    for (var i = lane; i < n.dim; i += LANES) { dot += y_at(from_y + i) * dictionary_at(from_d + i); }
    partial[lane] = dot;
    workgroupBarrier();
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        if lane < half { partial[lane] += partial[lane + half]; }
        workgroupBarrier();
    }
    let c = select(partial[0], max(partial[0], 0.0), n.is_non_negative == 1u);
    for (var i = lane; i < n.dim; i += LANES) {
        set_residual(from_y + i, y_at(from_y + i) - c * dictionary_at(from_d + i));
    }
    if lane == 0u {
        support[n.sample * n.sparsity] = n.atom;
        values[n.sample * n.sparsity] = c;
        lengths[n.sample] = 1u;
    }
}
