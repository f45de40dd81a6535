// Rows of the Gram matrix in 16 bits: a workgroup a row of a block.

struct Numbers { atoms: u32, first: u32, count: u32 }
var<immediate> n: Numbers;

// Products of all atoms with each of the block.
@group(0) @binding(0) var<storage, read> products: array<f32>;
@group(0) @binding(1) var<parts, read_write> gram: array<u32>;
@group(0) @binding(2) var<storage, read_write> scales: array<f32>;

var<workgroup> largest: array<f32, LANES>;

fn product_of(number: u32, j: u32) -> f32 {
    // The diagonal is kept elsewhere, since it is the largest by far.
    if j == n.first + number || j >= n.atoms { return 0.0; }
    return products[number * n.atoms + j];
}

fn unit_of(x: f32, scale: f32) -> u32 {
    if scale == 0.0 { return 0u; }
    return bitcast<u32>(i32(clamp(round(x / scale * 32767.0), -32767.0, 32767.0))) & 0xffffu;
}

@compute @workgroup_size(LANES)
fn quantise(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = group.y * groups.x + group.x;
    if number >= n.count { return; }
    var most = 0.0;
    for (var j = lane; j < n.atoms; j += LANES) { most = max(most, abs(product_of(number, j))); }
    largest[lane] = most;
    workgroupBarrier();
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        if lane < half { largest[lane] = max(largest[lane], largest[lane + half]); }
        workgroupBarrier();
    }
    let scale = largest[0];
    let words = (n.atoms + 1u) / 2u;
    for (var word = lane; word < words; word += LANES) {
        let low = unit_of(product_of(number, 2u * word), scale);
        let high = unit_of(product_of(number, 2u * word + 1u), scale);
        set_gram((n.first + number) * words + word, low | (high << 16u));
    }
    if lane == 0u { scales[n.first + number] = scale; }
}
