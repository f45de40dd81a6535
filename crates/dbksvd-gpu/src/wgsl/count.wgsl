// The sum of integers, by one workgroup.

struct Numbers { count: u32 }
var<immediate> n: Numbers;

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read_write> total: array<u32>;

var<workgroup> sums: array<u32, LANES>;

@compute @workgroup_size(LANES)
fn count(@builtin(local_invocation_index) lane: u32) {
    var sum = 0u;
    for (var i = lane; i < n.count; i += LANES) {
        sum += lengths[i];
    }
    sums[lane] = sum;
    workgroupBarrier();
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        if lane < half { sums[lane] += sums[lane + half]; }
        workgroupBarrier();
    }
    if lane == 0u { total[0] = sums[0]; }
}
