// Copies samples scaled by powers of two to a largest number in [1, 2): a workgroup a sample. So
// nothing that a pursuit computes over- or underflows, and no digit changes.

struct Numbers { dim: u32, first: u32, samples: u32 }
var<immediate> n: Numbers;

@group(0) @binding(0) var<parts, read> y: array<f32>;
@group(0) @binding(1) var<storage, read_write> scaled: array<f32>;
// The exponent of each sample's scale.
@group(0) @binding(2) var<storage, read_write> exponents: array<i32>;

var<workgroup> largest: array<u32, LANES>;

@compute @workgroup_size(LANES)
fn scale(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let b = group.y * groups.x + group.x;
    if b >= n.samples { return; }
    let from_ = (n.first + b) * n.dim;
    var most = 0u;
    for (var i = lane; i < n.dim; i += LANES) {
        most = max(most, bitcast<u32>(y_at(from_ + i)) & 0x7fffffffu);
    }
    largest[lane] = most;
    workgroupBarrier();
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        if lane < half { largest[lane] = max(largest[lane], largest[lane + half]); }
        workgroupBarrier();
    }
    let exponent = clamp(i32(largest[0] >> 23u) - 127, -126, 126);
    let factor = bitcast<f32>(u32(127 - exponent) << 23u);
    for (var i = lane; i < n.dim; i += LANES) {
        scaled[b * n.dim + i] = y_at(from_ + i) * factor;
    }
    if lane == 0u { exponents[b] = exponent; }
}
