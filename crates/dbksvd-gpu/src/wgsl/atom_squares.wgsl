// ‖d‖² of every atom: a lane an atom.

struct Numbers { dim: u32, atoms: u32 }
var<immediate> n: Numbers;

@group(0) @binding(0) var<parts, read> dictionary: array<f32>;
@group(0) @binding(1) var<storage, read_write> squares: array<f32>;

@compute @workgroup_size(LANES)
fn atom_squares(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let j = (group.y * groups.x + group.x) * LANES + lane;
    if j >= n.atoms { return; }
    var sum = 0.0;
    for (var i = 0u; i < n.dim; i++) {
        let x = dictionary_at(j * n.dim + i);
        sum += x * x;
    }
    squares[j] = sum;
}
