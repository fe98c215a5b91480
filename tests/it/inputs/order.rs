//! A change of a key concerns all its variants.

use std::fs;

use memolith::Error;

use super::{Inputs, memo, number};

/// Two variants of the key, the file at the second one.
fn two_variants(world: &Inputs, memo: &memolith::Memo<str, u64>) {
    for text in ["1", "2"] {
        world.write("config", text);
        miss!(memo, "all" => number(world.path("config")));
    }
}

#[test]
fn a_removal_drops_all_variants_also_those_of_earlier_answers() -> Result<(), Error> {
    let world = Inputs::new();
    let store = world.bench.store();
    let memo = memo(&store);
    two_variants(&world, &memo);
    assert!(memo.remove("all")?);
    assert_eq!(memo.len()?, 0);
    miss!(memo, "all" => number(world.path("config")));
    world.write("config", "1");
    miss!(memo, "all" => number(world.path("config")));
    Ok(())
}

#[test]
fn so_does_an_insertion_whose_value_counts_for_every_answer() -> Result<(), Error> {
    let world = Inputs::new();
    let store = world.bench.store();
    let memo = memo(&store);
    two_variants(&world, &memo);
    memo.insert("all", &50)?;
    assert_eq!(memo.len()?, 1);
    for text in ["2", "1", "3"] {
        world.write("config", text);
        hit!(memo, "all" => 50);
    }
    Ok(())
}

#[test]
fn so_does_a_clear() -> Result<(), Error> {
    let world = Inputs::new();
    let store = world.bench.store();
    let memo = memo(&store);
    two_variants(&world, &memo);
    memo.clear()?;
    for text in ["1", "2"] {
        world.write("config", text);
        miss!(memo, "all" => number(world.path("config")));
    }
    Ok(())
}

#[test]
fn a_computation_from_before_a_removal_stores_nothing() -> Result<(), Error> {
    let world = Inputs::new();
    let store = world.bench.store();
    let memo = memo(&store);
    world.write("config", "1");
    let compute = || {
        let number = number(world.path("config"));
        memo.remove("all").unwrap();
        number
    };
    // The first computation of the key, one of a key with variants, and one in place of a variant that is over.
    for text in ["1", "2"] {
        world.write("config", text);
        assert_eq!(memo.get_or_insert_with("all", compute), text.parse::<u64>().unwrap());
        assert_eq!((memo.get("all")?, memo.len()?), (None, 0));
        miss!(memo, "all" => number(world.path("config")));
    }
    Ok(())
}

#[test]
fn a_computation_from_before_an_insertion_does_not_replace_it() -> Result<(), Error> {
    let world = Inputs::new();
    let store = world.bench.store();
    let memo = memo(&store);
    two_variants(&world, &memo);
    world.write("config", "3");
    let value = memo.get_or_insert_with("all", || {
        memo.insert("all", &9).unwrap();
        number(world.path("config"))
    });
    assert_eq!(value, 3);
    hit!(memo, "all" => 9);
    fs::remove_file(world.path("config"))?;
    hit!(memo, "all" => 9);
    Ok(())
}
