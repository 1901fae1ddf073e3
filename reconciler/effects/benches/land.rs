//! What it costs to bring a promotion's commit onto a branch, beside the `git` program.
//!
//! One commit is made from a checkout of the one folder that it changes, as `git_clone` with `paths`
//! makes it, in a repository that is known here already; `git` clones with depth 1, commits and
//! pushes. Then a thousand promotions write to one branch at once; `git` fetches, commits and pushes
//! one after the other in a clone that it keeps. Both sides talk to the same server, git's own over
//! HTTP on loopback; what it takes itself for one of our commits is told, for nobody who pushes can make that less. `make bench ID=land`; the directory is that of `TMPDIR`.
#![expect(clippy::print_stdout, reason = "a bench prints its table")]
#![expect(clippy::unwrap_used, reason = "a bench ends with its first failure")]

use std::fmt::Write as _;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use reconciler_effects::git::{
    CommitId, CommitOutcome, CommitRequest, FileEdit, Git, GitConfig, IfMoved, PushOutcome,
    PushRequest, RepoUrl, Revision, Signature, Source, Trailer,
};
use tempfile::TempDir;

use crate::githttp::{Access, GitHttp, init_bare};

#[expect(dead_code, reason = "the tests use all of it")]
#[path = "../tests/support/githttp.rs"]
mod githttp;

/// A repository of the common kind, one with some history and weight, and one that is far too large.
const REPOS: [Contents; 3] = [
    Contents { files: 200, file_bytes: 8, commits: 1 },
    Contents { files: 2_000, file_bytes: 10_000, commits: 5_000 },
    Contents { files: 200_000, file_bytes: 8, commits: 1 },
];
const ROUNDS: usize = 15;
const WRITERS: usize = 1_000;
/// Rounds of what takes `git` long.
const ROUNDS_OF_GIT: usize = 3;

#[tokio::main]
async fn main() {
    println!("fsync of 4 KiB: {:.2} ms\n", ms(fsync()));
    println!(
        "| one commit | lockstep ms | of it the server's CPU ms | git clone, commit, push ms | ratio |\n\
         |---|---|---|---|---|"
    );
    for contents in REPOS {
        let bench = Bench::new(contents).await;
        let before = server_cpu();
        let ours = median(bench.commits(ROUNDS).await);
        let server = (server_cpu() - before) / u32::try_from(ROUNDS).unwrap();
        let git = median((0..ROUNDS_OF_GIT).map(|n| bench.clone_commit_push(n)).collect());
        println!(
            "| of {} files, {} KB, {} commits | {:.1} | {:.1} | {:.0} | {:.0} |",
            contents.files,
            contents.files * contents.file_bytes / 1000,
            contents.commits,
            ms(ours),
            ms(server),
            ms(git),
            ratio(git, ours)
        );
    }
    let bench = Bench::new(REPOS[0]).await;
    let all = bench.at_once(WRITERS).await;
    let each = all / u32::try_from(WRITERS).unwrap();
    let git = median(bench.fetch_commit_push(ROUNDS));
    println!(
        "\n| {WRITERS} promotions, one branch | s in all | ms each | git, one by one, ms each | ratio |"
    );
    println!("|---|---|---|---|---|");
    let (s, ratio) = (all.as_secs_f64(), ratio(git, each));
    println!("| a commit each | {s:.1} | {:.1} | {:.0} | {ratio:.0} |", ms(each), ms(git));
}

/// What is in a repository.
#[derive(Debug, Clone, Copy)]
struct Contents {
    files: usize,
    /// Of each, and no two the same.
    file_bytes: usize,
    commits: usize,
}

/// A served repository, and a room that knows it.
struct Bench {
    folder: TempDir,
    server: GitHttp,
    repo: RepoUrl,
    git: Git,
}

