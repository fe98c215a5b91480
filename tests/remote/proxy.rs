//! A way to the server that delays, cuts and damages what passes.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

#[derive(Default)]
pub(crate) struct Rules {
    /// Each piece of an answer comes so many milliseconds later.
    delay: AtomicU64,
    /// The connection is cut after so many more bytes of answers, if that is not 0.
    cut_after: AtomicU64,
    /// The lowest bit of each so-many-th byte of an answer is flipped, if that is not 0.
    flip_each: AtomicU64,
    /// Nothing passes, and no connection is taken.
    refuses: AtomicU64,
    open: Mutex<Vec<TcpStream>>,
}

pub(crate) struct Proxy {
    pub(crate) port: u16,
    pub(crate) rules: Arc<Rules>,
}

impl Rules {
    pub(crate) fn delay(&self, millis: u64) {
        self.delay.store(millis, SeqCst);
    }

    pub(crate) fn cut_after(&self, bytes: u64) {
        self.cut_after.store(bytes, SeqCst);
    }

    pub(crate) fn flip_each(&self, bytes: u64) {
        self.flip_each.store(bytes, SeqCst);
    }

    /// Cuts all connections and takes no more, or takes them again.
    pub(crate) fn refuse(&self, refuses: bool) {
        self.refuses.store(u64::from(refuses), SeqCst);
        if refuses {
            self.cut();
        }
    }

    pub(crate) fn cut(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// `false`: the connection is to be cut.
    fn pass(&self, answer: &mut [u8], passed: u64) -> bool {
        let delay = self.delay.load(SeqCst);
        if delay > 0 {
            thread::park_timeout(Duration::from_millis(delay));
        }
        let each = self.flip_each.load(SeqCst);
        if each > 0 {
            for (byte, at) in answer.iter_mut().zip(passed..) {
                if at % each == each - 1 {
                    *byte ^= 1;
                }
            }
        }
        let left = self.cut_after.load(SeqCst);
        if left > 0 {
            self.cut_after.store(left.saturating_sub(answer.len() as u64).max(1), SeqCst);
            return left > answer.len() as u64;
        }
        self.refuses.load(SeqCst) == 0
    }
}

impl Proxy {
    pub(crate) fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let rules = Arc::<Rules>::default();
        let proxy = Self { port: listener.local_addr().unwrap().port(), rules: Arc::clone(&rules) };
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if rules.refuses.load(SeqCst) > 0 {
                    continue;
                }
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                rules.open.lock().unwrap().extend([client.try_clone().unwrap(), server.try_clone().unwrap()]);
                let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Both);
                });
                let (mut from, mut to, rules) = (server, client, Arc::clone(&rules));
                thread::spawn(move || {
                    let (mut bytes, mut passed) = ([0; 4_096], 0);
                    while let Ok(count @ 1..) = from.read(&mut bytes) {
                        let goes_on = rules.pass(&mut bytes[..count], passed);
                        passed += count as u64;
                        let sent = if goes_on { count } else { count / 2 };
                        if to.write_all(&bytes[..sent]).is_err() || !goes_on {
                            break;
                        }
                    }
                    let _ = to.shutdown(Shutdown::Both);
                    let _ = from.shutdown(Shutdown::Both);
                });
            }
        });
        proxy
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }
}
