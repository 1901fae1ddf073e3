locals {
  manifests = provider::lockstep::kustomize_build("manifests", {
    path = "src/overlays/{{ stage.name }}"
    to   = "gitops/apps/{{ stage.name }}/all.yaml"
  })
}
