//! The second wall: no rights, no way to get any, and Landlock over what the mounts leave visible.

use std::path::Path;

use landlock::{
    ABI, Access as _, AccessFs, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope,
};
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::spec::{Access, Spec};
use super::view;

/// What is asked of Landlock; an older kernel gives what it has.
const LANDLOCK: ABI = ABI::V6;

/// Gives up what is left of rights. Nothing that this process starts can have any.
pub(super) fn give_up_rights(spec: &Spec) -> Result<(), String> {
    rustix::thread::set_no_new_privs(true).map_err(|error| error.to_string())?;
    empty_bounding_set().map_err(|error| error.to_string())?;
    rustix::thread::clear_ambient_capability_set().map_err(|error| error.to_string())?;
    restrict(spec).map_err(|error| error.to_string())?;
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    rustix::thread::set_capabilities(None, sets).map_err(|error| error.to_string())
}

/// Whether the kernel has Landlock. Asking restricts nothing.
pub(super) fn has_landlock() -> bool {
    use landlock::{CompatLevel, Compatible as _};
    let asked = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V1))
        .and_then(Ruleset::create);
    asked.is_ok()
}

fn empty_bounding_set() -> Result<(), rustix::io::Errno> {
    for bit in 0..64 {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            Ok(()) => {}
            // The kernel knows no more of them.
            Err(rustix::io::Errno::INVAL) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn restrict(spec: &Spec) -> Result<RulesetStatus, RulesetError> {
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(LANDLOCK))?
        .scope(Scope::from_all(LANDLOCK))?
        .create()?;
    let (read, all) = (AccessFs::from_read(LANDLOCK), AccessFs::from_all(LANDLOCK));
    let device = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::ReadDir | AccessFs::IoctlDev;
    rules = allow(rules, Path::new("/"), AccessFs::ReadDir.into())?;
    rules = allow(rules, Path::new("/proc"), read)?;
    rules = allow(rules, Path::new("/dev"), device)?;
    for path in view::system().chain(["/etc"]) {
        rules = allow(rules, Path::new(path), read)?;
    }
    for path in ["/tmp", "/dev/shm"] {
        rules = allow(rules, Path::new(path), all)?;
    }
    for share in &spec.shares {
        let access = match share.access {
            Access::Read => read,
            Access::Write => all,
        };
        for path in std::iter::once(&share.path).chain(&share.also_at) {
            rules = allow(rules, path, access)?;
        }
    }
    Ok(rules.restrict_self()?.ruleset)
}

fn allow(
    rules: landlock::RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
) -> Result<landlock::RulesetCreated, RulesetError> {
    // What is not there needs no rule.
    let Ok(opened) = PathFd::new(path) else { return Ok(rules) };
    let access = if path.is_dir() { access } else { access & AccessFs::from_file(LANDLOCK) };
    rules.add_rule(PathBeneath::new(opened, access))
}