impl Bench {
    async fn new(contents: Contents) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let served = folder.path().join("served");
        let bare = served.join("app.git");
        init_bare(&bare).unwrap();
        fill(&bare, contents);
        let server = GitHttp::start(&served, Access::Open).await.unwrap();
        let repo: RepoUrl = server.url("app.git").parse().unwrap();
        let mut config = GitConfig::new(folder.path().join("mirrors"));
        config.workers = 8;
        let git = Git::open(config).unwrap();
        git.fetch(&repo, &Revision::Branch("main".to_owned())).await.unwrap();
        Self { folder, server, repo, git }
    }

    /// Promotions, one after the other.
    async fn commits(&self, rounds: usize) -> Vec<Duration> {
        let (work, paths) = (self.folder.path().join("work"), ["env/0".to_owned()]);
        let mut took = Vec::new();
        for n in 0..rounds {
            let began = Instant::now();
            let main = Revision::Branch("main".to_owned());
            let base = self.git.checkout(&self.repo, &main, &paths, &work).await.unwrap();
            std::fs::write(work.join("env/0/values.yaml"), format!("tag: 1.0.{n}\n")).unwrap();
            let source = Source::WorkingTree { dir: work.clone(), paths: paths.to_vec() };
            self.land(&base, &format!("dev.{n}/commit"), source).await;
            took.push(began.elapsed());
        }
        took
    }

    /// Promotions that begin together, each with a file of its own.
    async fn at_once(&self, count: usize) -> Duration {
        let base = &self.git.remote_tip(&self.repo, "main").await.unwrap().unwrap();
        let began = Instant::now();
        let writers = (0..count).map(|n| async move {
            let content = Some(format!("tag: 2.0.{n}\n").into_bytes());
            let edit = FileEdit { path: format!("env/{}/app-{n}.yaml", n % 20), content };
            self.land(base, &format!("all.{n}/commit"), Source::Edits(vec![edit])).await;
        });
        futures::future::join_all(writers).await;
        let took = began.elapsed();
        let bare = self.folder.path().join("served/app.git");
        let landed = git(&bare, &["rev-list", "--count", &format!("{base}..main")]);
        assert_eq!(landed.trim(), count.to_string(), "a commit each");
        took
    }

    async fn land(&self, base: &CommitId, mark: &str, source: Source) {
        let trailer = Trailer::promotion(mark).unwrap();
        let author = Signature {
            name: "Lockstep".to_owned(),
            email: "lockstep@example.com".to_owned(),
            time: Timestamp::now(),
        };
        let request = CommitRequest {
            repo: self.repo.clone(),
            base: base.clone(),
            source,
            committer: author.clone(),
            author,
            message: format!("Promote {mark}"),
            trailers: vec![trailer.clone()],
        };
        let CommitOutcome::Committed(made) = self.git.commit(request).await.unwrap() else {
            panic!("{mark} changes nothing");
        };
        let request = PushRequest {
            repo: self.repo.clone(),
            branch: "main".to_owned(),
            commit: made.commit,
            trailer,
            create: false,
            if_moved: IfMoved::Rebase,
            stands_on: None,
            own: Vec::new(),
            max_attempts: 10,
        };
        let pushed = self.git.push(request).await.unwrap();
        assert!(matches!(pushed, PushOutcome::Pushed { .. }), "{mark}: {pushed:?}");
    }

    fn clone_commit_push(&self, n: usize) -> Duration {
        let clone = self.folder.path().join(format!("clone-{n}"));
        let began = Instant::now();
        self.clone_to(&clone);
        change(&clone, n);
        let took = began.elapsed();
        std::fs::remove_dir_all(clone).unwrap();
        took
    }

    /// What a loop around `git` does in a clone that it keeps.
    fn fetch_commit_push(&self, rounds: usize) -> Vec<Duration> {
        let clone = self.folder.path().join("kept");
        self.clone_to(&clone);
        let round = |n| {
            let began = Instant::now();
            git(&clone, &["pull", "--quiet", "--rebase"]);
            change(&clone, n);
            began.elapsed()
        };
        (0..rounds).map(round).collect()
    }

    fn clone_to(&self, clone: &Path) {
        let (url, to) = (self.server.url("app.git"), clone.to_str().unwrap());
        git(self.folder.path(), &["clone", "--quiet", "--depth", "1", &url, to]);
    }
}

