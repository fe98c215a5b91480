//! One memo, and the inputs of its function.

use std::{
    cell::Cell,
    fs,
    sync::{Barrier, mpsc},
    thread,
};

use memolith::{
    Error, ErrorKind, Lookup, Memo, inputs,
    stats::{Tier, Why},
    testing::{Fault, Operation},
};

use super::{Inputs, memo, number};
use crate::vocabulary::*;

#[test]
fn an_edited_file_is_a_miss_and_its_earlier_contents_are_a_hit_again() {
    let world = Inputs::new();
    let path = world.path("config");
    {
        let memo = memo(&world.bench.store());
        world.write("config", "1");
        miss!(memo, "all" => number(&path));
        hit!(memo, "all" => 1);
        world.write("config", "22");
        miss!(memo, "all" => number(&path));
        hit!(memo, "all" => 22);
        world.write("config", "1");
        hit!(memo, "all" => 1);
        let stats = memo.stats();
        assert_eq!((stats.misses.absent, stats.misses.changed), (1, 1));
        assert_eq!(stats.changed_input, Some(format!("file `{}`", path.display())));
        assert!(memo.last_failure().is_none(), "{:?}", memo.last_failure());
        assert_eq!(memo.len().unwrap(), 2);
    }
    for is_in_memory in [true, false] {
        let store = if is_in_memory { world.bench.store() } else { world.bench.diskful() };
        let memo = memo(&store);
        for text in ["22", "1"] {
            world.write("config", text);
            hit!(memo, "all" => text.parse::<u64>().unwrap());
            hit!(memo, "all" => text.parse::<u64>().unwrap());
        }
    }
}

#[test]
fn an_edit_of_the_same_length_within_one_tick_is_a_miss() {
    let world = Inputs::new();
    let (memo, path) = (memo(&world.bench.store()), world.path("config"));
    for value in 100..200_u64 {
        world.write("config", &value.to_string());
        miss!(memo, "all" => number(&path));
        hit!(memo, "all" => value);
    }
}

#[test]
fn a_file_that_is_not_there_is_an_answer_too() {
    let world = Inputs::new();
    let (memo, path) = (memo(&world.bench.store()), world.path("config"));
    miss!(memo, "all" => number(&path));
    hit!(memo, "all" => 0);
    world.write("config", "5");
    miss!(memo, "all" => number(&path));
    fs::remove_file(&path).unwrap();
    hit!(memo, "all" => 0);
    world.write("config", "5");
    hit!(memo, "all" => 5);
}

#[test]
fn names_existence_and_the_environment_are_inputs() -> Result<(), Error> {
    let world = Inputs::new();
    let memo = memo(&world.bench.store());
    let count = || inputs::list(world.folder.path()).unwrap().len() as u64;
    miss!(memo, "names" => count());
    world.write("a", "");
    miss!(memo, "names" => count());
    hit!(memo, "names" => 1);
    let is_there = || u64::from(inputs::exists(world.path("a")).unwrap());
    miss!(memo, "existence" => is_there());
    world.write("a", "changed, and there");
    hit!(memo, "existence" => 1);
    fs::remove_file(world.path("a"))?;
    miss!(memo, "existence" => is_there());
    hit!(memo, "names" => 0);
    miss!(memo, "environment" => inputs::env("MEMOLITH_TEST_OF_INPUTS").map_or(7, |_| 8));
    hit!(memo, "environment" => 7);
    Ok(())
}

/// The chapter of a slider: back to an earlier position is a hit.
#[test]
fn a_provided_value_is_a_part_of_the_key() {
    let world = Inputs::new();
    let memo = memo(&world.bench.store());
    let ran = Cell::new(0);
    let rows = |position: u64| {
        inputs::scope(|scope| {
            scope.provide("Number of rows to get", position);
            memo.get_or_insert_with("rows", || {
                ran.set(ran.get() + 1);
                inputs::get::<u64>("Number of rows to get").unwrap() * 10
            })
        })
    };
    for position in [1, 2, 3, 2, 1, 3] {
        assert_eq!(rows(position), position * 10);
    }
    assert_eq!((ran.get(), memo.stats().hits.total(), memo.len().unwrap()), (3, 3, 3));
    assert_eq!(memo.stats().changed_input.as_deref(), Some("provided value `Number of rows to get`"));
    // Outside of the scope no position is known.
    miss!(memo, "rows" => 5);
}

