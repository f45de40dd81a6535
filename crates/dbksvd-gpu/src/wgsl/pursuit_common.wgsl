// What pursuits by rows of the Gram matrix in 32 bits (pursuit.wgsl) or 16 (halves.wgsl) and those by
// products with residuals (residuals.wgsl) have in common. The files that follow say what `cosine`,
// `square_of`, `before_rests` and `rest_along` are.

struct Numbers {
    dim: u32,
    atoms: u32,
    sparsity: u32,
    // The first sample of this block, and how many it has.
    first: u32,
    samples: u32,
    flags: u32,
    tolerance: f32,
    // The least correlation that is worth an atom.
    least: f32,
    // The errors of scores, relative to ‖y‖ + ‖γ‖: of those by G; of those by r; and of the latter
    // relative to ‖r‖. Products DᵀR have the first of these, relative to ‖r‖.
    rounding: f32,
    rounding_of_sample: f32,
    rounding_of_rest: f32,
    // The number of this step, where the host counts them.
    step: u32,
}
var<immediate> n: Numbers;

const LEAST_SQUARES: u32 = 1u;
const NON_NEGATIVE: u32 = 2u;
const ABSOLUTE: u32 = 4u;
const RELATIVE: u32 = 8u;

// The most atoms of a code.
const MOST: u32 = 128u;
const NOBODY: u32 = 0xffffffffu;
const LOWEST: f32 = -1e30;
// Relative gaps below which two scores are a tie.
const TIE: f32 = 1e-7;
// ℓ² below which digits of it are lost.
const DEPENDENT: f32 = 1e-3;

@group(0) @binding(0) var<storage, read> correlations: array<f32>;
@group(0) @binding(2) var<parts, read> dictionary: array<f32>;
@group(0) @binding(3) var<storage, read> scaled: array<f32>;
@group(0) @binding(4) var<storage, read> exponents: array<i32>;
// Scores plus their bounds.
@group(0) @binding(5) var<storage, read_write> upper: array<f32>;
// ‖(I − P) d‖² of every atom.
@group(0) @binding(6) var<storage, read_write> norms: array<f32>;
@group(0) @binding(7) var<storage, read_write> inverse: array<f32>;
@group(0) @binding(8) var<storage, read_write> residual: array<f32>;
// A bit an atom that cannot be chosen.
@group(0) @binding(9) var<storage, read_write> mask: array<u32>;
@group(0) @binding(10) var<storage, read_write> support: array<u32>;
@group(0) @binding(11) var<storage, read_write> values: array<f32>;
@group(0) @binding(12) var<storage, read_write> lengths: array<u32>;
// How many samples are in doubt, then which.
@group(0) @binding(13) var<storage, read_write> doubts: array<atomic<u32>>;

var<workgroup> chosen: array<u32, MOST>;
var<workgroup> gamma: array<f32, MOST>;
// The latest row of M; and what is computed of each chosen atom.
var<workgroup> row: array<f32, MOST>;
var<workgroup> g: array<f32, MOST>;
var<workgroup> w: array<f32, MOST>;
var<workgroup> scores: array<f32, LANES>;
var<workgroup> bounds: array<f32, LANES>;
var<workgroup> atoms: array<u32, LANES>;
var<workgroup> others: array<f32, LANES>;
var<workgroup> shared_u32: u32;

fn is_set(flag: u32) -> bool { return (n.flags & flag) != 0u; }

fn is_masked(b: u32, j: u32) -> bool {
    let words = (n.atoms + 31u) / 32u;
    return ((mask[b * words + j / 32u] >> (j % 32u)) & 1u) == 1u;
}

// By one lane.
fn set_mask(b: u32, j: u32, is_out: bool) {
    let word = b * ((n.atoms + 31u) / 32u) + j / 32u;
    let bit = 1u << (j % 32u);
    mask[word] = select(mask[word] & ~bit, mask[word] | bit, is_out);
}

fn at_inverse(b: u32, u: u32, v: u32) -> u32 {
    return (b * n.sparsity + u) * n.sparsity + v;
}

fn norm_of_gamma(t: u32) -> f32 {
    var sum = 0.0;
    for (var u = 0u; u < t; u++) { sum += gamma[u] * gamma[u]; }
    return sqrt(sum);
}

// A score and its bound, the atom, and the largest score plus bound of any other atom.
struct Best { score: f32, bound: f32, atom: u32, others: f32 }

fn better(best: Best, score: f32, bound: f32, atom: u32) -> Best {
    if score > best.score || (score == best.score && atom < best.atom) {
        return Best(score, bound, atom, max(best.others, best.score + best.bound));
    }
    return Best(best.score, best.bound, best.atom, max(best.others, score + bound));
}