/// Commits one file and pushes it.
fn change(clone: &Path, n: usize) {
    std::fs::write(clone.join("env/1/values.yaml"), format!("tag: 3.0.{n}\n")).unwrap();
    git(clone, &["commit", "--quiet", "--all", "--message", "promote"]);
    git(clone, &["push", "--quiet", "origin", "main"]);
}

/// A first commit with all files, a hundred in a folder, and others that change one of them.
fn fill(bare: &Path, contents: Contents) {
    let import = Command::new("git")
        .args(["fast-import", "--quiet"])
        .current_dir(bare)
        .stdin(Stdio::piped())
        .spawn();
    let mut import = import.unwrap();
    let mut to = BufWriter::new(import.stdin.take().unwrap());
    let commit = |to: &mut BufWriter<_>, n: usize| {
        let at = 1_795_262_400 + n;
        writeln!(
            to,
            "commit refs/heads/main\ncommitter Jo <jo@example.com> {at} +0000\ndata 5\nfirst"
        )
    };
    commit(&mut to, 0).unwrap();
    for n in 0..contents.files {
        writeln!(to, "M 100644 inline env/{}/file-{n}.yaml", n / 100).unwrap();
        data(&mut to, &noise(n, contents.file_bytes)).unwrap();
    }
    for n in 0..20 {
        writeln!(to, "M 100644 inline env/{n}/values.yaml").unwrap();
        data(&mut to, "tag: 1\n").unwrap();
    }
    for n in 1..contents.commits {
        commit(&mut to, n).unwrap();
        writeln!(to, "M 100644 inline env/0/values.yaml").unwrap();
        data(&mut to, &format!("tag: 1.{n}\n")).unwrap();
    }
    to.flush().unwrap();
    drop(to);
    assert!(import.wait().unwrap().success());
}

fn data(to: &mut impl Write, text: &str) -> std::io::Result<()> {
    writeln!(to, "data {}\n{text}", text.len())
}

/// Text that hardly compresses, another one for each number.
fn noise(seed: usize, bytes: usize) -> String {
    let mut state = seed as u64 + 1;
    let mut text = String::with_capacity(bytes + 16);
    while text.len() < bytes {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        write!(text, "{:08x}", state >> 32).unwrap();
    }
    text.truncate(bytes);
    text
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let mut git = Command::new("git");
    git.current_dir(folder).args(arguments);
    git.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
    for who in ["AUTHOR", "COMMITTER"] {
        git.env(format!("GIT_{who}_NAME"), "Jo").env(format!("GIT_{who}_EMAIL"), "jo@example.com");
    }
    let output = git.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The machine's own part in every push.
fn fsync() -> Duration {
    let path: PathBuf = std::env::temp_dir().join(format!("fsync-{}", std::process::id()));
    let mut file = std::fs::File::create(&path).unwrap();
    let round = |_| {
        let began = Instant::now();
        file.write_all(&[7; 4096]).unwrap();
        file.sync_data().unwrap();
        began.elapsed()
    };
    let took = median((0..50).map(round).collect());
    std::fs::remove_file(path).unwrap();
    took
}

/// What the processes of the server took so far: `cutime` and `cstime` of proc(5), in hundredths of a second.
fn server_cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks: u64 = fields[13..15].iter().map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

fn median(mut took: Vec<Duration>) -> Duration {
    took.sort_unstable();
    took[took.len() / 2]
}

fn ms(took: Duration) -> f64 {
    took.as_secs_f64() * 1e3
}

fn ratio(theirs: Duration, ours: Duration) -> f64 {
    theirs.as_secs_f64() / ours.as_secs_f64()
}
