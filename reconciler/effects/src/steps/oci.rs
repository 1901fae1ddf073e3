//! Layers, copies, tags and attachments of registries.
//!
//! A tag is only ever moved from where it was when the promotion was prepared, to what was approved. Found
//! there already, it was this call that a crash cut off, or it need not be moved. Found anywhere else,
//! somebody else moved it, and it is left alone. Registries have no such move in one piece: who moves the tag
//! between the look and the move is not seen.

use reconciler_domain::step::{
    ArtifactAt, ArtifactLayer, Asks, OciAttach, OciDetach, OciLook, OciPull, OciPush, OciPutBack,
    OciRecord, Record, Seen, TagMove,
};
use serde_json::{Map, Value};

use super::workspace::{Workspace, rel_path};
use super::{Done, Halt, RunContext, blocking};
use crate::oci::{
    Budget, Content, Digest, ImageRepo, OciError, Part, Place, Platform, Referrer, Registry,
    Removal, fill, missing,
};
use crate::scoped::Scoped;
use crate::workdir::{WorkDir, WorkdirError};

/// Most bytes of a file that is attached.
const ATTACH_MAX_BYTES: u64 = 64 << 20;
/// Indexes in indexes that are followed.
const DEPTH_MAX: usize = 4;
/// Says whose an attachment is, and makes it that step's own.
const MARK: &str = "lockstep.promotion";

pub(super) async fn pull(effects: &Scoped, dir: &WorkDir, call: &OciPull) -> Result<Done, Halt> {
    let (bytes, digest) = layer(effects, call).await?;
    let size = bytes.len();
    let (dir, path) = (dir.clone(), rel_path(&call.to)?);
    let written = blocking(move || dir.write(&path, &bytes)).await;
    written.map_err(|error| Halt::of(&error, matches!(error, WorkdirError::Io { .. })))?;
    let digest = digest.to_string();
    let outputs = [("digest", Value::from(digest.as_str())), ("size", Value::from(size))];
    Ok(Done::new(outputs, Record::Oci(OciRecord::Pulled { digest })))
}

/// A layer, and the digest of the artifact that it is of.
pub(super) async fn layer(effects: &Scoped, call: &OciPull) -> Result<(Vec<u8>, Digest), Halt> {
    let repo = repo(&call.repo)?;
    let registry = registry(effects, &repo)?;
    let cancel = effects.cancel();
    let digest = match &call.at {
        ArtifactAt::Digest(digest) | ArtifactAt::Pinned { digest, .. } => self::digest(digest)?,
        ArtifactAt::Tag(tag) => match registry.at_tag(&repo, tag, cancel).await {
            Ok(Some(digest)) => digest,
            Ok(None) => return Err(Halt::never(format_args!("{repo} has no tag {tag}"))),
            Err(error) => return Err(halt(&error)),
        },
    };
    let content = artifact(effects, &registry, &repo, &digest, call.platform.as_deref()).await?;
    let parts = content.parts(&repo).map_err(|error| halt(&error))?;
    let part = chosen(&parts.layers.unwrap_or_default(), &call.layer)
        .map_err(|why| Halt::never(format_args!("{repo}@{digest}: {why}")))?;
    let blob = registry.blob(&repo, &part, call.max_bytes, cancel).await;
    Ok((blob.map_err(|error| halt(&error))?, digest))
}

/// The manifest behind a digest; of an index that of the platform.
async fn artifact(
    effects: &Scoped,
    registry: &Registry,
    repo: &ImageRepo,
    digest: &Digest,
    platform: Option<&str>,
) -> Result<Content, Halt> {
    let platform: Option<Platform> =
        platform.map(str::parse).transpose().map_err(|error| halt(&error))?;
    let mut digest = digest.clone();
    for _ in 0..DEPTH_MAX {
        let content = found(effects, registry, repo, &digest).await?;
        let listed = content.listed(repo, platform.as_ref()).map_err(|error| halt(&error))?;
        let Some(listed) = listed else { return Ok(content) };
        let [entry] = listed.fitting.as_slice() else {
            return Err(Halt::never(format_args!(
                "{repo}@{digest} is an index, and {} of what it lists fit; give one `platform` of: {}",
                listed.fitting.len(),
                listed.platforms.join(", "),
            )));
        };
        digest = entry.clone();
    }
    Err(Halt::never(format_args!("{repo}@{digest}: indexes in indexes are not followed that far")))
}

