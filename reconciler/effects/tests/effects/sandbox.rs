//! Programs that mean harm, in a real sandbox: what they get at, what they may use, and who is told.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reconciler_effects::http::EgressPolicy;
use reconciler_effects::process::{Command, Output, ProcessError};
use reconciler_effects::sandbox::{
    Access, Beyond, Bounds, Excess, Limits, Mode, Network, Sandbox, SandboxError, Share,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;

const PROBE: &str = env!("CARGO_BIN_EXE_effects-probe");

struct Cell {
    folder: tempfile::TempDir,
    sandbox: Sandbox,
    bounds: Bounds,
    deadline: Duration,
}

impl Cell {
    /// A working directory that may be written, in a folder that may not be seen.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for dir in ["work", "notes", "other"] {
            std::fs::create_dir(folder.path().join(dir)).unwrap();
        }
        std::fs::write(folder.path().join("other/secret"), "hunter22").unwrap();
        let sandbox = Sandbox::new(Mode::Required, PROBE);
        let offer = sandbox.probe();
        // Without it nothing of this can be shown, and that must not look like success.
        assert!(offer.is_ok(), "these tests need a machine that contains programs: {offer:?}");
        let bounds = Bounds {
            shares: vec![Share::write(folder.path().join("work"))],
            network: Network::None,
            limits: Limits {
                processes: 32,
                memory: 256 << 20,
                disk: 16 << 20,
                open_files: 256,
                beyond: Beyond::End,
            },
            notes: folder.path().join("notes"),
        };
        Self { folder, sandbox, bounds, deadline: Duration::from_secs(60) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, script: &str) -> Command {
        Command::new("/bin/sh")
            .args(["-c", script])
            .current_dir(self.path("work"))
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("SECRET_PATH", self.path("other/secret"))
            .deadline(self.deadline)
            .grace(Duration::from_millis(300))
    }

    async fn run(&self, script: &str) -> Result<Output, SandboxError> {
        let contained = self.sandbox.contain(self.command(script), &self.bounds)?;
        contained.run(&CancellationToken::new()).await
    }

    /// What it prints, and it has to end well.
    async fn prints(&self, script: &str) -> String {
        let output = self.run(script).await.unwrap();
        assert!(output.status.success(), "{script}: {output:?}");
        output.stdout.text().trim().to_owned()
    }

    /// It has to fail, and not by the sandbox.
    async fn refused(&self, script: &str) {
        let output = self.run(script).await.unwrap();
        assert!(!output.status.success(), "{script}: {output:?}");
    }
}

#[tokio::test]
async fn it_sees_its_directory_and_nothing_else_of_the_machine() {
    let cell = Cell::new();
    std::fs::write(cell.path("work/in"), "given").unwrap();
    assert_eq!(cell.prints("cat in && echo made > out && pwd -P").await.lines().count(), 1);
    assert_eq!(std::fs::read_to_string(cell.path("work/out")).unwrap(), "made\n");
    for script in [
        "cat $SECRET_PATH",
        "ls /root",
        "ls /home",
        "cat /etc/shadow",
        "cat /etc/hostname",
        "cat /proc/kcore",
        "cat /var/log/dpkg.log",
        "ls ../other",
        "ln -s $SECRET_PATH link && cat link",
        "echo x > /usr/x",
        "echo x > /etc/x",
        "echo x > /x",
        "echo x > /proc/sys/kernel/core_pattern",
        "mount -t tmpfs none /mnt",
        "mknod device b 8 0",
        "unshare --user true",
        "chroot / true",
    ] {
        cell.refused(script).await;
    }
    // Only the processes that it started, and one that looks after them.
    let processes = cell.prints("ls /proc | grep -c '^[0-9]'").await;
    assert!(processes.parse::<u32>().unwrap() <= 4, "{processes}");
}

