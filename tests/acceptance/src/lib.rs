//! Real binaries driven from outside: terraform or tofu, lockstepd, git, a registry, Prometheus.
//!
//! ```text
//! world        all of the below, with a sample shop in it
//! lockstepd    the daemon: started, killed, crashed on order, restarted with its data
//! cli          the lockstep command line
//! terraform    whichever of terraform and tofu are on the PATH, with our provider
//! git          git's own HTTP backend, bare repositories, commits by git itself
//! forge        stands for a forge: pull requests of a repository of git's
//! registry     Debian's docker-registry, and images put into it
//! prometheus   Debian's prometheus, scraping the application
//! app          stands for the deployed application: healthy unless a test says otherwise
//! wait         waiting for something to become true, with the reason why it did not
//! process      children: started in groups of their own, gone with their guard or with us
//! ```
//!
//! Everything listens on free ports of loopback, lives in temporary folders, and ends when its
//! guard is dropped, in a panic too. Nothing here replaces a part of Lockstep or of the programs
//! that it works with; only the deployed application and the forge are ours, and say so.

pub mod app;
pub mod cli;
mod failure;
pub mod forge;
pub mod git;
mod hosting;
pub mod lockstepd;
pub mod process;
pub mod prometheus;
pub mod registry;
pub mod terraform;
pub mod wait;
pub mod world;

pub use failure::{At, Failure, Outcome};
