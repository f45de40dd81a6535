// Phase (b): a workgroup a sample, atom after atom of the batch that it uses.
//
//     c ← r·d' + x (d·d'),  r ← r + x d − c d',  x ← c
//
// Where coefficients are shared, all c are of the r before the batch.

struct Numbers {
    dim: u32,
    sparsity: u32,
    samples: u32,
    members: u32,
    place: u32,
    // The mark of the first member.
    base: u32,
    is_non_negative: u32,
    is_shared: u32,
}
var<immediate> n: Numbers;

@group(0) @binding(0) var<parts, read_write> residual: array<f32>;
@group(0) @binding(1) var<parts, read> dictionary: array<f32>;
@group(0) @binding(2) var<parts, read> fresh: array<f32>;
@group(0) @binding(3) var<storage, read> support: array<u32>;
@group(0) @binding(4) var<storage, read_write> values: array<f32>;
@group(0) @binding(5) var<storage, read> lengths: array<u32>;
@group(0) @binding(6) var<storage, read> marks: array<u32>;
@group(0) @binding(7) var<storage, read> overlaps: array<f32>;
@group(0) @binding(8) var<storage, read_write> previous: array<f32>;
// What changed of each sample: ‖r‖², and ‖x‖² and the number of the coefficients exchanged.
@group(0) @binding(9) var<storage, read_write> errors: array<f32>;
@group(0) @binding(10) var<storage, read_write> energies: array<f32>;
@group(0) @binding(11) var<storage, read_write> uses: array<u32>;

// The slot of the first member from `least` on that the sample uses, and which it is.
fn next_member(sample: u32, least: u32) -> vec2<u32> {
    var found = vec2(0u, n.members);
    for (var slot = 0u; slot < lengths[sample]; slot++) {
        let at = sample * n.sparsity + slot;
        let member = marks[support[at]] - n.base;
        if member >= least && member < found.y { found = vec2(at, member); }
    }
    return found;
}

// r·d' + x (d·d')
fn coefficient(lane: u32, sample: u32, at: u32, member: u32) -> f32 {
    var dot = 0.0;
    for (var i = lane; i < n.dim; i += LANES) {
        dot += residual_at(sample * n.dim + i) * fresh_at((n.place + member) * n.dim + i);
    }
    let c = sum_of(lane, dot) + values[at] * overlaps[member];
    return select(c, max(c, 0.0), n.is_non_negative == 1u);
}

@compute @workgroup_size(LANES)
fn exchange(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let sample = group.y * groups.x + group.x;
    // Uniform in a workgroup, as which members a sample uses.
    if sample >= n.samples { return; }
    var change = 0.0;
    var energy = 0.0;
    var count = 0u;
    if n.is_shared == 1u {
        var least = 0u;
        loop {
            let next = next_member(sample, least);
            if next.y == n.members { break; }
            let c = coefficient(lane, sample, next.x, next.y);
            if lane == 0u {
                previous[next.x] = values[next.x];
                values[next.x] = c;
            }
            least = next.y + 1u;
        }
        storageBarrier();
        workgroupBarrier();
    }
    var least = 0u;
    loop {
        let next = next_member(sample, least);
        if next.y == n.members { break; }
        let at = next.x;
        var x = values[at];
        var c = x;
        if n.is_shared == 1u {
            x = previous[at];
        } else {
            c = coefficient(lane, sample, at, next.y);
        }
        let from_old = support[at] * n.dim;
        let from_new = (n.place + next.y) * n.dim;
        for (var i = lane; i < n.dim; i += LANES) {
            let before = residual_at(sample * n.dim + i);
            let after = before + (x * dictionary_at(from_old + i) - c * fresh_at(from_new + i));
            set_residual(sample * n.dim + i, after);
            change += (after - before) * (after + before);
        }
        energy += x * x;
        count += 1u;
        // All lanes have read x.
        workgroupBarrier();
        if lane == 0u && n.is_shared == 0u {
            previous[at] = x;
            values[at] = c;
        }
        least = next.y + 1u;
    }
    if count > 0u { change = sum_of(lane, change); }
    if lane == 0u {
        errors[sample] = change;
        energies[sample] = energy;
        uses[sample] = count;
    }
}
