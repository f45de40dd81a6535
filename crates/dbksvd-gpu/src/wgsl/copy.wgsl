// Columns of a matrix into those of another: a lane a number. Columns of `source` are taken, or
// those of `into` written, in the order that is given.

struct Numbers { dim: u32, columns: u32, is_gather: u32 }
var<immediate> n: Numbers;

@group(0) @binding(0) var<parts, read> source: array<f32>;
@group(0) @binding(1) var<parts, read_write> into: array<f32>;
@group(0) @binding(2) var<storage, read> order: array<u32>;

@compute @workgroup_size(LANES)
fn copy(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = (group.y * groups.x + group.x) * LANES + lane;
    if at >= n.dim * n.columns { return; }
    let there = order[at / n.dim] * n.dim + at % n.dim;
    if n.is_gather == 1u { set_into(at, source_at(there)); } else { set_into(there, source_at(at)); }
}
