//! Programs of steps: what they make, what they are kept from, and what is told of them.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::time::Duration;

use reconciler_domain::credential::CredentialKind;
use reconciler_domain::step::{Call, Record, RunCall, RunEffect, RunNetwork, StepOutcome};
use reconciler_effects::git::Secret;
use reconciler_effects::sandbox::{Mode, Settings};
use reconciler_effects::{Effects, EffectsConfig, Held, Workdir};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::credentials::Wallets;
use crate::world::{World, cx, done, name};

const PASSWORD: &str = "correct horse battery";

/// A shell over files of the checkout.
pub(crate) fn shell(script: &str) -> RunCall {
    RunCall {
        command: ["sh", "-c", script].map(str::to_owned).to_vec(),
        dir: Some("src".to_owned()),
        reads: Vec::new(),
        writes: Vec::new(),
        env: BTreeMap::new(),
        secrets: BTreeMap::new(),
        network: RunNetwork::None,
        memory_mib: 256,
        disk_mib: 16,
        processes: 64,
        timeout: Duration::from_secs(60),
        outputs: None,
        key: "shop/prod.1/run".to_owned(),
        effect: None,
    }
}

/// A shell with effects outside.
pub(crate) fn effect(script: &str, at_most_once: bool) -> RunCall {
    let effect = Some(RunEffect { at_most_once, undo: Vec::new() });
    RunCall { dir: None, effect, ..shell(script) }
}

/// Tells the receiver of requests what it did, under its key.
pub(crate) fn announce(world: &World) -> RunCall {
    let script = format!(
        "curl -sS --fail --noproxy '' -X POST -H \"Idempotency-Key: $LOCKSTEP_EFFECT_KEY\" {}",
        world.inbox.url
    );
    RunCall { network: RunNetwork::Egress, ..effect(&script, false) }
}

/// The same, with another script.
pub(crate) fn with_script(call: RunCall, script: &str) -> RunCall {
    RunCall { command: ["sh", "-c", script].map(str::to_owned).to_vec(), ..call }
}

async fn run(world: &World, call: RunCall) -> StepOutcome {
    world.run(&world.task("run", Call::Run(call))).await
}

