// Σ x² of parts of a buffer: a workgroup a part, four numbers of result each.

struct Numbers { parts: u32, width: u32 }
var<immediate> n: Numbers;

@group(0) @binding(0) var<parts, read> x: array<f32>;
// First and one past the last number of each part; unless all have the same width.
@group(0) @binding(1) var<storage, read> bounds: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read_write> results: array<vec4<u32>>;

var<workgroup> largest: array<u32, LANES>;
var<workgroup> sums: array<Sum, LANES>;

@compute @workgroup_size(LANES)
fn squares(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let part = group.y * groups.x + group.x;
    if part >= n.parts { return; }
    var range = vec2(part * n.width, part * n.width + n.width);
    if n.width == 0u { range = bounds[part]; }
    var most = 1u;
    for (var i = range.x + lane; i < range.y; i += LANES) {
        most = max(most, exponent(bitcast<u32>(x_at(i))));
    }
    largest[lane] = most;
    workgroupBarrier();
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        if lane < half { largest[lane] = max(largest[lane], largest[lane + half]); }
        workgroupBarrier();
    }
    most = largest[0];
    var sum = Sum(0u, 0u, 0u);
    for (var i = range.x + lane; i < range.y; i += LANES) {
        sum = add96(sum, square(x_at(i), most));
    }
    sums[lane] = sum;
    workgroupBarrier();
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        if lane < half { sums[lane] = add96(sums[lane], sums[lane + half]); }
        workgroupBarrier();
    }
    if lane == 0u {
        results[part] = vec4(sums[0].low, sums[0].middle, sums[0].high, most);
    }
}