#[test]
fn reads_may_depend_on_what_was_read_before() {
    let world = Inputs::new();
    let memo = memo(&world.bench.store());
    let compute = || {
        let chosen = if number(world.path("which")) == 1 { "one" } else { "other" };
        number(world.path(chosen))
    };
    let write = |which: &str, one: &str, other: &str| {
        for (name, text) in [("which", which), ("one", one), ("other", other)] {
            world.write(name, text);
        }
    };
    write("1", "10", "20");
    miss!(memo, "all" => compute());
    write("1", "10", "99");
    hit!(memo, "all" => 10);
    write("2", "10", "20");
    miss!(memo, "all" => compute());
    write("2", "77", "20");
    hit!(memo, "all" => 20);
    write("1", "77", "20");
    miss!(memo, "all" => compute());
    write("1", "10", "20");
    hit!(memo, "all" => 10);
    assert_eq!(memo.len().unwrap(), 3);
}

#[test]
fn an_input_with_two_answers_stores_nothing() {
    let world = Inputs::new();
    let memo = memo(&world.bench.store());
    let value = memo.get_or_insert_with("all", || {
        world.write("config", "1");
        let first = number(world.path("config"));
        world.write("config", "2");
        first + number(world.path("config"))
    });
    assert_eq!((value, memo.get("all").unwrap()), (3, None));
    let failure = memo.take_last_failure().unwrap().error;
    assert!(failure.kind() == ErrorKind::Input && failure.to_string().contains("config"), "{failure}");
    assert_eq!(memo.stats().failures.input, 1);
    miss!(memo, "all" => number(world.path("config")));
    hit!(memo, "all" => 2);
}

#[test]
fn what_cannot_be_compared_later_stores_nothing() {
    let world = Inputs::new();
    let memo = memo(&world.bench.store());
    for _ in 0..2 {
        miss!(memo, "folder" => u64::from(inputs::read(world.folder.path()).is_err()));
        miss!(memo, "nowhere" => u64::from(inputs::get::<u64>("nowhere").is_err()));
    }
    let failure = memo.take_last_failure().unwrap().error;
    assert!(failure.to_string().contains("nowhere"), "{failure}");
}

#[test]
fn the_bounds_count_variants_and_one_is_enough() -> Result<(), Error> {
    let world = Inputs::new();
    let store = world.bench.store();
    let memo: Memo<str, u64> = Memo::builder("totals").max_entries(1).open(&store)?;
    for text in ["1", "2", "3", "1"] {
        world.write("config", text);
        miss!(memo, "all" => number(world.path("config")));
        hit!(memo, "all" => text.parse::<u64>().unwrap());
        assert_eq!(memo.len()?, 1);
    }
    miss!(memo, "other" => 5);
    store.flush()?;
    assert_eq!((memo.len()?, memo.stats().evictions), (1, 4));
    miss!(memo, "all" => number(world.path("config")));
    Ok(())
}

#[test]
fn the_oldest_of_sixty_five_variants_leaves() -> Result<(), Error> {
    let world = Inputs::new();
    let store = world.bench.store();
    let memo = memo(&store);
    for text in 0..65_u64 {
        world.write("config", &text.to_string());
        miss!(memo, "all" => number(world.path("config")));
    }
    store.flush()?;
    assert_eq!(memo.len()?, 64);
    world.write("config", "1");
    hit!(memo, "all" => 1);
    world.write("config", "0");
    miss!(memo, "all" => number(world.path("config")));
    assert_eq!(memo.entries()?.count(), 64);
    Ok(())
}

#[test]
fn expired_variants_are_computed_again_in_their_place() -> Result<(), Error> {
    let world = Inputs::new();
    let store = world.bench.store();
    let memo: Memo<str, u64> = Memo::builder("totals").ttl(HOUR).open(&store)?;
    let path = world.path("config");
    world.write("config", "1");
    miss!(memo, "all" => number(&path));
    world.bench.clock.advance(40 * MINUTE);
    world.write("config", "2");
    miss!(memo, "all" => number(&path));
    world.bench.clock.advance(40 * MINUTE);
    hit!(memo, "all" => 2);
    world.write("config", "1");
    miss!(memo, "all" => number(&path));
    assert_eq!(memo.stats().misses.expired, 1);
    hit!(memo, "all" => 1);
    world.write("config", "2");
    hit!(memo, "all" => 2);
    world.bench.clock.advance(2 * HOUR);
    assert_eq!(memo.len()?, 0);
    assert_eq!(store.sweep()?.expired, 2);
    miss!(memo, "all" => number(&path));
    Ok(())
}