#[tokio::test]
async fn it_is_nobody_and_cannot_become_anybody() {
    let cell = Cell::new();
    let status = cell.prints("id -u; grep -E '^(Cap|NoNewPrivs|Groups)' /proc/self/status").await;
    let fields: Vec<&str> = status.split_whitespace().collect();
    assert_eq!(fields[0], "1000");
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert!(status.contains(&format!("{set}:\t0000000000000000")), "{status}");
    }
    // What it makes belongs to an unprivileged user outside, too.
    cell.prints("touch made").await;
    let owner = std::os::unix::fs::MetadataExt::uid(&cell.path("work/made").metadata().unwrap());
    assert_ne!(owner, 0);
}

#[tokio::test]
async fn its_environment_is_what_was_named() {
    let cell = Cell::new();
    let names = cell.prints("env | cut -d= -f1 | grep -v -E '^(_|PWD|OLDPWD|SHLVL)$' | sort").await;
    assert_eq!(names, "PATH\nSECRET_PATH");
}

#[tokio::test]
async fn nobody_on_the_way_sees_its_environment() {
    let cell = Cell::new();
    // The loader of a program that sees these writes a file there before the program begins.
    let told = cell.path("told");
    std::fs::create_dir(&told).unwrap();
    let command = cell
        .command("echo $LD_DEBUG")
        .env("LD_DEBUG", "files")
        .env("LD_DEBUG_OUTPUT", told.join("by"));
    let contained = cell.sandbox.contain(command.clone(), &cell.bounds).unwrap();
    let output = contained.run(&CancellationToken::new()).await.unwrap();
    // Its own loader cannot write there, and tells it to the output.
    let told_inside = output.stdout.text().into_owned();
    assert_eq!(told_inside.lines().last(), Some("files"), "the program itself has it");
    let wrote = || std::fs::read_dir(&told).unwrap().count();
    assert_eq!(wrote(), 0);
    command.run(&CancellationToken::new()).await.unwrap();
    assert_ne!(wrote(), 0, "on this machine loaders read it");
}

#[tokio::test]
async fn a_read_only_share_stays_as_it_is() {
    let mut cell = Cell::new();
    cell.bounds.shares =
        vec![Share::read(cell.path("work")), Share::foreign(cell.path("other"), Access::Read)];
    std::fs::write(cell.path("work/in"), "given").unwrap();
    let others = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(cell.path("other"), others).unwrap();
    assert_eq!(cell.prints("cat in $SECRET_PATH").await, "givenhunter22");
    for script in ["echo x > in", "touch new", "rm in", "chmod 777 .", "echo x > $SECRET_PATH"] {
        cell.refused(script).await;
    }
}

#[tokio::test]
async fn processes_files_and_memory_are_limited() {
    let cell = Cell::new();
    let bomb = cell.run("f() { f | f & }; f; wait; sleep 0.2; true").await;
    // Whatever the shell makes of it: it ended, and the machine goes on.
    assert!(bomb.is_ok(), "{bomb:?}");
    let many = cell.run("for i in $(seq 100); do sleep 30 & done; jobs -p | wc -l").await.unwrap();
    assert!(many.stderr.text().contains("ork"), "{many:?}");
    cell.refused("dd if=/dev/zero of=large bs=1M count=64").await;
    let size = cell.path("work/large").metadata().unwrap().len();
    assert!(size <= 16 << 20, "{size}");
    let hungry = cell.run("x=$(head -c 400000000 /dev/zero | tr '\\0' x); echo ${#x}").await;
    match hungry {
        Ok(output) => assert!(!output.status.success(), "{output:?}"),
        Err(error) => {
            assert!(matches!(error, SandboxError::Exceeded { excess: Excess::Memory, .. }));
        }
    }
}

