// What a rarer atom shares with more frequent ones leaves it: a workgroup an atom of a block.
//
//     d ← normalise(d_p − Σ_{i < p} sign(c_i) max(|c_i| − t, 0) d_i),  c_i = d_i·d_p
//
// Atoms are sorted by use. One of which nothing is left stays.

struct Numbers {
    dim: u32,
    atoms: u32,
    // The place of the first atom of the block, and how many it has.
    first: u32,
    count: u32,
    tolerance: f32,
}
var<immediate> n: Numbers;

@group(0) @binding(0) var<parts, read> sorted: array<f32>;
// Cosines of all atoms with each of the block.
@group(0) @binding(1) var<storage, read> cosines: array<f32>;
@group(0) @binding(2) var<storage, read> order: array<u32>;
@group(0) @binding(3) var<parts, read_write> dictionary: array<f32>;

var<workgroup> partial: array<f32, LANES>;
var<workgroup> largest: array<u32, LANES>;

// How much an atom shares beyond what is allowed.
fn excess(cosine: f32) -> f32 {
    return sign(cosine) * max(abs(cosine) - n.tolerance, 0.0);
}

fn part(number: u32, i: u32) -> f32 {
    let place = n.first + number;
    var own = sorted_at(place * n.dim + i);
    for (var other = 0u; other < place; other++) {
        let shared_ = excess(cosines[number * n.atoms + other]);
        if shared_ != 0.0 { own -= shared_ * sorted_at(other * n.dim + i); }
    }
    return own;
}

@compute @workgroup_size(LANES)
fn decorrelate(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = group.y * groups.x + group.x;
    if number >= n.count { return; }
    let place = n.first + number;
    let into = order[place] * n.dim;
    var changes = 0u;
    for (var other = lane; other < place; other += LANES) {
        if excess(cosines[number * n.atoms + other]) != 0.0 { changes = 1u; }
    }
    largest[lane] = changes;
    workgroupBarrier();
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        if lane < half { largest[lane] = max(largest[lane], largest[lane + half]); }
        workgroupBarrier();
    }
    // Uniform in a workgroup.
    if largest[0] == 0u { return; }
    var squares = 0.0;
    for (var i = lane; i < n.dim; i += LANES) {
        let own = part(number, i);
        set_dictionary(into + i, own);
        squares += own * own;
    }
    partial[lane] = squares;
    workgroupBarrier();
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        if lane < half { partial[lane] += partial[lane + half]; }
        workgroupBarrier();
    }
    let norm = sqrt(partial[0]);
    for (var i = lane; i < n.dim; i += LANES) {
        if norm > 1e-6 {
            set_dictionary(into + i, dictionary_at(into + i) / norm);
        } else {
            set_dictionary(into + i, sorted_at(place * n.dim + i));
        }
    }
}
