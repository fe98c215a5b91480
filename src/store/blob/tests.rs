use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{blob_writer::BUFFER, read::MAPPED, *};
use crate::{
    checksum::BLOCK,
    clock::{Lifetime, Timestamp},
    error::ErrorKind,
    key::Digest,
    record::BlobId,
    testing::Faults,
};

fn head() -> Head {
    Head {
        generation: [0xaa; 16],
        digest: Digest::from_bytes([0xbb; 32]),
        sequence: 7,
        lifetime: Lifetime { created: Timestamp(1_767_225_600_000), expires: Timestamp::NEVER },
        compute_time: Duration::from_millis(5),
        length: 5000,
        table_checksum: 0x0102_0304_0506_0708,
        memo: "frames".into(),
        key_head: b"key".to_vec(),
        is_variant: false,
    }
}

#[expect(clippy::format_collect, reason = "a few bytes")]
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_bytes_of_a_head_are_golden() {
    let golden = concat!(
        "4d42020080000000aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
        "bbbbbbbbbbbbbbbb070000000000000000a8da769b010000ffffffffffffffff404b4c00000000008813000000000000",
        "0807060504030201060003006672616d65736b657900000098fc1d7384836a73",
    );
    assert_eq!(hex(&head().encode()), golden);
    assert_eq!(Head::decode(&head().encode()), Some((head(), 128)));
}

#[test]
fn any_flipped_bit_and_any_cut_of_a_head_is_refused() {
    let whole = head().encode();
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(Head::decode(&bytes), None, "bit {bit}");
    }
    for length in 0..whole.len() {
        assert_eq!(Head::decode(&whole[..length]), None, "cut to {length}");
    }
}

/// A payload of `length` bytes, published in a directory of its own, and what a record would expect of it.
fn published(length: usize) -> (tempfile::TempDir, PathBuf, Expected, Vec<u8>) {
    let directory = tempfile::tempdir().unwrap();
    let payload: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
    let (head, faults) = (head(), Faults::new());
    let mut draft =
        PayloadWriter::new(Some(directory.path()), u64::MAX, &head.memo, &head.key_head, faults.clone());
    payload.chunks(70_000).for_each(|piece| draft.write_all(piece).unwrap());
    let Finished::Blob(blob) = draft.finish().unwrap() else { panic!("too small for a blob") };
    let head = Head { length: blob.length, table_checksum: blob.table_checksum, ..head };
    let size = blob.size();
    blob.publish(&head, directory.path(), BlobId([9; 16])).unwrap();
    let path = directory.path().join(BlobId([9; 16]).to_string());
    assert_eq!(fs::metadata(&path).unwrap().len(), size);
    let expected = Expected {
        generation: head.generation,
        digest: head.digest,
        sequence: head.sequence,
        length: head.length,
    };
    (directory, path, expected, payload)
}

#[test]
fn a_payload_comes_back_whole_at_every_size() {
    for length in [INLINE + 1, BUFFER, MAPPED as usize, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 12_345] {
        let (_directory, path, expected, payload) = published(length);
        let read = read(&path, &expected, None, &Faults::new()).unwrap().unwrap();
        assert!(&*read == payload.as_slice() && !read.is_damaged(), "{length} bytes");
    }
}

/// Small pieces until another thread writes, and then runs of every size between them: on every way from the encoder to
/// the file.
#[test]
fn pieces_of_any_sizes_stand_in_the_file_in_their_order() {
    let small = vec![1_000; 6_000];
    let mixed = [10, 200 << 10, 10, BUFFER, 1, BUFFER + 1, BLOCK, 3, BLOCK + 1, 7, 5 * BLOCK, 0, 9, 140_000];
    for sizes in [mixed.to_vec(), [small.as_slice(), &mixed, &small, &mixed].concat()] {
        let directory = tempfile::tempdir().unwrap();
        let (head, faults) = (head(), Faults::new());
        let mut draft =
            PayloadWriter::new(Some(directory.path()), u64::MAX, &head.memo, &head.key_head, faults.clone());
        let mut payload = Vec::new();
        for (number, size) in sizes.into_iter().enumerate() {
            let piece: Vec<u8> = (0..size).map(|at| ((at + number * 7) % 251) as u8).collect();
            draft.write_all(&piece).unwrap();
            payload.extend_from_slice(&piece);
        }
        let Finished::Blob(blob) = draft.finish().unwrap() else { panic!("too small for a blob") };
        let head = Head { length: blob.length, table_checksum: blob.table_checksum, ..head };
        blob.publish(&head, directory.path(), BlobId([9; 16])).unwrap();
        let Head { generation, digest, sequence, length, .. } = head;
        let path = directory.path().join(BlobId([9; 16]).to_string());
        let expected = Expected { generation, digest, sequence, length };
        let read = read(&path, &expected, None, &Faults::new()).unwrap().unwrap();
        assert!(&*read == payload.as_slice() && !read.is_damaged());
    }
}

/// Whether it is noticed, at the latest when the payload is looked at; and then there is nothing to see.
fn is_damaged(path: &Path, expected: &Expected) -> bool {
    match read(path, expected, None, &Faults::new()) {
        Ok(payload) => payload.is_some_and(|payload| payload.is_empty() && payload.is_damaged()),
        Err(error) => error.is_corrupt(),
    }
}

#[test]
fn a_flipped_byte_a_cut_and_another_entrys_file_are_damage() {
    let (_directory, path, expected, _) = published(2 * BLOCK + 7);
    let whole = fs::read(&path).unwrap();
    for at in (0..whole.len()).step_by(65_537).chain([whole.len() - 1, 128, 127]) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        fs::write(&path, &bytes).unwrap();
        assert!(is_damaged(&path, &expected), "byte {at}");
    }
    for length in [0, 1, 127, 128, BLOCK, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(is_damaged(&path, &expected), "cut to {length}");
    }
    fs::write(&path, &whole).unwrap();
    let other = Expected { sequence: 8, ..expected };
    assert!(is_damaged(&path, &other));
}

#[test]
fn a_payload_over_the_limit_is_refused_while_it_is_written_and_leaves_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let faults = Faults::new();
    let mut draft = PayloadWriter::new(Some(directory.path()), 100_000, "frames", b"key", faults.clone());
    let written = (0..1_000).take_while(|_| draft.write_all(&[7; 1_000]).is_ok()).count();
    assert_eq!(written, 100);
    assert_eq!(draft.failure().unwrap().kind(), ErrorKind::Oversize);
    drop(draft);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn what_is_retired_leaves_its_name_even_when_the_trash_was_taken_away() {
    let directory = tempfile::tempdir().unwrap();
    let (path, trash) = (directory.path().join("blob"), directory.path().join("trash"));
    assert_eq!(move_to_trash(&path, &trash).unwrap(), None);
    fs::write(&path, "old").unwrap();
    let retired = move_to_trash(&path, &trash).unwrap().unwrap();
    assert!(!path.exists() && retired.exists());
}

#[test]
fn only_what_bears_our_names_is_unlinked() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("0123456789abcdef0123456789abcdef");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("0123456789abcdef0123456789abcdef"), "ours").unwrap();
    fs::write(folder.join("letter.txt"), "not ours").unwrap();
    unlink(&folder);
    let left: Vec<_> = fs::read_dir(&folder).unwrap().flatten().map(|file| file.file_name()).collect();
    assert_eq!(left, ["letter.txt"]);
}
