// Takes phase (b) back: r ← r − x d + c d',  c ← x. A workgroup a sample.

struct Numbers { dim: u32, sparsity: u32, samples: u32, members: u32, place: u32, base: u32 }
var<immediate> n: Numbers;

@group(0) @binding(0) var<parts, read_write> residual: array<f32>;
@group(0) @binding(1) var<parts, read> dictionary: array<f32>;
@group(0) @binding(2) var<parts, read> fresh: array<f32>;
@group(0) @binding(3) var<storage, read> support: array<u32>;
@group(0) @binding(4) var<storage, read_write> values: array<f32>;
@group(0) @binding(5) var<storage, read> lengths: array<u32>;
@group(0) @binding(6) var<storage, read> marks: array<u32>;
@group(0) @binding(7) var<storage, read> previous: array<f32>;

@compute @workgroup_size(LANES)
fn undo(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let sample = group.y * groups.x + group.x;
    if sample >= n.samples { return; }
    for (var i = lane; i < n.dim; i += LANES) {
        var rest = residual_at(sample * n.dim + i);
        for (var slot = 0u; slot < lengths[sample]; slot++) {
            let at = sample * n.sparsity + slot;
            let member = marks[support[at]] - n.base;
            if member < n.members {
                let old = previous[at] * dictionary_at(support[at] * n.dim + i);
                rest += values[at] * fresh_at((n.place + member) * n.dim + i) - old;
            }
        }
        set_residual(sample * n.dim + i, rest);
    }
    storageBarrier();
    workgroupBarrier();
    for (var slot = lane; slot < lengths[sample]; slot += LANES) {
        let at = sample * n.sparsity + slot;
        if marks[support[at]] - n.base < n.members { values[at] = previous[at]; }
    }
}
