# Every recipe is a step of .ci/run, so that a machine without `just` runs the same commands.

# What is there.
default:
    @just --list --unsorted

# Formatting, lints and docs: no warning is let through.
check:
    .ci/run check

# Everything that claims a promise.
test:
    .ci/run test

# The tests that kill a child process, alone.
crash:
    .ci/run crash

# The tests with many more rounds.
soak:
    .ci/run soak

# Every fuzz target for a minute (needs cargo-fuzz).
fuzz:
    .ci/run fuzz

# What becomes of it when the engine panics or hangs, at each call and in its own threads: ten minutes.
engine-faults:
    .ci/run engine-faults

# What holds unsafe code or threads, under miri (needs a nightly toolchain with it).
miri:
    .ci/run miri

# Both sides of every comparison, in one run.
bench:
    .ci/run bench

# The same with fewer samples: for the direction, not for a figure.
bench-quick:
    .ci/run bench-quick

# The same work through memolith and the others, into docs/benchmarks.md: ten minutes.
peers:
    .ci/run peers

# The pages of the crate, without warnings.
doc:
    .ci/run doc

# Every example twice: the second run must be hits.
examples:
    .ci/run examples

# Types of other crates as values of a memo.
types:
    .ci/run types

# Advisories, licences, duplicates (needs cargo-deny).
deny:
    .ci/run deny

# The words that make prose hard to read, as file:line.
words:
    .ci/words --lines

# What a change must pass.
ci:
    .ci/run
