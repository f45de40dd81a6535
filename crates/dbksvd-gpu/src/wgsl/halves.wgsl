// Greedy pursuits by rows of the Gram matrix in 16 bits: a workgroup a sample.
//
// As pursuit.wgsl, by rows of which a number is G_sj ≈ σ_s v_sj / 32767 for j ≠ s, off by half a
// unit: half the memory and half the traffic. That is in the bounds of scores, which so leave more
// atoms in question. All else that G is needed for is computed from the atoms. Scores by
// ‖(I − P) d‖ have no such form: their norms would be too rough.

// Two numbers a word, the first in the lower half; rows are whole words.
@group(0) @binding(1) var<parts, read> gram: array<u32>;
// σ_s, and ‖d_s‖².
@group(0) @binding(14) var<storage, read> scales: array<f32>;
@group(0) @binding(15) var<storage, read> squares: array<f32>;

// Half a unit, and what rounding adds to it.
const HALF: f32 = 0.51 / 32767.0;

fn square_of(s: u32) -> f32 { return squares[s]; }

// The 16 bits of row s, atom j, as a number.
fn unit_of(s: u32, j: u32) -> f32 {
    let word = gram_at(s * ((n.atoms + 1u) / 2u) + j / 2u);
    return f32(i32(word << (16u - 16u * (j % 2u))) >> 16u);
}

fn scan(b: u32, lane: u32, t: u32, rounding: f32) -> Best {
    var bound = rounding;
    for (var u = 0u; u < t; u++) { bound += abs(gamma[u]) * scales[chosen[u]] * HALF; }
    var best = Best(LOWEST, 0.0, NOBODY, LOWEST);
    for (var j = lane; j < n.atoms; j += LANES) {
        let at = b * n.atoms + j;
        if is_masked(b, j) {
            upper[at] = LOWEST;
            continue;
        }
        var correlation = correlations[at];
        for (var u = 0u; u < t; u++) {
            correlation -= gamma[u] * (scales[chosen[u]] / 32767.0) * unit_of(chosen[u], j);
        }
        let score = size_of(correlation);
        upper[at] = score + bound;
        best = better(best, score, bound, j);
    }
    return best_of(lane, best);
}

@compute @workgroup_size(LANES)
fn pursue(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let b = group.y * groups.x + group.x;
    // Uniform in a workgroup, as all that follows from sums over lanes.
    if b >= n.samples { return; }
    let sample = n.first + b;
    let words = (n.atoms + 31u) / 32u;
    for (var i = lane; i < words; i += LANES) { mask[b * words + i] = 0u; }
    storageBarrier();
    find_residual(b, lane, 0u);
    let norm = norm_of_residual(b, lane);
    let goal = goal_of(b, norm);

    var t = 0u;
    var is_doubtful = false;
    for (var steps = 0u; steps < 4u * n.sparsity; steps++) {
        if t >= n.sparsity || norm == 0.0 { break; }
        let magnitude = norm + norm_of_gamma(t);
        if goal >= 0.0 {
            find_residual(b, lane, t);
            let rest = norm_of_residual(b, lane);
            if abs(rest - goal) <= 1e-6 * magnitude && t > 0u {
                is_doubtful = true;
                break;
            }
            if rest <= goal { break; }
        }
        var best = scan(b, lane, t, n.rounding * magnitude);
        if best.atom == NOBODY || best.score + best.bound <= 0.0 { break; }
        let is_settled = is_open(best);
        if is_settled {
            refine(b, lane, t);
            let rest = norm_of_residual(b, lane);
            let bound = n.rounding_of_sample * magnitude + n.rounding_of_rest * rest;
            best = settle(b, lane, best.score - best.bound, bound);
            if best.score + best.bound <= 0.0 { break; }
            if is_open(best) {
                is_doubtful = true;
                break;
            }
        }
        let s = best.atom;
        let square = add_row(b, lane, t, s);
        // Where rows are rough, the score of the best atom is, too: by its own products with those
        // chosen, which add_row has left in g.
        var correlation = correlations[b * n.atoms + s];
        if is_settled {
            correlation = along_residual(b, s);
        } else {
            for (var u = 0u; u < t; u++) { correlation -= gamma[u] * g[u]; }
        }
        workgroupBarrier();
        if size_of(correlation) < n.least * scale_of(b) { break; }
        if square < DEPENDENT {
            is_doubtful = true;
            break;
        }
        if lane == 0u {
            chosen[t] = s;
            gamma[t] = 0.0;
            set_mask(b, s, true);
        }
        storageBarrier();
        workgroupBarrier();
        t += 1u;
        if is_set(NON_NEGATIVE) {
            let refitted = refit(b, lane, t, s);
            t = refitted.atoms;
            if refitted.outcome == UNCLEAR {
                is_doubtful = true;
                break;
            }
            if refitted.outcome == LEFT { break; }
        } else {
            let step = correlation / sqrt(square);
            for (var u = lane; u < t; u += LANES) { gamma[u] += step * row[u]; }
            workgroupBarrier();
        }
    }
    if is_doubtful {
        leave_to_host(lane, sample);
    } else {
        refine(b, lane, t);
        write_code(b, lane, t, sample);
    }
}
