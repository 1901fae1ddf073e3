//! Comparing a working directory with the tree that it was checked out from.
//!
//! Files that git does not know yet are left out where a `.gitignore` says so; files that it knows
//! never are. `.git` folders and empty folders do not count, submodules stay as they are.

use std::collections::HashSet;
use std::io;
use std::path::Path;

use git2::{ObjectType, Oid, Repository, Tree};

use super::error::GitError;
use super::folder::{Folder, Kind};
use super::mirror::Job;
use super::sparse::Only;
use super::tree::{self, EXECUTABLE, Edit, Edits, FILE, LINK, MAX_DEPTH};

/// Adds to `edits` what turns `base` into the content of `dir`, where what is not in `only` was not
/// checked out. Contents that are new are written into the mirror.
pub(super) fn compare(
    job: &Job,
    base: &Tree<'_>,
    dir: &Path,
    only: &Only,
    edits: &mut Edits,
) -> Result<(), GitError> {
    let at = |source| GitError::Io { path: dir.to_owned(), source };
    let folder = Folder::open(dir).map_err(at)?;
    // A handle of its own that believes `dir` to be its working directory: only for `.gitignore`.
    let fail = job.fail("reading .gitignore");
    let ignores = Repository::open_bare(job.repository.path()).map_err(&fail)?;
    ignores.set_workdir(dir, false).map_err(&fail)?;
    let mut scan = Scan { job, dir, ignores, edits, path: Vec::new(), files: 0 };
    scan.folder(&folder, Some(base), only)
}

struct Scan<'a> {
    job: &'a Job,
    dir: &'a Path,
    ignores: Repository,
    edits: &'a mut Edits,
    /// Where we are, in the repository.
    path: Vec<Vec<u8>>,
    files: u64,
}

/// What the base has at a name.
#[derive(Clone, Copy)]
struct Known {
    id: Oid,
    mode: i32,
    kind: Option<ObjectType>,
}

impl Scan<'_> {
    fn folder(
        &mut self,
        folder: &Folder,
        base: Option<&Tree<'_>>,
        only: &Only,
    ) -> Result<(), GitError> {
        self.job.check()?;
        if self.path.len() > MAX_DEPTH {
            return Err(self.refuse("it has too many folders"));
        }
        let mut seen = HashSet::new();
        for name in folder.names().map_err(|source| self.io(source))? {
            if name.eq_ignore_ascii_case(b".git") {
                continue;
            }
            let known = base.and_then(|tree| tree.get_name_bytes(&name)).map(|entry| Known {
                id: entry.id(),
                mode: entry.filemode(),
                kind: entry.kind(),
            });
            self.path.push(name.clone());
            self.entry(folder, &name, known, only.below(&name))?;
            self.path.pop();
            seen.insert(name);
        }
        for entry in base.into_iter().flatten() {
            let submodule = entry.kind() == Some(ObjectType::Commit);
            if !submodule && !seen.contains(entry.name_bytes()) {
                self.gone(entry.name_bytes(), only.below(entry.name_bytes()));
            }
        }
        Ok(())
    }

    /// Notes that what was checked out there is not there any more.
    fn gone(&mut self, name: &[u8], only: &Only) {
        self.path.push(name.to_vec());
        match only {
            Only::All => self.edits.insert(&self.path, Edit::Remove),
            Only::Some(names) => names.iter().for_each(|(name, only)| self.gone(name, only)),
            Only::Nothing => {}
        }
        self.path.pop();
    }

    fn entry(
        &mut self,
        folder: &Folder,
        name: &[u8],
        known: Option<Known>,
        only: &Only,
    ) -> Result<(), GitError> {
        if known.is_some_and(|known| known.kind == Some(ObjectType::Commit)) {
            return Ok(());
        }
        if known.is_none() && self.ignored()? {
            return Ok(());
        }
        let kind = folder.kind(name).map_err(|source| self.io(source))?;
        let was_folder = known.map(|known| known.kind == Some(ObjectType::Tree));
        if *only != Only::All && was_folder.is_some_and(|was| was != (kind == Kind::Folder)) {
            return Err(self.refuse("what it would replace was not checked out"));
        }
        match kind {
            Kind::Folder => self.below(folder, name, known, only),
            Kind::File { executable, size } => {
                let mode = if executable { EXECUTABLE } else { FILE };
                self.file(folder, name, known, mode, size)
            }
            Kind::Link => {
                let target = folder.read_link(name).map_err(|source| self.io(source))?;
                let depth = self.path.len() - 1;
                tree::check_link(&target, depth).map_err(|why| self.refuse(why))?;
                self.put(&target, known, LINK)
            }
            Kind::Special => Err(self.refuse("git cannot hold devices, sockets and pipes")),
        }
    }

    fn below(
        &mut self,
        folder: &Folder,
        name: &[u8],
        known: Option<Known>,
        only: &Only,
    ) -> Result<(), GitError> {
        let inner = folder.enter(name).map_err(|source| self.io(source))?;
        let job = self.job;
        let base = match known {
            Some(Known { id, kind: Some(ObjectType::Tree), .. }) => {
                Some(job.repository.find_tree(id).map_err(job.fail("reading a tree"))?)
            }
            Some(_) => {
                // A file became a folder, which may turn out to be empty.
                self.edits.insert(&self.path, Edit::Remove);
                None
            }
            None => None,
        };
        self.folder(&inner, base.as_ref(), only)
    }

    fn file(
        &mut self,
        folder: &Folder,
        name: &[u8],
        known: Option<Known>,
        mode: i32,
        size: u64,
    ) -> Result<(), GitError> {
        let caps = self.job.caps;
        self.files += 1;
        if self.files > caps.files {
            return Err(self.job.too_large("the number of files", caps.files));
        }
        let content = if size > caps.file {
            None
        } else {
            folder.read(name, caps.file).map_err(|source| self.io(source))?
        };
        match content {
            Some(content) => self.put(&content, known, mode),
            None => Err(self.job.too_large(format!("file {:?}", self.shown()), caps.file)),
        }
    }

    fn put(&mut self, content: &[u8], known: Option<Known>, mode: i32) -> Result<(), GitError> {
        let fail = self.job.fail("writing a file");
        let id = Oid::hash_object(ObjectType::Blob, content).map_err(&fail)?;
        if known.is_some_and(|known| known.id == id && same_mode(known.mode, mode)) {
            return Ok(());
        }
        self.job.repository.blob(content).map_err(&fail)?;
        self.edits.insert(&self.path, Edit::Put { id, mode });
        Ok(())
    }

    fn ignored(&self) -> Result<bool, GitError> {
        let path = self.path.join(&b'/');
        let path = Path::new(std::ffi::OsStr::new(std::str::from_utf8(&path).unwrap_or_default()));
        if path.as_os_str().is_empty() {
            return Err(self.refuse("a new file's name must be UTF-8"));
        }
        self.ignores.is_path_ignored(path).map_err(self.job.fail("reading .gitignore"))
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.path.join(&b'/')).into_owned()
    }

    fn refuse(&self, why: &'static str) -> GitError {
        GitError::UnsafePath { path: self.shown(), why }
    }

    fn io(&self, source: io::Error) -> GitError {
        let path = self.dir.join(self.shown());
        GitError::Io { path, source }
    }
}

/// Old repositories have files of mode 0100664, which count as ordinary ones.
fn same_mode(known: i32, found: i32) -> bool {
    let executable = |mode: i32| mode & 0o100 != 0;
    (known == LINK) == (found == LINK) && executable(known) == executable(found)
}
