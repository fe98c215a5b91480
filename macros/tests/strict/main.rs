//! The output of the attributes passes every lint of rustc and clippy, in each edition. `.ci/run clippy` runs
//! clippy's.

#![deny(
    warnings,
    clippy::all,
    clippy::nursery,
    clippy::pedantic,
    clippy::restriction,
    elided_lifetimes_in_paths,
    explicit_outlives_requirements,
    let_underscore_drop,
    missing_copy_implementations,
    missing_debug_implementations,
    redundant_imports,
    redundant_lifetimes,
    single_use_lifetimes,
    tail_expr_drop_order,
    trivial_casts,
    trivial_numeric_casts,
    unit_bindings,
    unnameable_types,
    unreachable_pub,
    unsafe_op_in_unsafe_fn,
    unused_import_braces,
    unused_lifetimes,
    unused_macro_rules,
    unused_qualifications,
    unused_results,
    variant_size_differences
)]
#![forbid(dead_code, missing_docs, unsafe_code, unused)]
#![allow(
    clippy::arbitrary_source_item_ordering,
    clippy::blanket_clippy_restriction_lints,
    clippy::missing_assert_message,
    clippy::needless_return,
    clippy::pub_with_shorthand,
    clippy::single_call_fn,
    clippy::tests_outside_test_module,
    clippy::unwrap_used,
    reason = "these are about the text of this test, or contradict another one"
)]

use core::{
    // Under its own name it is in the prelude of some editions.
    future::Future as Awaitable,
    pin::pin,
    task::{Context, Poll, Waker},
};
use std::thread;

pub mod functions;
pub mod without_prelude;

fn block_on<F: Awaitable>(future: F) -> F::Output {
    let mut pinned = pin!(future);
    loop {
        if let Poll::Ready(value) = pinned.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return value;
        }
        thread::yield_now();
    }
}

#[test]
fn all_of_them_compile_and_run() {
    memolith::set_default_store(memolith::Store::temporary().unwrap()).unwrap();
    assert_eq!(functions::run(), [1, 2, 1, 1, 1, 1, 7, 0]);
    assert_eq!(block_on(functions::run_async()), [2, 1, 3, 1, 1, 1, 2]);
    assert_eq!(block_on(without_prelude::run_async()), 7);
    assert_eq!(without_prelude::run(), (true, 2, 5));
}
