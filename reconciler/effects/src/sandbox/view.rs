//! What a contained program sees of the file system: programs, libraries and certificates to read, what it is
//! given, and nothing else of this machine.
//!
//! Everything is opened while the outer user's rights still hold and put in place as the inner one, so that
//! what lies in a directory that the inner user cannot pass can be given to it all the same.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::CWD;
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags,
};

use super::kernel::{self, MountAttributes};
use super::spec::{Access, Spec};

/// Where the new root is built, in the mount namespace of the sandbox.
const BUILD: &str = "/tmp";
/// Directories of programs and libraries. Where one is a link, it is a link inside, too.
const SYSTEM: [&str; 7] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];
/// What programs read of the configuration of a machine. The rest of `/etc` may be secret.
const CONFIGURATION: [&str; 20] = [
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/ca-certificates.conf",
    "/etc/crypto-policies",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/nsswitch.conf",
    "/etc/os-release",
    "/etc/pki/ca-trust",
    "/etc/pki/tls/cert.pem",
    "/etc/pki/tls/certs",
    "/etc/protocols",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/timezone",
];
const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];
const PASSWD: &str = "sandbox:x:1000:1000::/tmp:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n";
const GROUP: &str = "sandbox:x:1000:\nnogroup:x:65534:\n";
const HOSTS: &str = "127.0.0.1 localhost sandbox\n::1 localhost\n";

/// What is to be seen, opened.
pub(super) struct View {
    links: Vec<(&'static str, PathBuf)>,
    places: Vec<Place>,
}

/// A tree of mounts that is attached nowhere yet.
struct Place {
    tree: OwnedFd,
    at: PathBuf,
    is_dir: bool,
}

impl View {
    /// Opens everything, with the rights of the user outside.
    pub(super) fn open(spec: &Spec) -> io::Result<Self> {
        // What is done here shows nowhere else, nor the other way round.
        rustix::mount::mount_change(
            "/",
            MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
        )?;
        let mut view = Self { links: Vec::new(), places: Vec::new() };
        for path in SYSTEM {
            match std::fs::read_link(path) {
                Ok(target) => view.links.push((path, target)),
                Err(_) => view.open_if_there(path, MountAttributes::READ_ONLY)?,
            }
        }
        for path in CONFIGURATION {
            view.open_if_there(path, MountAttributes::READ_ONLY)?;
        }
        for path in DEVICES {
            view.open_one(Path::new(path), Path::new(path), MountAttributes::DEVICE)?;
        }
        for share in &spec.shares {
            let attributes = match share.access {
                Access::Read => MountAttributes::READ_ONLY,
                Access::Write => MountAttributes::INERT,
            };
            for at in std::iter::once(&share.path).chain(&share.also_at) {
                view.open_one(&share.path, at, attributes)?;
            }
        }
        // What is further up comes first, or it would hide what is below.
        view.places.sort_by_key(|place| place.at.components().count());
        Ok(view)
    }

    fn open_if_there(&mut self, path: &str, attributes: MountAttributes) -> io::Result<()> {
        match self.open_one(Path::new(path), Path::new(path), attributes) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            opened => opened,
        }
    }

    fn open_one(&mut self, path: &Path, at: &Path, attributes: MountAttributes) -> io::Result<()> {
        let open = || -> io::Result<Place> {
            let is_dir = std::fs::metadata(path)?.is_dir();
            let flags = OpenTreeFlags::OPEN_TREE_CLONE
                | OpenTreeFlags::OPEN_TREE_CLOEXEC
                | OpenTreeFlags::AT_RECURSIVE;
            let tree = rustix::mount::open_tree(CWD, path, flags)?;
            kernel::set_attributes(tree.as_fd(), attributes)?;
            Ok(Place { tree, at: at.to_owned(), is_dir })
        };
        self.places.push(open().map_err(|error| named(path, &error))?);
        Ok(())
    }

    /// Puts everything in place and makes it all there is.
    pub(super) fn enter(self, spec: &Spec) -> io::Result<()> {
        let plain = MountFlags::NOSUID | MountFlags::NODEV;
        rustix::mount::mount("root", BUILD, "tmpfs", plain, c"mode=0755,size=4m")?;
        for dir in ["/proc", "/dev", "/dev/shm", "/etc", "/tmp", "/run", "/var"] {
            std::fs::create_dir_all(inside(Path::new(dir)))?;
        }
        let process = plain | MountFlags::NOEXEC;
        rustix::mount::mount("proc", inside(Path::new("/proc")), "proc", process, None)
            .map_err(|error| named(Path::new("/proc"), &error.into()))?;
        for dir in ["/dev/shm", "/tmp"] {
            let size = c"mode=1777,size=64m";
            rustix::mount::mount("tmp", inside(Path::new(dir)), "tmpfs", plain, size)?;
        }
        for (path, target) in &self.links {
            std::os::unix::fs::symlink(target, inside(Path::new(path)))?;
        }
        for (name, target) in [
            ("fd", "/proc/self/fd"),
            ("stdin", "/proc/self/fd/0"),
            ("stdout", "/proc/self/fd/1"),
            ("stderr", "/proc/self/fd/2"),
        ] {
            std::os::unix::fs::symlink(target, inside(&Path::new("/dev").join(name)))?;
        }
        for (path, text) in [("/etc/passwd", PASSWD), ("/etc/group", GROUP), ("/etc/hosts", HOSTS)]
        {
            std::fs::write(inside(Path::new(path)), text)?;
        }
        for place in &self.places {
            place.put().map_err(|error| named(&place.at, &error))?;
        }
        std::env::set_current_dir(BUILD)?;
        rustix::process::pivot_root(".", ".")?;
        rustix::mount::unmount(".", UnmountFlags::DETACH)?;
        std::env::set_current_dir("/")?;
        let closed = plain | MountFlags::BIND | MountFlags::RDONLY;
        rustix::mount::mount_remount("/", closed, c"")?;
        // Where it is not, the program says less clearly what is missing.
        std::env::set_current_dir(&spec.dir).map_err(|error| named(&spec.dir, &error))
    }
}

impl Place {
    fn put(&self) -> io::Result<()> {
        let at = inside(&self.at);
        if self.is_dir {
            std::fs::create_dir_all(&at)?;
        } else {
            if let Some(parent) = at.parent() {
                std::fs::create_dir_all(parent)?;
            }
            if !at.exists() {
                std::fs::write(&at, "")?;
            }
        }
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        Ok(rustix::mount::move_mount(&self.tree, "", CWD, &at, flags)?)
    }
}

/// Programs, libraries and configuration that are there, by their path inside.
pub(super) fn system() -> impl Iterator<Item = &'static str> {
    SYSTEM.into_iter().chain(CONFIGURATION).filter(|path| Path::new(path).exists())
}

fn inside(path: &Path) -> PathBuf {
    Path::new(BUILD).join(path.strip_prefix("/").unwrap_or(path))
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
