//! Contains a program as an ordinary user's daemon would.

use std::path::PathBuf;

use reconciler_effects::process::Command;
use reconciler_effects::sandbox::{Beyond, Bounds, Limits, Mode, Network, Sandbox, Share};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

/// Where to do it: a directory that this user may write.
#[derive(Deserialize)]
struct Order {
    folder: PathBuf,
}

const SCRIPT: &str = "echo uid $(id -u); \
    echo effective $(grep CapEff /proc/self/status | cut -f2); \
    touch made && echo wrote yes; \
    cat ../secret 2>/dev/null || echo read no";

/// Prints what the program prints; `None` if that failed in any way, which is said.
pub(crate) fn run(order: &str) -> Option<()> {
    let order: Order = serde_json::from_str(order).ok()?;
    let work = order.folder.join("work");
    std::fs::create_dir(&work).ok()?;
    std::fs::write(order.folder.join("secret"), "hunter22").ok()?;
    let bounds = Bounds {
        shares: vec![Share::write(&work)],
        network: Network::None,
        limits: Limits {
            processes: 32,
            memory: 256 << 20,
            disk: 16 << 20,
            open_files: 256,
            beyond: Beyond::End,
        },
        notes: order.folder.join("notes"),
    };
    let command =
        Command::new("/bin/sh").args(["-c", SCRIPT]).env("PATH", "/usr/bin:/bin").current_dir(work);
    let runtime = tokio::runtime::Runtime::new().ok()?;
    let ran = runtime.block_on(async {
        let contained = Sandbox::new(Mode::Required, "/proc/self/exe").contain(command, &bounds)?;
        contained.run(&CancellationToken::new()).await
    });
    match ran {
        Ok(output) => {
            use std::io::Write as _;
            std::io::stdout().write_all(&output.stdout.bytes).ok()
        }
        Err(error) => {
            eprintln!("{error}");
            None
        }
    }
}
