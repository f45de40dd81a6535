// Phase (a): a workgroup an atom of the batch.
//
//     u ← Σ x r + d (‖x‖² + w),  d' ← u / ‖u‖            from the coefficients x at hand
//     c ← r·d' + x (d·d'),  u ← Σ c r + d (Σ c x + w d·d'),  d' ← u / ‖u‖    in further steps
//
// Sums over samples are made within each shard, and those of shards in a tree of halves.

struct Numbers {
    dim: u32,
    atoms: u32,
    sparsity: u32,
    members: u32,
    // Where the first member's new atom goes.
    place: u32,
    steps: u32,
    shards: u32,
    is_non_negative: u32,
}
var<immediate> n: Numbers;

@group(0) @binding(0) var<parts, read> residual: array<f32>;
@group(0) @binding(1) var<parts, read> dictionary: array<f32>;
@group(0) @binding(2) var<storage, read> values: array<f32>;
// The atoms of the batch, then their weights.
@group(0) @binding(3) var<storage, read> batch: array<u32>;
@group(0) @binding(4) var<storage, read> counts: array<u32>;
@group(0) @binding(5) var<storage, read> starts: array<u32>;
@group(0) @binding(6) var<storage, read> uses: array<u32>;
// The first block of each shard, and the one after the last.
@group(0) @binding(7) var<storage, read> firsts: array<u32>;
@group(0) @binding(8) var<parts, read_write> fresh: array<f32>;
// d·d' of each member.
@group(0) @binding(9) var<storage, read_write> overlaps: array<f32>;
// u of each member.
@group(0) @binding(10) var<storage, read_write> spare: array<f32>;
// c of each use.
@group(0) @binding(11) var<storage, read_write> coefficients: array<f32>;

var<workgroup> largest: array<u32, LANES>;

fn most_of(lane: u32, x: u32) -> u32 {
    largest[lane] = x;
    workgroupBarrier();
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        if lane < half { largest[lane] = max(largest[lane], largest[lane + half]); }
        workgroupBarrier();
    }
    let most = largest[0];
    workgroupBarrier();
    return most;
}

fn coefficient(e: u32, is_first: bool) -> f32 {
    if is_first { return values[uses[e]]; }
    return coefficients[e];
}

// Σ c r of a row or, for row d, Σ c x.
fn sum_over_samples(j: u32, row: u32, is_first: bool) -> f32 {
    var halves: array<f32, 33>;
    for (var shard = 0u; shard < n.shards; shard++) {
        let first = starts[j] + counts[firsts[shard] * n.atoms + j];
        let end = starts[j] + counts[firsts[shard + 1u] * n.atoms + j];
        var sum = 0.0;
        for (var e = first; e < end; e++) {
            var factor = 0.0;
            if row < n.dim {
                factor = residual_at(uses[e] / n.sparsity * n.dim + row);
            } else {
                factor = values[uses[e]];
            }
            sum += coefficient(e, is_first) * factor;
        }
        var level = 0u;
        for (var left = shard; (left & 1u) == 1u; left /= 2u) {
            sum = halves[level] + sum;
            level += 1u;
        }
        halves[level] = sum;
    }
    return halves[firstLeadingBit(n.shards)];
}

// c of every use, sixteen lanes a use.
fn find_coefficients(lane: u32, j: u32, from_v: u32, overlap: f32) {
    let first = starts[j];
    let end = starts[j + 1u];
    for (var e0 = first; e0 < end; e0 += LANES / 16u) {
        let e = e0 + lane / 16u;
        var sum = 0.0;
        if e < end {
            let from_r = uses[e] / n.sparsity * n.dim;
            for (var i = lane % 16u; i < n.dim; i += 16u) {
                sum += residual_at(from_r + i) * fresh_at(from_v + i);
            }
        }
        partial[lane] = sum;
        workgroupBarrier();
        if lane % 16u == 0u && e < end {
            var dot = 0.0;
            for (var q = 0u; q < 16u; q++) { dot += partial[lane + q]; }
            let c = dot + values[uses[e]] * overlap;
            coefficients[e] = select(c, max(c, 0.0), n.is_non_negative == 1u);
        }
        workgroupBarrier();
    }
    storageBarrier();
    workgroupBarrier();
}

@compute @workgroup_size(LANES)
fn directions(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let member = group.y * groups.x + group.x;
    // Uniform in a workgroup, as all that follows from sums over lanes.
    if member >= n.members { return; }
    let j = batch[member];
    let weight = bitcast<f32>(batch[n.members + member]);
    let from_d = j * n.dim;
    let from_v = (n.place + member) * n.dim;
    let from_u = member * n.dim;
    for (var i = lane; i < n.dim; i += LANES) { set_fresh(from_v + i, dictionary_at(from_d + i)); }
    storageBarrier();
    workgroupBarrier();
    let steps = select(0u, n.steps, starts[j] < starts[j + 1u]);
    var overlap = 1.0;
    for (var number = 0u; number < steps; number++) {
        let is_first = number == 0u;
        if !is_first { find_coefficients(lane, j, from_v, overlap); }
        let own = weight * overlap + sum_over_samples(j, n.dim, is_first);
        var most = 0u;
        for (var i = lane; i < n.dim; i += LANES) {
            let u = sum_over_samples(j, i, is_first) + own * dictionary_at(from_d + i);
            spare[from_u + i] = u;
            most = max(most, bitcast<u32>(u) & 0x7fffffffu);
        }
        most = most_of(lane, most);
        // No direction, or none that is finite.
        if most == 0u || most >= 0x7f800000u { break; }
        let scale = bitcast<f32>(u32(127 - clamp(i32(most >> 23u) - 127, -126, 126)) << 23u);
        var squares = 0.0;
        for (var i = lane; i < n.dim; i += LANES) {
            let u = spare[from_u + i] * scale;
            squares += u * u;
        }
        let norm = sqrt(sum_of(lane, squares));
        if norm == 0.0 { break; }
        var change = 0.0;
        var along = 0.0;
        for (var i = lane; i < n.dim; i += LANES) {
            let u = spare[from_u + i] * scale / norm;
            let apart = u - fresh_at(from_v + i);
            change += apart * apart;
            along += u * dictionary_at(from_d + i);
            set_fresh(from_v + i, u);
        }
        storageBarrier();
        change = sum_of(lane, change);
        overlap = sum_of(lane, along);
        // Four times the epsilon of a number of 32 bits.
        if !is_first && sqrt(change) < 4.8e-7 { break; }
    }
    var along = 0.0;
    for (var i = lane; i < n.dim; i += LANES) {
        along += fresh_at(from_v + i) * dictionary_at(from_d + i);
    }
    along = sum_of(lane, along);
    if lane == 0u { overlaps[member] = along; }
}
