locals {
  fetch = provider::lockstep::download("fetch", {
    url      = "https://releases.example.com/crds/{{ freight.api.tag }}.tgz"
    to       = "crds.tgz"
    checksum = "{{ vars.crds_checksum }}"
  })
}
