# Which lines of src ran and which never did, from two files of LLVM's lcov format: the first says
# which lines the library has code for, the second how often they ran. `src` is the folder, with a
# slash at its end.
BEGIN {
    FS = "[:,]"
    sort = "LC_ALL=C sort"
    by_line = "LC_ALL=C sort -V"
}

function row(name, lines, run) {
    return sprintf("%-36s %6d %6d %6.1f %%", name, lines, run, lines ? 100 * run / lines : 100)
}

# Lines between two that never ran, without code of their own, belong to the range.
function end_range(file) {
    if (first) never[++ranges] = "src/" file ":" (first == last ? first : first "-" last)
    first = 0
}

$1 == "SF" {
    in_src = index($2, src) == 1
    file = substr($2, length(src) + 1)
}

$1 == "DA" && in_src && NR == FNR {
    has_code[file, $2 + 0] = 1
    if ($2 + 0 > longest[file]) longest[file] = $2 + 0
}

$1 == "DA" && in_src && NR != FNR { runs[file, $2 + 0] += $3 }

END {
    for (file in longest) {
        module = file
        sub(/(\/.*|\.rs)$/, "", module)
        for (line = 1; line <= longest[file]; line++) {
            if (!((file, line) in has_code)) continue
            lines[file]++
            of_module[module]++
            all++
            if (runs[file, line] > 0) {
                run[file]++
                run_of_module[module]++
                all_run++
                end_range(file)
            } else {
                if (!first) first = line
                last = line
            }
        }
        end_range(file)
    }
    print "\nmodule: lines, those that ran"
    for (module in of_module) print row(module, of_module[module], run_of_module[module]) | sort
    close(sort)
    print "\nfile: lines, those that ran"
    for (file in longest) print row(file, lines[file], run[file]) | sort
    close(sort)
    print "\nlines that never ran"
    for (i = 1; i <= ranges; i++) print never[i] | by_line
    close(by_line)
    print "\n" row("all of src", all, all_run)
}
