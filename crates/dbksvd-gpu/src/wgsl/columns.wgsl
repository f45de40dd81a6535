// Scales columns to norm 1: a workgroup a column. Columns of zeros stay as they are.

struct Numbers { rows: u32, cols: u32 }
var<immediate> n: Numbers;

@group(0) @binding(0) var<storage, read_write> d: array<f32>;

var<workgroup> largest: array<u32, LANES>;
var<workgroup> sums: array<f32, LANES>;

// 2^e for e from -126 to 127.
fn power_of_two(e: i32) -> f32 {
    return bitcast<f32>(u32(e + 127) << 23u);
}

@compute @workgroup_size(LANES)
fn normalize(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let column = group.y * groups.x + group.x;
    // Uniform in a workgroup.
    if column >= n.cols { return; }
    let start = column * n.rows;
    var most = 0u;
    for (var i = lane; i < n.rows; i += LANES) {
        most = max(most, bitcast<u32>(d[start + i]) & 0x7fffffffu);
    }
    largest[lane] = most;
    workgroupBarrier();
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        if lane < half { largest[lane] = max(largest[lane], largest[lane + half]); }
        workgroupBarrier();
    }
    let bits = largest[0];
    // The squares of numbers near 1 neither over- nor underflow.
    let exponent = clamp(i32(bits >> 23u) - 127, -126, 126);
    let scale = power_of_two(-exponent);
    var sum = 0.0;
    for (var i = lane; i < n.rows; i += LANES) {
        let x = d[start + i] * scale;
        sum += x * x;
    }
    sums[lane] = sum;
    workgroupBarrier();
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        if lane < half { sums[lane] += sums[lane + half]; }
        workgroupBarrier();
    }
    let norm = sqrt(sums[0]);
    if bits == 0u || norm == 0.0 { return; }
    for (var i = lane; i < n.rows; i += LANES) {
        d[start + i] = d[start + i] * scale / norm;
    }
}
