#![cfg(unix)]

use std::{
    fs,
    io::{ErrorKind, Read as _, Write as _},
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _},
        net::{UnixListener, UnixStream},
    },
    path::PathBuf,
    thread,
    time::Duration,
};

use super::*;

/// No test waits so long.
const LONG: Duration = Duration::from_secs(60);

/// A raw end that a test writes bytes to, and the other end in non-blocking mode.
fn pair() -> (UnixStream, Stream) {
    let (raw, ours) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    (raw, Stream::new(ours.into()))
}

fn framed(frame: &[u8]) -> Vec<u8> {
    [&(frame.len() as u32).to_le_bytes(), frame].concat()
}

/// The frames that a channel reads until it would wait, and whether the connection goes on.
fn read(channel: &mut Channel) -> std::io::Result<(bool, Vec<Vec<u8>>)> {
    let mut frames = Vec::new();
    let goes_on = channel.read(|frame| frames.push(frame.to_vec()))?;
    Ok((goes_on, frames))
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 7 % 251) as u8).collect()
}

#[test]
fn frames_arrive_whole_wherever_they_are_cut() {
    let frames = [bytes(1), bytes(240), bytes(5)];
    let sent: Vec<u8> = frames.iter().flat_map(|frame| framed(frame)).collect();
    for cut in 0..=sent.len() {
        let (mut raw, ours) = pair();
        let mut channel = Channel::new(ours);
        raw.write_all(&sent[..cut]).unwrap();
        let mut got = if cut == 0 { vec![] } else { read(&mut channel).unwrap().1 };
        raw.write_all(&sent[cut..]).unwrap();
        got.extend(read(&mut channel).unwrap().1);
        assert_eq!(got, frames, "cut at {cut}");

        let (mut raw, ours) = pair();
        let (_writer, mut reader) = split(ours);
        raw.write_all(&sent[..cut]).unwrap();
        let mut got = Vec::new();
        while let Some(frame) = reader.receive(Duration::ZERO).unwrap() {
            got.push(frame.to_vec());
        }
        raw.write_all(&sent[cut..]).unwrap();
        while let Some(frame) = reader.receive(Duration::ZERO).unwrap() {
            got.push(frame.to_vec());
        }
        assert_eq!(got, frames, "cut at {cut}");
    }
}

#[test]
fn a_byte_at_a_time_is_enough() {
    let (mut raw, ours) = pair();
    let mut channel = Channel::new(ours);
    let mut got = Vec::new();
    for byte in framed(b"slow").into_iter().chain(framed(b"slower")) {
        raw.write_all(&[byte]).unwrap();
        got.extend(read(&mut channel).unwrap().1);
    }
    assert_eq!(got, [b"slow".to_vec(), b"slower".to_vec()]);
}

#[test]
fn a_length_out_of_bounds_is_invalid_data_behind_the_frames_before_it() {
    for length in [0, MAX_FRAME as u32 + 1, u32::MAX] {
        let (mut raw, ours) = pair();
        let mut channel = Channel::new(ours);
        raw.write_all(&[framed(b"good"), length.to_le_bytes().to_vec(), b"bytes".to_vec()].concat()).unwrap();
        let mut frames = 0;
        let error = channel.read(|_| frames += 1).unwrap_err();
        assert_eq!((error.kind(), frames), (ErrorKind::InvalidData, 1), "{error}");

        let (mut raw, ours) = pair();
        let (_writer, mut reader) = split(ours);
        raw.write_all(&[framed(b"good"), length.to_le_bytes().to_vec()].concat()).unwrap();
        assert_eq!(reader.receive(LONG).unwrap(), Some(&b"good"[..]));
        for _ in 0..2 {
            assert_eq!(reader.receive(LONG).unwrap_err().kind(), ErrorKind::InvalidData);
        }
    }
}