#[tokio::test]
async fn what_it_writes_is_limited_in_all() {
    let cell = Cell::new();
    let wrote =
        cell.run("i=0; while :; do head -c 8000000 /dev/zero > f$i; i=$((i+1)); done").await;
    insta::assert_snapshot!(wrote.unwrap_err(), @"`/bin/sh` was ended because it used more than 16 MiB of disk");
    // Nor by files without a name, nor by hiding them.
    let cell = Cell::new();
    let hidden = "for i in 3 4 5 6 7 8 9; do eval \"exec $i>f; rm f; head -c 9000000 /dev/zero >&$i\"; done; sleep 60";
    let error = cell.run(hidden).await.unwrap_err();
    assert!(matches!(error, SandboxError::Exceeded { excess: Excess::Disk, .. }), "{error}");
    let cell = Cell::new();
    let closed = "mkdir d; for i in 1 2 3 4 5 6; do head -c 9000000 /dev/zero > d/$i; done; chmod 0 d; sleep 60";
    let error = cell.run(closed).await.unwrap_err();
    assert!(matches!(error, SandboxError::Exceeded { excess: Excess::Disk, .. }), "{error}");
}

#[tokio::test]
async fn what_must_not_be_cut_off_is_asked_first() {
    let mut cell = Cell::new();
    cell.bounds.limits.beyond = Beyond::AskFirst;
    let polite = "trap 'echo asked; exit 7' INT; head -c 12000000 /dev/zero > a; head -c 12000000 /dev/zero > b; \
                  while :; do sleep 0.05; done";
    let output = cell.run(polite).await.unwrap();
    assert_eq!(output.status.code, Some(7), "{output:?}");
    let deaf = "trap '' INT; i=0; while :; do head -c 8000000 /dev/zero > f$i; i=$((i+1)); done";
    let error = cell.run(deaf).await.unwrap_err();
    assert!(matches!(error, SandboxError::Exceeded { .. }), "{error}");
}

#[tokio::test]
async fn nothing_outlives_it() {
    let mut cell = Cell::new();
    let mark = format!("{}", 3_000_000 + u64::from(std::process::id()));
    // A child in a session of its own that ignores every signal.
    let stray = format!("setsid sh -c 'trap \"\" INT TERM HUP; exec sleep {mark}' & sleep 0.1");
    cell.run(&stray).await.unwrap();
    assert_eq!(sleeping(&mark), 0);
    cell.deadline = Duration::from_millis(400);
    let error = cell.run(&format!("trap '' INT; {stray}; sleep {mark}")).await.unwrap_err();
    assert!(
        matches!(error, SandboxError::Process(ProcessError::DeadlineExceeded { .. })),
        "{error}"
    );
    while sleeping(&mark) > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Processes that sleep for so long.
fn sleeping(mark: &str) -> usize {
    let listed = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = listed.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| line.windows(mark.len()).any(|part| part == mark.as_bytes())).count()
}

#[tokio::test]
async fn an_interrupt_reaches_the_program_alone() {
    let cell = Cell::new();
    let script = "trap 'echo asked; exit 5' INT; touch ready; while :; do sleep 0.05; done";
    let contained = cell.sandbox.contain(cell.command(script), &cell.bounds).unwrap();
    let cancel = CancellationToken::new();
    let (run, ()) = tokio::join!(contained.run(&cancel), async {
        while !cell.path("work/ready").exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        cancel.cancel();
    });
    let cancelled = matches!(run, Err(SandboxError::Process(ProcessError::Cancelled { .. })));
    assert!(cancelled, "{run:?}");
}

#[tokio::test]
async fn exit_codes_signals_and_output_come_back() {
    let cell = Cell::new();
    let output = cell.run("echo out; echo err >&2; exit 42").await.unwrap();
    assert_eq!(output.status.code, Some(42));
    assert_eq!((output.stdout.text().trim(), output.stderr.text().trim()), ("out", "err"));
    let killed = cell.run("kill -SEGV $$").await.unwrap();
    assert_eq!(killed.status.signal, Some(11));
    // Fifty megabytes: read, and thrown away but for the beginning and the end.
    let loud = cell.run("head -c 50000000 /dev/zero | tr '\\0' x; echo end").await.unwrap();
    assert!(loud.stdout.truncated);
    assert!(loud.stdout.bytes.len() <= 4 << 20);
    assert!(loud.stdout.tail().ends_with("xend"));
    let missing = Command::new("no-such-program").current_dir(cell.path("work"));
    let missing = cell.sandbox.contain(missing.env("PATH", "/usr/bin"), &cell.bounds).unwrap();
    let error = missing.run(&CancellationToken::new()).await.unwrap_err();
    assert!(error.is_before_the_start());
    insta::assert_snapshot!(error, @"cannot start `no-such-program` in the sandbox: No such file or directory (os error 2): it is not among the programs that a sandbox sees (name its directory in `read` of `[sandbox]` if it is to be seen)");
}

