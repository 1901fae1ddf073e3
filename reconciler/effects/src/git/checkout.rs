//! Writing a commit's files into a working directory.
//!
//! Does not run filters or hooks, does not write submodules, and has no `.git`. Refuses names and
//! symbolic links that could lead out of the directory.

use std::fs;
use std::io;
use std::path::Path;

use git2::{ObjectType, Tree};

use super::error::GitError;
use super::folder::Folder;
use super::id::CommitId;
use super::mirror::Job;
use super::sparse::{self, Only};
use super::tree::{self, EXECUTABLE, LINK, MAX_DEPTH};

/// Makes `dest` exactly the tree of `commit`, or what it has at `paths`.
pub(super) fn checkout(
    job: &Job,
    commit: &CommitId,
    paths: &[String],
    dest: &Path,
) -> Result<(), GitError> {
    let only = Only::of(paths)?;
    let tree = job.commit(commit)?.tree().map_err(job.fail("reading a tree"))?;
    sparse::check(job, commit, &tree, paths)?;
    let at = |source| GitError::Io { path: dest.to_owned(), source };
    empty(dest).map_err(at)?;
    let folder = Folder::open(dest).map_err(at)?;
    let mut writer = Writer { job, dest, path: Vec::new(), files: 0, bytes: 0 };
    writer.folder(&tree, &folder, &only, 0)
}

/// The content of the file at `path`, which is made of checked components.
pub(super) fn file_at(
    job: &Job,
    commit: &CommitId,
    path: &str,
) -> Result<Option<Vec<u8>>, GitError> {
    let fail = job.fail("reading a file");
    let tree = job.commit(commit)?.tree().map_err(&fail)?;
    let entry = match tree.get_path(Path::new(path)) {
        Ok(entry) if entry.kind() == Some(ObjectType::Blob) => entry,
        Ok(_) => return Ok(None),
        Err(error) if error.code() == git2::ErrorCode::NotFound => return Ok(None),
        Err(error) => return Err(fail(error)),
    };
    let blob = job.repository.find_blob(entry.id()).map_err(&fail)?;
    if blob.size() as u64 > job.caps.file {
        return Err(job.too_large(format!("file {path:?}"), job.caps.file));
    }
    Ok(Some(blob.content().to_vec()))
}

/// Leaves an empty folder at `path`, which may be missing, but not be something else.
fn empty(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path)?,
        Ok(_) => {
            let why = "a checkout cannot replace a file or a link";
            return Err(io::Error::new(io::ErrorKind::NotADirectory, why));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    fs::create_dir(path)
}

struct Writer<'a> {
    job: &'a Job,
    dest: &'a Path,
    /// Where we are, for messages.
    path: Vec<u8>,
    files: u64,
    bytes: u64,
}

impl Writer<'_> {
    fn folder(
        &mut self,
        tree: &Tree<'_>,
        into: &Folder,
        only: &Only,
        depth: usize,
    ) -> Result<(), GitError> {
        if depth > MAX_DEPTH {
            return Err(tree::refuse(&self.path, "it has too many folders"));
        }
        self.job.check()?;
        for entry in tree {
            let only = only.below(entry.name_bytes());
            if *only == Only::Nothing {
                continue;
            }
            let length = self.path.len();
            if length > 0 {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(entry.name_bytes());
            self.entry(&entry, into, only, depth)?;
            self.path.truncate(length);
        }
        Ok(())
    }

    fn entry(
        &mut self,
        entry: &git2::TreeEntry<'_>,
        into: &Folder,
        only: &Only,
        depth: usize,
    ) -> Result<(), GitError> {
        let name = entry.name_bytes();
        tree::check_name(name).map_err(|why| tree::refuse(&self.path, why))?;
        match entry.kind() {
            Some(ObjectType::Tree) => {
                let fail = self.job.fail("reading a tree");
                let tree = self.job.repository.find_tree(entry.id()).map_err(fail)?;
                let below = into.make(name).map_err(|source| self.io(source))?;
                self.folder(&tree, &below, only, depth + 1)
            }
            Some(ObjectType::Blob) => self.file(entry, into, depth),
            // A submodule: git leaves an empty folder, we leave nothing.
            Some(ObjectType::Commit | ObjectType::Tag | ObjectType::Any) | None => Ok(()),
        }
    }

    fn file(
        &mut self,
        entry: &git2::TreeEntry<'_>,
        into: &Folder,
        depth: usize,
    ) -> Result<(), GitError> {
        let fail = self.job.fail("reading a file");
        let caps = self.job.caps;
        let shown = || format!("file {:?}", String::from_utf8_lossy(&self.path));
        let store = self.job.repository.odb().map_err(&fail)?;
        if store.read_header(entry.id()).map_err(&fail)?.0 as u64 > caps.file {
            return Err(self.job.too_large(shown(), caps.file));
        }
        let blob = self.job.repository.find_blob(entry.id()).map_err(&fail)?;
        let (name, content) = (entry.name_bytes(), blob.content());
        self.files += 1;
        self.bytes += content.len() as u64;
        if self.files > caps.files {
            return Err(self.job.too_large("the number of files", caps.files));
        }
        if self.bytes > caps.checkout {
            return Err(self.job.too_large("the checkout", caps.checkout));
        }
        let written = if entry.filemode() == LINK {
            let unsafe_link = |why| tree::refuse(&self.path, why);
            tree::check_link(content, depth).map_err(unsafe_link)?;
            into.link(name, content)
        } else {
            into.write(name, content, entry.filemode() == EXECUTABLE)
        };
        written.map_err(|source| self.io(source))
    }

    fn io(&self, source: io::Error) -> GitError {
        let path = self.dest.join(String::from_utf8_lossy(&self.path).as_ref());
        GitError::Io { path, source }
    }
}
