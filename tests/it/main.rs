//! The claims of memolith, one module a promise.

#![allow(unreachable_pub, missing_docs, reason = "a test binary")]
#![allow(clippy::panic, clippy::unwrap_used, clippy::missing_panics_doc, clippy::must_use_candidate)]

#[macro_use]
mod vocabulary;

mod attributes;
mod basic;
mod bounds;
mod clearing;
mod closing;
mod codec;
mod compaction;
mod contained;
mod directory;
mod durability;
mod effects;
mod entries;
mod events;
mod faults;
mod frames;
mod freshness;
mod handles;
mod hanging;
mod history;
mod hits;
mod identity;
mod in_memory;
mod inputs;
mod keys;
mod kinds;
mod layering;
mod model;
mod observers;
mod once;
mod options;
mod order;
mod ordered;
mod persistence;
mod pool;
mod rebuild;
mod repeated;
mod scopes;
mod searched;
mod snapshots;
mod spinner;
mod stamp;
mod stress;
mod threads;
mod ticks;
mod traced;

mod totals;
mod transparent;
mod ttl;
mod types;
mod values;
mod waiters;
