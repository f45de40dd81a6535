"""The results as Markdown."""

TIMES = [0.25, 0.5, 1, 2, 4, 8, 16]


def markdown(results):
    parts = [preamble(results["machine"], results["settings"])]
    if results["coding"]:
        parts.append(coding_summary(results["coding"]))
        parts += [coding_table(problem) for problem in results["coding"]]
    parts += [learning_table(lesson) for lesson in results["learning"]]
    return "\n".join(parts)


def preamble(machine, settings):
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    blas = ", ".join(
        f"{library['filepath']} {library['version']} ({library['architecture']})"
        for library in machine["blas"]
    )
    return f"""# dbksvd and its peers

{machine["date"]}, `{machine["command"]}`, commit {machine["commit"]}.
{machine["cpu"]}, {machine["cores"]} cores, {machine["memory_gib"]} GiB; {machine["system"]};
{machine["rustc"]}; Python {machine["python"]}; {packages};
SPAMS: {machine["spams_build"]}; BLAS: {blas}.
Load before: {machine["load_before"]:.1f} (a load near or above 1 means that something else was
running, and that two threads did not have two cores); {machine["minutes"]} minutes.
Rounds: {settings["rounds"]} ({settings["rounds_w4"]} of W4); `benches/peers/README.md` says what is
measured and how.
"""


def coding_summary(problems):
    lines = [
        "## Coding: samples a second, two threads",
        "",
        "In brackets, the ratio to the fastest peer, the median over the rounds. Coding over"
        " product: seconds of this crate's OMP over those of the product DᵀY alone at its fastest,"
        " both on one core. From Python: seconds of the Python package, from a NumPy array to SciPy's"
        " compressed rows, over those of the crate.",
        "",
        "| problem | dbksvd OMP | dbksvd OLS | fastest peer | coding over product | from Python |",
        "|---|---|---|---|---|---|",
    ]
    for problem in problems:
        rows = {(row["coder"], row["threads"]): row for row in problem["coders"]}
        fastest = next(row for row in problem["coders"] if row["coder"] == problem["fastest_peer"])
        own = [shown(rows[f"dbksvd {rule}", 2]) for rule in ("OMP", "OLS")]
        peer = f"{fastest['samples_per_second']:,.0f} ({fastest['coder']})"
        ratio = f"{problem['coding_over_product']:.2f}"
        package = f"{problem['package_over_crate']:.2f}"
        lines.append(
            f"| {title(problem)} | {own[0]} | {own[1]} | {peer} | {ratio} | {package} |"
        )
    return "\n".join(lines) + "\n"


def shown(row):
    return f"{row['samples_per_second']:,.0f} ({row['ratio']:.2f})"


def title(problem):
    dim, atoms, sparsity = problem["shape"]
    return f"{problem['workload']} ({dim}, {atoms}, {sparsity}), {problem['data']}"


def coding_table(problem):
    lines = [
        f"### {title(problem)}",
        "",
        "Error: ‖Y − DX‖² / ‖Y‖²; then that of this crate by the same rule on the same samples, and"
        " the share of samples for which both chose the same atoms.",
        "",
        "| coder | threads | samples | samples/s | ratio | nonzeros | error | ours | same atoms"
        " | Gram, s |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in problem["coders"]:
        cells = [
            row["coder"],
            row["threads"],
            f"{row['samples']:,}",
            f"{row['samples_per_second']:,.0f}",
            f"{row['ratio']:.3g}",
            f"{row['nonzeros']:.2f}",
            f"{row['error']:.5f}",
            optional(row["error_ours"], ".5f"),
            optional(row["agreement"], ".2%"),
            optional(row["gram"], ".3f"),
        ]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    products = problem["product_samples_per_second"]
    fastest = max(products, key=products.get)
    lines += ["", f"Product alone, one core: {products[fastest]:,.0f} samples/s, {fastest}.", ""]
    return "\n".join(lines)


def optional(value, form):
    return "" if value is None else format(value, form)


def learning_table(lesson):
    times = " | ".join(f"{time:g} s" for time in TIMES)
    start = lesson["start"]
    lines = [
        f"## Learning: {lesson['about']}",
        "",
        f"The least error ‖Y − DX‖² / ‖Y‖² on {lesson['held_out']:,} held-out samples, coded by"
        f" SPAMS' omp, of the runs that took at most so long to learn. At the start:"
        f" {start['error']:.4f}.",
        "",
        f"| learner | {times} | longest run | its error | by dbksvd OMP |",
        "|---|" + "---|" * (len(TIMES) + 3),
    ]
    for curve in lesson["curves"]:
        points = curve["points"]
        cells = [curve["name"]]
        for time in TIMES:
            reached = [point["error"] for point in points if point["seconds"] <= time]
            cells.append(f"{min(reached):.4f}" if reached else "")
        last = max(points, key=lambda point: point["seconds"])
        cells += [f"{last['seconds']:.1f} s", f"{last['error']:.4f}"]
        cells.append(f"{last['error_by_dbksvd_omp']:.4f}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
