//! The list against plain vectors, the bytes, and the bounds.

use std::{cell::RefCell, collections::HashMap, ops::Range, path::Path};

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::readings::Reading;

const KEY: Digest = Digest::from_bytes(*b"a digest, which has 32 bytes....");

fn fingerprint(answer: u8) -> Fingerprint {
    Fingerprint::from_bytes([answer; 16])
}

fn input(number: u8) -> Input {
    let name = format!("input {number}");
    if number.is_multiple_of(2) { Input::file(Path::new(&name)) } else { Input::variable(&name) }
}

/// Pairs of an input and its answer, both numbers.
fn readings(pairs: &[(u8, u8)]) -> Readings {
    readings_in_state(pairs, None)
}

fn readings_in_state(pairs: &[(u8, u8)], state: Option<u64>) -> Readings {
    let answer = |answer| Answer { fingerprint: fingerprint(answer), state: state.map(FileState::made_up) };
    let readings =
        pairs.iter().map(|(number, given)| Reading { input: input(*number), answer: answer(*given) });
    readings.collect()
}

/// The answers of a made-up world, and the inputs that were asked for them.
struct World {
    answers: HashMap<Input, u8>,
    asked: RefCell<Vec<Input>>,
}

impl World {
    fn new(pairs: &[(u8, u8)]) -> Self {
        let answers = pairs.iter().map(|(number, answer)| (input(*number), *answer)).collect();
        Self { answers, asked: RefCell::default() }
    }

    fn resolve(&self, variants: &Variants) -> Resolved {
        variants.resolve(&KEY, |input, _, _| {
            self.asked.borrow_mut().push(input.clone());
            self.answers.get(input).map(|answer| Answer::new(fingerprint(*answer)))
        })
    }

    #[track_caller]
    fn digest(&self, variants: &Variants) -> Digest {
        match self.resolve(variants) {
            Resolved::Match { digest, .. } => digest,
            Resolved::Differs { changed, .. } => panic!("{changed:?} differs"),
        }
    }

    #[track_caller]
    fn seat(&self, variants: &Variants) -> (Digest, Option<Input>) {
        match self.resolve(variants) {
            Resolved::Differs { seat, changed } => (seat, changed),
            Resolved::Match { readings, .. } => panic!("{readings:?} match"),
        }
    }
}

fn added(lists: &[&[(u8, u8)]]) -> (Variants, Vec<Digest>) {
    let mut variants = Variants::new(7);
    let digests = lists.iter().map(|pairs| variants.add(&KEY, &readings(pairs)).digest).collect();
    (variants, digests)
}

#[test]
fn the_variant_that_agrees_is_found() {
    let (variants, digests) = added(&[&[(0, 1), (1, 1)], &[(0, 1), (1, 2)], &[(0, 3)]]);
    assert_eq!(World::new(&[(0, 1), (1, 1)]).digest(&variants), digests[0]);
    assert_eq!(World::new(&[(0, 1), (1, 2)]).digest(&variants), digests[1]);
    assert_eq!(World::new(&[(0, 3)]).digest(&variants), digests[2]);
    assert_eq!(variants.digests(&KEY).collect::<Vec<_>>(), digests);
}

#[test]
fn the_newest_of_several_that_agree_is_taken() {
    let (variants, digests) = added(&[&[(0, 1)], &[(1, 1)]]);
    assert_eq!(World::new(&[(0, 1), (1, 1)]).digest(&variants), digests[1]);
}

#[test]
fn each_input_is_asked_once_and_none_after_a_difference() {
    let (variants, _) = added(&[&[(0, 1), (1, 1)], &[(0, 2), (2, 1), (3, 1)], &[(4, 1), (0, 2), (5, 1)]]);
    let world = World::new(&[(4, 1), (0, 1), (1, 1)]);
    world.digest(&variants);
    assert_eq!(*world.asked.borrow(), [input(4), input(0), input(1)]);
}

#[test]
fn the_difference_that_is_told_is_the_first_of_the_newest_variant() {
    let (variants, _) = added(&[&[(0, 1)], &[(1, 1), (2, 1), (3, 1)]]);
    assert_eq!(World::new(&[(1, 1), (3, 2)]).seat(&variants).1, Some(input(2)));
    assert_eq!(World::new(&[]).seat(&Variants::new(7)).1, None);
}

