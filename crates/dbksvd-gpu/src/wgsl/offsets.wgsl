// See index.wgsl: a lane an atom.

struct Numbers { atoms: u32, blocks: u32 }
var<immediate> n: Numbers;

@group(0) @binding(0) var<storage, read_write> counts: array<u32>;

@compute @workgroup_size(LANES)
fn offsets(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let j = (group.y * groups.x + group.x) * LANES + lane;
    if j >= n.atoms { return; }
    var sum = 0u;
    for (var block = 0u; block < n.blocks; block++) {
        let at = block * n.atoms + j;
        let count = counts[at];
        counts[at] = sum;
        sum += count;
    }
    counts[n.blocks * n.atoms + j] = sum;
}