#[test]
fn an_entry_with_a_ttl_of_its_own_outlives_the_others() -> Result<(), Error> {
    let world = Inputs::new();
    let store = world.bench.store();
    let memo: Memo<str, u64> = Memo::builder("totals").ttl(MINUTE).open(&store)?;
    let path = world.path("config");
    world.write("config", "1");
    assert_eq!(memo.entry("all").ttl(HOUR).or_insert_with(|| number(&path)), 1);
    world.write("config", "2");
    miss!(memo, "all" => number(&path));
    world.bench.clock.advance(30 * MINUTE);
    miss!(memo, "all" => number(&path));
    world.write("config", "1");
    hit!(memo, "all" => 1);
    drop((memo, store));
    let store = world.bench.store();
    let memo: Memo<str, u64> = Memo::builder("totals").ttl(MINUTE).open(&store)?;
    hit!(memo, "all" => 1);
    Ok(())
}

#[test]
fn a_stale_variant_stands_in_for_a_failure() -> Result<(), Error> {
    let world = Inputs::new();
    let store = world.bench.store();
    let memo: Memo<str, u64> = Memo::builder("totals").ttl(MINUTE).stale_for(HOUR).open(&store)?;
    world.write("config", "1");
    miss!(memo, "all" => number(world.path("config")));
    world.bench.clock.advance(2 * MINUTE);
    assert_eq!(memo.get_or_try_insert_with("all", || Err("down")), Ok(1));
    world.write("config", "2");
    assert_eq!(memo.get_or_try_insert_with("all", || Err("down")), Err("down"));
    Ok(())
}

#[test]
fn the_methods_without_a_closure_know_the_inputs() -> Result<(), Error> {
    let world = Inputs::new();
    let memo = memo(&world.bench.store());
    world.write("config", "1");
    assert!(!memo.contains_key("all")?);
    miss!(memo, "all" => number(world.path("config")));
    assert!(memo.contains_key("all")? && memo.get("all")? == Some(1));
    world.write("config", "2");
    assert!(!memo.contains_key("all")? && memo.get("all")?.is_none());
    let Lookup::Miss(claim) = memo.entry("all").lookup() else { panic!("a hit") };
    let value = claim.run(|| number(world.path("config")));
    claim.insert(&value);
    let Lookup::Hit(found) = memo.entry("all").lookup() else { panic!("a miss") };
    assert_eq!((found.value, found.tier), (2, Tier::Disk));
    assert!(memo.remove("all")?);
    assert!(!memo.contains_key("all")? && !memo.remove("all")?);
    assert_eq!(memo.len()?, 0);
    Ok(())
}

#[test]
fn a_function_that_reads_no_more_inputs_has_one_value_for_all() {
    let world = Inputs::new();
    let memo = memo(&world.bench.store());
    world.write("config", "1");
    miss!(memo, "all" => number(world.path("config")));
    world.write("config", "2");
    miss!(memo, "all" => 9);
    world.write("config", "3");
    hit!(memo, "all" => 9);
}

/// And one whose value was stored without inputs, before it was over, has variants then.
#[test]
fn a_value_without_inputs_gives_way_to_variants() -> Result<(), Error> {
    let world = Inputs::new();
    let store = world.bench.store();
    let memo: Memo<str, u64> = Memo::builder("totals").ttl(MINUTE).open(&store)?;
    miss!(memo, "all" => 9);
    world.bench.clock.advance(2 * MINUTE);
    world.write("config", "1");
    miss!(memo, "all" => number(world.path("config")));
    hit!(memo, "all" => 1);
    store.flush()?;
    assert_eq!(memo.len()?, 1);
    world.write("config", "2");
    miss!(memo, "all" => number(world.path("config")));
    Ok(())
}

#[test]
fn a_full_disk_keeps_variants_in_memory() {
    let world = Inputs::new();
    let memo = memo(&world.bench.store());
    world.write("config", "1");
    miss!(memo, "all" => number(world.path("config")));
    memo.flush().unwrap();
    world.bench.faults.plant(Operation::Write, Fault::NoSpace);
    for text in ["2", "3"] {
        world.write("config", text);
        miss!(memo, "all" => number(world.path("config")));
        let _ = memo.last_failure();
        hit!(memo, "all" => text.parse::<u64>().unwrap());
    }
    world.write("config", "2");
    hit!(memo, "all" => 2);
}