/// The layer that is meant.
fn chosen(layers: &[Part], wanted: &ArtifactLayer) -> Result<Part, String> {
    let title =
        |part: &Part| part.annotations.as_ref()?.get("org.opencontainers.image.title").cloned();
    let is_wanted = |part: &&Part| match wanted {
        ArtifactLayer::Only => true,
        ArtifactLayer::MediaType(media_type) => part.media_type == *media_type,
        ArtifactLayer::File(file) => title(part).as_ref() == Some(file),
    };
    let fitting: Vec<&Part> = layers.iter().filter(is_wanted).collect();
    if let [one] = fitting.as_slice() {
        return Ok((*one).clone());
    }
    let described = layers.iter().map(|part| match title(part) {
        Some(title) => format!("{} (file {title:?})", part.media_type),
        None => part.media_type.clone(),
    });
    let described: Vec<String> = described.collect();
    Err(format!(
        "{} of its {} layers fit; name one with `media_type` or `file`; there are: {}",
        fitting.len(),
        layers.len(),
        if described.is_empty() { "none".to_owned() } else { described.join(", ") },
    ))
}

/// What a push will do.
pub(super) async fn look(effects: &Scoped, call: &OciLook) -> Result<Done, Halt> {
    let to = repo(&call.repo)?;
    let content = pushed_content(effects, call).await?;
    let registry = registry(effects, &to)?;
    let before = registry.at_tag(&to, &call.tag, effects.cancel()).await;
    let before = before.map_err(|error| halt(&error))?;
    let moved = TagMove {
        repo: call.repo.clone(),
        tag: call.tag.clone(),
        digest: content.digest.to_string(),
        before: before.map(|digest| digest.to_string()),
    };
    Ok(moved_to(moved, OciRecord::Looked))
}

pub(super) async fn push(effects: &Scoped, call: &OciPush) -> Result<Done, Halt> {
    let OciPush { wanted, digest, before, max_bytes, asks } = call;
    let (from, to) = (repo(&wanted.from)?, repo(&wanted.repo)?);
    let (source, target) = (registry(effects, &from)?, registry(effects, &to)?);
    let cancel = effects.cancel();
    let at = at(effects, &target, &to, &wanted.tag).await?;
    if at.as_ref() != Some(digest) {
        if *asks == Asks::Only {
            let at = shown(at.as_deref());
            return Err(Halt::absent(format_args!("tag {} of {to} is {at}", wanted.tag)));
        }
        if at != *before {
            return Err(Halt::never(format_args!(
                "tag {} of {to} is {} now, and was {} when the promotion was prepared: others moved it; \
                 promote again if it is to be moved nevertheless",
                wanted.tag,
                shown(at.as_deref()),
                shown(before.as_deref()),
            ))
            .seen(Seen::No));
        }
        let content = pushed_content(effects, wanted).await?;
        if content.digest.as_str() != digest {
            return Err(Halt::never(format_args!(
                "{from}@{} would be {} in {to}, and {digest} was approved",
                wanted.digest, content.digest,
            )));
        }
        let places =
            (Place { registry: &source, repo: &from }, Place { registry: &target, repo: &to });
        let mut budget = Budget::new(*max_bytes);
        let filled = fill(places.0, places.1, &content, &mut budget, cancel).await;
        filled.map_err(|error| halt(&error))?;
        let put = target.put_tag(&to, &wanted.tag, &content, cancel).await;
        put.map_err(|error| sent(&error))?;
    }
    let moved = TagMove {
        repo: wanted.repo.clone(),
        tag: wanted.tag.clone(),
        digest: digest.clone(),
        before: before.clone(),
    };
    Ok(moved_to(moved, OciRecord::Pushed))
}

