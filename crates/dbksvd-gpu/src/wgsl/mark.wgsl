// Marks the atoms of a batch by numbers that no earlier batch has had: a lane a member.

struct Numbers { members: u32, base: u32 }
var<immediate> n: Numbers;

@group(0) @binding(0) var<storage, read> batch: array<u32>;
@group(0) @binding(1) var<storage, read_write> marks: array<u32>;

@compute @workgroup_size(LANES)
fn mark(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let member = (group.y * groups.x + group.x) * LANES + lane;
    if member < n.members { marks[batch[member]] = n.base + member; }
}
