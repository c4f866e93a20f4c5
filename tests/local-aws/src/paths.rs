//! The paths in the workspace of what the harness needs.

use std::path::{Path, PathBuf};

/// The environment variable that names another `ministack` than the workspace's own.
pub const MINISTACK_VARIABLE: &str = "MAILROOM_MINISTACK";

/// The path at which the Makefile installs ministack, relative to the workspace.
const MINISTACK: &str = ".venv/local-aws/bin/ministack";

/// The workspace's root. It is known when compiling: the harness only runs from the tree in which it was built.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).map(Path::to_path_buf).unwrap_or_default()
}

/// The `ministack` program: the one that [`MINISTACK_VARIABLE`] names, or the workspace's own.
pub fn ministack() -> PathBuf {
    std::env::var_os(MINISTACK_VARIABLE).map_or_else(|| workspace().join(MINISTACK), PathBuf::from)
}

/// The AWS CLI, as the Makefile installs it.
pub fn aws_cli() -> PathBuf {
    workspace().join(".venv/aws-cli/bin/aws")
}

/// The script that starts ministack.
pub fn launcher() -> PathBuf {
    workspace().join("tests/local-aws/launch_ministack.py")
}

/// The folder of Cargo's output, wherever the environment puts it.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from)
}

/// A binary of the workspace, as `cargo build --workspace --bins` leaves it.
pub fn binary(name: &str) -> PathBuf {
    target().join("debug").join(name)
}

/// The stack's template.
pub fn template() -> PathBuf {
    workspace().join("template.yaml")
}

/// The sample events of a function.
pub fn samples(function: &str) -> PathBuf {
    workspace().join("events").join(function)
}