#[test]
fn callers_of_one_world_have_one_seat_and_those_of_others_have_other_seats() {
    let (variants, digests) = added(&[&[(0, 1), (1, 1)], &[(0, 2)]]);
    let seat = |world: &[(u8, u8)]| World::new(world).seat(&variants).0;
    assert_eq!(seat(&[(0, 1), (1, 2)]), seat(&[(0, 1), (1, 2), (5, 5)]));
    let seats =
        [seat(&[(0, 1), (1, 2)]), seat(&[(0, 1), (1, 3)]), seat(&[(0, 3)]), seat(&[(0, 1)]), seat(&[])];
    for (at, one) in seats.iter().enumerate() {
        assert!(!seats[..at].contains(one) && !digests.contains(one) && *one != KEY, "{at}");
    }
}

#[test]
fn a_match_tells_its_inputs_with_the_states_of_today() {
    let mut variants = Variants::new(7);
    variants.add(&KEY, &readings_in_state(&[(0, 1), (2, 1)], Some(1)));
    let resolved_with = |state| {
        let resolved = variants.resolve(&KEY, |_, known, _| {
            assert_eq!(known, Some(&FileState::made_up(1)));
            Some(Answer { fingerprint: fingerprint(1), state })
        });
        match resolved {
            Resolved::Match { readings, .. } => readings.iter().cloned().collect::<Vec<_>>(),
            Resolved::Differs { .. } => panic!("nothing differs"),
        }
    };
    let list = |state| readings_in_state(&[(0, 1), (2, 1)], state).iter().cloned().collect::<Vec<_>>();
    assert_eq!(resolved_with(Some(FileState::made_up(1))), list(Some(1)));
    assert_eq!(resolved_with(Some(FileState::made_up(2))), list(Some(2)));
    assert_eq!(resolved_with(None), list(None));
}

#[test]
fn an_equal_variant_moves_and_its_states_are_renewed() {
    let (mut variants, digests) = added(&[&[(0, 1)], &[(0, 2)]]);
    let again = variants.add(&KEY, &readings_in_state(&[(0, 1)], Some(9)));
    assert_eq!(again, Added { digest: digests[0], dropped: Vec::new() });
    assert_eq!(variants.digests(&KEY).collect::<Vec<_>>(), [digests[1], digests[0]]);
    assert_eq!(variants.lists[1][0].answer.state, Some(FileState::made_up(9)));
}

#[test]
fn a_digest_is_a_matter_of_key_salt_inputs_and_answers() {
    let lists: [&[(u8, u8)]; 6] =
        [&[], &[(0, 1)], &[(0, 2)], &[(1, 1)], &[(0, 1), (1, 1)], &[(1, 1), (0, 1)]];
    let (_, mut digests) = added(&lists);
    digests.push(Variants::new(8).add(&KEY, &readings(&[(0, 1)])).digest);
    digests.push(Variants::new(7).add(&Digest::from_bytes([0; 32]), &readings(&[(0, 1)])).digest);
    digests.push(KEY);
    for (at, one) in digests.iter().enumerate() {
        assert!(!digests[..at].contains(one), "{at}");
    }
}

#[test]
fn the_65th_variant_drops_the_oldest_and_the_inputs_that_only_it_had() {
    let mut variants = Variants::new(7);
    let first = variants.add(&KEY, &readings(&[(1, 0), (0, 0)])).digest;
    for answer in 1..Variants::MOST as u8 {
        assert!(variants.add(&KEY, &readings(&[(0, answer)])).dropped.is_empty());
    }
    let added = variants.add(&KEY, &readings(&[(3, 0), (0, 200)]));
    assert_eq!(added.dropped, [first]);
    assert_eq!(variants.len(), Variants::MOST);
    assert_eq!(variants.inputs, [input(0), input(3)]);
    assert_eq!(World::new(&[(0, 200), (3, 0)]).digest(&variants), added.digest);
    assert_eq!(Variants::decode(&variants.encode()), Some(variants));
}

