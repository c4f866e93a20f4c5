//! How commands end: their exit status, and what is wrong on standard error.

use std::io::{self, Write};
use std::process::ExitCode;

/// The exit status of a command that has printed, or could not print, what it found.
pub(crate) fn exit_after_printing(printed: io::Result<()>, status: ExitCode) -> ExitCode {
    match printed {
        Ok(()) => status,
        // `mailroom … | head -1` has got what it wanted, and what was found is as it is.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => status,
        Err(error) => fail_with_error(&format!("standard output: {error}")),
    }
}

/// The exit status of a command that something outside stood in the way of, told on standard error.
pub(crate) fn fail_with_error(message: &str) -> ExitCode {
    print_error(message);
    ExitCode::from(1)
}

/// The exit status of a command that was asked for something that can't be, told on standard error.
pub(crate) fn fail_with_usage_error(message: &str) -> ExitCode {
    print_error(message);
    ExitCode::from(2)
}

/// Tells on standard error what is wrong.
pub(crate) fn print_error(message: &str) {
    let _ = writeln!(io::stderr(), "mailroom: {message}");
}