#[test]
fn frames_out_of_bounds_are_not_sent() {
    let (mut raw, ours) = pair();
    let mut channel = Channel::new(ours);
    for frame in [vec![], vec![0; MAX_FRAME + 1]] {
        assert_eq!(channel.write(&frame).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    channel.write(b"x").unwrap();
    drop(channel);
    let mut arrived = Vec::new();
    raw.read_to_end(&mut arrived).unwrap();
    assert_eq!(arrived, framed(b"x"));
}

#[test]
fn an_announced_frame_costs_what_arrived() {
    let (mut raw, ours) = pair();
    let mut channel = Channel::new(ours);
    raw.write_all(&(MAX_FRAME as u32).to_le_bytes()).unwrap();
    raw.write_all(b"abc").unwrap();
    assert!(read(&mut channel).unwrap().1.is_empty());
    assert!(channel.memory() <= 4 << 10, "{} bytes", channel.memory());
}

#[test]
fn a_large_frame_leaves_no_large_buffer() {
    let (ours, theirs) = Stream::pair();
    let (mut writer, mut channel) = (Channel::new(ours), Channel::new(theirs));
    let frame = bytes(MAX_FRAME);
    writer.write(&frame).unwrap();
    let mut got = Vec::new();
    while got.is_empty() {
        got = read(&mut channel).unwrap().1;
        writer.flush().unwrap();
    }
    assert!(got == [frame], "it arrived otherwise");
    assert!(!writer.wants_write());
    assert!(channel.memory() <= 64 << 10 && writer.memory() <= 64 << 10);
}

#[test]
fn a_peer_that_does_not_read_makes_the_unwritten_bytes_grow() {
    let (ours, theirs) = Stream::pair();
    let mut channel = Channel::new(ours);
    let frame = bytes(100_000);
    for _ in 0..20 {
        channel.write(&frame).unwrap();
    }
    assert!(channel.wants_write() && channel.unwritten() > 1_000_000, "{}", channel.unwritten());
    // Once it reads, all arrive.
    let mut theirs = Channel::new(theirs);
    let mut count = 0;
    while count < 20 {
        assert!(theirs.read(|got| count += usize::from(got == frame)).unwrap());
        channel.flush().unwrap();
    }
    assert_eq!(channel.unwritten(), 0);
}

#[test]
fn one_read_is_bounded() {
    let (raw, ours) = pair();
    let mut channel = Channel::new(ours);
    let sender = thread::spawn(move || {
        let mut raw = raw;
        raw.write_all(&framed(&bytes(1000)).repeat(5000)).unwrap();
    });
    let mut total = 0;
    while total < 5000 {
        let mut count = 0;
        channel.read(|_| count += 1).unwrap();
        assert!(count <= 2 * (256 << 10) / 1000, "{count} frames in one call");
        total += count;
    }
    sender.join().unwrap();
}

#[test]
fn a_closed_connection_ends_behind_what_was_sent() {
    let (mut raw, ours) = pair();
    let mut channel = Channel::new(ours);
    raw.write_all(&[framed(b"last"), vec![9, 0]].concat()).unwrap();
    drop(raw);
    let (goes_on, frames) = read(&mut channel).unwrap();
    assert_eq!((goes_on, frames), (true, vec![b"last".to_vec()]));
    assert_eq!(read(&mut channel).unwrap(), (false, vec![]));

    let (mut raw, ours) = pair();
    let (mut writer, mut reader) = split(ours);
    raw.write_all(&[framed(b"last"), vec![9, 0]].concat()).unwrap();
    drop(raw);
    assert_eq!(reader.receive(LONG).unwrap(), Some(&b"last"[..]));
    assert_eq!(reader.receive(LONG).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    assert_eq!(writer.send(b"too late", LONG).unwrap_err().kind(), ErrorKind::BrokenPipe);
}

#[test]
fn a_peer_that_left_unread_bytes_behind_ends_the_connection() {
    let (raw, ours) = pair();
    let mut channel = Channel::new(ours);
    channel.write(b"unread").unwrap();
    drop(raw);
    assert_eq!(read(&mut channel).unwrap(), (false, vec![]));
}

#[test]
fn a_silent_peer_is_none_and_what_came_is_kept() {
    let (mut raw, ours) = pair();
    let (_writer, mut reader) = split(ours);
    assert_eq!(reader.receive(Duration::from_millis(5)).unwrap(), None);
    let sent = framed(b"in two parts");
    raw.write_all(&sent[..7]).unwrap();
    assert_eq!(reader.receive(Duration::from_millis(5)).unwrap(), None);
    raw.write_all(&sent[7..]).unwrap();
    assert_eq!(reader.receive(LONG).unwrap(), Some(&b"in two parts"[..]));
}

#[test]
fn a_reader_wakes_when_a_frame_comes() {
    let (ours, theirs) = Stream::pair();
    let echo = thread::spawn(move || {
        let (mut writer, mut reader) = split(theirs);
        while let Ok(Some(frame)) = reader.receive(LONG).map(|frame| frame.map(<[u8]>::to_vec)) {
            writer.send(&frame, LONG).unwrap();
        }
    });
    let (mut writer, mut reader) = split(ours);
    for length in [1, 4096, MAX_FRAME, 17] {
        let frame = bytes(length);
        thread::scope(|scope| {
            scope.spawn(|| writer.send(&frame, LONG).unwrap());
            assert!(reader.receive(LONG).unwrap() == Some(&frame), "of {length} bytes");
        });
    }
    drop((writer, reader));
    echo.join().unwrap();
}

#[test]
fn a_frame_that_was_taken_in_part_ends_the_connection() {
    let (raw, ours) = pair();
    let (mut writer, mut reader) = split(ours);
    let frame = bytes(MAX_FRAME);
    let error = loop {
        if let Err(error) = writer.send(&frame, Duration::from_millis(1)) {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    // No frame is longer than a socket takes at once on this system, so one of them was cut.
    assert_eq!(reader.receive(LONG).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    assert_eq!(writer.send(b"x", LONG).unwrap_err().kind(), ErrorKind::BrokenPipe);
    drop(raw);
}

#[test]
fn a_frame_of_which_nothing_was_taken_leaves_the_connection_whole() {
    let (raw, ours) = pair();
    let (mut writer, _reader) = split(ours);
    let mut sent = 0;
    // Frames that are taken whole or not at all.
    while writer.send(b"frame", Duration::ZERO).is_ok() {
        sent += 1;
    }
    let mut theirs = Channel::new({
        raw.set_nonblocking(true).unwrap();
        Stream::new(raw.into())
    });
    let mut got = 0;
    while got < sent {
        theirs.read(|frame| got += u32::from(frame == b"frame")).unwrap();
    }
    writer.send(b"again", LONG).unwrap();
    assert_eq!(read(&mut theirs).unwrap(), (true, vec![b"again".to_vec()]));
}

#[test]
fn the_names_are_those_of_a_store() {
    for name in [SOCKET, DRAFT, crate::store::epochs::EPOCHS, crate::store::epochs::DRAFT] {
        assert!(crate::store::worker::is_ours(name.as_ref()), "{name}");
    }
}

#[test]
fn a_host_and_a_guest_talk() {
    let folder = tempfile::tempdir().unwrap();
    let listener = Listener::bind(folder.path()).unwrap();
    assert!(listener.accept().unwrap().is_none());
    let (mut writer, mut reader) = split(connect(folder.path()).unwrap());
    let ready = poll(&[(listener.as_fd(), Interest::Read)], Some(LONG)).unwrap();
    assert_eq!(ready, [Ready { readable: true, writable: false }]);
    let mut channel = Channel::new(listener.accept().unwrap().unwrap());
    writer.send(b"question", LONG).unwrap();
    let ready = poll(&[(channel.as_fd(), Interest::ReadAndWrite)], Some(LONG)).unwrap();
    assert_eq!(ready, [Ready { readable: true, writable: true }]);
    assert_eq!(read(&mut channel).unwrap(), (true, vec![b"question".to_vec()]));
    channel.write(b"answer").unwrap();
    assert_eq!(reader.receive(LONG).unwrap(), Some(&b"answer"[..]));
    let found = fs::metadata(folder.path().join(SOCKET)).unwrap();
    assert_eq!(found.permissions().mode() & 0o777, 0o600);
    drop(listener);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// A directory whose path has `length` bytes.
fn folder_of(folder: &tempfile::TempDir, length: usize) -> PathBuf {
    let mut path = folder.path().to_path_buf();
    while path.as_os_str().len() < length {
        let missing = length - path.as_os_str().len() - 1;
        path.push("d".repeat(missing.clamp(1, 100)));
    }
    fs::create_dir_all(&path).unwrap();
    path
}

#[test]
#[cfg(target_os = "linux")]
fn a_long_path_is_bound_and_reached() {
    // With "/SOCKET" of 7 bytes, 107 bytes is the longest path that an address holds.
    for length in [88, 94, 99, 100, 101, 120, 200, 300] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder_of(&folder, length);
        assert!(matches!(connect(&path), Err(Unreachable::Nobody)), "{length}");
        let listener = Listener::bind(&path).unwrap();
        connect(&path).unwrap();
        assert!(listener.accept().unwrap().is_some() && listener.is_of(&path), "{length}");
        drop(listener);
        assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
    }
}

#[test]
fn without_a_listener_there_is_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let is_nobody = || matches!(connect(folder.path()), Err(Unreachable::Nobody));
    assert!(is_nobody());
    drop(UnixListener::bind(folder.path().join(SOCKET)).unwrap());
    assert!(folder.path().join(SOCKET).exists() && is_nobody());
    let gone = folder.path().join("gone");
    assert!(matches!(connect(&gone), Err(Unreachable::Nobody)));
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_backlog_is_busy() {
    let folder = tempfile::tempdir().unwrap();
    let _listener = Listener::bind(folder.path()).unwrap();
    let mut guests = Vec::new();
    let refused = loop {
        match connect(folder.path()) {
            Ok(guest) => guests.push(guest),
            Err(refused) => break refused,
        }
        assert!(guests.len() < 1000);
    };
    assert!(matches!(refused, Unreachable::Busy), "{refused:?}");
}

#[test]
fn a_leftover_socket_is_replaced_and_other_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for name in [SOCKET, DRAFT] {
        let path = folder.path().join(name);
        drop(UnixListener::bind(&path).unwrap());
        drop(Listener::bind(folder.path()).unwrap());
        assert!(!path.exists());

        fs::write(&path, "of another program").unwrap();
        let error = Listener::bind(folder.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"of another program");

        fs::rename(&path, folder.path().join("elsewhere")).unwrap();
        std::os::unix::fs::symlink(folder.path().join("elsewhere"), &path).unwrap();
        assert_eq!(Listener::bind(folder.path()).unwrap_err().kind(), ErrorKind::AlreadyExists);
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn the_second_bind_takes_over_and_the_first_drop_leaves_it() {
    let folder = tempfile::tempdir().unwrap();
    let first = Listener::bind(folder.path()).unwrap();
    let second = Listener::bind(folder.path()).unwrap();
    assert!(!first.is_of(folder.path()) && second.is_of(folder.path()));
    let inode = || fs::metadata(folder.path().join(SOCKET)).unwrap().ino();
    let before = inode();
    drop(first);
    assert_eq!(inode(), before);
    connect(folder.path()).unwrap();
    assert!(second.accept().unwrap().is_some());
}

#[test]
fn a_removed_socket_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let listener = Listener::bind(folder.path()).unwrap();
    fs::remove_file(folder.path().join(SOCKET)).unwrap();
    assert!(!listener.is_of(folder.path()));
    // A file of that name is not removed by the drop.
    fs::write(folder.path().join(SOCKET), "of another program").unwrap();
    drop(listener);
    assert!(folder.path().join(SOCKET).exists());
}

#[test]
fn a_bell_rings_once_for_many_rings() {
    let bell = Bell::new().unwrap();
    let is_rung = |timeout| poll(&[(bell.as_fd(), Interest::Read)], Some(timeout)).unwrap()[0].readable;
    assert!(!is_rung(Duration::ZERO));
    for _ in 0..100_000 {
        bell.ring();
    }
    assert!(is_rung(LONG));
    bell.drain();
    assert!(!is_rung(Duration::ZERO));
    thread::scope(|scope| {
        scope.spawn(|| bell.ring());
        assert!(is_rung(LONG));
    });
}

#[test]
fn the_end_of_a_connection_is_awaited_without_reading() {
    let bell = Bell::new().unwrap();
    let (mut raw, ours) = pair();
    raw.write_all(&framed(b"unread")).unwrap();
    bell.ring();
    assert!(!wait_for_hangup(&ours, bell.as_fd()).unwrap());
    bell.drain();
    thread::scope(|scope| {
        let watch = scope.spawn(|| wait_for_hangup(&ours, bell.as_fd()).unwrap());
        drop(raw);
        assert!(watch.join().unwrap());
    });
    let (_writer, mut reader) = split(ours);
    assert_eq!(reader.receive(LONG).unwrap(), Some(&b"unread"[..]));
}

#[test]
fn a_shut_down_connection_wakes_all_its_threads() {
    let bell = Bell::new().unwrap();
    let (_raw, ours) = pair();
    let (writer, mut reader) = split(ours);
    thread::scope(|scope| {
        let watch = scope.spawn(|| wait_for_hangup(writer.stream(), bell.as_fd()).unwrap());
        let receiver = scope.spawn(|| reader.receive(LONG).map(|_| ()).unwrap_err().kind());
        writer.stream().shut_down();
        assert!(watch.join().unwrap());
        assert_eq!(receiver.join().unwrap(), ErrorKind::UnexpectedEof);
    });
}

// SAFETY: the signatures are those of POSIX.
#[expect(unsafe_code, reason = "std has no fork")]
unsafe extern "C" {
    safe fn fork() -> std::ffi::c_int;
    safe fn _exit(status: std::ffi::c_int) -> !;
}

const ALONE: &str = "MEMOLITH_TEST_FORK";

#[test]
fn a_forked_child_has_no_sockets_and_closes_none_of_its_own() {
    let alone = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::process::socket::tests::forks_alone", "--ignored"])
        .env(ALONE, "1")
        .output()
        .unwrap();
    let passed = String::from_utf8_lossy(&alone.stdout).contains("1 passed");
    assert!(alone.status.success() && passed, "{alone:?}");
}

/// A child would also keep the sockets of other tests open.
#[test]
#[ignore = "it forks: the test before it runs it in a process of its own"]
fn forks_alone() {
    if std::env::var_os(ALONE).is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let listener = Listener::bind(folder.path()).unwrap();
    let bell = Bell::new().unwrap();
    let (mut raw, ours) = pair();
    let (mut until, child_waits) = UnixStream::pair().unwrap();
    let mut channel = Channel::new(ours);
    if fork() == 0 {
        let done = std::panic::catch_unwind(move || {
            let kind = |outcome: std::io::Result<()>| outcome.unwrap_err().kind();
            assert_eq!(kind(channel.write(b"x")), ErrorKind::NotConnected);
            assert_eq!(kind(listener.accept().map(|_| ())), ErrorKind::NotConnected);
            // These take the numbers of the closed ones.
            let mut files: Vec<_> = (0..20).map(|_| tempfile::tempfile().unwrap()).collect();
            bell.ring();
            drop((channel, listener, bell));
            assert!(files.iter_mut().all(|file| file.metadata().unwrap().len() == 0));
            assert!(files.iter_mut().all(|file| file.write_all(b"open").is_ok()));
            { child_waits }.read_exact(&mut [0]).unwrap();
        });
        _exit(i32::from(done.is_err()));
    }
    drop(channel);
    assert_eq!(raw.read(&mut [0]).unwrap(), 0, "the child holds a copy of the connection");
    connect(folder.path()).unwrap();
    assert!(listener.accept().unwrap().is_some());
    bell.ring();
    assert!(poll(&[(bell.as_fd(), Interest::Read)], Some(LONG)).unwrap()[0].readable);
    until.write_all(b"x").unwrap();
    let (_, status) = rustix::process::wait(rustix::process::WaitOptions::empty()).unwrap().unwrap();
    assert_eq!(status.exit_status(), Some(0));
    assert!(listener.is_of(folder.path()), "the child removed SOCKET");
}
