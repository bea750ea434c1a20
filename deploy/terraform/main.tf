# A batch behind a queue: the service, the queue that its interrupted runs hand themselves on by, the bucket of its outputs,
# the scheduler that starts it, and two accounts with no more rights than they need.

locals {
  # Known before the service is there, which is told its own address.
  url = "https://${var.name}-${data.google_project.this.number}.${var.region}.run.app"

  env = merge({
    KART_WORKSPACE         = "gs://${google_storage_bucket.workspace.name}/${var.name}"
    KART_LOG_FORMAT        = "json"
    KART_TRUST_PLATFORM    = "true" # Cloud Run has checked who calls, and removed the signature by which others could.
    KART_PLATFORM_LIMIT    = "60m"
    KART_DISPATCH_DEADLINE = var.dispatch_deadline
    KART_CONTINUE_WITH     = "cloud-tasks://${google_cloud_tasks_queue.this.id}"
    KART_CONTINUE_AS       = google_service_account.invoker.email
    KART_PUBLIC_URL        = local.url
  }, var.env)
}

data "google_project" "this" {
  project_id = var.project
}

resource "google_project_service" "this" {
  for_each = toset(["cloudscheduler", "cloudtasks", "iam", "run", "storage"])

  project            = var.project
  service            = "${each.key}.googleapis.com"
  disable_on_destroy = false
}

# As whom the batch runs.
resource "google_service_account" "runner" {
  project      = var.project
  account_id   = "${var.name}-runner"
  display_name = "Runs ${var.name}"
}

# As whom the queue and the scheduler call it.
resource "google_service_account" "invoker" {
  project      = var.project
  account_id   = "${var.name}-invoker"
  display_name = "Starts ${var.name}"
}

resource "google_storage_bucket" "workspace" {
  project                     = var.project
  name                        = var.bucket
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  # Parts of files that a killed upload has left; the next upload to the same place gives them up sooner.
  lifecycle_rule {
    condition {
      age = 7
    }
    action {
      type = "AbortIncompleteMultipartUpload"
    }
  }

  depends_on = [google_project_service.this]
}

resource "google_storage_bucket_iam_member" "runner" {
  bucket = google_storage_bucket.workspace.name
  role   = "roles/storage.objectUser"
  member = google_service_account.runner.member
}

# Nothing is tuned to the length of the batch: interrupted runs hand themselves on, and are no failures to the queue. What
# it repeats are crashes and failed tasks, a hundred times (the default), and not at intervals of up to an hour.
resource "google_cloud_tasks_queue" "this" {
  project  = var.project
  name     = var.name
  location = var.region

  rate_limits {
    max_concurrent_dispatches = 4 # as many runs as one instance takes (KART_MAX_RUNS)
  }

  retry_config {
    min_backoff = "10s"
    max_backoff = "300s"
  }

  depends_on = [google_project_service.this]
}

resource "google_cloud_tasks_queue_iam_member" "runner" {
  project  = var.project
  location = google_cloud_tasks_queue.this.location
  name     = google_cloud_tasks_queue.this.name
  role     = "roles/cloudtasks.enqueuer"
  member   = google_service_account.runner.member
}

# Whoever makes a task that calls as an account has to be allowed to act as it.
resource "google_service_account_iam_member" "runner_acts_as_invoker" {
  service_account_id = google_service_account.invoker.name
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.runner.member
}

resource "google_cloud_run_v2_service" "this" {
  project  = var.project
  name     = var.name
  location = var.region
  ingress  = "INGRESS_TRAFFIC_ALL" # for people who watch, by `gcloud run services proxy`; the queue would do with less

  # Only who has roles/run.invoker gets through: KART_TRUST_PLATFORM relies on it.
  invoker_iam_disabled = false

  template {
    service_account                  = google_service_account.runner.email
    timeout                          = "3600s"
    max_instance_request_concurrency = 80

    scaling {
      max_instance_count = var.max_instances
    }

    containers {
      image = var.image
      args  = ["serve"]

      dynamic "env" {
        for_each = local.env
        content {
          name  = env.key
          value = env.value
        }
      }

      resources {
        limits = {
          cpu    = var.cpu
          memory = var.memory
        }
      }

      # A revision that cannot reach its bucket gets no traffic.
      startup_probe {
        period_seconds    = 5
        timeout_seconds   = 4
        failure_threshold = 6

        http_get {
          path = "/readyz"
        }
      }
    }
  }

  depends_on = [
    google_cloud_tasks_queue_iam_member.runner,
    google_project_service.this,
    google_service_account_iam_member.runner_acts_as_invoker,
    google_storage_bucket_iam_member.runner,
  ]
}

resource "google_cloud_run_v2_service_iam_member" "invoker" {
  project  = var.project
  location = google_cloud_run_v2_service.this.location
  name     = google_cloud_run_v2_service.this.name
  role     = "roles/run.invoker"
  member   = google_service_account.invoker.member
}

resource "google_cloud_scheduler_job" "this" {
  count = var.schedule == null ? 0 : 1

  project          = var.project
  name             = var.name
  region           = var.region
  schedule         = var.schedule
  time_zone        = "Etc/UTC"
  attempt_deadline = "1800s" # the most that the scheduler waits

  retry_config {
    retry_count          = 3
    min_backoff_duration = "30s"
  }

  http_target {
    uri         = "${local.url}/"
    http_method = "POST"
    body        = base64encode(jsonencode(var.params))

    headers = {
      "Content-Type"    = "application/json"
      "X-Kart-Deadline" = "1800" # what the scheduler waits; a run that is not through by then hands itself on
    }

    oidc_token {
      service_account_email = google_service_account.invoker.email
      audience              = local.url
    }
  }

  depends_on = [google_cloud_run_v2_service_iam_member.invoker]
}