fn best_of(lane: u32, mine: Best) -> Best {
    scores[lane] = mine.score;
    bounds[lane] = mine.bound;
    atoms[lane] = mine.atom;
    others[lane] = mine.others;
    workgroupBarrier();
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        if lane < half {
            let own = Best(scores[lane], bounds[lane], atoms[lane], others[lane]);
            let at = lane + half;
            let both = better(own, scores[at], bounds[at], atoms[at]);
            scores[lane] = both.score;
            bounds[lane] = both.bound;
            atoms[lane] = both.atom;
            others[lane] = max(both.others, others[at]);
        }
        workgroupBarrier();
    }
    let best = Best(scores[0], bounds[0], atoms[0], others[0]);
    workgroupBarrier();
    return best;
}

// What the norm of the part of an atom outside the chosen ones does to its score, and the part of
// the score that is in doubt since that norm is rounded.
fn factors(b: u32, j: u32) -> vec2<f32> {
    if !is_set(LEAST_SQUARES) { return vec2(1.0, 0.0); }
    let left = max(norms[b * n.atoms + j], 1e-6);
    return vec2(inverseSqrt(left), 5e-7 / left);
}

fn size_of(correlation: f32) -> f32 {
    return select(abs(correlation), correlation, is_set(NON_NEGATIVE));
}

// r ← y − D_I γ
fn find_residual(b: u32, lane: u32, t: u32) {
    for (var i = lane; i < n.dim; i += LANES) {
        var rest = scaled[b * n.dim + i];
        for (var u = 0u; u < t; u++) { rest -= gamma[u] * dictionary_at(chosen[u] * n.dim + i); }
        residual[b * n.dim + i] = rest;
    }
    storageBarrier();
    workgroupBarrier();
}

fn norm_of_residual(b: u32, lane: u32) -> f32 {
    var sum = 0.0;
    for (var i = lane; i < n.dim; i += LANES) {
        let rest = residual[b * n.dim + i];
        sum += rest * rest;
    }
    return sqrt(sum_of(lane, sum));
}

// d_jᵀ r, by one lane.
fn along_residual(b: u32, j: u32) -> f32 {
    let whole = n.dim / 4u * 4u;
    var sums = vec4(0.0);
    for (var i = 0u; i < whole; i += 4u) {
        let from_d = j * n.dim + i;
        let from_r = b * n.dim + i;
        sums += vec4(
            dictionary_at(from_d), dictionary_at(from_d + 1u),
            dictionary_at(from_d + 2u), dictionary_at(from_d + 3u),
        ) * vec4(
            residual[from_r], residual[from_r + 1u],
            residual[from_r + 2u], residual[from_r + 3u],
        );
    }
    for (var i = whole; i < n.dim; i++) {
        sums.x += dictionary_at(j * n.dim + i) * residual[b * n.dim + i];
    }
    return (sums.x + sums.y) + (sums.z + sums.w);
}

// w ← MᵀM g, what correlations g of the residual with the chosen atoms add to γ.
fn solve(b: u32, lane: u32, t: u32) {
    for (var u = lane; u < t; u += LANES) {
        var sum = 0.0;
        for (var v = 0u; v <= u; v++) { sum += inverse[at_inverse(b, u, v)] * g[v]; }
        w[u] = sum;
    }
    workgroupBarrier();
    for (var u = lane; u < t; u += LANES) {
        var sum = 0.0;
        for (var v = u; v < t; v++) { sum += inverse[at_inverse(b, v, u)] * w[v]; }
        g[u] = sum;
    }
    workgroupBarrier();
    for (var u = lane; u < t; u += LANES) { w[u] = g[u]; }
    workgroupBarrier();
}

// r ← y − D_I γ, made orthogonal to the chosen atoms; γ moves with it.
fn refine(b: u32, lane: u32, t: u32) {
    find_residual(b, lane, t);
    for (var u = lane; u < t; u += LANES) { g[u] = along_residual(b, chosen[u]); }
    workgroupBarrier();
    solve(b, lane, t);
    for (var i = lane; i < n.dim; i += LANES) {
        var change = 0.0;
        for (var u = 0u; u < t; u++) { change += w[u] * dictionary_at(chosen[u] * n.dim + i); }
        residual[b * n.dim + i] -= change;
    }
    for (var u = lane; u < t; u += LANES) { gamma[u] += w[u]; }
    storageBarrier();
    workgroupBarrier();
}

// Scores of the atoms in question by r.
fn settle(b: u32, lane: u32, least: f32, bound: f32) -> Best {
    var best = Best(LOWEST, 0.0, NOBODY, LOWEST);
    for (var j = lane; j < n.atoms; j += LANES) {
        if upper[b * n.atoms + j] < least || is_masked(b, j) { continue; }
        let of_norm = factors(b, j);
        let score = size_of(along_residual(b, j)) * of_norm.x;
        best = better(best, score, bound * of_norm.x + abs(score) * of_norm.y, j);
    }
    return best_of(lane, best);
}

// Whether another atom might be the best, or none, by more than a tie.
fn is_open(best: Best) -> bool {
    let is_resolved = best.score - best.bound > max(best.others, 0.0);
    return !is_resolved && 2.0 * best.bound >= TIE * best.score;
}

// Whether rounding decides if the correlation of the best atom is too little.
fn is_at_edge(b: u32, best: Best, scale: f32) -> bool {
    let edge = n.least * scale * factors(b, best.atom).x;
    return n.least > 0.0 && abs(best.score - edge) <= best.bound;
}

