// ‖x_j‖² over the samples of some shards, exactly: a lane an atom, four numbers of result each.

struct Numbers {
    atoms: u32,
    // The first block of the shards, and the one after their last.
    first: u32,
    end: u32,
}
var<immediate> n: Numbers;

@group(0) @binding(0) var<storage, read> values: array<f32>;
@group(0) @binding(1) var<storage, read> counts: array<u32>;
@group(0) @binding(2) var<storage, read> starts: array<u32>;
@group(0) @binding(3) var<storage, read> uses: array<u32>;
@group(0) @binding(4) var<storage, read_write> results: array<vec4<u32>>;

@compute @workgroup_size(LANES)
fn energies(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let j = (group.y * groups.x + group.x) * LANES + lane;
    if j >= n.atoms { return; }
    let first = starts[j] + counts[n.first * n.atoms + j];
    let end = starts[j] + counts[n.end * n.atoms + j];
    var most = 1u;
    for (var e = first; e < end; e++) {
        most = max(most, exponent(bitcast<u32>(values[uses[e]])));
    }
    var sum = Sum(0u, 0u, 0u);
    for (var e = first; e < end; e++) { sum = add96(sum, square(values[uses[e]], most)); }
    results[j] = vec4(sum.low, sum.middle, sum.high, most);
}
