// C ← AᵀB in tiles of 64 × 64: a lane of 16 × 16 has 4 × 4 numbers of its tile, 16 apart.
// Each number is a sum in the order of rows, so it depends on its two columns alone.

struct Numbers {
    rows: u32,
    // Columns of A and of B.
    left: u32,
    right: u32,
}
var<immediate> n: Numbers;

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> c: array<f32>;

const TILE: u32 = 64u;
const DEPTH: u32 = 16u;

var<workgroup> of_a: array<f32, 1024>;
var<workgroup> of_b: array<f32, 1024>;

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
    let across = lane % 16u;
    let down = lane / 16u;
    var sums: array<vec4<f32>, 4>;
    for (var k0 = 0u; k0 < n.rows; k0 += DEPTH) {
        // Lanes next to each other load rows next to each other.
        let k = k0 + across;
        for (var q = 0u; q < 4u; q++) {
            let column = down + 16u * q;
            var from_a = 0.0;
            var from_b = 0.0;
            if k < n.rows && i0 + column < n.left {
                from_a = a[(i0 + column) * n.rows + k];
            }
            if k < n.rows && j0 + column < n.right {
                from_b = b[(j0 + column) * n.rows + k];
            }
            of_a[across * TILE + column] = from_a;
            of_b[across * TILE + column] = from_b;
        }
        workgroupBarrier();
        for (var k = 0u; k < DEPTH; k++) {
            let at = k * TILE;
            let left = vec4(
                of_a[at + across],
                of_a[at + across + 16u],
                of_a[at + across + 32u],
                of_a[at + across + 48u],
            );
            for (var q = 0u; q < 4u; q++) {
                sums[q] += left * of_b[at + down + 16u * q];
            }
        }
        workgroupBarrier();
    }
    for (var q = 0u; q < 4u; q++) {
        let j = j0 + down + 16u * q;
        for (var p = 0u; p < 4u; p++) {
            let i = i0 + across + 16u * p;
            if i < n.left && j < n.right {
                c[j * n.left + i] = sums[q][p];
            }
        }
    }
}
