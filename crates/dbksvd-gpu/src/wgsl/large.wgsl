// Uses of rare atoms with x² of at least some size, in no order: a workgroup an atom.

struct Numbers { sparsity: u32, rare: u32, least: f32, most: u32 }
var<immediate> n: Numbers;

@group(0) @binding(0) var<storage, read> values: array<f32>;
@group(0) @binding(1) var<storage, read> starts: array<u32>;
@group(0) @binding(2) var<storage, read> uses: array<u32>;
@group(0) @binding(3) var<storage, read> rare: array<u32>;
// How many there are, then the first few: the place of the atom among the rare ones, the sample.
@group(0) @binding(4) var<storage, read_write> found: array<atomic<u32>>;

@compute @workgroup_size(LANES)
fn large(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = group.y * groups.x + group.x;
    if number >= n.rare { return; }
    let atom = rare[number];
    for (var e = starts[atom] + lane; e < starts[atom + 1u]; e += LANES) {
        let x = values[uses[e]];
        if x * x >= n.least {
            let place = atomicAdd(&found[0], 1u);
            if place < n.most {
                atomicStore(&found[1u + 2u * place], number);
                atomicStore(&found[2u + 2u * place], uses[e] / n.sparsity);
            }
        }
    }
}
