// Takes an atom out of every code that uses it, maybe for an heir: a workgroup a use.

struct Numbers {
    dim: u32,
    sparsity: u32,
    atom: u32,
    // An atom, or the largest number if there is none.
    heir: u32,
    first: u32,
    count: u32,
    is_non_negative: u32,
}
var<immediate> n: Numbers;

const NOBODY: u32 = 0xffffffffu;

@group(0) @binding(0) var<parts, read_write> residual: array<f32>;
@group(0) @binding(1) var<parts, read> dictionary: array<f32>;
@group(0) @binding(2) var<storage, read_write> support: array<u32>;
@group(0) @binding(3) var<storage, read_write> values: array<f32>;
@group(0) @binding(4) var<storage, read_write> lengths: array<u32>;
@group(0) @binding(5) var<storage, read> uses: array<u32>;

fn slot_of(sample: u32, atom: u32) -> u32 {
    for (var slot = 0u; slot < lengths[sample]; slot++) {
        if support[sample * n.sparsity + slot] == atom { return slot; }
    }
    return NOBODY;
}

@compute @workgroup_size(LANES)
fn vacate(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = group.y * groups.x + group.x;
    if number >= n.count { return; }
    let sample = uses[n.first + number] / n.sparsity;
    let slot = slot_of(sample, n.atom);
    // Uniform in a workgroup. Codes may have changed since uses were counted.
    if slot == NOBODY { return; }
    let from_ = sample * n.sparsity;
    let x = values[from_ + slot];
    var dot = 0.0;
    for (var i = lane; i < n.dim; i += LANES) {
        let rest = residual_at(sample * n.dim + i) + x * dictionary_at(n.atom * n.dim + i);
        set_residual(sample * n.dim + i, rest);
        if n.heir != NOBODY { dot += rest * dictionary_at(n.heir * n.dim + i); }
    }
    var c = 0.0;
    if n.heir != NOBODY { c = sum_of(lane, dot); }
    if n.is_non_negative == 1u { c = max(c, 0.0); }
    if c != 0.0 {
        for (var i = lane; i < n.dim; i += LANES) {
            let left = residual_at(sample * n.dim + i) - c * dictionary_at(n.heir * n.dim + i);
            set_residual(sample * n.dim + i, left);
        }
    }
    workgroupBarrier();
    if lane == 0u {
        let left = lengths[sample] - 1u;
        for (var to = slot; to < left; to++) {
            support[from_ + to] = support[from_ + to + 1u];
            values[from_ + to] = values[from_ + to + 1u];
        }
        lengths[sample] = left;
        if c != 0.0 {
            let own = slot_of(sample, n.heir);
            if own != NOBODY {
                values[from_ + own] += c;
            } else {
                support[from_ + left] = n.heir;
                values[from_ + left] = c;
                lengths[sample] = left + 1u;
            }
        }
    }
}
