locals {
  told = provider::lockstep::audit_event("told", {
    message = "{{ freight.api.tag }} was announced"
    fields  = { ticket = "{{ steps.ticket.id }}" }
  })
}
