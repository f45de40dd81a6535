// Greedy pursuits without a Gram matrix: a step of a workgroup a sample. Before it, a product gives
// the correlations of all atoms with the residuals, for a block of samples at once.
//
//     A ← DᵀR
//     s ← the atom of the best score: |α|, or |α| / ‖(I − P) d‖; α and α / … if γ ≥ 0 is demanded
//     M gets a row, and γ moves, as in pursuit.wgsl
//     r ← y − D_I γ, made orthogonal to the chosen atoms
//     q ← D_I row, whose products with D lower ‖(I − P) d‖², if scores need it
//
// As there, rounding chooses no atom: scores carry bounds, atoms that these leave in question are
// scored by r once more with a smaller one, and what is in doubt even so is left to the host.
//
// Between steps, chosen atoms, γ and t are in the codes of the sample.

@group(0) @binding(1) var<storage, read> squares: array<f32>;
@group(0) @binding(14) var<storage, read_write> states: array<u32>;
@group(0) @binding(15) var<storage, read_write> directions: array<f32>;

const RUNNING: u32 = 1u;
const ENDED: u32 = 0u;

fn square_of(s: u32) -> f32 { return squares[s]; }

fn norm_of_sample(b: u32, lane: u32) -> f32 {
    var sum = 0.0;
    for (var i = lane; i < n.dim; i += LANES) {
        let y = scaled[b * n.dim + i];
        sum += y * y;
    }
    return sqrt(sum_of(lane, sum));
}

// Scores of all atoms by the products.
fn scan(b: u32, lane: u32, bound: f32) -> Best {
    var best = Best(LOWEST, 0.0, NOBODY, LOWEST);
    for (var j = lane; j < n.atoms; j += LANES) {
        let at = b * n.atoms + j;
        if is_masked(b, j) {
            upper[at] = LOWEST;
            continue;
        }
        let of_norm = factors(b, j);
        let score = size_of(correlations[at]) * of_norm.x;
        let own = bound * of_norm.x + abs(score) * of_norm.y;
        upper[at] = score + own;
        best = better(best, score, own, j);
    }
    return best_of(lane, best);
}

// q of the newest atom. After atoms have left, it is 0, and the norms are computed anew.
fn find_direction(b: u32, lane: u32, t: u32, is_anew: bool) {
    for (var i = lane; i < n.dim; i += LANES) {
        var sum = 0.0;
        if !is_anew {
            for (var u = 0u; u < t; u++) { sum += row[u] * dictionary_at(chosen[u] * n.dim + i); }
        }
        directions[b * n.dim + i] = sum;
    }
    if !is_anew { return; }
    for (var j = lane; j < n.atoms; j += LANES) {
        var cosines: array<f32, MOST>;
        var left = squares[j];
        for (var u = 0u; u < t; u++) {
            cosines[u] = cosine(j, chosen[u]);
            var part = 0.0;
            for (var v = 0u; v <= u; v++) { part += inverse[at_inverse(b, u, v)] * cosines[v]; }
            left -= part * part;
        }
        norms[b * n.atoms + j] = left;
    }
}

// How a step ends.
const GOES_ON: u32 = 0u;
const IS_DONE: u32 = 1u;
const IS_DOUBTFUL: u32 = 2u;

struct Outcome { how: u32, atoms: u32 }

fn step_of(b: u32, lane: u32, before: u32, norm: f32) -> Outcome {
    var t = before;
    if t >= n.sparsity || norm == 0.0 { return Outcome(IS_DONE, t); }
    let magnitude = norm + norm_of_gamma(t);
    let rest = norm_of_residual(b, lane);
    let goal = goal_of(b, norm);
    if goal >= 0.0 {
        if abs(rest - goal) <= 1e-6 * magnitude && t > 0u { return Outcome(IS_DOUBTFUL, t); }
        if rest <= goal { return Outcome(IS_DONE, t); }
    }
    // In the first step r is y, which nothing has rounded.
    let of_sample = select(n.rounding_of_sample * magnitude, 0.0, t == 0u);
    var best = scan(b, lane, of_sample + n.rounding * rest);
    if best.atom == NOBODY || best.score + best.bound <= 0.0 { return Outcome(IS_DONE, t); }
    let scale = scale_of(b);
    if is_open(best) || is_at_edge(b, best, scale) {
        let bound = of_sample + n.rounding_of_rest * rest;
        best = settle(b, lane, best.score - best.bound, bound);
        if best.score + best.bound <= 0.0 { return Outcome(IS_DONE, t); }
        if is_open(best) || is_at_edge(b, best, scale) { return Outcome(IS_DOUBTFUL, t); }
    }
    let s = best.atom;
    let size = best.score / factors(b, s).x;
    if size < n.least * scale { return Outcome(IS_DONE, t); }
    let square = add_row(b, lane, t, s);
    if square < DEPENDENT { return Outcome(IS_DOUBTFUL, t); }
    if lane == 0u {
        chosen[t] = s;
        gamma[t] = 0.0;
        set_mask(b, s, true);
    }
    storageBarrier();
    workgroupBarrier();
    t += 1u;
    var how = GOES_ON;
    var is_anew = false;
    if is_set(NON_NEGATIVE) {
        let refitted = refit(b, lane, t, s);
        t = refitted.atoms;
        is_anew = refitted.is_anew;
        if refitted.outcome == UNCLEAR { return Outcome(IS_DOUBTFUL, t); }
        if refitted.outcome == LEFT { how = IS_DONE; }
    } else {
        let step = along_residual(b, s) / sqrt(square);
        workgroupBarrier();
        for (var u = lane; u < t; u += LANES) { gamma[u] += step * row[u]; }
        workgroupBarrier();
    }
    refine(b, lane, t);
    if t >= n.sparsity || n.step + 1u >= 4u * n.sparsity { how = IS_DONE; }
    if how == GOES_ON && is_set(LEAST_SQUARES) { find_direction(b, lane, t, is_anew); }
    return Outcome(how, t);
}

@compute @workgroup_size(LANES)
fn advance(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let b = group.y * groups.x + group.x;
    // Uniform in a workgroup, as all that follows from sums over lanes.
    if b >= n.samples { return; }
    let sample = n.first + b;
    var t = 0u;
    if n.step == 0u {
        let words = (n.atoms + 31u) / 32u;
        for (var i = lane; i < words; i += LANES) { mask[b * words + i] = 0u; }
        if is_set(LEAST_SQUARES) {
            for (var j = lane; j < n.atoms; j += LANES) { norms[b * n.atoms + j] = squares[j]; }
        }
        storageBarrier();
        find_residual(b, lane, 0u);
    } else {
        if states[b] == ENDED { return; }
        t = lengths[sample];
        for (var u = lane; u < t; u += LANES) {
            chosen[u] = support[sample * n.sparsity + u];
            gamma[u] = values[sample * n.sparsity + u];
        }
        workgroupBarrier();
    }
    let norm = norm_of_sample(b, lane);
    let outcome = step_of(b, lane, t, norm);
    // All lanes have read the state and the length.
    workgroupBarrier();
    t = outcome.atoms;
    if lane == 0u { states[b] = select(ENDED, RUNNING, outcome.how == GOES_ON); }
    if outcome.how == IS_DOUBTFUL {
        leave_to_host(lane, sample);
    } else if outcome.how == IS_DONE {
        write_code(b, lane, t, sample);
    } else {
        for (var u = lane; u < t; u += LANES) {
            support[sample * n.sparsity + u] = chosen[u];
            values[sample * n.sparsity + u] = gamma[u];
        }
        if lane == 0u { lengths[sample] = t; }
    }
}
