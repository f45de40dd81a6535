// By how much more would be left of a sample without an atom and those like it: a workgroup a use.
// The other atoms get at most k steps of matching pursuit, until what is lost falls below `typical`.

struct Numbers {
    dim: u32,
    atoms: u32,
    sparsity: u32,
    uses: u32,
    is_non_negative: u32,
    coherence: f32,
    typical: f32,
}
var<immediate> n: Numbers;

const NOBODY: u32 = 0xffffffffu;

@group(0) @binding(0) var<parts, read> residual: array<f32>;
@group(0) @binding(1) var<parts, read> y: array<f32>;
@group(0) @binding(2) var<parts, read> dictionary: array<f32>;
// The atom and the sample of each use.
@group(0) @binding(3) var<storage, read> uses: array<vec2<u32>>;
// What is left of each sample, and which atoms are alike.
@group(0) @binding(4) var<storage, read_write> rest: array<f32>;
@group(0) @binding(5) var<storage, read_write> is_alike: array<u32>;
@group(0) @binding(6) var<storage, read_write> results: array<f32>;

var<workgroup> sizes: array<f32, LANES>;
var<workgroup> atoms: array<u32, LANES>;

fn energy_of_rest(lane: u32, number: u32) -> f32 {
    var sum = 0.0;
    for (var i = lane; i < n.dim; i += LANES) {
        let x = rest[number * n.dim + i];
        sum += x * x;
    }
    return sum_of(lane, sum);
}

fn is_before(size: f32, atom: u32, than: f32, than_atom: u32) -> bool {
    return size > than || (size == than && atom < than_atom);
}

@compute @workgroup_size(LANES)
fn lost(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = group.y * groups.x + group.x;
    // Uniform in a workgroup, as all that follows from sums over lanes.
    if number >= n.uses { return; }
    let own = uses[number].x;
    let sample = uses[number].y;
    for (var j = lane; j < n.atoms; j += LANES) {
        var cosine = 0.0;
        for (var i = 0u; i < n.dim; i++) {
            cosine += dictionary_at(own * n.dim + i) * dictionary_at(j * n.dim + i);
        }
        let likeness = select(abs(cosine), cosine, n.is_non_negative == 1u);
        is_alike[number * n.atoms + j] = u32(j == own || likeness > n.coherence);
    }
    var sum = 0.0;
    for (var i = lane; i < n.dim; i += LANES) {
        let r = residual_at(sample * n.dim + i);
        sum += r * r;
        rest[number * n.dim + i] = y_at(sample * n.dim + i);
    }
    let now = sum_of(lane, sum);
    storageBarrier();
    workgroupBarrier();
    var lost = energy_of_rest(lane, number) - now;
    for (var step = 0u; step < n.sparsity; step++) {
        if lost < n.typical { break; }
        var size = 0.0;
        var atom = NOBODY;
        for (var j = lane; j < n.atoms; j += LANES) {
            if is_alike[number * n.atoms + j] == 1u { continue; }
            var product = 0.0;
            for (var i = 0u; i < n.dim; i++) {
                product += rest[number * n.dim + i] * dictionary_at(j * n.dim + i);
            }
            let own_size = select(abs(product), product, n.is_non_negative == 1u);
            if own_size > size {
                size = own_size;
                atom = j;
            }
        }
        sizes[lane] = size;
        atoms[lane] = atom;
        workgroupBarrier();
        for (var half = LANES / 2u; half > 0u; half /= 2u) {
            if lane < half && is_before(sizes[lane + half], atoms[lane + half], sizes[lane], atoms[lane]) {
                sizes[lane] = sizes[lane + half];
                atoms[lane] = atoms[lane + half];
            }
            workgroupBarrier();
        }
        let best = atoms[0];
        workgroupBarrier();
        if best == NOBODY { break; }
        var product = 0.0;
        for (var i = lane; i < n.dim; i += LANES) {
            product += rest[number * n.dim + i] * dictionary_at(best * n.dim + i);
        }
        product = sum_of(lane, product);
        for (var i = lane; i < n.dim; i += LANES) {
            rest[number * n.dim + i] -= product * dictionary_at(best * n.dim + i);
        }
        storageBarrier();
        workgroupBarrier();
        lost = energy_of_rest(lane, number) - now;
    }
    if lane == 0u { results[number] = max(lost, 0.0); }
}
