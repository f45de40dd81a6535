// Pairs i < j of columns of A whose product is above a threshold, in no order: a workgroup a tile
// of AᵀA. A is bound twice.

struct Numbers { rows: u32, columns: u32, threshold: f32, is_signed: u32, most: u32 }
var<immediate> n: Numbers;

// How many pairs there are, then the first few of them.
@group(0) @binding(2) var<storage, read_write> pairs: array<atomic<u32>>;

@compute @workgroup_size(256)
fn pairs_above(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let tiles = (n.columns + TILE - 1u) / TILE;
    let tile = group.y * groups.x + group.x;
    let i0 = (tile % tiles) * TILE;
    let j0 = (tile / tiles) * TILE;
    // Uniform in a workgroup.
    if j0 >= n.columns || i0 > j0 { return; }
    multiply(lane, n.rows, n.columns, n.columns, i0, j0);
    for (var q = 0u; q < 4u; q++) {
        let j = j0 + lane / 16u + 16u * q;
        for (var p = 0u; p < 4u; p++) {
            let i = i0 + lane % 16u + 16u * p;
            let likeness = select(sums[q][p], abs(sums[q][p]), n.is_signed == 1u);
            if i < j && j < n.columns && likeness > n.threshold {
                let place = atomicAdd(&pairs[0], 1u);
                if place < n.most {
                    atomicStore(&pairs[1u + 2u * place], i);
                    atomicStore(&pairs[2u + 2u * place], j);
                }
            }
        }
    }
}
