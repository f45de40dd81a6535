// Codes of a few samples into those of a minibatch: a lane a slot.

struct Numbers { sparsity: u32, slots: u32 }
var<immediate> n: Numbers;

@group(0) @binding(0) var<storage, read> samples: array<u32>;
@group(0) @binding(1) var<storage, read> support_of: array<u32>;
@group(0) @binding(2) var<storage, read> values_of: array<f32>;
@group(0) @binding(3) var<storage, read> lengths_of: array<u32>;
@group(0) @binding(4) var<storage, read_write> support: array<u32>;
@group(0) @binding(5) var<storage, read_write> values: array<f32>;
@group(0) @binding(6) var<storage, read_write> lengths: array<u32>;

@compute @workgroup_size(LANES)
fn scatter(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = (group.y * groups.x + group.x) * LANES + lane;
    if at >= n.slots { return; }
    let sample = samples[at / n.sparsity];
    let slot = at % n.sparsity;
    support[sample * n.sparsity + slot] = support_of[at];
    values[sample * n.sparsity + slot] = values_of[at];
    if slot == 0u { lengths[sample] = lengths_of[at / n.sparsity]; }
}
