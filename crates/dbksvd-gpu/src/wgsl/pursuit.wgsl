// Greedy pursuits by rows of the Gram matrix G: a workgroup a sample.
//
//     α ← α⁰ − Σ γ_u g_u   for all atoms, with α⁰ = Dᵀy and g_u row I_u of G
//     s ← the atom of the best score: |α|, or |α| / ‖(I − P) d‖; α and α / … if γ ≥ 0 is demanded
//     M gets a row, where M = L⁻¹ and L Lᵀ = G_II:  w ← M g,  ℓ² ← G_ss − ‖w‖²,
//                                                  row ← (−wᵀM, 1) / ℓ
//     γ ← γ + (α_s / ℓ) row
//
// Rounding chooses no atom. Every score carries a bound of its error. Where the bound leaves more
// than one atom in question, the residual r is computed, made orthogonal to the atoms chosen, and
// the scores of those in question are computed from it, which leaves a much smaller bound. A sample
// that is in doubt even so is left to the host, which codes it in double precision. So is one whose
// next atom nearly depends on those chosen.

@group(0) @binding(1) var<parts, read> gram: array<f32>;

fn cosine(s: u32, j: u32) -> f32 { return gram_at(s * n.atoms + j); }

fn square_of(s: u32) -> f32 { return gram_at(s * n.atoms + s); }

fn before_rests(b: u32, lane: u32, t: u32) {}

// d_uᵀ (y − D_I γ) for a chosen atom.
fn rest_along(b: u32, t: u32, u: u32) -> f32 {
    var rest = correlations[b * n.atoms + chosen[u]];
    for (var v = 0u; v < t; v++) { rest -= gamma[v] * gram_at(chosen[v] * n.atoms + chosen[u]); }
    return rest;
}

// Scores of all atoms by rows of G. `is_anew` says that M is not the one of the step before with a
// row more.
fn scan(b: u32, lane: u32, t: u32, bound: f32, is_anew: bool) -> Best {
    var best = Best(LOWEST, 0.0, NOBODY, LOWEST);
    for (var j = lane; j < n.atoms; j += LANES) {
        let at = b * n.atoms + j;
        if is_masked(b, j) {
            upper[at] = LOWEST;
            continue;
        }
        var correlation = correlations[at];
        var along = 0.0;
        for (var u = 0u; u < t; u++) {
            let cosine = gram_at(chosen[u] * n.atoms + j);
            correlation -= gamma[u] * cosine;
            along += row[u] * cosine;
        }
        if is_set(LEAST_SQUARES) {
            if t == 0u || is_anew {
                var left = gram_at(j * n.atoms + j);
                for (var u = 0u; u < t; u++) {
                    var part = 0.0;
                    for (var v = 0u; v <= u; v++) {
                        part += inverse[at_inverse(b, u, v)] * gram_at(chosen[v] * n.atoms + j);
                    }
                    left -= part * part;
                }
                norms[at] = left;
            } else {
                norms[at] -= along * along;
            }
        }
        let of_norm = factors(b, j);
        let score = size_of(correlation) * of_norm.x;
        let own = bound * of_norm.x + abs(score) * of_norm.y;
        upper[at] = score + own;
        best = better(best, score, own, j);
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
    let scale = scale_of(b);
    let goal = goal_of(b, norm);

    var t = 0u;
    var is_doubtful = false;
    var is_anew = false;
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
        var best = scan(b, lane, t, n.rounding * magnitude, is_anew);
        is_anew = false;
        // All lanes read the norm of the best atom, which one has written.
        storageBarrier();
        if best.atom == NOBODY || best.score + best.bound <= 0.0 { break; }
        let is_settled = is_open(best) || is_at_edge(b, best, scale);
        if is_settled {
            refine(b, lane, t);
            let rest = norm_of_residual(b, lane);
            let bound = n.rounding_of_sample * magnitude + n.rounding_of_rest * rest;
            best = settle(b, lane, best.score - best.bound, bound);
            if best.score + best.bound <= 0.0 { break; }
            if is_open(best) || is_at_edge(b, best, scale) {
                is_doubtful = true;
                break;
            }
        }
        let s = best.atom;
        let size = best.score / factors(b, s).x;
        if size < n.least * scale { break; }
        let square = add_row(b, lane, t, s);
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
            is_anew = refitted.is_anew;
            if refitted.outcome == UNCLEAR {
                is_doubtful = true;
                break;
            }
            if refitted.outcome == LEFT { break; }
        } else {
            // By r where that has decided, since the rows of G may not even know the sign.
            var correlation = correlations[b * n.atoms + s];
            if is_settled {
                correlation = along_residual(b, s);
            } else {
                for (var u = 0u; u + 1u < t; u++) {
                    correlation -= gamma[u] * gram_at(chosen[u] * n.atoms + s);
                }
            }
            let step = correlation / sqrt(square);
            workgroupBarrier();
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