/// A server on this machine that answers every request with the same words.
async fn server() -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut read = [0; 1024];
                let _count = client.read(&mut read).await;
                let answer =
                    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
                client.write_all(answer).await.ok();
            });
        }
    });
    address
}

#[tokio::test]
async fn it_reaches_what_is_allowed() {
    let mut cell = Cell::new();
    let server = server().await;
    let direct = format!("curl -sS --noproxy '*' http://{server}/");
    let proxied =
        format!("curl -sS --fail --proxytunnel --noproxy '' -x \"$HTTP_PROXY\" http://{server}/");
    let plain = format!("curl -sS --noproxy '' -x \"$HTTP_PROXY\" http://{server}/");
    cell.refused(&direct).await;
    cell.bounds.network = Network::Host;
    assert_eq!(cell.prints(&direct).await, "hello");
    cell.bounds.network = Network::Egress(EgressPolicy::with_private());
    cell.refused(&direct).await;
    assert_eq!(cell.prints(&proxied).await, "hello");
    assert_eq!(cell.prints(&plain).await, "hello");
    cell.bounds.network = Network::Egress(EgressPolicy::default());
    cell.refused(&proxied).await;
    assert!(cell.prints(&plain).await.contains("`127.0.0.1` is blocked"));
    let only = vec!["localhost".parse().unwrap()];
    let named = EgressPolicy { only, ..EgressPolicy::with_private() };
    cell.bounds.network = Network::Egress(named);
    cell.refused(&proxied).await;
    let by_name = proxied.replace(&server.to_string(), &format!("localhost:{}", server.port()));
    assert_eq!(cell.prints(&by_name).await, "hello");
}

#[tokio::test]
async fn where_it_cannot_be_contained_it_does_not_run_unless_somebody_says_so() {
    let cell = Cell::new();
    let without = |mode| Sandbox::new(mode, "/bin/false");
    let command = || cell.command("echo ran");
    let refused = without(Mode::Required).contain(command(), &cell.bounds).unwrap_err();
    assert!(matches!(refused, SandboxError::Unavailable(_)), "{refused}");
    assert!(refused.to_string().contains("`mode` of `[sandbox]`"), "{refused}");
    for mode in [Mode::Preferred, Mode::Off] {
        let contained = without(mode).contain(command(), &cell.bounds).unwrap();
        let output = contained.run(&CancellationToken::new()).await.unwrap();
        assert_eq!(output.stdout.text(), "ran\n");
    }
    // Off is off, also where it could be.
    let off =
        Sandbox::new(Mode::Off, PROBE).contain(cell.command("cat $SECRET_PATH"), &cell.bounds);
    let output = off.unwrap().run(&CancellationToken::new()).await.unwrap();
    assert_eq!(output.stdout.text(), "hunter22");
}

/// The same as an ordinary user, who may only make namespaces.
#[tokio::test]
async fn an_ordinary_user_can_contain_programs_too() {
    if !rustix::process::geteuid().is_root() {
        // Every other test of this file shows it.
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let all = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(folder.path(), all).unwrap();
    let probe = folder.path().join("probe");
    std::fs::copy(PROBE, &probe).unwrap();
    let order = serde_json::json!({ "folder": folder.path() }).to_string();
    let output = setpriv(&probe, &order);
    assert!(output.status.success(), "{output:?}");
    insta::assert_snapshot!(String::from_utf8_lossy(&output.stdout).trim(), @r"
    uid 1000
    effective 0000000000000000
    wrote yes
    read no
    ");
}

fn setpriv(probe: &Path, order: &str) -> std::process::Output {
    use std::os::unix::process::CommandExt as _;
    let mut command = std::process::Command::new(probe);
    command.args(["contain", order]).uid(4321).gid(4321).output().unwrap()
}
