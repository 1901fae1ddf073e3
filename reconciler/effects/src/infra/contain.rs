//! How the tool is contained: its providers, and whatever a module executes, are other people's programs.
//!
//! It sees the module with what was checked out beside it, its private directory, the embedded state, and the
//! plugin cache: to change in `init`, which runs nobody's code, and else to read. Files that such code may have
//! put where we look are taken for what they are, and no link is followed ([`read_file`]).

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::{InfraError, Module, State};
use crate::process::Command;
use crate::sandbox::{Access, Beyond, Bounds, Contained, Limits, Network, Sandbox, Share};

/// Processes and threads of one run, the tool's providers included.
const PROCESSES: u64 = 4096;
/// Memory of one run, in bytes.
const MEMORY: u64 = 16 << 30;
/// What one run may write, providers that it fetches included, in bytes.
const DISK: u64 = 16 << 30;
/// Open files of one process.
const OPEN_FILES: u64 = 16_384;

/// How the tool of a module is contained.
#[derive(Debug, Clone)]
pub struct Containment {
    /// In which way, and whether it has to be.
    pub sandbox: Sandbox,
    /// The tree that the module is in, which it may refer to.
    pub tree: PathBuf,
    /// What else of the machine it may read.
    pub read: Vec<PathBuf>,
    /// What else of the machine it may change.
    pub write: Vec<PathBuf>,
    /// What it may reach.
    pub network: Network,
    /// How much it may use. An apply is asked to end first.
    pub limits: Limits,
}

impl Containment {
    /// What a run may use where nobody says otherwise.
    pub const LIMITS: Limits = Limits {
        processes: PROCESSES,
        memory: MEMORY,
        disk: DISK,
        open_files: OPEN_FILES,
        beyond: Beyond::End,
    };
}

impl Module {
    /// The command within its bounds; as it is, where nothing was said about any.
    pub(super) fn contained(
        &self,
        operation: &'static str,
        command: Command,
        notes: PathBuf,
        files: &[&Path],
    ) -> Result<Option<Contained>, InfraError> {
        let Some(containment) = &self.containment else { return Ok(None) };
        let tmp = self.scratch.join("tmp");
        super::module::make_private_dir(&tmp)?;
        let mut shares: Vec<Share> = Vec::new();
        shares.extend(containment.read.iter().map(|path| Share::foreign(path, Access::Read)));
        shares.extend(containment.write.iter().map(|path| Share::foreign(path, Access::Write)));
        shares.push(Share::foreign(&self.tool.path, Access::Read));
        shares.push(Share::write(&containment.tree));
        if !self.dir.starts_with(&containment.tree) {
            shares.push(Share::write(&self.dir));
        }
        shares.push(Share::write(&self.scratch));
        shares.push(Share::write(tmp).at("/tmp"));
        if let State::Embedded(state) = &self.state
            && let Some(dir) = state.parent()
        {
            shares.push(Share::write(dir));
        }
        if let Some(cache) = &self.plugin_cache {
            let is_filled = operation == "init";
            shares.push(if is_filled { Share::write(cache) } else { Share::read(cache) });
        }
        let mirror = self.providers.as_ref().and_then(|providers| providers.mirror.as_ref());
        shares.extend(mirror.map(|mirror| Share::foreign(mirror, Access::Read)));
        shares.extend(files.iter().map(|file| Share::read(*file)));
        let beyond = if operation == "apply" { Beyond::AskFirst } else { Beyond::End };
        let bounds = Bounds {
            shares,
            network: containment.network.clone(),
            limits: Limits { beyond, ..containment.limits },
            notes,
        };
        let contained = containment.sandbox.contain(command, &bounds);
        contained.map(Some).map_err(|source| self.uncontained(operation, source))
    }

    /// Where the sandbox of an operation other than an apply writes down its end.
    pub(super) fn notes(&self) -> PathBuf {
        let mut notes = self.scratch.as_os_str().to_owned();
        notes.push(".notes");
        notes.into()
    }

    pub(super) fn uncontained(
        &self,
        operation: &'static str,
        source: crate::sandbox::SandboxError,
    ) -> InfraError {
        InfraError::Sandbox { operation, dir: self.dir.clone(), source }
    }
}

/// Reads a file, and nothing that is reached by a link or is no file; none if nothing is there.
pub(crate) fn read_file(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut options = std::fs::OpenOptions::new();
    options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let mut file = match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    plain(&file)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Writes a new file in place of whatever has the name, through no link.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).open(path)?.write_all(bytes)
}

/// Opens a file that is one.
pub(crate) fn open_file(path: &Path) -> io::Result<File> {
    let mut options = std::fs::OpenOptions::new();
    let file = options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
    plain(&file)?;
    Ok(file)
}

fn plain(file: &File) -> io::Result<()> {
    if file.metadata()?.is_file() {
        return Ok(());
    }
    Err(io::Error::other(
        "is no file, though it should be one; the module's code may have put it there",
    ))
}