async fn fails(world: &World, call: RunCall) -> (String, bool) {
    match run(world, call).await {
        StepOutcome::Failed { message, retry, .. } => (message, retry),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn files_and_outputs_come_back() {
    let mut world = World::new().await;
    world.checkout().await;
    let (outputs, record) = done(run(&world, shell("cp values.yaml made; echo ok; id -u")).await);
    assert_eq!((json!(outputs), record), (json!({ "stdout": "ok\n1000" }), Record::None));
    let made = std::fs::read_to_string(world.held("src/made")).unwrap();
    assert!(made.starts_with("image:"), "{made}");
    let from = |outputs: &str, script: &str| RunCall {
        outputs: Some(outputs.to_owned()),
        ..shell(script)
    };
    let text = "'{\"tag\": \"2.0.0\", \"n\": [1]}'";
    for call in [
        from("stdout", &format!("echo {text}")),
        from("out/facts.json", &format!("mkdir out; echo noise; echo {text} > out/facts.json")),
    ] {
        let (outputs, _) = done(run(&world, call).await);
        assert_eq!(json!(outputs), json!({ "tag": "2.0.0", "n": [1] }));
    }
    for (outputs, script) in [
        ("stdout", "echo nothing of the kind"),
        ("gone.json", "true"),
        // What a program leaves is not followed either.
        ("link.json", "ln -s /etc/passwd link.json"),
        ("pipe.json", "mkfifo pipe.json"),
        ("stdout", "head -c 50000000 /dev/zero"),
    ] {
        let (message, retry) = fails(&world, from(outputs, script)).await;
        assert!(message.starts_with("outputs: ") && !retry, "{script}: {message}");
    }
}

#[tokio::test]
async fn it_changes_what_it_is_given_to_change() {
    let mut world = World::new().await;
    world.with_files().await;
    let call = RunCall {
        reads: vec!["src/infra".to_owned()],
        writes: vec!["out".to_owned(), "src/values.toml".to_owned()],
        ..shell("cat values.json ../src/infra/main.tf > ../out/all && echo '# x' >> values.toml")
    };
    done(run(&world, call.clone()).await);
    assert!(world.held("out/all").metadata().unwrap().len() > 0);
    let closed = RunCall { command: shell("echo x > values.json").command, ..call };
    let (message, _) = fails(&world, closed).await;
    assert!(message.contains("values.json"), "{message}");
    // The rest of the working directory is not there at all.
    let apart = RunCall { dir: Some("src/infra".to_owned()), ..shell("ls ../values.yaml") };
    fails(&world, apart).await;
}

#[tokio::test]
async fn paths_lead_nowhere_else() {
    let mut world = World::new().await;
    world.write("-rf", "not an option\n");
    world.publish("traps");
    world.checkout().await;
    world.prepare("trap", Call::Run(shell("ln -s /root home"))).await;
    for dir in ["src/home", "../src", "/etc", "src/nowhere"] {
        let call = RunCall { dir: Some(dir.to_owned()), ..shell("true") };
        let (message, retry) = fails(&world, call).await;
        assert!(!retry, "{dir}: {message}");
    }
    let write = RunCall { writes: vec!["src/home/x".to_owned()], ..shell("true") };
    fails(&world, write).await;
    let (message, _) = fails(&world, shell("cat home/.ssh/id_rsa || ls home/")).await;
    assert!(message.contains("No such file"), "{message}");
    // No shell of ours reads what a file is called.
    let command = ["cat", "--", "-rf"].map(str::to_owned).to_vec();
    let (outputs, _) = done(run(&world, RunCall { command, ..shell("") }).await);
    assert_eq!(outputs["stdout"], "not an option");
}

#[tokio::test]
async fn secrets_reach_it_and_nobody_else() {
    let mut world = World::new().await;
    world.checkout().await;
    let wallets = Wallets::default();
    wallets.give(
        "shop",
        Held {
            name: "deploy".parse().unwrap(),
            kind: CredentialKind::Http,
            address: None,
            username: None,
            secrets: [("token".to_owned(), Ok(Secret::new(PASSWORD)))].into(),
        },
    );
    let effects = wallets.open(&world, Vec::new());
    let with = |reference: &str, script: &str| RunCall {
        secrets: [("TOKEN".to_owned(), reference.to_owned())].into(),
        ..shell(script)
    };
    let told = async |call: RunCall| {
        let task = world.task("run", Call::Run(call));
        let cx = cx(Workdir::Main);
        let rebuild: Vec<_> =
            task.rebuild.iter().map(|(step, call)| (name(step), call.clone())).collect();
        let never = CancellationToken::new();
        effects.run(&cx, &name("run"), &task.call, &rebuild, &never).await.unwrap()
    };
    let (outputs, _) = done(told(with("deploy/token", "echo ${#TOKEN} $TOKEN")).await);
    assert_eq!(outputs["stdout"], "21 [secret deploy/token]");
    // Behind fifty megabytes, in base64, and where the tail is cut.
    let loud = "head -c 50000000 /dev/zero | tr '\\0' x; printf %s \"$TOKEN\" | base64; \
                printf %s \"$TOKEN\" >&2; head -c 2040 /dev/zero | tr '\\0' y >&2; exit 3";
    let outcome = format!("{:?}", told(with("deploy/token", loud)).await);
    assert!(outcome.contains("ended with exit code 3"), "{outcome}");
    for part in ["correct", "battery", "tery", "Y29ycmVjd"] {
        assert!(!outcome.contains(part), "{part}");
    }
    for (reference, why) in [
        ("other/token", "the project holds no credential \"other\""),
        ("deploy/pin", "credential \"deploy\" has no key \"pin\"; it has token"),
    ] {
        match told(with(reference, "true")).await {
            StepOutcome::Failed { message, .. } => assert!(message.contains(why), "{message}"),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn the_daemon_is_out_of_reach() {
    let mut world = World::new().await;
    world.checkout().await;
    let data = world.path("data").display().to_string();
    let script = format!(
        "env | cut -d= -f1 | sort | tr '\\n' ' '; ls {data} 2>&1; cat /proc/1/environ | wc -c; \
         ls /root /home 2>&1; ls /proc | grep -c '^[0-9]'"
    );
    let (outputs, _) = done(run(&world, shell(&script)).await);
    let said = outputs["stdout"].as_str().unwrap();
    let names = "HOME LANG LOCKSTEP_EFFECT_KEY LOCKSTEP_PROJECT LOCKSTEP_PROMOTION LOCKSTEP_STAGE \
                 LOCKSTEP_STEP PATH PWD TMPDIR";
    assert!(said.starts_with(names), "{said}");
    for kept in ["states", "hash.key", "lockstep.db", "mirrors"] {
        assert!(!said.contains(kept), "{said}");
    }
    if rustix::process::geteuid().is_root() {
        assert_ne!(world.held("src").metadata().unwrap().uid(), 0);
    }
}

#[tokio::test]
async fn ends_are_told_as_they_are() {
    let mut world = World::new().await;
    world.checkout().await;
    let of = |script: &str| RunCall { timeout: Duration::from_millis(500), ..shell(script) };
    insta::assert_snapshot!(fails(&world, of("echo gone wrong >&2; exit 3")).await.0, @"`sh` ended with exit code 3: gone wrong");
    assert!(fails(&world, of("exit 75")).await.1);
    insta::assert_snapshot!(fails(&world, of("kill -ABRT $$")).await.0, @"`sh` ended with signal 6: it said nothing");
    let (message, retry) = fails(&world, of("sleep 60")).await;
    assert!(message.contains("deadline") && retry, "{message}");
    let filled = RunCall {
        timeout: Duration::from_secs(60),
        ..shell("i=0; while :; do head -c 9000000 /dev/zero > f$i; i=$((i+1)); done")
    };
    insta::assert_snapshot!(fails(&world, filled).await.0, @"`sh` was ended because it used more than 16 MiB of disk");
    let host = RunCall { network: RunNetwork::Host, ..shell("true") };
    insta::assert_snapshot!(fails(&world, host).await.0, @r#"network: this daemon lets no step use the network of its machine; use "egress", or have `host_network = true` set in `[sandbox]` of its configuration"#);
}

#[tokio::test]
async fn an_effect_that_was_cut_short_is_uncertain_where_it_must_not_be_repeated() {
    let world = World::new().await;
    let quick = |call: RunCall| RunCall { timeout: Duration::from_millis(400), ..call };
    for script in ["sleep 60", "kill -KILL $$"] {
        match run(&world, quick(effect(script, true))).await {
            StepOutcome::Uncertain { message } => {
                assert!(message.contains("marked to be run at most once"), "{message}");
            }
            other => panic!("{script}: {other:?}"),
        }
        match run(&world, quick(effect(script, false))).await {
            StepOutcome::Failed { retry: true, record: Record::Ran(_), .. } => {}
            other => panic!("{script}: {other:?}"),
        }
    }
    // One that says itself that it failed is known to have ended. What it did stays on record.
    for (at_most_once, code, retry) in [(true, 3, false), (true, 75, false), (false, 75, true)] {
        let call = effect(&format!("echo half; exit {code}"), at_most_once);
        match run(&world, call).await {
            StepOutcome::Failed { retry: again, record: Record::Ran(ran), .. } => {
                assert_eq!((again, ran.output.as_str()), (retry, "half"));
                assert_eq!(ran.ended, format!("exit code {code}"));
            }
            other => panic!("{other:?}"),
        }
    }
    // Nothing of it has run.
    let missing = RunCall { command: vec!["no-such".to_owned()], ..effect("", true) };
    match run(&world, missing).await {
        StepOutcome::Failed { retry: false, record: Record::None, message, .. } => {
            assert!(message.contains("cannot start `no-such` in the sandbox"), "{message}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_cannot_be_contained_does_not_run() {
    let mut world = World::new().await;
    world.checkout().await;
    let open = |mode: Mode| {
        let settings = Settings { mode, ..world.config().sandbox };
        let shim = reconciler_effects::infra::shim::Shim::at("/bin/false");
        Effects::open(EffectsConfig { sandbox: settings, shim, ..world.config() }).unwrap()
    };
    let task = world.task("run", Call::Run(shell("echo made > made")));
    let rebuild: Arc<[_]> =
        task.rebuild.iter().map(|(step, call)| (name(step), call.clone())).collect();
    let tried = async |mode: Mode| {
        let (cx, never) = (cx(Workdir::Main), CancellationToken::new());
        open(mode).run(&cx, &name("run"), &task.call, &rebuild, &never).await.unwrap()
    };
    match tried(Mode::Required).await {
        StepOutcome::Failed { message, retry: false, .. } => {
            assert!(message.contains("programs cannot be contained here"), "{message}");
        }
        other => panic!("{other:?}"),
    }
    assert!(!world.held("src/made").exists());
    for mode in [Mode::Preferred, Mode::Off] {
        done(tried(mode).await);
        assert!(world.held("src/made").exists());
    }
}
