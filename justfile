# Each recipe calls a script of .ci, so that a machine without `just` runs the same commands.

# The list of recipes.
default:
    @just --list --unsorted

# Formatting, words, lints and docs: a warning is an error.
check:
    .ci/run check

# Every test of a promise.
test:
    .ci/run test

# Only the tests that kill a child process.
crash:
    .ci/run crash

# The tests with many more rounds.
soak:
    .ci/run soak

# Each fuzz target for a minute (needs cargo-fuzz).
fuzz:
    .ci/run fuzz

# memolith over an engine that panics or hangs, at each call and in its own threads: ten minutes (needs patch).
engine-faults:
    .ci/run engine-faults

# The rooms with unsafe code or threads, under miri (needs a nightly toolchain with it).
miri:
    .ci/run miri

# Both sides of every comparison, in one run.
bench:
    .ci/run bench

# The same with fewer samples: a direction, not a figure.
bench-quick:
    .ci/run bench-quick

# The same work through memolith and other caches, into docs/benchmarks.md: ten minutes.
peers:
    .ci/run peers

# The documentation of the crate, without warnings.
doc:
    .ci/run doc

# Each example twice: the second run must be hits.
examples:
    .ci/run examples

# The library with the oldest dependencies that it allows.
minimal-versions:
    .ci/run minimal-versions

# Types of other crates as values of a memo.
types:
    .ci/run types

# Advisories, licences, duplicates (needs cargo-deny).
deny:
    .ci/run deny

# The words that make prose hard to read, as file:line.
words:
    .ci/words --lines

# All that a change must pass.
ci:
    .ci/run
