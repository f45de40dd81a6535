// Which samples use each atom, in the order of samples: a counting sort without a race. Samples are
// cut into blocks, none of which lies in two shards. A use is the number of its slot among all.
//
//     count    how often each block uses each atom
//     offsets  the sums of that over the blocks before; the last row has those over all
//     starts   where the uses of each atom start: the sums over the atoms before
//     fill     a use's place is after those of its atom in earlier blocks, and in earlier samples
//              of its block

struct Numbers { atoms: u32, sparsity: u32, blocks: u32 }
var<immediate> n: Numbers;

@group(0) @binding(0) var<storage, read> support: array<u32>;
@group(0) @binding(1) var<storage, read> lengths: array<u32>;
// Where the samples of each block start, and where those of the last end.
@group(0) @binding(2) var<storage, read> bounds: array<u32>;
// Blocks + 1 rows of a number an atom.
@group(0) @binding(3) var<storage, read_write> counts: array<atomic<u32>>;

@compute @workgroup_size(LANES)
fn count(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let block = group.y * groups.x + group.x;
    if block >= n.blocks { return; }
    for (var at = bounds[block] * n.sparsity + lane; at < bounds[block + 1u] * n.sparsity; at += LANES) {
        if at % n.sparsity < lengths[at / n.sparsity] {
            atomicAdd(&counts[block * n.atoms + support[at]], 1u);
        }
    }
}
