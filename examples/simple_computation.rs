//! A computation with plain numbers: the longest Collatz sequence. Shows `depends`: a changed helper is noticed.
//!
//! ```text
//! cargo run -p examples --example simple_computation            # run it twice: the second time is hits
//! cargo run -p examples --example simple_computation -- 50000   # up to another number
//! ```

use std::{env, error::Error};

use memolith::{code, memo};

/// The number up to `limit` with the most steps to 1, and the number of these steps.
///
/// The version of this function is a hash of its code, and `depends` adds the code of `steps`. After a change of
/// either the function computes anew. Without `depends` the old answers would still be returned after a change of
/// `steps`.
#[memo(depends(steps))]
fn longest(limit: u64) -> Option<(u64, u32)> {
    (1..=limit).map(|number| (number, steps(number))).max_by_key(|(_, steps)| *steps)
}

/// Half of an even number, three times an odd one and one more, until it is 1.
#[code]
fn steps(mut number: u64) -> u32 {
    let mut steps = 0;
    while number != 1 {
        number = if number.is_multiple_of(2) { number / 2 } else { 3 * number + 1 };
        steps += 1;
    }
    steps
}

fn main() -> Result<(), Box<dyn Error>> {
    let limits = match env::args().nth(1) {
        Some(limit) => vec![limit.parse()?],
        None => vec![10_000, 20_000],
    };
    for limit in limits {
        let longest = timed::memo(longest_memo(), format_args!("up to {limit}"), || longest(limit));
        let (number, steps) = longest.ok_or("there is no number from 1 up to 0")?;
        println!("{number} takes {steps} steps");
    }
    // The companion of the function counts the remembered results.
    println!("{} limits are remembered", longest_memo().len()?);
    timed::kept();
    Ok(())
}
