// C ← AᵀB: a workgroup a tile.

struct Numbers { rows: u32, left: u32, right: u32 }
var<immediate> n: Numbers;

@group(0) @binding(2) var<parts, read_write> c: array<f32>;

@compute @workgroup_size(256)
fn product(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let tiles = (n.left + TILE - 1u) / TILE;
    let tile = group.y * groups.x + group.x;
    let i0 = (tile % tiles) * TILE;
    let j0 = (tile / tiles) * TILE;
    // Uniform in a workgroup.
    if j0 >= n.right { return; }
    multiply(lane, n.rows, n.left, n.right, i0, j0);
    for (var q = 0u; q < 4u; q++) {
        let j = j0 + lane / 16u + 16u * q;
        for (var p = 0u; p < 4u; p++) {
            let i = i0 + lane % 16u + 16u * p;
            if i < n.left && j < n.right { set_c(j * n.left + i, sums[q][p]); }
        }
    }
}
