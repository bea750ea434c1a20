output "url" {
  description = "Where the service is reached, by those who may."
  value       = local.url
}

output "queue" {
  description = "The queue, to create first tasks in."
  value       = google_cloud_tasks_queue.this.id
}

output "runner" {
  description = "As whom the batch runs: give it rights on what the tasks read."
  value       = google_service_account.runner.email
}

output "invoker" {
  description = "As whom the service is called: first tasks name it in their OIDC token."
  value       = google_service_account.invoker.email
}
