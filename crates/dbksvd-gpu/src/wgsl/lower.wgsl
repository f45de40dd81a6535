// ‖(I − P) d‖² ← ‖(I − P) d‖² − (d·q)²: a lane a number.

struct Numbers { total: u32 }
var<immediate> n: Numbers;

@group(0) @binding(0) var<storage, read> overlaps: array<f32>;
@group(0) @binding(1) var<storage, read_write> norms: array<f32>;

@compute @workgroup_size(LANES)
fn lower(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = (group.y * groups.x + group.x) * LANES + lane;
    if at >= n.total { return; }
    norms[at] -= overlaps[at] * overlaps[at];
}