fn long(names: Range<usize>, answer: u8) -> Readings {
    let name = |number| format!("{number:0>60}");
    let answer = Answer { fingerprint: fingerprint(answer), state: Some(FileState::made_up(1)) };
    names.map(|number| Reading { input: Input::variable(&name(number)), answer }).collect()
}

#[test]
fn variants_over_64_kib_drop_the_oldest() {
    let mut variants = Variants::new(7);
    let mut alive = Vec::new();
    for answer in 0..5 {
        let added = variants.add(&KEY, &long(0..300, answer));
        alive.push(added.digest);
        assert_eq!(added.dropped, alive.drain(..added.dropped.len()).collect::<Vec<_>>());
        assert!(variants.encode().len() <= Variants::MOST_BYTES);
        assert_eq!(variants.digests(&KEY).collect::<Vec<_>>(), alive);
    }
    assert_eq!(alive.len(), 3);
}

#[test]
fn the_largest_list_of_readings_is_a_variant() {
    let most =
        (1..Readings::MOST).take_while(|count| long(0..*count, 0).unstorable().is_none()).last().unwrap();
    let mut variants = Variants::new(7);
    variants.add(&KEY, &long(0..most, 0));
    let other = variants.add(&KEY, &long(1..most + 1, 0));
    assert_eq!((variants.len(), other.dropped.len(), variants.inputs.len()), (1, 1, most));
    let bytes = variants.encode();
    assert!(bytes.len() > Variants::MOST_BYTES - 200);
    assert_eq!(Variants::decode(&bytes), Some(variants));
}

#[test]
fn the_bytes_are_golden() {
    let mut variants = Variants::new(0x0102_0304_0506_0708);
    let unset = Reading { input: Input::variable("A"), answer: Answer::new(fingerprint(0xaa)) };
    let state = FileState::from_bytes(std::array::from_fn(|at| at as u8));
    let file = Reading {
        input: Input::file(Path::new("f")),
        answer: Answer { fingerprint: fingerprint(0xbb), state },
    };
    variants.add(&KEY, &[unset.clone()].into_iter().collect());
    variants.add(&KEY, &[file, unset].into_iter().collect());
    let golden = [
        b"MV\x01\x02\x02\x00\x08\x07\x06\x05\x04\x03\x02\x01".as_slice(),
        b"\x04\x01\x00A\x01\x01\x00f",
        b"\x01\x00\x00\x00",
        &[0xaa; 16],
        b"\x00",
        b"\x02\x00\x01\x00",
        &[0xbb; 16],
        b"\x01",
        &std::array::from_fn::<u8, 32, _>(|at| at as u8),
        b"\x00\x00",
        &[0xaa; 16],
        b"\x00",
    ];
    assert_eq!(variants.encode(), golden.concat());
    let digests: Vec<String> = variants.digests(&KEY).map(|digest| format!("{digest:?}")).collect();
    assert_eq!(digests, DIGESTS);
}

/// Of `variant`, a zero byte, the digest of the key, the salt, and the inputs with their fingerprints.
const DIGESTS: [&str; 2] = [
    "b0299b08c6e7cb852bda34972db4ca054b9cfdf07ba03457c9de80b0294ecbbd",
    "c1e845572e195e835426a3f2eadffa2a736dd035f6325d4947682e7c41d06621",
];

#[test]
fn an_empty_list_is_encoded() {
    let variants = Variants::new(7);
    assert_eq!(variants.len(), 0);
    assert_eq!(Variants::decode(&variants.encode()), Some(variants));
}

#[test]
fn bytes_that_are_not_canonical_are_refused() {
    let (variants, _) = added(&[&[(1, 1)], &[(1, 2)]]);
    let input = variants.inputs[0].clone();
    let twice = Variants { inputs: vec![input.clone(), input], ..variants.clone() };
    assert_eq!(Variants::decode(&twice.encode()), None, "an input that is twice in the table");
    let mut unused = variants.clone();
    unused.inputs.push(Input::variable("unused"));
    assert_eq!(Variants::decode(&unused.encode()), None, "an input that is in no variant");
    let mut equal = variants.clone();
    equal.lists[0] = equal.lists[1].clone();
    assert_eq!(Variants::decode(&equal.encode()), None, "an equal variant");
    let mut repeated = variants.clone();
    repeated.lists[0] = [repeated.lists[0].clone(), repeated.lists[0].clone()].concat();
    assert_eq!(Variants::decode(&repeated.encode()), None, "an input that is twice in a variant");
    let mut outside = variants.clone();
    outside.lists[0][0].input = 1;
    assert_eq!(Variants::decode(&outside.encode()), None, "an input outside of the table");
    let longer = [variants.encode(), vec![0]].concat();
    assert_eq!(Variants::decode(&longer), None, "a byte too many");
    assert!(Variants::decode(&variants.encode()).is_some());
}

