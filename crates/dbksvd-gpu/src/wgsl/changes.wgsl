// What a batch changed, by shards: a workgroup a shard. Sums are of 64 bits in units of
// 2^(e - 166), where e is the exponent field of the largest term: smaller terms lose what lies
// below that, a part of 2^-40 of the largest. They do not depend on the order of samples.

struct Numbers { shards: u32 }
var<immediate> n: Numbers;

@group(0) @binding(0) var<storage, read> errors: array<f32>;
@group(0) @binding(1) var<storage, read> energies: array<f32>;
@group(0) @binding(2) var<storage, read> uses: array<u32>;
// Where the samples of each shard start, and where those of the last end.
@group(0) @binding(3) var<storage, read> bounds: array<u32>;
// Of each shard: the error (low, high, e), the energy likewise, the uses, and nothing.
@group(0) @binding(4) var<storage, read_write> results: array<u32>;

var<workgroup> largest: array<vec2<u32>, LANES>;
var<workgroup> sums: array<vec4<u32>, LANES>;
var<workgroup> counts: array<u32, LANES>;

// A number in units of 2^(most - 166), in two's complement.
fn fixed(x: f32, most: u32) -> vec2<u32> {
    let bits = bitcast<u32>(x);
    let m = mantissa(bits);
    let down = most - exponent(bits);
    var high = m >> 16u;
    var low = m << 16u;
    if down >= 32u {
        low = select(0u, high >> (down - 32u), down < 64u);
        high = 0u;
    } else if down > 0u {
        low = (low >> down) | (high << (32u - down));
        high = high >> down;
    }
    if (bits >> 31u) == 0u { return vec2(low, high); }
    return add64(vec2(~low, ~high), vec2(1u, 0u));
}

@compute @workgroup_size(LANES)
fn changes(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let shard = group.x;
    if shard >= n.shards { return; }
    var most = vec2(1u, 1u);
    for (var i = bounds[shard] + lane; i < bounds[shard + 1u]; i += LANES) {
        let own = vec2(exponent(bitcast<u32>(errors[i])), exponent(bitcast<u32>(energies[i])));
        most = max(most, own);
    }
    largest[lane] = most;
    workgroupBarrier();
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        if lane < half { largest[lane] = max(largest[lane], largest[lane + half]); }
        workgroupBarrier();
    }
    most = largest[0];
    var error = vec2(0u, 0u);
    var energy = vec2(0u, 0u);
    var count = 0u;
    for (var i = bounds[shard] + lane; i < bounds[shard + 1u]; i += LANES) {
        if uses[i] == 0u { continue; }
        error = add64(error, fixed(errors[i], most.x));
        energy = add64(energy, fixed(energies[i], most.y));
        count += uses[i];
    }
    sums[lane] = vec4(error, energy);
    counts[lane] = count;
    workgroupBarrier();
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        if lane < half {
            let own = sums[lane];
            let other = sums[lane + half];
            sums[lane] = vec4(add64(own.xy, other.xy), add64(own.zw, other.zw));
            counts[lane] += counts[lane + half];
        }
        workgroupBarrier();
    }
    if lane == 0u {
        let sum = sums[0];
        results[8u * shard] = sum.x;
        results[8u * shard + 1u] = sum.y;
        results[8u * shard + 2u] = most.x;
        results[8u * shard + 3u] = sum.z;
        results[8u * shard + 4u] = sum.w;
        results[8u * shard + 5u] = most.y;
        results[8u * shard + 6u] = counts[0];
        results[8u * shard + 7u] = 0u;
    }
}
