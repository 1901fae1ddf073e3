//! `KEEP=1`: everything stays up, with what is needed to explore it.

use acceptance::Outcome;
use acceptance::process::binary;
use acceptance::world::PROJECT;

use crate::show::Show;
use crate::stage::Stage;

/// Says where everything is, and what to try.
pub(crate) fn explain(show: &mut Show, stage: &Stage) -> Outcome {
    let lockstepd = &stage.world.lockstepd;
    show.act("It stays up: explore");
    let programs = binary("lockstep")?;
    let programs = programs.parent().unwrap_or(std::path::Path::new("."));
    let mut lines = vec![
        format!("export PATH={}:$PATH", programs.display()),
        format!("export LOCKSTEP_PROJECT={PROJECT}"),
    ];
    let environment = stage.workspace.environment().iter();
    lines.extend(
        environment
            .filter(|(name, _)| name.starts_with("LOCKSTEP_") || name == "TF_CLI_CONFIG_FILE")
            .map(|(name, value)| format!("export {name}={value}")),
    );
    show.say("In another terminal:");
    show.text(&lines.join("\n"));
    show.say("Then:");
    show.text(&format!(
        "lockstep get stages\n\
             lockstep explain prod\n\
             lockstep get promotions prod.2\n\
             lockstep --token-file {} approve PROMOTION\n\
             (cd {} && {} plan -var approvals=1)\n\
             git clone {}\n\
             git clone {}\n\
             curl {}/health",
        stage.approvers[0].token_file.display(),
        stage.workspace.folder().display(),
        stage.tool.name,
        stage.world.gitops.url,
        stage.world.infra.url,
        stage.world.app.url("prod"),
    ));
    show.say(format_args!(
        "lockstepd: {}, data in {}",
        lockstepd.endpoint(),
        lockstepd.data_dir().display()
    ));
    show.say("Ctrl-C ends it.");
    Ok(())
}
