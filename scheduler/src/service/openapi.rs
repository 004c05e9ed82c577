//! The description of the API, as OpenAPI 3.1.

use serde_json::{Value, json};

/// The document that is served.
pub fn document() -> Value {
    let name = path_parameter("name", "The job's name.");
    let id = path_parameter("id", "The run's id, `<job>.<number>`.");
    let file = json!({"required": true, "description": "A job file, as JOBFILE.md describes it.",
        "content": {"application/yaml": {"schema": {"type": "string"}}}});
    json!({
        "openapi": "3.1.0",
        "info": {"title": "scheduler", "version": env!("CARGO_PKG_VERSION"),
            "description": "Jobs of tasks with volumes on Mesos. Times are milliseconds since the epoch."},
        "paths": {
            "/v1/jobs": {
                "get": operation("listJobs", "All jobs.", &[], None, &["200"]),
                "post": operation("createJob", "Adds a job.", &[], Some(&file), &["201", "409", "422"]),
            },
            "/v1/jobs/{name}": {
                "get": operation("showJob", "A job with its file and runs.", &[&name], None, &["200", "404"]),
                "put": operation("replaceJob", "Adds a job, or replaces the job of this name.", &[&name], Some(&file), &["200", "422"]),
                "delete": operation("deleteJob", "Removes a job and its ended runs.", &[&name], None, &["204", "404", "409"]),
            },
            "/v1/jobs/{name}/run": {
                "post": operation("runJob", "Starts a run now.", &[&name], None, &["202", "404", "409", "422"]),
            },
            "/v1/jobs/{name}/pause": {
                "post": operation("pauseJob", "Pauses the job's schedule until it is resumed.", &[&name], None, &["204", "404", "409"]),
            },
            "/v1/jobs/{name}/resume": {
                "post": operation("resumeJob", "Resumes the job's schedule from now on.", &[&name], None, &["204", "404", "409"]),
            },
            "/v1/runs": {"get": operation("listRuns", "All runs.", &[], None, &["200"])},
            "/v1/runs/{id}": {"get": operation("showRun", "A run: tasks, attempts, agents, times.", &[&id], None, &["200", "404"])},
            "/v1/runs/{id}/explain": {
                "get": operation("explainRun", "Why each task has not finished.", &[&id], None, &["200", "404"]),
            },
            "/v1/runs/{id}/cancel": {
                "post": operation("cancelRun", "Starts no further task of the run, and kills those that run.", &[&id], None, &["202", "404", "409"]),
            },
            "/v1/runs/{id}/tasks/{task}/{file}": {
                "get": operation("showLog", "The last lines that a task wrote, at most 64 KiB, as text, from its agent.",
                    &[&id, &path_parameter("task", "The task's name in the job file."), &path_parameter("file", "`stderr` or `stdout`.")],
                    None, &["200", "404", "409", "502"]),
            },
            "/v1/tasks/{id}/declare-dead": {
                "post": operation("declareTaskDead", "Declares that a task does not run, when the master cannot say whether it runs.",
                    &[&path_parameter("id", "The task's id, `<job>.<number>.<task>.<attempt>`.")], None, &["202", "404", "409"]),
            },
            "/v1/claims": {"get": operation("listClaims", "Who holds which volume.", &[], None, &["200"])},
            "/metrics": {"get": operation("metrics", "Metrics in Prometheus' text format.", &[], None, &["200"])},
            "/health": {"get": operation("health", "Whether a master has the scheduler subscribed and the operator stream is open.", &[], None, &["200", "503"])},
        },
        "security": [{}, {"token": []}],
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer",
            "description": "The token of --token-file. Without this option no token is needed."}}, "schemas": {"Error": {"type": "object", "required": ["error"],
            "properties": {"error": {"type": "string"}}}}},
    })
}

fn path_parameter(name: &str, description: &str) -> Value {
    json!({"name": name, "in": "path", "required": true, "description": description, "schema": {"type": "string"}})
}

fn operation(id: &str, summary: &str, parameters: &[&Value], body: Option<&Value>, statuses: &[&str]) -> Value {
    let error = json!({"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}});
    let responses: serde_json::Map<String, Value> = statuses
        .iter()
        .map(|status| {
            let response = match *status {
                "200" => json!({"description": "The requested document."}),
                "201" => json!({"description": "The job is on disk."}),
                "202" => json!({"description": "The request is on disk and is being carried out."}),
                "204" => json!({"description": "The change is on disk."}),
                "404" => json!({"description": "It does not exist.", "content": error}),
                "409" => json!({"description": "The present state does not allow it.", "content": error}),
                "422" => {
                    json!({"description": "The job file is wrong; each line names a place in it.", "content": error})
                }
                "502" => json!({"description": "The agent does not answer, or does not have the file.", "content": error}),
                _ => json!({"description": "Not subscribed to a master, the operator stream is closed, or the state cannot be written.", "content": error}),
            };
            ((*status).to_owned(), response)
        })
        .collect();
    let mut operation =
        json!({"operationId": id, "summary": summary, "parameters": parameters, "responses": responses});
    if let Some(body) = body {
        operation["requestBody"] = body.clone();
    }
    operation
}
