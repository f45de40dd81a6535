// AᵀB in tiles of 64 × 64: a lane of 16 × 16 has 4 × 4 numbers of its tile, 16 apart. Each number
// is a sum in the order of rows, so it depends on its two columns alone.

const TILE: u32 = 64u;
const DEPTH: u32 = 16u;

@group(0) @binding(0) var<parts, read> a: array<f32>;
@group(0) @binding(1) var<parts, read> b: array<f32>;

var<workgroup> of_a: array<f32, 1024>;
var<workgroup> of_b: array<f32, 1024>;
var<private> sums: array<vec4<f32>, 4>;

// The tile from column i0 of A and column j0 of B on.
fn multiply(lane: u32, rows: u32, left: u32, right: u32, i0: u32, j0: u32) {
    let across = lane % 16u;
    let down = lane / 16u;
    sums = array<vec4<f32>, 4>();
    for (var k0 = 0u; k0 < rows; k0 += DEPTH) {
        // Lanes next to each other load rows next to each other.
        let k = k0 + across;
        for (var q = 0u; q < 4u; q++) {
            let column = down + 16u * q;
            var from_a = 0.0;
            var from_b = 0.0;
            if k < rows && i0 + column < left { from_a = a_at((i0 + column) * rows + k); }
            if k < rows && j0 + column < right { from_b = b_at((j0 + column) * rows + k); }
            of_a[across * TILE + column] = from_a;
            of_b[across * TILE + column] = from_b;
        }
        workgroupBarrier();
        for (var k = 0u; k < DEPTH; k++) {
            let at = k * TILE;
            let of_left = vec4(
                of_a[at + across],
                of_a[at + across + 16u],
                of_a[at + across + 32u],
                of_a[at + across + 48u],
            );
            for (var q = 0u; q < 4u; q++) {
                sums[q] += of_left * of_b[at + down + 16u * q];
            }
        }
        workgroupBarrier();
    }
}
