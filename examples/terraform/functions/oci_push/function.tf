locals {
  release = provider::lockstep::oci_push("release", {
    from = "{{ freight.api.pinned }}"
    to   = "registry.example.com/prod/api:stable"
  })
}
