use std::process::Command;

use super::*;

const MEMO: [u8; 16] = [7; 16];

/// A key whose counter is number `slot`.
fn key(slot: u16) -> Digest {
    let mut bytes = [9; 32];
    bytes[..2].copy_from_slice(&slot.to_le_bytes());
    Digest::from_bytes(bytes)
}

fn memo(slot: u16) -> [u8; 16] {
    *key(slot).as_bytes().first_chunk().unwrap()
}

#[test]
fn gray_codes_of_neighbours_differ_in_one_bit() {
    for number in (0..100_000).chain((0..64).map(|bit| (1 << bit) - 1)).chain([u64::MAX]) {
        assert_eq!(from_gray(to_gray(number)), number);
        let raised = to_gray(number) ^ to_gray(number.wrapping_add(1));
        assert_eq!(raised.count_ones(), 1, "{number}");
    }
}

#[test]
fn a_raise_is_seen_through_every_map() {
    let folder = tempfile::tempdir().unwrap();
    assert!(Epochs::open(folder.path()).unwrap().is_none());
    let host = Epochs::create(folder.path()).unwrap();
    let guest = Epochs::open(folder.path()).unwrap().unwrap();
    for round in 0..300 {
        let noted = guest.note(&MEMO, &key(round));
        assert_eq!(noted, host.note(&MEMO, &key(round)));
        host.raise_key(&key(round)).unwrap();
        assert!(!guest.is_current(&MEMO, &key(round), noted));
        let noted = guest.note(&MEMO, &key(round));
        host.raise_memo(&MEMO).unwrap();
        assert!(!guest.is_current(&MEMO, &key(round), noted));
    }
    let before = guest.snapshot();
    host.raise_snapshot().unwrap();
    assert_ne!(guest.snapshot(), before);
    host.set_guests(3).unwrap();
    assert_eq!(guest.guests(), 3);
}

#[test]
fn a_counter_never_comes_back_to_a_noted_value() {
    let folder = tempfile::tempdir().unwrap();
    let host = Epochs::create(folder.path()).unwrap();
    let first = host.note(&MEMO, &key(1));
    for raise in 0..70_000 {
        host.raise_key(&key(1)).unwrap();
        assert!(!host.is_current(&MEMO, &key(1), first), "after {raise}");
    }
}

#[test]
fn other_counters_stay_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let host = Epochs::create(folder.path()).unwrap();
    let noted = |of: u16| host.note(&memo(of), &key(of));
    for raised in [0, 1, 255, 256, 1023, 4095] {
        let before: Vec<Noted> = (0..1024).map(noted).collect();
        let snapshot = (host.snapshot(), host.guests());
        host.raise_key(&key(raised)).unwrap();
        host.raise_memo(&memo(raised)).unwrap();
        for (slot, before) in (0..1024).zip(before) {
            let is_shared = slot == raised || slot == raised % 1024;
            assert_eq!(host.is_current(&memo(slot), &key(slot), before), !is_shared, "{slot} {raised}");
        }
        assert_eq!((host.snapshot(), host.guests()), snapshot);
    }
}

#[test]
fn keys_that_share_a_counter_lose_their_values_together() {
    let folder = tempfile::tempdir().unwrap();
    let host = Epochs::create(folder.path()).unwrap();
    let noted = host.note(&MEMO, &key(5));
    host.raise_key(&key(5 + 4096)).unwrap();
    assert!(!host.is_current(&MEMO, &key(5), noted));
    let noted = host.note(&memo(5), &key(0));
    host.raise_memo(&memo(5 + 1024)).unwrap();
    assert!(!host.is_current(&memo(5), &key(0), noted));
}

#[test]
fn counters_go_on_under_the_next_holder_of_lock() {
    let folder = tempfile::tempdir().unwrap();
    let guest = {
        let first = Epochs::create(folder.path()).unwrap();
        first.raise_key(&key(1)).unwrap();
        Epochs::open(folder.path()).unwrap().unwrap()
    };
    let noted = guest.note(&MEMO, &key(1));
    let second = Epochs::create(folder.path()).unwrap();
    assert!(guest.is_of(folder.path()) && guest.is_current(&MEMO, &key(1), noted));
    second.raise_key(&key(1)).unwrap();
    assert!(!guest.is_current(&MEMO, &key(1), noted));
}

