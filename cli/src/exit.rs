//! How commands end: their exit status, and what is wrong on standard error.

use std::io::{self, Write};
use std::process::ExitCode;

/// The exit status of a command that has printed, or could not print, what it found.
pub(crate) fn end(printed: io::Result<()>, status: ExitCode) -> ExitCode {
    match printed {
        Ok(()) => status,
        // `mailroom … | head -1` has got what it wanted, and what was found is as it is.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => status,
        Err(error) => fail(&format!("standard output: {error}")),
    }
}

/// The exit status of a command that something outside stood in the way of, told on standard error.
pub(crate) fn fail(why: &str) -> ExitCode {
    complain(why);
    ExitCode::from(1)
}

/// The exit status of a command that was asked for something that can't be, told on standard error.
pub(crate) fn refuse(why: &str) -> ExitCode {
    complain(why);
    ExitCode::from(2)
}

/// Tells on standard error what is wrong.
pub(crate) fn complain(what: &str) {
    let _ = writeln!(io::stderr(), "mailroom: {what}");
}
