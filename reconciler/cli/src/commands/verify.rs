//! `lockstep verify`: whether evidence holds. It asks nobody: the file and the keys are all that it takes.

use std::path::PathBuf;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use clap::Args;
use reconciler_api::v1::EvidencedChangeSet;
use reconciler_domain::id::{FreightId, ProjectName, PromotionId, StageName};
use reconciler_domain::promotion::{Checked, Evidence, PublicKey, Signed, Standing};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::render::evidence;
use crate::session::{Output, read_text};

/// Arguments of `lockstep verify`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// What `lockstep evidence -o json` writes; - for stdin
    file: PathBuf,
    /// A file with the keys that are trusted, as `lockstep keys` writes them
    #[arg(long, value_name = "FILE")]
    keys: PathBuf,
    /// How many people must have approved what the promotion does
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    people: usize,
    /// The promotion that it must be about, such as shop/prod.12
    #[arg(long, value_name = "PROJECT/PROMOTION")]
    promotion: Option<String>,
}

/// Evidence as the daemon writes it.
#[derive(Deserialize)]
struct Written {
    project: ProjectName,
    promotion: PromotionId,
    stage: StageName,
    freight: FreightId,
    change_set: Option<EvidencedChangeSet>,
    statements: Vec<Signed>,
}

/// What came of checking a file.
#[derive(Serialize)]
pub(crate) struct Verdict {
    /// Project and promotion.
    pub(crate) promotion: String,
    /// Whether nothing in it is false.
    pub(crate) is_true: bool,
    /// Who approved exactly what the promotion does.
    pub(crate) approved_by: Vec<String>,
    /// What the change set is worth; absent: there is none.
    pub(crate) change_set: Option<ChangeSetVerdict>,
    /// What each statement is worth.
    pub(crate) statements: Vec<StatementVerdict>,
}

/// What a change set is worth.
#[derive(Serialize)]
pub(crate) struct ChangeSetVerdict {
    /// The digest that it bears.
    pub(crate) digest: String,
    /// Whether it is that of its content.
    pub(crate) is_true: bool,
}

/// What a statement is worth.
#[derive(Serialize)]
pub(crate) struct StatementVerdict {
    /// Whether it is what somebody said to this promotion.
    pub(crate) is_true: bool,
    /// Whether it is about what the promotion does no longer.
    pub(crate) is_void: bool,
    /// Which key signed it.
    pub(crate) key: Option<String>,
    /// In words.
    pub(crate) text: String,
}

pub(crate) fn run(arguments: &Arguments, out: &Output) -> Result<(), Failure> {
    let Arguments { file, keys, people, promotion: wanted } = arguments;
    let unreadable = |path: &PathBuf, why: &dyn std::error::Error| Failure::EvidenceFile {
        path: path.clone(),
        why: why.to_string(),
    };
    let text = read_text(file).map_err(|error| unreadable(file, &error))?;
    let written: Written = serde_json::from_str(&text).map_err(|error| unreadable(file, &error))?;
    let pem = read_text(keys).map_err(|error| unreadable(keys, &error))?;
    let keys = PublicKey::all_in_pem(&pem).map_err(|error| unreadable(keys, &error))?;
    let Written { project, promotion, stage, freight, change_set, statements } = &written;
    let found = format!("{project}/{promotion}");
    if let Some(wanted) = wanted.as_ref().filter(|wanted| **wanted != found) {
        return Err(Failure::OtherEvidence { found, wanted: wanted.clone() });
    }
    let change_set = change_set.as_ref();
    let said = Evidence {
        project,
        promotion,
        stage,
        freight,
        change_set: change_set.map(|set| (set.digest.as_str(), set.content.as_str())),
        statements,
    };
    let checked = said.check(&keys, |key, bytes, signature| {
        UnparsedPublicKey::new(&ED25519, key.0).verify(bytes, signature).is_ok()
    });
    let verdict = verdict(found, change_set.map(|set| set.digest.clone()), &checked);
    out.answer(&verdict, evidence::verdict)?;
    if !verdict.is_true {
        let untrue = verdict.statements.iter().filter(|it| !it.is_true).count();
        let change_set = verdict.change_set.as_ref().is_some_and(|set| !set.is_true);
        return Err(Failure::Untrue { count: untrue + usize::from(change_set) });
    }
    let count = verdict.approved_by.len();
    if count < *people { Err(Failure::TooFewPeople { count, wanted: *people }) } else { Ok(()) }
}

fn verdict(promotion: String, digest: Option<String>, checked: &Checked) -> Verdict {
    let change_set = digest.zip(checked.change_set);
    Verdict {
        promotion,
        is_true: checked.is_true(),
        approved_by: checked.approvers().into_iter().map(str::to_owned).collect(),
        change_set: change_set.map(|(digest, is_true)| ChangeSetVerdict { digest, is_true }),
        statements: checked.statements.iter().map(statement).collect(),
    }
}

fn statement(standing: &Standing) -> StatementVerdict {
    let (is_true, is_void, key) = match standing {
        Standing::Holds { key, is_void, .. } => (true, *is_void, Some(key.clone())),
        Standing::Unsigned { .. } | Standing::Elsewhere { .. } | Standing::Unreadable(_) => {
            (false, false, None)
        }
    };
    StatementVerdict { is_true, is_void, key, text: evidence::standing(standing) }
}
