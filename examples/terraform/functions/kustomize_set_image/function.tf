locals {
  image = provider::lockstep::kustomize_set_image("image", {
    path = "gitops/overlays/{{ stage.name }}/kustomization.yaml"
    images = {
      "registry.example.com/shop/api" = { tag = "{{ freight.api.tag }}" }
    }
  })
}
