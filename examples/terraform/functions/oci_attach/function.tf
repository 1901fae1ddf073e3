locals {
  note = provider::lockstep::oci_attach("note", {
    image         = "{{ freight.api.pinned }}"
    path          = "note.json"
    artifact_type = "application/vnd.example.promotion"
    media_type    = "application/json"
  })
}
