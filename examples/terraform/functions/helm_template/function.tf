locals {
  manifests = provider::lockstep::helm_template("manifests", {
    path         = "charts/shop"
    to           = "gitops/apps/{{ stage.name }}"
    release_name = "shop"
    namespace    = "shop-{{ stage.name }}"
    values_files = ["gitops/apps/{{ stage.name }}/values.yaml"]
    values = {
      image = {
        repository = "{{ freight.api.repo }}"
        digest     = "{{ freight.api.digest }}"
      }
    }
  })
}