/// The undo of a push.
pub(super) async fn put_back(effects: &Scoped, call: &OciPutBack) -> Result<Done, Halt> {
    let OciPutBack { repo: name, tag, digest, before, asks } = call;
    let repo = repo(name)?;
    let registry = registry(effects, &repo)?;
    let cancel = effects.cancel();
    let at = at(effects, &registry, &repo, tag).await?;
    if at == *before {
        return Ok(undone());
    }
    if *asks == Asks::Only {
        let at = shown(at.as_deref());
        return Err(Halt::absent(format_args!("tag {tag} of {repo} is still {at}")));
    }
    if at.as_ref() != Some(digest) {
        return Err(Halt::never(format_args!(
            "tag {tag} of {repo} is {} now, not at {digest} as this promotion put it; decide by hand what \
             it should be at",
            shown(at.as_deref()),
        )));
    }
    let Some(before) = before else {
        let removal =
            registry.remove_tag(&repo, tag, cancel).await.map_err(|error| sent(&error))?;
        return Ok(match removal {
            Removal::Gone => undone(),
            Removal::Refused(said) => left(format!(
                "tag {tag} of {repo} stays at {digest}: it was new, and the registry does not take it \
                 away: {said}"
            )),
        });
    };
    let content = found(effects, &registry, &repo, &self::digest(before)?).await?;
    let put = registry.put_tag(&repo, tag, &content, cancel).await;
    put.map_err(|error| sent(&error))?;
    Ok(undone())
}

pub(super) async fn attach(
    effects: &Scoped,
    cx: &RunContext,
    workspace: &Workspace<'_>,
    call: &OciAttach,
) -> Result<Done, Halt> {
    let repo = repo(&call.repo)?;
    let registry = registry(effects, &repo)?;
    let (dir, path) = (workspace.fill().await?, rel_path(&call.path)?);
    let read = blocking(move || dir.read(&path, ATTACH_MAX_BYTES)).await;
    let bytes = read.map_err(|error| Halt::of(&error, false))?;
    let mut annotations = call.annotations.clone();
    annotations.insert(MARK.to_owned(), format!("{}/{}", cx.project, call.mark));
    let referrer = Referrer {
        subject: digest(&call.subject)?,
        artifact_type: call.artifact_type.clone(),
        media_type: call.media_type.clone(),
        title: call.path.rsplit('/').next().unwrap_or(&call.path).to_owned(),
        bytes,
        annotations,
    };
    let cancel = effects.cancel();
    let digest = if call.asks == Asks::Only {
        let found = registry.find_attached(&repo, &referrer, cancel).await;
        let nothing = || {
            Halt::absent(format_args!("{} is not attached to {repo}@{}", call.path, call.subject))
        };
        found.map_err(|error| halt(&error))?.ok_or_else(nothing)?
    } else {
        let attached = registry.attach(&repo, &referrer, cancel).await;
        attached.map_err(|error| sent(&error))?
    };
    let digest = digest.to_string();
    let outputs = [("digest", Value::from(digest.as_str()))];
    let (repo, subject) = (call.repo.clone(), call.subject.clone());
    let attached = OciDetach { repo, subject, digest, asks: Asks::No };
    Ok(Done::new(outputs, Record::Oci(OciRecord::Attached(attached))))
}

