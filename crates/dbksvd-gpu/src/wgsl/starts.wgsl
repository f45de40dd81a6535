// See index.wgsl: one workgroup, of which each lane has some atoms next to each other.

struct Numbers { atoms: u32, blocks: u32 }
var<immediate> n: Numbers;

@group(0) @binding(0) var<storage, read> counts: array<u32>;
@group(0) @binding(1) var<storage, read_write> starts: array<u32>;

var<workgroup> sums: array<u32, LANES>;

@compute @workgroup_size(LANES)
fn starts_of(@builtin(local_invocation_index) lane: u32) {
    let each = (n.atoms + LANES - 1u) / LANES;
    let first = min(lane * each, n.atoms);
    let end = min(first + each, n.atoms);
    var own = 0u;
    for (var j = first; j < end; j++) { own += counts[n.blocks * n.atoms + j]; }
    sums[lane] = own;
    workgroupBarrier();
    var sum = 0u;
    for (var other = 0u; other < lane; other++) { sum += sums[other]; }
    for (var j = first; j < end; j++) {
        starts[j] = sum;
        sum += counts[n.blocks * n.atoms + j];
    }
    if lane == LANES - 1u { starts[n.atoms] = sum; }
}