#[test]
fn a_head_that_promises_much_takes_little_memory() {
    // 65,535 inputs, 64 variants with 65,535 readings each: nothing is reserved before its bytes are read.
    let head = b"MV\x01\x40\xff\xff\0\0\0\0\0\0\0\0".to_vec();
    assert_eq!(Variants::decode(&[head.as_slice(), &[0xff; 100]].concat()), None);
    assert_eq!(Variants::decode(&vec![0; Variants::MOST_BYTES + 1]), None);
}

fn list() -> impl Strategy<Value = Vec<(u8, u8)>> {
    let distinct = |pairs: Vec<(u8, u8)>| {
        let mut seen = Vec::new();
        pairs
            .into_iter()
            .filter(|(number, _)| {
                !seen.contains(number) && {
                    seen.push(*number);
                    true
                }
            })
            .collect()
    };
    vec((0_u8..5, 0_u8..3), 0..5).prop_map(distinct)
}

proptest! {
    /// The list and a plain vector of the lists go through the same additions, with the bytes in between.
    #[test]
    fn any_additions_are_those_of_a_plain_vector(
        lists in vec(list(), 1..150),
        world in vec(0_u8..3, 5),
    ) {
        let (mut variants, mut model) = (Variants::new(7), Vec::<(Vec<(u8, u8)>, Digest)>::new());
        for pairs in lists {
            let added = variants.add(&KEY, &readings(&pairs));
            model.retain(|(other, _)| *other != pairs);
            model.push((pairs, added.digest));
            let surplus = model.len().saturating_sub(Variants::MOST);
            let dropped: Vec<Digest> = model.drain(..surplus).map(|(_, digest)| digest).collect();
            prop_assert_eq!(added.dropped, dropped);
            variants = Variants::decode(&variants.encode()).unwrap();
        }
        let digests: Vec<Digest> = model.iter().map(|(_, digest)| *digest).collect();
        prop_assert_eq!(variants.digests(&KEY).collect::<Vec<_>>(), digests);
        let agrees = |pairs: &[(u8, u8)]| pairs.iter().all(|(number, answer)| world[usize::from(*number)] == *answer);
        let expected = model.iter().rev().find(|(pairs, _)| agrees(pairs)).map(|(_, digest)| *digest);
        let world = World::new(&(0..).zip(world.iter().copied()).collect::<Vec<_>>());
        let found = match world.resolve(&variants) {
            Resolved::Match { digest, .. } => Some(digest),
            Resolved::Differs { .. } => None,
        };
        prop_assert_eq!(found, expected);
        let mut asked = world.asked.borrow().clone();
        asked.sort();
        asked.dedup();
        prop_assert_eq!(asked.len(), world.asked.borrow().len());
    }

    #[test]
    fn changed_bytes_are_refused_or_a_sound_list(
        lists in vec(list(), 0..9),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..5),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut variants = Variants::new(7);
        for pairs in lists {
            variants.add(&KEY, &readings_in_state(&pairs, Some(3)));
        }
        let mut bytes = variants.encode();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.map_or(usize::MAX, |cut| cut.index(bytes.len())));
        if let Some(decoded) = Variants::decode(&bytes) {
            prop_assert_eq!(decoded.encode(), bytes);
        }
    }

    #[test]
    fn any_bytes_are_no_panic(bytes in vec(any::<u8>(), 0..200)) {
        let head = b"MV\x01".to_vec();
        prop_assert!(Variants::decode(&[head, bytes].concat()).is_none_or(|decoded| decoded.len() <= Variants::MOST));
    }
}
