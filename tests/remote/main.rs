//! Stores of several machines on a real server. A machine is a directory, and where a test says so a process.
//!
//! `redis-server` and `valkey-server` are started from the path, on loopback. Where neither is installed, these tests pass and say
//! so; with `MEMOLITH_NEEDS_SERVERS` set they fail.

#![cfg(unix)]
#![allow(clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, reason = "a test binary")]

mod bad_ways;
mod lost;
mod machine;
mod order;
mod processes;
mod proxy;
mod random;
mod refusals;
mod server;
mod sharing;
mod trouble;