#[test]
fn a_large_value_has_a_file_of_its_own_for_each_variant() -> Result<(), Error> {
    let world = Inputs::new();
    let open = |store: &memolith::Store| Memo::<str, Vec<u8>>::builder("pictures").open(store);
    let path = world.path("config");
    let compute = || large(number(&path) as u8);
    {
        let store = world.bench.store();
        let memo = open(&store)?;
        for text in ["1", "2"] {
            world.write("config", text);
            miss!(memo, "all" => compute());
        }
        store.close()?;
    }
    let store = world.bench.diskful();
    let memo = open(&store)?;
    for text in ["1", "2"] {
        world.write("config", text);
        hit!(memo, "all" => large(text.parse().unwrap()));
    }
    memo.remove("all")?;
    store.flush()?;
    assert_eq!((memo.len()?, memo.usage()?.bytes), (0, 0));
    Ok(())
}

#[test]
fn callers_with_the_same_answers_wait_and_others_compute_at_the_same_time() {
    let world = Inputs::new();
    let memo = memo(&world.bench.store());
    let call = |position: u64, compute: &dyn Fn()| {
        inputs::scope(|scope| {
            scope.provide("position", position);
            memo.get_or_insert_with("rows", || {
                compute();
                inputs::get::<u64>("position").unwrap()
            })
        })
    };
    assert_eq!(call(0, &|| ()), 0);
    let both = Barrier::new(2);
    let ((begin, started), (go, gone)) = (mpsc::channel(), mpsc::channel::<()>());
    thread::scope(|scope| {
        let (call, both) = (&call, &both);
        let first = scope.spawn(move || {
            call(1, &|| {
                both.wait();
            })
        });
        let second = scope.spawn(move || {
            call(2, &|| {
                both.wait();
            })
        });
        assert_eq!((first.join().unwrap(), second.join().unwrap()), (1, 2));
        let leader = scope.spawn(move || {
            call(3, &|| {
                begin.send(()).unwrap();
                gone.recv().unwrap();
            })
        });
        started.recv().unwrap();
        let waiter = scope.spawn(move || call(3, &|| panic!("computed twice")));
        go.send(()).unwrap();
        assert_eq!((leader.join().unwrap(), waiter.join().unwrap()), (3, 3));
    });
    for position in [0, 1, 2, 3] {
        assert_eq!(call(position, &|| panic!("computed again")), position);
    }
}

/// A server that says "not modified": the old value stands for the inputs that it was computed from.
#[test]
fn a_result_that_is_made_of_the_old_value_depends_on_its_inputs() -> Result<(), Error> {
    let world = Inputs::new();
    let store = world.bench.store();
    for (name, stale_for) in [("dead", None), ("stale", Some(DAY))] {
        let builder = Memo::<str, u64>::builder(name).ttl(MINUTE);
        let builder = stale_for.map_or(builder, |time| Memo::builder(name).ttl(MINUTE).stale_for(time));
        let memo = builder.open(&store)?;
        world.write("config", "1");
        miss!(memo, "all" => number(world.path("config")));
        world.bench.clock.advance(2 * MINUTE);
        let update = |old: Option<u64>| Ok::<_, Error>(old.unwrap());
        assert_eq!(memo.entry("all").max_age(std::time::Duration::ZERO).or_try_update_with(update)?, 1);
        hit!(memo, "all" => 1);
        world.write("config", "2");
        miss!(memo, "all" => number(world.path("config")));
        world.bench.clock.advance(2 * HOUR);
    }
    Ok(())
}

#[test]
fn a_claim_that_showed_the_stale_value_depends_on_its_inputs() -> Result<(), Error> {
    let world = Inputs::new();
    let store = world.bench.store();
    let memo: Memo<str, u64> = Memo::builder("totals").ttl(MINUTE).stale_for(DAY).open(&store)?;
    world.write("config", "1");
    miss!(memo, "all" => number(world.path("config")));
    world.bench.clock.advance(2 * MINUTE);
    let Lookup::Miss(claim) = memo.entry("all").lookup() else { panic!("a hit") };
    let stale = *claim.stale().unwrap();
    claim.insert(&stale);
    hit!(memo, "all" => 1);
    world.write("config", "2");
    miss!(memo, "all" => number(world.path("config")));
    Ok(())
}

