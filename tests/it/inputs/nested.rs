//! What an inner call reads, the outer one depends on.

use std::cell::Cell;

use memolith::{Context, Error, inputs};

use super::{Inputs, memo, number};
use crate::vocabulary::*;

#[test]
fn the_inputs_of_an_inner_call_are_those_of_the_outer_one() {
    let world = Inputs::new();
    let store = world.bench.store();
    let (outer, inner) = (memo(&store), plain(&store, "parts"));
    let ran = Cell::new((0, 0));
    let part = || {
        inner.get_or_insert_with("part", || {
            ran.set((ran.get().0, ran.get().1 + 1));
            number(world.path("config"))
        })
    };
    let all = |key: &str| {
        outer.get_or_insert_with(key, || {
            ran.set((ran.get().0 + 1, ran.get().1));
            part() + 100
        })
    };
    world.write("config", "1");
    assert_eq!((all("a"), ran.get()), (101, (1, 1)));
    // This one finds the inner value, in memory or on disk: its inputs count all the same.
    assert_eq!((all("b"), ran.get()), (101, (2, 1)));
    assert_eq!((all("a"), all("b"), ran.get()), (101, 101, (2, 1)));
    world.write("config", "2");
    assert_eq!((all("a"), ran.get()), (102, (3, 2)));
    assert_eq!((all("b"), ran.get()), (102, (4, 2)));
    world.write("config", "1");
    assert_eq!((all("a"), all("b"), ran.get()), (101, 101, (4, 2)));
    assert!(outer.last_failure().is_none() && inner.last_failure().is_none());
}

#[test]
fn so_are_those_of_an_inner_call_that_fails() {
    let world = Inputs::new();
    let store = world.bench.store();
    let (outer, inner) = (memo(&store), plain(&store, "parts"));
    let compute = || {
        let part = inner.get_or_try_insert_with("part", || match number(world.path("config")) {
            0 => Err("no number"),
            number => Ok(number),
        });
        part.unwrap_or(77)
    };
    world.write("config", "0");
    miss!(outer, "all" => compute());
    hit!(outer, "all" => 77);
    world.write("config", "3");
    miss!(outer, "all" => compute());
    hit!(outer, "all" => 3);
}

#[test]
fn a_value_that_is_found_without_a_closure_passes_its_inputs_on() {
    let world = Inputs::new();
    let store = world.bench.store();
    let (outer, inner) = (memo(&store), plain(&store, "parts"));
    world.write("config", "1");
    miss!(inner, "part" => number(world.path("config")));
    miss!(outer, "all" => inner.get("part").unwrap().unwrap_or(50));
    hit!(outer, "all" => 1);
    world.write("config", "2");
    miss!(outer, "all" => inner.get("part").unwrap().unwrap_or(50));
}

/// A scope that the outer function makes is no input of it.
#[test]
fn a_value_that_the_outer_function_provides_is_none_of_its_inputs() {
    let world = Inputs::new();
    let store = world.bench.store();
    let (outer, inner) = (memo(&store), plain(&store, "parts"));
    miss!(outer, "all" => inputs::scope(|scope| {
        scope.provide("unit", 3_u64);
        inner.get_or_insert_with("part", || inputs::get::<u64>("unit").unwrap())
    }));
    hit!(outer, "all" => 3);
    assert_eq!(outer.stats().failures.total(), 0);
    let part = |unit: u64| {
        inputs::scope(|scope| {
            scope.provide("unit", unit);
            inner.get("part").unwrap()
        })
    };
    assert_eq!((part(3), part(4)), (Some(3), None));
}

#[test]
fn another_thread_notes_within_the_context() {
    let world = Inputs::new();
    let memo = memo(&world.bench.store());
    let path = world.path("config");
    let compute = || {
        let context = Context::current();
        std::thread::scope(|scope| scope.spawn(|| context.run(|| number(&path))).join().unwrap())
    };
    world.write("config", "1");
    miss!(memo, "all" => compute());
    world.write("config", "2");
    miss!(memo, "all" => compute());
    hit!(memo, "all" => 2);
}

#[test]
fn effects_and_inputs_of_one_value_are_kept_together() -> Result<(), Error> {
    let world = Inputs::new();
    let store = world.bench.store();
    let shown = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let screen = std::sync::Arc::clone(&shown);
    let memo: memolith::Memo<str, u64> = memolith::Memo::builder("report")
        .effects(move |line: &String| screen.lock().unwrap().push(line.clone()))
        .open(&store)?;
    let call = || {
        memo.get_or_insert_with("all", || {
            let value = number(world.path("config"));
            memolith::effects::emit(format!("it is {value}"));
            value
        })
    };
    for text in ["1", "2", "1", "2"] {
        world.write("config", text);
        call();
    }
    let lines = std::mem::take(&mut *shown.lock().unwrap());
    assert_eq!(lines, ["it is 1", "it is 2", "it is 1", "it is 2"]);
    assert_eq!(memo.stats().hits.total(), 2);
    Ok(())
}

/// The threads of a pool belong to the computation within its context, and to none without it.
#[test]
fn the_threads_of_a_pool_note_within_the_context() {
    use rayon::prelude::*;
    let world = Inputs::new();
    let memo = memo(&world.bench.store());
    let names = ["a", "b", "c", "d"];
    for (at, name) in names.iter().enumerate() {
        world.write(name, &at.to_string());
    }
    let sum = |is_told: bool| {
        let context = if is_told { Context::current() } else { Context::default() };
        names.par_iter().map(|name| context.run(|| number(world.path(name)))).sum::<u64>()
    };
    miss!(memo, "told" => sum(true));
    miss!(memo, "not told" => sum(false));
    world.write("c", "40");
    hit!(memo, "not told" => 6);
    miss!(memo, "told" => sum(true));
    hit!(memo, "told" => 44);
}