/// The undo of an attachment.
pub(super) async fn detach(effects: &Scoped, call: &OciDetach) -> Result<Done, Halt> {
    let repo = repo(&call.repo)?;
    let registry = registry(effects, &repo)?;
    let (subject, attached) = (digest(&call.subject)?, digest(&call.digest)?);
    let cancel = effects.cancel();
    if call.asks == Asks::Only {
        let there = registry.leads_to(&repo, &subject, &attached, cancel).await;
        return if there.map_err(|error| halt(&error))? {
            Err(Halt::absent(format_args!("{attached} is still attached to {repo}@{subject}")))
        } else {
            Ok(undone())
        };
    }
    let removal = registry.detach(&repo, &subject, &attached, cancel).await;
    Ok(match removal.map_err(|error| sent(&error))? {
        Removal::Gone => undone(),
        Removal::Refused(said) => left(format!(
            "{attached} stays attached to {repo}@{subject}: the registry does not take it away: {said}"
        )),
    })
}

/// What a tag is at, as bases are compared.
pub(super) async fn tag_now(
    effects: &Scoped,
    name: &str,
    tag: &str,
) -> Result<Option<String>, Halt> {
    let repo = repo(name)?;
    at(effects, &registry(effects, &repo)?, &repo, tag).await
}

/// What a tag is at, in words.
pub(super) fn shown(digest: Option<&str>) -> String {
    digest.map_or_else(|| "not there".to_owned(), |digest| format!("at {digest}"))
}

async fn at(
    effects: &Scoped,
    registry: &Registry,
    repo: &ImageRepo,
    tag: &str,
) -> Result<Option<String>, Halt> {
    let at = registry.at_tag(repo, tag, effects.cancel()).await.map_err(|error| halt(&error))?;
    Ok(at.map(|digest| digest.to_string()))
}

/// The manifest or index that a push puts there.
async fn pushed_content(effects: &Scoped, call: &OciLook) -> Result<Content, Halt> {
    let from = repo(&call.from)?;
    let registry = registry(effects, &from)?;
    let content = found(effects, &registry, &from, &digest(&call.digest)?).await?;
    content
        .annotated(call.annotations.iter())
        .map_err(|error| Halt::never(format_args!("{from}@{}: {error}", call.digest)))
}

async fn found(
    effects: &Scoped,
    registry: &Registry,
    repo: &ImageRepo,
    digest: &Digest,
) -> Result<Content, Halt> {
    let content = registry.content(repo, digest, effects.cancel()).await;
    let content = content.map_err(|error| halt(&error))?;
    content.ok_or_else(|| halt(&missing(repo, digest)))
}

fn moved_to(moved: TagMove, record: impl Fn(TagMove) -> OciRecord) -> Done {
    let TagMove { repo, tag, digest, .. } = &moved;
    let (pinned, reference) = (format!("{repo}@{digest}"), format!("{repo}:{tag}"));
    let outputs = [
        ("digest", Value::from(digest.as_str())),
        ("pinned", Value::from(pinned)),
        ("ref", Value::from(reference)),
        ("repo", Value::from(repo.as_str())),
        ("tag", Value::from(tag.as_str())),
    ];
    Done::new(outputs, Record::Oci(record(moved)))
}

fn undone() -> Done {
    Done { outputs: Map::new(), record: Record::None }
}

fn left(what: String) -> Done {
    Done { outputs: Map::new(), record: Record::Oci(OciRecord::Left { what }) }
}

fn registry(effects: &Scoped, repo: &ImageRepo) -> Result<Registry, Halt> {
    let login = effects.image_login(repo).map_err(Halt::later)?;
    effects.registries().reader(repo, false, login).map_err(|error| Halt::of(&error, false))
}

fn repo(text: &str) -> Result<ImageRepo, Halt> {
    text.parse().map_err(|error: OciError| halt(&error))
}

fn digest(text: &str) -> Result<Digest, Halt> {
    text.parse().map_err(|error: OciError| halt(&error))
}

/// The end of a change.
fn sent(error: &OciError) -> Halt {
    halt(error).seen(if error.is_open() { Seen::Perhaps } else { Seen::Unsaid })
}

fn halt(error: &OciError) -> Halt {
    match error.is_retryable() {
        true => Halt::later_after(crate::explain(error), error.retry_after()),
        false => Halt::of(error, false),
    }
}
