//! Signals: a write beyond the limit on the size of files is an error, and does not end the program.
//!
//! The system sends SIGXFSZ to a process whose write passes `RLIMIT_FSIZE` (`ulimit -f`), and ends it unless it handles the
//! signal. A cache that writes must not end a program that writes nothing itself. With a handler that does nothing the
//! write fails, as on a full disk. A program that `exec` starts has the default again, as handlers are not inherited.

#[cfg(unix)]
use std::sync::Once;

/// From here on a write beyond the limit on the size of files is an error, for the whole process. A handler that the program
/// set itself, or that it ignores the signal, stays as it is.
#[cfg(unix)]
pub(crate) fn outlive_file_size_limit() {
    static DONE: Once = Once::new();
    DONE.call_once(|| {
        let Some(found) = action(None) else { return };
        if found.sa_sigaction == libc::SIG_DFL {
            let handler: extern "C" fn(libc::c_int) = nothing;
            // The calls of the program that it interrupts go on.
            let flags = found.sa_flags | libc::SA_RESTART;
            action(Some(libc::sigaction {
                sa_sigaction: handler as libc::sighandler_t,
                sa_flags: flags,
                ..found
            }));
        }
    });
}

/// Elsewhere there is no such limit.
#[cfg(not(unix))]
pub(crate) fn outlive_file_size_limit() {}

#[cfg(unix)]
extern "C" fn nothing(_: libc::c_int) {}

/// Sets what SIGXFSZ does, if asked to, and tells what it did before.
#[cfg(unix)]
fn action(new: Option<libc::sigaction>) -> Option<libc::sigaction> {
    let new = new.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    let mut found = std::mem::MaybeUninit::uninit();
    // SAFETY: `new` is null or a whole action whose handler touches nothing, and `found` has room for one. It is whole when
    // the call succeeds.
    #[expect(unsafe_code, reason = "std has no hook for signals")]
    unsafe {
        (libc::sigaction(libc::SIGXFSZ, new, found.as_mut_ptr()) == 0).then(|| found.assume_init())
    }
}