#[test]
fn each_holder_of_lock_has_a_number_and_sets_the_guests() {
    let directory = tempfile::tempdir().unwrap();
    Epochs::take_guest_off(directory.path()).unwrap();
    for host in 1..600 {
        let epochs = Epochs::create(directory.path()).unwrap();
        assert_eq!(epochs.hosts(), host);
        epochs.set_guests(2).unwrap();
        Epochs::take_guest_off(directory.path()).unwrap();
        assert_eq!((epochs.guests(), epochs.hosts()), (1, host));
    }
    Epochs::take_guest_off(directory.path()).unwrap();
    Epochs::take_guest_off(directory.path()).unwrap();
    assert_eq!(Epochs::open(directory.path()).unwrap().unwrap().guests(), 0);
}

#[test]
fn a_damaged_file_is_none_and_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(EPOCHS);
    drop(Epochs::create(folder.path()).unwrap());
    let whole = fs::read(&path).unwrap();
    assert_eq!(whole.len(), 45_056);
    let longer = [&whole[..], &[0]].concat();
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    };
    let damaged =
        [vec![], whole[..4096].to_vec(), whole[1..].to_vec(), longer, flipped(0), flipped(7), flipped(8)];
    for bytes in damaged {
        fs::write(&path, &bytes).unwrap();
        assert!(Epochs::open(folder.path()).unwrap().is_none(), "{} bytes", bytes.len());
        let host = Epochs::create(folder.path()).unwrap();
        host.raise_key(&key(1)).unwrap();
        assert!(Epochs::open(folder.path()).unwrap().is_some());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

#[test]
fn notes_of_a_replaced_file_are_not_current() {
    let folder = tempfile::tempdir().unwrap();
    let first = Epochs::create(folder.path()).unwrap();
    let noted = first.note(&MEMO, &key(1));
    fs::remove_file(folder.path().join(EPOCHS)).unwrap();
    assert!(!first.is_of(folder.path()));
    let second = Epochs::create(folder.path()).unwrap();
    assert!(!first.is_of(folder.path()) && second.is_of(folder.path()));
    assert!(!second.is_current(&MEMO, &key(1), noted));
    assert_ne!(first.snapshot(), second.snapshot());
}

#[test]
fn a_leftover_draft_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(DRAFT), "half").unwrap();
    Epochs::create(folder.path()).unwrap();
    assert!(!folder.path().join(DRAFT).exists());
}

#[test]
fn a_process_without_lock_cannot_raise() {
    let folder = tempfile::tempdir().unwrap();
    drop(Epochs::create(folder.path()).unwrap());
    let guest = Epochs::open(folder.path()).unwrap().unwrap();
    assert!(guest.raise_key(&key(1)).is_err());
}

const CHILD: &str = "MEMOLITH_TEST_EPOCHS";

#[test]
#[ignore = "a child of the next test"]
fn raise_in_a_child() {
    let Some(directory) = std::env::var_os(CHILD) else { return };
    Epochs::create(Path::new(&directory)).unwrap().raise_key(&key(1)).unwrap();
}

#[test]
fn a_raise_of_another_process_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    drop(Epochs::create(folder.path()).unwrap());
    let guest = Epochs::open(folder.path()).unwrap().unwrap();
    let (changed, other) = (guest.note(&MEMO, &key(1)), guest.note(&MEMO, &key(2)));
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::epochs::tests::raise_in_a_child", "--ignored"])
        .env(CHILD, folder.path())
        .output()
        .unwrap();
    let passed = String::from_utf8_lossy(&child.stdout).contains("1 passed");
    assert!(child.status.success() && passed, "{child:?}");
    assert!(!guest.is_current(&MEMO, &key(1), changed));
    assert!(guest.is_current(&MEMO, &key(2), other));
}
