// See index.wgsl: a workgroup a block.

struct Numbers { atoms: u32, sparsity: u32, blocks: u32 }
var<immediate> n: Numbers;

@group(0) @binding(0) var<storage, read> support: array<u32>;
@group(0) @binding(1) var<storage, read> lengths: array<u32>;
@group(0) @binding(2) var<storage, read> bounds: array<u32>;
@group(0) @binding(3) var<storage, read> counts: array<u32>;
@group(0) @binding(4) var<storage, read> starts: array<u32>;
@group(0) @binding(5) var<storage, read_write> uses: array<u32>;

@compute @workgroup_size(LANES)
fn fill(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let block = group.y * groups.x + group.x;
    if block >= n.blocks { return; }
    let first = bounds[block];
    for (var at = first * n.sparsity + lane; at < bounds[block + 1u] * n.sparsity; at += LANES) {
        let sample = at / n.sparsity;
        if at % n.sparsity >= lengths[sample] { continue; }
        let atom = support[at];
        var place = starts[atom] + counts[block * n.atoms + atom];
        for (var i = first; i < sample; i++) {
            for (var slot = 0u; slot < lengths[i]; slot++) {
                place += u32(support[i * n.sparsity + slot] == atom);
            }
        }
        uses[place] = at;
    }
}