#[test]
fn variants_take_the_place_of_a_value_that_is_renewed() -> Result<(), Error> {
    let world = Inputs::new();
    let store = world.bench.store();
    let memo = memo(&store);
    let renew = || {
        memo.entry("all").max_age(std::time::Duration::ZERO).or_insert_with(|| number(world.path("config")))
    };
    memo.insert("all", &50)?;
    world.write("config", "1");
    assert_eq!(renew(), 1);
    hit!(memo, "all" => 1);
    store.flush()?;
    hit!(memo, "all" => 1);
    // A variant in place of an equal one, and one whose inputs changed meanwhile.
    assert_eq!(renew(), 1);
    world.write("config", "2");
    miss!(memo, "all" => number(world.path("config")));
    world.write("config", "1");
    let value = memo.entry("all").max_age(std::time::Duration::ZERO).or_insert_with(|| {
        world.write("config", "2");
        number(world.path("config")) + 40
    });
    assert_eq!(value, 42);
    hit!(memo, "all" => 42);
    world.write("config", "1");
    hit!(memo, "all" => 1);
    store.flush()?;
    assert_eq!(memo.len()?, 2);
    Ok(())
}

#[test]
fn keys_that_push_each_other_out_are_stored_again() -> Result<(), Error> {
    let world = Inputs::new();
    let store = world.bench.store();
    let memo: Memo<str, u64> = Memo::builder("totals").max_entries(1).open(&store)?;
    world.write("config", "1");
    for _ in 0..3 {
        for key in ["a", "b"] {
            miss!(memo, key => number(world.path("config")));
            store.flush()?;
            hit!(memo, key => 1);
        }
    }
    assert_eq!((memo.len()?, memo.stats().evictions), (1, 5));
    assert!(memo.why("a")?.to_string().contains("bound"), "{}", memo.why("a")?);
    Ok(())
}

#[test]
fn a_value_with_inputs_that_is_read_is_spared() -> Result<(), Error> {
    let world = Inputs::new();
    let store = world.bench.store();
    let memo: Memo<str, u64> = Memo::builder("totals").max_entries(3).spare_used().open(&store)?;
    world.write("config", "1");
    miss!(memo, "used" => number(world.path("config")));
    for round in 0..20 {
        hit!(memo, "used" => 1);
        miss!(memo, &format!("{round}") => round);
        store.flush()?;
    }
    hit!(memo, "used" => 1);
    Ok(())
}

#[test]
fn lists_leave_when_the_last_of_their_values_is_over() -> Result<(), Error> {
    let world = Inputs::new();
    let store = world.bench.store();
    let memo = memo(&store);
    world.write("config", "1");
    for key in 0..20 {
        let key = key.to_string();
        assert_eq!(memo.entry(&key).ttl(MINUTE).or_insert_with(|| number(world.path("config"))), 1);
    }
    store.flush()?;
    assert!(memo.usage()?.bytes > 0);
    world.bench.clock.advance(HOUR);
    store.sweep()?;
    assert_eq!((memo.usage()?.bytes, memo.remove("1")?), (0, false));
    Ok(())
}

#[test]
fn why_names_the_reason() -> Result<(), Error> {
    let world = Inputs::new();
    let store = world.bench.store();
    let memo: Memo<str, u64> = Memo::builder("totals").ttl(HOUR).open(&store)?;
    let why = |key: &str| memo.why(key).unwrap().to_string();
    assert!(why("all").contains("nothing is stored"), "{}", why("all"));
    world.write("config", "1");
    miss!(memo, "all" => number(world.path("config")));
    assert!(memo.why("all")?.is_hit() && why("all").contains("on disk"), "{}", why("all"));
    hit!(memo, "all" => 1);
    assert!(why("all").contains("in memory"), "{}", why("all"));
    world.write("config", "2");
    assert!(why("all").contains("config"), "{}", why("all"));
    world.write("config", "1");
    world.bench.clock.advance(2 * HOUR);
    assert!(matches!(memo.why("all")?, Why::Expired { .. }), "{}", why("all"));
    let hits = memo.stats();
    assert_eq!((hits.hits.total(), hits.misses.total()), (1, 1), "it counts nothing");
    drop((memo, store));
    let store = world.bench.store();
    let memo: Memo<str, u64> = Memo::builder("totals").version(2).open(&store)?;
    assert!(matches!(memo.why("all")?, Why::Absent | Why::Outdated));
    memo.insert("plain", &1)?;
    drop((memo, store));
    let store = world.bench.store();
    let memo: Memo<str, u64> = Memo::builder("totals").version(3).open(&store)?;
    assert!(matches!(memo.why("plain")?, Why::Outdated));
    Ok(())
}