// Adds a row to M for atom s at place t. Returns ℓ².
fn add_row(b: u32, lane: u32, t: u32, s: u32) -> f32 {
    for (var u = lane; u < t; u += LANES) { g[u] = cosine(s, chosen[u]); }
    workgroupBarrier();
    for (var u = lane; u < t; u += LANES) {
        var sum = 0.0;
        for (var v = 0u; v <= u; v++) { sum += inverse[at_inverse(b, u, v)] * g[v]; }
        w[u] = sum;
    }
    workgroupBarrier();
    var square = square_of(s);
    for (var u = 0u; u < t; u++) { square -= w[u] * w[u]; }
    let left = max(square, 1e-12);
    let length = sqrt(left);
    for (var v = lane; v <= t; v += LANES) {
        var sum = 0.0;
        for (var u = v; u < t; u++) { sum -= w[u] * inverse[at_inverse(b, u, v)]; }
        let entry = select(sum, 1.0, v == t) / length;
        row[v] = entry;
        inverse[at_inverse(b, t, v)] = entry;
    }
    storageBarrier();
    workgroupBarrier();
    return left;
}

// How a refit under γ ≥ 0 ended: with all atoms; without the newest; in doubt.
const KEPT: u32 = 0u;
const LEFT: u32 = 1u;
const UNCLEAR: u32 = 2u;

struct Refit { outcome: u32, atoms: u32, is_anew: bool }

// Moves γ ≥ 0 to the least squares under γ ≥ 0 (Lawson & Hanson 1974, chapter 23), with `newest` at
// the end.
fn refit(b: u32, lane: u32, count: u32, newest: u32) -> Refit {
    var t = count;
    var is_anew = false;
    var is_kept = true;
    for (var rounds = 0u; rounds <= count; rounds++) {
        if t == 0u { break; }
        before_rests(b, lane, t);
        for (var u = lane; u < t; u += LANES) { g[u] = rest_along(b, t, u); }
        workgroupBarrier();
        solve(b, lane, t);
        // Every lane goes through all of them: they are few.
        var step = 1.0;
        var largest = 0.0;
        var smallest = 1e30;
        for (var u = 0u; u < t; u++) {
            let goal = gamma[u] + w[u];
            largest = max(largest, abs(goal));
            smallest = min(smallest, abs(goal));
            if goal <= 0.0 { step = min(step, gamma[u] / (gamma[u] - goal)); }
        }
        workgroupBarrier();
        if smallest < 1e-5 * largest { return Refit(UNCLEAR, t, is_anew); }
        if lane == 0u {
            var stay = 0u;
            for (var u = 0u; u < t; u++) {
                let goal = gamma[u] + w[u];
                var reach = 2.0;
                if goal <= 0.0 { reach = gamma[u] / (gamma[u] - goal); }
                if reach > step {
                    gamma[stay] = gamma[u] + min(step, 1.0) * w[u];
                    chosen[stay] = chosen[u];
                    stay++;
                } else {
                    set_mask(b, chosen[u], false);
                }
            }
            shared_u32 = stay;
        }
        storageBarrier();
        workgroupBarrier();
        let stay = workgroupUniformLoad(&shared_u32);
        if stay == t { break; }
        is_anew = true;
        is_kept = is_kept && stay > 0u && chosen[max(stay, 1u) - 1u] == newest;
        t = 0u;
        for (var u = 0u; u < stay; u++) {
            let left = add_row(b, lane, u, chosen[u]);
            if left < DEPENDENT { return Refit(UNCLEAR, t, is_anew); }
            t += 1u;
        }
    }
    return Refit(select(LEFT, KEPT, is_kept), t, is_anew);
}

// ‖r‖ up to which the residual is within the tolerance; negative if there is none.
fn goal_of(b: u32, norm: f32) -> f32 {
    if is_set(ABSOLUTE) { return n.tolerance * scale_of(b); }
    if is_set(RELATIVE) { return n.tolerance * norm; }
    return -1.0;
}

// What a sample was scaled by.
fn scale_of(b: u32) -> f32 {
    return bitcast<f32>(u32(127 - exponents[b]) << 23u);
}

fn leave_to_host(lane: u32, sample: u32) {
    if lane == 0u {
        let place = atomicAdd(&doubts[0], 1u);
        atomicStore(&doubts[place + 1u], sample);
        lengths[sample] = 0u;
    }
}

fn write_code(b: u32, lane: u32, t: u32, sample: u32) {
    let back = bitcast<f32>(u32(127 + exponents[b]) << 23u);
    for (var u = lane; u < n.sparsity; u += LANES) {
        var value = 0.0;
        var atom = 0u;
        if u < t {
            value = gamma[u] * back;
            atom = chosen[u];
            if is_set(NON_NEGATIVE) { value = max(value, 0.0); }
        }
        values[sample * n.sparsity + u] = value;
        support[sample * n.sparsity + u] = atom;
    }
    if lane == 0u { lengths[sample] = t; }
}
