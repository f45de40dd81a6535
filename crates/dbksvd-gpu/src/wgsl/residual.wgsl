// R ← Y − DX: a lane a number of R.

struct Numbers { dim: u32, sparsity: u32, total: u32 }
var<immediate> n: Numbers;

@group(0) @binding(0) var<parts, read_write> r: array<f32>;
@group(0) @binding(1) var<parts, read> y: array<f32>;
@group(0) @binding(2) var<parts, read> d: array<f32>;
@group(0) @binding(3) var<storage, read> support: array<u32>;
@group(0) @binding(4) var<storage, read> values: array<f32>;
@group(0) @binding(5) var<storage, read> lengths: array<u32>;

@compute @workgroup_size(LANES)
fn residual(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = (group.y * groups.x + group.x) * LANES + lane;
    if at >= n.total { return; }
    let sample = at / n.dim;
    let row = at - sample * n.dim;
    var rest = y_at(at);
    for (var slot = 0u; slot < lengths[sample]; slot++) {
        let use_ = sample * n.sparsity + slot;
        rest -= values[use_] * d_at(support[use_] * n.dim + row);
    }
    set_r(at, rest);
}
